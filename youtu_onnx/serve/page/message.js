// One message on the page: the reader's, the model's, or the mark where the context was cleared.

import { el, icon, iconButton } from "./dom.js";
import { versions } from "./conversation.js";
import { fault } from "./fault.js";
import { duration, number, words } from "./language.js";
import { Block } from "./rendering.js";
import { signView } from "./sign.js";
import { speedOf } from "./speed.js";
import { stepsView } from "./steps.js";

/** → { element, update() } for a node of the chat's conversation. `page`: { chat, renderer, copy, useKey, speed }. */
export function messageView(node, page) {
  if (node.role === "break") return breakView(node, page);
  return node.role === "user" ? userView(node, page) : answerView(node, page);
}

function breakView(node, { chat }) {
  const undo = el("button", { type: "button", class: "link", onclick: () => chat.undoClear(node) }, words("undo"));
  const element = el("div", { class: "break", "data-node": node.id }, el("span", {}, words("cleared")), undo);
  return { element, update: () => { undo.hidden = Boolean(chat.conversation.chosen[node.id]); } };
}

function userView(node, page) {
  const bubble = el("div", { class: "bubble", dir: "auto" }, node.text);
  const actions = el("div", { class: "message-actions" });
  const element = el("article", { class: "user", "data-node": node.id, "aria-label": words("youSaid") }, bubble, actions);
  const edit = () => page.chat.run || element.replaceChildren(editor(node, page, () => {
    element.replaceChildren(bubble, actions);
    actions.querySelector(".edit").focus();
  }));
  const update = () => actions.replaceChildren(...[versionsOf(node, page), copyButton(page, () => node.text),
    iconButton("pencil", words("edit"), edit, { class: "quiet edit" })].filter(Boolean));
  return { element, update, edit };
}

function editor(node, { chat }, leave) {
  const text = el("textarea", { "aria-label": words("editMessage"), rows: 1, dir: "auto" });
  text.value = node.text;
  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + 2}px`;
  };
  const send = () => {
    if (!text.value.trim()) return;
    if (text.value === node.text && chat.conversation.chosen[node.id] && !failedAfter(chat, node)) return leave();
    chat.edit(node, text.value);
  };
  const form = el("form", {
    class: "editor",
    onsubmit: (event) => { event.preventDefault(); send(); },
    onkeydown: (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Enter" && !event.shiftKey && event.target === text) { event.preventDefault(); send(); }
      if (event.key === "Escape") { event.stopPropagation(); leave(); }
    },
  }, text, el("div", { class: "row" }, el("span", { class: "space" }),
    el("button", { type: "button", class: "plain-button", onclick: leave }, words("cancel")),
    el("button", { type: "submit", class: "main-button" }, words("send"))));
  text.addEventListener("input", grow);
  queueMicrotask(() => { // once it is on the page, and before the next key
    grow();
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
  });
  return form;
}

const failedAfter = (chat, node) => chat.conversation.nodes[chat.conversation.chosen[node.id]].state === "failed";

function answerView(node, page) {
  const thinking = new Block(page.renderer, el("div", { class: "thoughts" }));
  const summary = el("span", {});
  const fold = el("details", { class: "thinking", hidden: true },
    el("summary", {}, icon("bulb"), summary, icon("right")), thinking.element);
  const steps = stepsView(node, page);
  const waiting = el("div", { class: "waiting" }, el("i"), el("i"), el("i"));
  const sign = signView();
  const answer = new Block(page.renderer, el("div", { class: "answer", dir: "auto" }), () => busy());
  const notice = el("div", { class: "notice" });
  const actions = el("div", { class: "message-actions" });
  const facts = el("span", { class: "facts" });
  const element = el("article", { class: "assistant", "data-node": node.id,
    "aria-label": words("answered", { model: node.model ?? words("assistant") }) },
    fold, waiting, sign.element, answer.element, steps.element, notice, actions);
  let folded = null; // what the reader chose; null: open while it thinks
  fold.firstElementChild.addEventListener("click", () => { folded = fold.open; });
  let built = "";

  // The node may be done before `update` has shown its last piece: a rendering that ends in between is not the end.
  const busy = () => element.setAttribute("aria-busy", node.state === "running" || answer.text !== node.text || answer.waits);
  const update = () => {
    const running = node.state === "running";
    waiting.hidden = !running || Boolean(node.thinking || node.text);
    sign.update(running ? page.chat.signOf(node) : null);
    fold.hidden = !node.thinking.trim();
    const thinkingNow = running && !node.text;
    fold.classList.toggle("now", thinkingNow);
    summary.textContent = thinkingNow ? words("thinkingNow") : thoughtFor(node);
    fold.open = folded === null ? thinkingNow : !folded;
    if (page.explains(node.model)) thinking.showLiteral(node.thinking.trim()); // lines of a notation, whose stars are products
    else thinking.show(node.thinking.trim(), running && !node.text);
    steps.update();
    answer.show(node.text, running);
    answer.element.hidden = !node.text;
    busy();
    facts.textContent = factsOf(node, page);
    // What holds the focus stays as it is while nothing about it changes.
    const now = JSON.stringify([node.state, node.finish, node.error, versions(page.chat.conversation, node)]);
    if (now === built) return;
    built = now;
    notice.replaceChildren(...[noticeOf(node, page)].filter(Boolean));
    actions.replaceChildren(...(running ? [facts] : [
      node.text ? copyButton(page, () => node.text) : null,
      node.state === "failed" ? null : iconButton("again", words("again"), () => page.chat.again(node), { class: "quiet again" }),
      versionsOf(node, page), facts].filter(Boolean)));
  };
  return { element, update };
}

function thoughtFor({ times }) {
  return times?.first && times.answer ? words("thought", { time: duration(times.answer - times.first) }) : words("thoughtSome");
}

function noticeOf(node, page) {
  if (node.state === "failed") return fault(node, page);
  const note = (key) => el("p", { class: "note" }, words(key));
  if (node.state === "stopped" || node.state === "interrupted") return note(node.state);
  if (node.state === "done" && node.finish === "length") return note("atLimit");
  if (node.state === "done" && !node.text.trim()) return note("nothing");
  return null;
}

/** Tokens, their speed, and the time to the first. While it runs, a piece of the stream counts as a token. */
function factsOf({ usage, times, pieces, state, rate }) {
  const tokens = usage?.completion_tokens ?? pieces ?? 0;
  if (tokens < 1 || !times?.first) return "";
  const parts = state === "running" ? [] : [words("tokens", { count: number(tokens) })];
  const speed = speedOf({ times, tokens, rate });
  if (speed) parts.push(words("speed", { rate: number(speed, 1) }));
  if (state !== "running") parts.push(words("firstToken", { time: duration(times.first - times.began) }));
  return parts.join(" · ");
}

function versionsOf(node, { chat }) {
  const all = versions(chat.conversation, node);
  if (all.length < 2) return null;
  const at = all.indexOf(node.id);
  const step = (name, label, to) => iconButton(name, words(label), () => chat.choose(all[to]), { disabled: !all[to] || Boolean(chat.run) });
  return el("span", { class: "versions" }, step("left", "earlier", at - 1),
    el("span", { "aria-label": words("version", { number: at + 1, count: all.length }), role: "img" }, `${at + 1}/${all.length}`),
    step("right", "later", at + 1));
}

function copyButton({ copy }, text) {
  return iconButton("copy", words("copy"), ({ currentTarget }) => copy(text(), currentTarget), { class: "quiet copy" });
}
