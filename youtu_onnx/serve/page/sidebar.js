// The list of conversations, as a pane beside the messages, or as a drawer over them where the window is narrow.

import { $, el, iconButton } from "./dom.js";
import { words } from "./language.js";
import { prefer, preference } from "./preferences.js";

const DAY = 24 * 3600 * 1000;
const ROWS = 60; // drawn at a time: more of them when one scrolls to their end
const NEAR_END = 200; // pixels
const TYPING = 120; // milliseconds from a letter to the search for it

export class Sidebar {
  #page;
  #narrow = matchMedia("(max-width: 800px)");
  #renaming = null; // id
  #drawer = false; // open over the page
  #rows = ROWS;
  #found = null; // id → excerpt of what is looked for; null: nothing is
  #searching = 0; // the number of the latest search
  #all = 0; // conversations that there are rows for

  constructor(page) {
    this.#page = page;
    const { chat } = page;
    for (const type of ["list", "shown", "running", "titled"]) chat.addEventListener(type, () => this.draw());
    $("search").addEventListener("input", () => this.#search($("search").value.trim()));
    $("conversations").addEventListener("scroll", () => this.#scrolled(), { passive: true });
    $("show-list").addEventListener("click", () => this.toggle());
    $("hide-list").addEventListener("click", () => this.toggle());
    $("shade").addEventListener("click", () => this.close());
    this.#narrow.addEventListener("change", () => this.#arrange());
    this.#arrange();
  }

  toggle() {
    if (this.#narrow.matches) this.#drawer = !this.#drawer;
    else prefer("list", !preference("list"));
    this.#arrange();
    const shown = this.#narrow.matches ? this.#drawer : preference("list");
    (shown ? $("hide-list") : $("show-list")).focus();
  }

  /** Close the drawer; a pane stays. Returns whether there was one. */
  close() {
    if (!this.#drawer) return false;
    this.#drawer = false;
    this.#arrange();
    $("show-list").focus();
    return true;
  }

  rename(id) {
    this.#renaming = id;
    if (this.#narrow.matches && !this.#drawer) this.toggle();
    else if (!this.#narrow.matches && !preference("list")) this.toggle();
    this.draw();
    const field = $("conversations").querySelector("input");
    field?.focus();
    field?.select();
  }

  draw() {
    if (this.#renaming && $("conversations").querySelector("input") === document.activeElement) return;
    const { list } = this.#page.chat;
    const found = this.#found ? list.filter((one) => this.#found.has(one.id)) : list;
    this.#all = found.length;
    const focused = document.activeElement?.closest?.("#conversations [data-id]")?.dataset.id;
    const rows = [];
    let heading = null;
    for (const one of found.slice(0, this.#rows)) {
      const name = ageOf(one.updated);
      if (name !== heading) rows.push(el("li", { class: "age" }, words(name)));
      heading = name;
      rows.push(this.#row(one));
    }
    $("conversations").replaceChildren(...rows);
    $("no-conversations").hidden = !this.#found || found.length > 0;
    if (focused) $("conversations").querySelector(`[data-id="${focused}"] button`)?.focus();
  }

  /** Look through what was said, too; rows appear as they are found. */
  async #search(wanted) {
    const number = ++this.#searching;
    this.#rows = ROWS;
    if (!wanted) {
      this.#found = null;
      return this.draw();
    }
    await new Promise((resolve) => setTimeout(resolve, TYPING));
    const found = new Map();
    for await (const [id, excerpt] of this.#page.search(wanted)) {
      if (number !== this.#searching) return;
      found.set(id, excerpt);
      if (found.size === ROWS) this.#take(found);
    }
    if (number === this.#searching) this.#take(found);
  }

  #take(found) {
    this.#found = found;
    this.draw();
  }

  #scrolled() {
    const box = $("conversations");
    if (this.#rows >= this.#all || box.scrollHeight - box.clientHeight - box.scrollTop > NEAR_END) return;
    this.#rows += ROWS;
    this.draw();
  }

  #row(one) {
    const { chat, open, menu } = this.#page;
    const current = one.id === chat.conversation.id;
    const title = one.title || words("untitled");
    if (one.id === this.#renaming) return el("li", { "data-id": one.id }, this.#field(one));
    return el("li", { "data-id": one.id, class: current ? "current" : null },
      el("button", { type: "button", class: "open", "aria-current": current ? "page" : null, title, onclick: () => open(one.id) },
        chat.runsIn(one.id) ? el("i", { class: "dot" }) : null, el("span", { dir: "auto" }, title)),
      iconButton("more", words("actionsFor", { title }), ({ currentTarget }) => menu(one.id, currentTarget),
        { class: "quiet more", "aria-haspopup": "menu" }),
      excerptOf(this.#found?.get(one.id), () => open(one.id)));
  }

  #field(one) {
    let done = false;
    const finish = async (keep, focus) => {
      if (done) return;
      done = true;
      this.#renaming = null;
      if (keep) await this.#page.chat.rename(one.id, field.value);
      this.draw();
      if (focus) $("conversations").querySelector(`[data-id="${one.id}"] button`)?.focus();
    };
    const field = el("input", { value: one.title, "aria-label": words("titleOf"), maxlength: 200, dir: "auto",
      onblur: () => finish(true, false),
      onkeydown: (event) => {
        if (event.isComposing || event.keyCode === 229) return;
        if (event.key === "Enter") finish(true, true);
        if (event.key === "Escape") {
          event.stopPropagation();
          finish(false, true);
        }
      } });
    return field;
  }

  #arrange() {
    const narrow = this.#narrow.matches;
    if (!narrow) this.#drawer = false;
    const shown = narrow ? this.#drawer : preference("list");
    document.documentElement.classList.toggle("list-shown", shown);
    document.documentElement.classList.toggle("drawer", this.#drawer);
    $("shade").hidden = !this.#drawer;
    $("list").inert = !shown;
    document.querySelector("main").inert = this.#drawer;
    for (const id of ["show-list", "hide-list"]) $(id).setAttribute("aria-expanded", shown);
  }
}

/** What was found, under the title. The button above it is for the keyboard. */
function excerptOf(part, onclick) {
  if (!part?.found) return null;
  return el("p", { class: "excerpt", dir: "auto", onclick }, part.before, el("mark", {}, part.found), part.after);
}

function ageOf(time) {
  const today = new Date().setHours(0, 0, 0, 0);
  if (time >= today) return "today";
  if (time >= today - DAY) return "yesterday";
  return time >= today - 6 * DAY ? "week" : "older";
}
