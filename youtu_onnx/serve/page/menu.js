// The small menu of what can be done with a conversation, beside the button that opened it.

import { $, el, icon } from "./dom.js";
import { words } from "./language.js";

/** items: [{ icon, words, action, danger, disabled }]; it closes at Escape, Tab, a click elsewhere, or a choice. */
export function openMenu(button, items) {
  const menu = $("menu");
  const buttons = items.map((item) => el("button", { type: "button", role: "menuitem", class: item.danger ? "danger" : null, disabled: item.disabled,
    onclick: () => {
      menu.hidePopover();
      item.action();
    } }, icon(item.icon), words(item.words)));
  menu.replaceChildren(...buttons);
  menu.setAttribute("aria-label", button.getAttribute("aria-label"));
  button.closest("nav, main").append(menu); // within a landmark
  menu.showPopover();
  const place = button.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(place.left, innerWidth - width - 8))}px`;
  menu.style.top = `${place.bottom + height + 12 > innerHeight ? Math.max(8, place.top - height - 4) : place.bottom + 4}px`;
  const able = buttons.filter((one) => !one.disabled);
  able[0]?.focus();
  button.setAttribute("aria-expanded", "true");
  menu.onkeydown = (event) => {
    const at = able.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Tab") menu.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    able[(to + able.length) % able.length].focus();
  };
  menu.onbeforetoggle = ({ newState }) => { // returns nothing: false would keep it from opening
    if (newState === "closed") button.removeAttribute("aria-expanded");
    if (newState === "closed" && menu.contains(document.activeElement)) button.focus();
  };
}
