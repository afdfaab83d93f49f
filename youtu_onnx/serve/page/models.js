// Which models the server has, and whether it can be reached and lets one in; a banner says where not.

import { models } from "./api.js";
import { $, el, icon } from "./dom.js";
import { keyForm } from "./key.js";
import { words } from "./language.js";
import { openModel } from "./modelling.js";
import { prefer, preference, useApiKey } from "./preferences.js";
import { toast } from "./toast.js";

const BANNERS = { gone: "bannerGone", starting: "bannerStarting", back: "bannerBack" };

export class Models extends EventTarget {
  found = [];
  #chat;
  #connection;
  #banner = null; // "key", "gone", "starting", "back" or null

  /** Events: "change" (other models), "back" (the server is there again, or takes the key). */
  constructor(chat, connection) {
    super();
    this.#chat = chat;
    this.#connection = connection;
    connection.addEventListener("change", ({ detail }) => this.#connected(detail));
    $("model-about").addEventListener("click", () => openModel(chat.model, async () => {
      await this.ask();
      return chat.model;
    }));
  }

  explains = (id) => this.found.some((model) => model.id === id && model.steps);

  async ask() {
    try {
      this.found = await models();
      this.#connection.found();
      this.say(this.#banner === "back" ? "back" : null);
    } catch (error) {
      if (error.kind === "key") this.say("key");
      else if (error.kind === "gone") this.#connection.lost();
      else if (error.kind === "busy") this.#connection.lost("starting");
      else toast(words("errorFailed", { message: error.message }));
    }
    this.choose(preference("model"));
  }

  choose(id) {
    const chat = this.#chat;
    chat.model = this.found.find((model) => model.id === id) ?? this.found[0] ?? null;
    const choose = ({ target }) => {
      prefer("model", target.value);
      this.choose(target.value);
    };
    if (this.found.length > 1) {
      const select = el("select", { id: "model", "aria-label": words("model"), onchange: choose },
        ...this.found.map((model) => el("option", { value: model.id }, model.id)));
      select.value = chat.model.id;
      $("model-place").replaceChildren(el("span", { class: "pill" }, select));
    } else {
      $("model-place").replaceChildren(
        ...(chat.model ? [el("span", { class: "model-name", title: words("model") }, chat.model.id)] : []));
    }
    $("model-about").disabled = !chat.model;
    this.dispatchEvent(new Event("change"));
  }

  useKey(key) {
    useApiKey(key);
    this.ask();
    this.dispatchEvent(new Event("back"));
  }

  /** Show a banner, or (without a name) the same again in other words. */
  say(what = this.#banner) {
    this.#banner = what;
    const box = $("banner");
    box.hidden = !what;
    box.className = what ?? "";
    if (what === "key") box.replaceChildren(icon("key"), keyForm((key) => this.useKey(key)));
    else if (what) box.replaceChildren(words(BANNERS[what]));
    if (what === "back") setTimeout(() => this.#banner === "back" && this.say(null), 3000);
  }

  async #connected(state) {
    if (state !== "ok") return this.say(state);
    if (this.#banner === "gone" || this.#banner === "starting") this.say("back");
    this.dispatchEvent(new Event("back"));
    if (!this.found.length) await this.ask();
  }
}
