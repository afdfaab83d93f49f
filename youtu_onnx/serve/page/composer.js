// Where messages are written: the box, what is sent along, and how much of the context is used.

import { thinkingSwitch } from "./api.js";
import { Attachments } from "./attaching.js";
import { $, el } from "./dom.js";
import { THINKING } from "./choices.js";
import { contextUsed, last } from "./conversation.js";
import { draft, draftKey, keepDraft } from "./drafts.js";
import { number, roughly, words } from "./language.js";

const TALLEST = 0.4; // of the window's height

export class Composer {
  #chat;
  #files;
  #key = null; // of the draft that is in the box

  /** onsend: called before a message is sent; oneditlast: arrow up in an empty box. */
  constructor(chat, { onsend, oneditlast }) {
    this.#chat = chat;
    const text = $("text");
    this.#files = new Attachments(() => this.#typed());
    const send = () => {
      const { files } = this.#files;
      if (chat.run || !this.#something()) return;
      const message = text.value.trim();
      text.value = "";
      this.#files.show([]);
      onsend();
      chat.send(message, files);
    };
    text.addEventListener("input", () => this.#typed());
    text.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return; // Enter chooses a candidate of an input method
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        send();
      } else if (event.key === "ArrowUp" && !text.value && oneditlast()) {
        event.preventDefault();
      }
    });
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      send();
      if (!$("stop").hidden) $("stop").focus();
    });
    $("composer").addEventListener("click", (event) => event.target === event.currentTarget && text.focus());
    $("stop").addEventListener("click", () => {
      chat.stop();
      text.focus();
    });
    $("clear").addEventListener("click", () => {
      chat.clearContext();
      text.focus();
    });
    $("thinking").addEventListener("change", () => chat.adjust({ thinking: $("thinking").value }));
    addEventListener("resize", () => this.#grow());
    chat.addEventListener("shown", () => this.#bringDraft());
    for (const type of ["running", "shown", "node", "settings"]) chat.addEventListener(type, () => this.update());
    this.#bringDraft();
    this.translate();
  }

  focus() {
    $("text").focus();
  }

  fill(text, files = this.#files.files) {
    $("text").value = text;
    this.#files.show(files);
    this.focus();
  }

  translate() {
    $("thinking").replaceChildren(...THINKING.map((value) =>
      el("option", { value }, words({ auto: "thinkAuto", on: "thinkOn", off: "thinkOff" }[value]))));
    this.#typed();
  }

  update() {
    const { conversation, run, waiting, model } = this.#chat;
    const node = last(conversation);
    $("stop").hidden = !run && !waiting;
    $("send").hidden = !$("stop").hidden;
    $("send").disabled = !this.#something();
    $("clear").disabled = Boolean(run) || !node || node.role === "break";
    $("thinking").value = this.#chat.settings.thinking ?? "auto";
    $("thinking-pill").hidden = !thinkingSwitch(model);
    this.#showContext(contextUsed(conversation), model?.context_length);
  }

  #showContext(used, all) {
    $("context").hidden = used === null;
    if (used === null) return;
    $("context-meter").hidden = !all;
    $("context-meter").value = all ? Math.min(1, used / all) : 0;
    $("context-meter").classList.toggle("full", Boolean(all) && used / all > 0.85);
    $("context-words").textContent = all ? words("contextWords", { used: roughly(used), all: roughly(all) })
      : words("contextUnknown", { used: number(used) });
    $("context").title = `${words("contextUsed")}: ${number(used)}${all ? ` / ${number(all)}` : ""}`;
  }

  #something() {
    return Boolean($("text").value.trim() || this.#files.files.length);
  }

  #typed() {
    if (this.#key) keepDraft(this.#key, $("text").value, this.#files.files);
    this.#grow();
    this.update();
  }

  /** The draft of the shown conversation, where that is another than before. */
  #bringDraft() {
    const key = draftKey(this.#chat.conversation);
    if (key === this.#key) return;
    this.#key = key;
    const { text, files } = draft(key);
    $("text").value = text;
    this.#files.show(files);
  }

  #grow() {
    const text = $("text");
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, innerHeight * TALLEST)}px`;
  }
}
