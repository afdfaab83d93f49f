// Markdown becomes HTML on the server: one request at a time, always of the latest text, a few times a second while it grows.

import { ApiError, render } from "./api.js";
import { sanitize } from "./sanitize.js";

const PAUSE = 250; // milliseconds between two renderings while text is still coming
const LATE = 700; // after so long without a rendering, new text is shown as plain text after the rendered part
const CACHE = 4_000_000; // characters of HTML

class Cache {
  #html = new Map();
  #size = 0;

  get(text) {
    return this.#html.get(text);
  }

  set(text, html) {
    if (this.#html.has(text)) return;
    this.#html.set(text, html);
    this.#size += html.length;
    for (const [old, { length }] of this.#html) {
      if (this.#size <= CACHE) return;
      this.#html.delete(old);
      this.#size -= length;
    }
  }
}

export class Renderer {
  #cache = new Cache();
  #queue = new Set(); // blocks whose text is newer than what they show
  #failed = new Set();
  #working = false;

  want(block) {
    const html = this.#cache.get(block.text);
    if (html !== undefined) return block.take(block.text, html);
    this.#failed.delete(block);
    this.#queue.delete(block);
    this.#queue.add(block);
    if (!this.#working) this.#work();
  }

  /** The server is back, or a key was given: try again what failed. */
  again() {
    for (const block of [...this.#failed]) this.want(block);
  }

  async #work() {
    this.#working = true;
    while (this.#queue.size) {
      const block = [...this.#queue].at(-1); // the newest first: it is what the reader looks at
      this.#queue.delete(block);
      if (!block.element.isConnected) continue;
      const { text, growing } = block;
      try {
        const html = await render(text);
        if (!block.growing && block.text === text) this.#cache.set(text, html);
        block.take(text, html);
      } catch (error) {
        if (!(error instanceof ApiError)) console.error(error);
        block.giveUp();
        if (error.kind !== "refused") this.#failed.add(block);
      }
      if (growing) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    this.#working = false;
  }
}

/** One text on the page: plain until its first rendering, then HTML. `settled`: called when `waits` has become false. */
export class Block {
  text = "";
  growing = false;
  #literal = false; // its text isn't Markdown
  waits = false; // what it shows is not yet the rendering of its text
  #renderer;
  #rendered = null; // the text that the HTML is of
  #time = 0;
  #settled;

  constructor(renderer, element, settled = () => {}) {
    this.#renderer = renderer;
    this.#settled = settled;
    this.element = element;
    element.classList.add("text");
  }

  show(text, growing) {
    this.growing = growing;
    if (text === this.text && (growing || this.#rendered === text || !text)) return;
    this.text = text;
    this.waits = true;
    if (this.#rendered === null) this.#plain();
    else if (performance.now() - this.#time > LATE) this.#tail();
    this.#renderer.want(this);
  }

  /** Text that isn't Markdown, as it is. */
  showLiteral(text) {
    if (this.#literal && text === this.text) return;
    this.#literal = true;
    this.text = text;
    this.giveUp();
  }

  take(text, html) {
    if (this.#literal || !this.text.startsWith(text)) return; // it became another text meanwhile
    this.element.classList.remove("plain");
    exchange(this.element, sanitize(html), this.#rendered === null);
    this.#rendered = text;
    this.#time = performance.now();
    if (text === this.text) this.#settle();
  }

  giveUp() {
    this.#plain();
    this.#settle();
  }

  #plain() {
    this.#rendered = null;
    this.element.classList.add("plain");
    this.element.textContent = this.text;
  }

  #settle() {
    this.waits = false;
    this.#settled();
  }

  #tail() {
    const tail = this.element.lastElementChild?.matches(".tail") ? this.element.lastElementChild
      : this.element.appendChild(document.createElement("span"));
    tail.className = "tail";
    tail.textContent = this.text.slice(this.#rendered.length);
  }
}

/** Put new children in place of the old and leave those at the front that are equal: selected text stays selected. */
function exchange(element, fragment, all) {
  const fresh = [...fragment.childNodes];
  const old = all ? [] : [...element.childNodes];
  let same = 0;
  while (same < fresh.length && same < old.length && old[same].isEqualNode(fresh[same])) same++;
  if (all) element.textContent = "";
  for (const node of old.slice(same)) node.remove();
  element.append(...fresh.slice(same));
}
