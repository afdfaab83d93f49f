// The buttons under a message, and the menu of what is done less often.

import { versions } from "./conversation.js";
import { el, iconButton } from "./dom.js";
import { words } from "./language.js";
import { openMenu } from "./menu.js";

export function versionsOf(node, { chat }) {
  const all = versions(chat.conversation, node);
  if (all.length < 2) return null;
  const at = all.indexOf(node.id);
  const step = (name, label, to) => iconButton(name, words(label), () => chat.choose(all[to]), { disabled: !all[to] || Boolean(chat.run) });
  return el("span", { class: "versions" }, step("left", "earlier", at - 1),
    el("span", { "aria-label": words("version", { number: at + 1, count: all.length }), role: "img" }, `${at + 1}/${all.length}`),
    step("right", "later", at + 1));
}

export function copyButton({ copy }, text) {
  return iconButton("copy", words("copy"), ({ currentTarget }) => copy(text(), currentTarget), { class: "quiet copy" });
}

/** `items`: what this kind of message has beside what all have. */
export function moreButton(node, page, items = () => []) {
  const open = ({ currentTarget }) => openMenu(currentTarget, [
    ...items(),
    { icon: "fork", words: "fork", action: () => page.fork(node) },
    { icon: "trash", words: "removeMessage", danger: true, disabled: Boolean(page.chat.run), action: () => page.take(node) },
  ]);
  return iconButton("more", words("moreActions"), open, { class: "quiet more", "aria-haspopup": "menu" });
}
