// A short word at the bottom, perhaps with something to do about it.

import { $, el } from "./dom.js";

const STAYS = 7000; // milliseconds
let timer = null;

export function toast(text, action = null) {
  clearTimeout(timer);
  const box = $("toast");
  const leave = () => box.replaceChildren();
  box.replaceChildren(el("div", {}, el("span", {}, text), action && el("button", { type: "button", class: "link", onclick: () => {
    leave();
    action.run();
  } }, action.words)));
  timer = setTimeout(leave, STAYS);
}
