// One message on the page: the reader's, the model's, or the mark where the context was cleared.

import { answerView } from "./answer.js";
import { el } from "./dom.js";
import { words } from "./language.js";
import { userView } from "./question.js";

/** → { element, update() } for a node of the chat's conversation, and edit() of the reader's. `page`: see app.js. */
export function messageView(node, page) {
  if (node.role === "break") return breakView(node, page);
  return node.role === "user" ? userView(node, page) : answerView(node, page);
}

function breakView(node, { chat }) {
  const undo = el("button", { type: "button", class: "link", onclick: () => chat.undoClear(node) }, words("undo"));
  const element = el("div", { class: "break", "data-node": node.id }, el("span", {}, words("cleared")), undo);
  return { element, update: () => { undo.hidden = Boolean(chat.conversation.chosen[node.id]); } };
}
