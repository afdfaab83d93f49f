// A text on the page that is written anew in its place.

import { el } from "./dom.js";
import { words } from "./language.js";

/** take(text): it is as it should be; may(text): whether it could be; leave: nothing changes. button: what it says. */
export function editor({ text: before, label, button = "send", above = null, enter = true, take, may, leave }) {
  const text = el("textarea", { "aria-label": words(label), rows: 1, dir: "auto" });
  text.value = before;
  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + 2}px`;
  };
  const send = () => may(text.value) && take(text.value);
  const form = el("form", {
    class: "editor",
    onsubmit: (event) => { event.preventDefault(); send(); },
    onkeydown: (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      const done = event.key === "Enter" && event.target === text && (enter ? !event.shiftKey : event.ctrlKey || event.metaKey);
      if (done) { event.preventDefault(); send(); }
      if (event.key === "Escape") { event.stopPropagation(); leave(); }
    },
  }, above, text, el("div", { class: "row" }, el("span", { class: "space" }),
    el("button", { type: "button", class: "plain-button", onclick: leave }, words("cancel")),
    el("button", { type: "submit", class: "main-button" }, words(button))));
  text.addEventListener("input", grow);
  queueMicrotask(() => { // once it is on the page, and before the next key
    grow();
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
  });
  return form;
}
