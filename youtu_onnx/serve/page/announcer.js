// What a screen reader hears of an answer: whole paragraphs as they are complete, and not each token.

import { $, el } from "./dom.js";
import { words } from "./language.js";

const APART = 3000; // milliseconds between two announcements
const KEPT = 8; // announcements; older ones were read

export class Announcer {
  #node = null;
  #said = 0;
  #time = 0;

  constructor(chat) {
    chat.addEventListener("node", ({ detail }) => this.#hear(detail));
    chat.addEventListener("shown", () => { if (chat.run?.node !== this.#node) this.#node = null; });
  }

  #hear(node) {
    if (node !== this.#node) {
      if (node.state !== "running") return;
      this.#node = node;
      this.#said = 0;
      this.say(words(node.thinking ? "thinkingNow" : "answering"));
    }
    const running = node.state === "running";
    if (running && performance.now() - this.#time < APART) return;
    const end = running ? node.text.lastIndexOf("\n\n") : node.text.length;
    if (end > this.#said) this.say(node.text.slice(this.#said, end).replace(/[#*`$|_>]+/g, " "));
    this.#said = Math.max(end, this.#said);
    if (running) return;
    this.#node = null;
    if (node.state === "done") this.say(words("answerDone")); // a fault is an alert of its own
    if (node.state === "stopped") this.say(words("stopped"));
  }

  say(text) {
    if (!text.trim()) return;
    this.#time = performance.now();
    $("heard").append(el("p", {}, text.trim()));
    while ($("heard").childElementCount > KEPT) $("heard").firstElementChild.remove();
  }
}
