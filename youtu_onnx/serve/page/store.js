// Conversations in IndexedDB (localStorage holds 5 MB only, and blocks while it writes), one record each, and beside it a
// short one for the list: thousands of conversations are listed without being read.
//
// A database for each path, so that two servers behind one host don't show each other's. Where the browser refuses storage
// they are held in memory, and `lasting` is false.

import { excerpt } from "./excerpts.js";

const NAME = `youtu-onnx ${new URL(".", location.href).pathname}`;
const WHOLE = "conversations";
const SHORT = "summaries";
const AT_ONCE = 50; // conversations read together while searching

export const summaryOf = ({ id, title, created, updated }) => ({ id, title, created, updated });

/** Events: "elsewhere" (detail: the id of a conversation that another tab changed), "blocked" (an old tab holds the database). */
export class Store extends EventTarget {
  lasting = true;
  #database = null;
  #memory = new Map();
  #channel = new BroadcastChannel(NAME);

  async open() {
    try {
      const request = indexedDB.open(NAME, 2);
      request.onupgradeneeded = ({ oldVersion }) => upgrade(request, oldVersion);
      request.onblocked = () => this.dispatchEvent(new CustomEvent("blocked"));
      this.#database = await settled(request);
      this.#database.onversionchange = () => this.#database.close(); // a newer page waits
    } catch {
      this.lasting = false;
    }
    this.#channel.onmessage = ({ data }) => this.dispatchEvent(new CustomEvent("elsewhere", { detail: data }));
  }

  /** Summaries of all, those used last first. */
  async summaries() {
    const found = this.lasting ? await settled(this.#tables("readonly", SHORT)[0].getAll())
      : [...this.#memory.values()].map(summaryOf);
    return found.sort((a, b) => b.updated - a.updated);
  }

  /** The whole of all of them. */
  async all() {
    return this.lasting ? settled(this.#tables("readonly", WHOLE)[0].getAll()) : structuredClone([...this.#memory.values()]);
  }

  async get(id) {
    if (!this.lasting) return structuredClone(this.#memory.get(id) ?? null);
    return (await settled(this.#tables("readonly", WHOLE)[0].get(id))) ?? null;
  }

  /**
   * Read a conversation, and write what `change` makes of it (null: there was none; returning null: nothing is written) before
   * any other tab can read or write: a transaction of the database is a lock that needs no HTTPS.
   *
   * Throws where the browser refuses, such as when the disk is full.
   */
  async update(id, change) {
    if (this.lasting) await this.#transaction(id, change);
    else if (!this.#change(this.#memory.get(id) ?? null, change)) return;
    this.#channel.postMessage(id);
  }

  async remove(id) {
    if (this.lasting) await Promise.all(this.#tables("readwrite", WHOLE, SHORT).map((table) => settled(table.delete(id))));
    else this.#memory.delete(id);
    this.#channel.postMessage(id);
  }

  async removeAll() {
    const ids = (await this.summaries()).map(({ id }) => id);
    if (this.lasting) await Promise.all(this.#tables("readwrite", WHOLE, SHORT).map((table) => settled(table.clear())));
    else this.#memory.clear();
    for (const id of ids) this.#channel.postMessage(id);
  }

  /** Yields [id, excerpt] of those that hold a text, in the order of `ids`. */
  async* search(wanted, ids) {
    for (let at = 0; at < ids.length; at += AT_ONCE) {
      const some = ids.slice(at, at + AT_ONCE);
      const table = this.lasting && this.#tables("readonly", WHOLE)[0];
      const found = await Promise.all(some.map((id) => (table ? settled(table.get(id)) : this.#memory.get(id))));
      for (const one of found) {
        const part = one && excerpt(one, wanted);
        if (part) yield [one.id, part];
      }
    }
  }

  #transaction(id, change) {
    return new Promise((resolve, reject) => {
      const [whole, short] = this.#tables("readwrite", WHOLE, SHORT);
      const transaction = whole.transaction;
      const reading = whole.get(id);
      reading.onsuccess = () => {
        try {
          const made = change(reading.result ?? null);
          if (!made) return;
          whole.put(made);
          short.put(summaryOf(made));
        } catch (error) {
          reject(error);
          transaction.abort();
        }
      };
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new Error("storage"));
    });
  }

  #change(found, change) {
    const made = change(structuredClone(found));
    if (made) this.#memory.set(made.id, structuredClone(made));
    return made;
  }

  #tables(mode, ...names) {
    const transaction = this.#database.transaction(names, mode);
    return names.map((name) => transaction.objectStore(name));
  }
}

function upgrade(request, from) {
  const database = request.result;
  if (from < 1) database.createObjectStore(WHOLE, { keyPath: "id" });
  const short = database.createObjectStore(SHORT, { keyPath: "id" });
  if (from < 1) return;
  request.transaction.objectStore(WHOLE).openCursor().onsuccess = ({ target: { result: cursor } }) => {
    if (!cursor) return;
    short.put(summaryOf(cursor.value));
    cursor.continue();
  };
}

const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
