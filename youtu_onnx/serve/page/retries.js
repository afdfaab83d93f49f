// Answers that wait until a busy server may take them.

const BUSY_WAIT = 5; // seconds, where a busy server doesn't say
const MOST = 5; // tries
const LONGEST_WAIT = 600; // seconds; where the server names a later time, trying again is left to the reader

export class Retries {
  #of = new Map(); // node id → { timer, tries }

  waits = (node) => Boolean(this.#of.get(node.id)?.timer);

  /** Try again later, where the server was busy and it makes sense. `node.error.again` says when. */
  after(node, again) {
    const tries = this.#of.get(node.id)?.tries ?? 0;
    const seconds = node.error?.retryAfter ?? BUSY_WAIT;
    this.#of.delete(node.id);
    if (node.error?.kind !== "busy" || tries >= MOST || seconds > LONGEST_WAIT) return;
    node.error.again = Date.now() + seconds * 1000;
    const timer = setTimeout(() => {
      this.#of.set(node.id, { timer: null, tries: tries + 1 });
      delete node.error.again;
      again();
    }, seconds * 1000);
    this.#of.set(node.id, { timer, tries });
  }

  cancel(node) {
    clearTimeout(this.#of.get(node.id)?.timer);
    this.#of.delete(node.id);
    if (node.error) delete node.error.again;
  }
}
