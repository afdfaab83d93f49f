// Keys that work anywhere on the page. They are listed in the settings.

import { $ } from "./dom.js";

/** actions: { escape, fresh, list, focus, settings }; escape returns whether there was something to close or stop. */
export function listenForShortcuts(actions) {
  addEventListener("keydown", (event) => {
    if (event.isComposing || $("settings").open) return;
    const command = event.ctrlKey || event.metaKey;
    const does = command && event.shiftKey ? { o: actions.fresh, s: actions.list }[event.key.toLowerCase()]
      : command && event.key === "," ? actions.settings
      : event.key === "Escape" && event.shiftKey ? actions.focus : null;
    if (does) {
      event.preventDefault();
      does();
    } else if (event.key === "Escape" && !$("menu").matches(":popover-open") && actions.escape()) {
      event.preventDefault();
    }
  });
}
