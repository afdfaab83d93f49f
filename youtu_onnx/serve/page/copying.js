// Text to the clipboard, and a tick on the button that was pressed.

import { el, icon } from "./dom.js";
import { words } from "./language.js";
import { toast } from "./toast.js";

export async function copy(text, button) {
  if (!(await toClipboard(text))) return toast(words("notCopied"));
  const [image, label] = [button.querySelector(".icon"), button.querySelector("span")];
  const tick = icon("check");
  image.replaceWith(tick);
  button.setAttribute("aria-label", words("copied"));
  if (label) label.textContent = words("copied");
  setTimeout(() => {
    tick.replaceWith(image);
    button.setAttribute("aria-label", button.title);
    if (label) label.textContent = words("copy");
  }, 1500);
}

/** navigator.clipboard is there with HTTPS or on localhost only; execCommand, old as it is, also elsewhere. */
export async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    const field = el("textarea", { class: "only-heard", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return done;
  }
}
