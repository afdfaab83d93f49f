// The messages of the shown conversation, in step with the chat.

import { inShort } from "./choices.js";
import { $, el, icon } from "./dom.js";
import { path } from "./conversation.js";
import { words } from "./language.js";
import { messageView } from "./message.js";
import { followFootnote } from "./sanitize.js";
import { Following } from "./scrolling.js";

const SYSTEM = 120; // characters of a system message that are shown
const EXAMPLES = ["example1", "example2", "example3", "example4"];

export class Thread {
  #page;
  #views = new Map(); // node id → view
  #conversation = null;
  #changed = new Set();
  #following = new Following($("thread"), $("messages"), $("down"));

  constructor(page) {
    this.#page = page;
    const { chat } = page;
    chat.addEventListener("shown", () => this.show());
    chat.addEventListener("running", () => this.show());
    chat.addEventListener("node", ({ detail }) => this.#change(detail));
    chat.addEventListener("settings", () => this.#showSettings());
    $("messages").addEventListener("click", ({ target }) => {
      const mark = target.closest(".footnote");
      if (mark) followFootnote(mark);
      const button = target.closest(".copy-code");
      if (button) page.copy(button.closest(".code").querySelector("pre").textContent, button);
    });
  }

  /** Bring elements and nodes together; those of nodes that stay are kept as they are. */
  show() {
    const { chat } = this.#page;
    const other = chat.conversation !== this.#conversation;
    if (other) this.#views.clear();
    this.#conversation = chat.conversation;
    const nodes = path(chat.conversation);
    const views = new Map(nodes.map((node) => [node.id, this.#views.get(node.id) ?? messageView(node, this.#page)]));
    this.#views = views;
    place($("messages"), [...views.values()].map((view) => view.element));
    for (const view of views.values()) view.update();
    this.#showSettings();
    $("empty").hidden = nodes.length > 0;
    if (other) this.#following.toEnd();
    if (other && !nodes.length) this.#examples();
  }

  /** Words have changed: everything anew. */
  rebuild() {
    this.#conversation = null;
    this.show();
    this.#examples();
  }

  follow() {
    this.#following.toEnd();
  }

  /** Start to edit the last message of the reader. */
  editLast() {
    const view = [...this.#views.values()].reverse().find((one) => one.edit);
    view?.edit();
    return Boolean(view);
  }

  /** Start to edit a message of the reader's. */
  edit(id) {
    this.#views.get(id)?.edit();
  }

  #change(node) {
    if (node.state !== "running") {
      this.#views.get(node.id)?.update();
    } else if (!this.#changed.size) {
      requestAnimationFrame(() => {
        for (const id of this.#changed) this.#views.get(id)?.update();
        this.#changed.clear();
      });
    }
    if (node.state === "running") this.#changed.add(node.id);
  }

  /** A line above the messages, where they are asked for in another way than by the model's defaults. */
  #showSettings() {
    const { settings } = this.#page.chat;
    const system = settings.system.trim().replace(/\s+/g, " ");
    const numbers = inShort(settings);
    $("asked").hidden = !system && !numbers;
    $("asked").replaceChildren(icon("sliders"), el("span", {},
      [system && `${words("system")}: ${system.slice(0, SYSTEM)}`, numbers].filter(Boolean).join(" · ")));
  }

  #examples() {
    $("examples").replaceChildren(...EXAMPLES.map((key) => el("li", {}, el("button", {
      type: "button", class: "example", onclick: () => this.#page.fill(words(`${key}Text`)),
    }, el("strong", {}, words(key)), el("span", {}, words(`${key}Text`))))));
  }
}

/** Make these the children of an element without taking those out that are in place already: they'd lose focus and scroll. */
function place(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}
