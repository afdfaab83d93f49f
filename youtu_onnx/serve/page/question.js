// A message of the reader's: folded where it is tall, with its files, and to be edited.

import { contentOf, refused } from "./conversation.js";
import { el, iconButton } from "./dom.js";
import { editor } from "./editor.js";
import { fileChips, fileFolds } from "./files.js";
import { words } from "./language.js";
import { copyButton, moreButton, versionsOf } from "./message_actions.js";

const FOLDED = 320; // pixels; taller messages are folded to that

export function userView(node, page) {
  const bubble = el("div", { class: "bubble", dir: "auto", hidden: !node.text }, node.text);
  const unfold = el("button", { type: "button", class: "link unfold", hidden: true, "aria-expanded": "false", onclick: () => {
    const folded = bubble.classList.toggle("folded");
    unfold.setAttribute("aria-expanded", !folded);
    unfold.textContent = words(folded ? "showAll" : "showLess");
  } }, words("showAll"));
  const notice = el("div", { class: "notice" });
  const actions = el("div", { class: "message-actions" });
  const parts = [fileFolds(node.files), bubble, unfold, notice, actions].filter(Boolean);
  const element = el("article", { class: "user", "data-node": node.id, "aria-label": words("youSaid") }, ...parts);
  const edit = () => page.chat.run || element.replaceChildren(editing(node, page, () => {
    element.replaceChildren(...parts);
    actions.querySelector(".edit").focus();
  }));
  let measured = false;
  const update = () => {
    if (!measured) requestAnimationFrame(() => { // once it is on the page
      measured = true;
      const tall = bubble.scrollHeight > FOLDED * 1.25;
      bubble.classList.toggle("folded", tall);
      unfold.hidden = !tall;
    });
    notice.replaceChildren(...(refused(page.chat.conversation, node) ? [el("p", { class: "note" }, words("leftOut"))] : []));
    actions.replaceChildren(...[versionsOf(node, page), copyButton(page, () => contentOf(node)),
      iconButton("pencil", words("edit"), edit, { class: "quiet edit" }), moreButton(node, page)].filter(Boolean));
  };
  return { element, update, edit };
}

function editing(node, { chat }, leave) {
  let files = node.files ?? [];
  const chips = el("ul", { class: "chips" });
  const drawFiles = () => chips.replaceChildren(...fileChips(files, (file) => {
    files = files.filter((one) => one !== file);
    drawFiles();
  }));
  drawFiles();
  return editor({ text: node.text, label: "editMessage", above: chips, leave, may: (text) => text.trim() || files.length,
    take: (text) => {
      const same = text === node.text && files.length === (node.files ?? []).length;
      if (same && chat.conversation.chosen[node.id] && !failedAfter(chat, node)) return leave();
      chat.edit(node, text, files);
    } });
}

const failedAfter = ({ conversation }, node) => conversation.nodes[conversation.chosen[node.id]]?.state === "failed";
