// What went wrong with an answer, shown in its place, with the way on.

import { el, icon } from "./dom.js";
import { words } from "./language.js";
import { keyForm } from "./key.js";
import { continueButton } from "./notices.js";

export function fault(node, page) {
  const { chat, useKey } = page;
  const { kind, message, again } = node.error;
  const button = (label, onclick, name = "") =>
    el("button", { type: "button", class: `plain-button ${name}`.trim(), onclick }, words(label));
  const retry = (label) => button(label, () => chat.again(node), "retry");
  const box = (...parts) => el("div", { class: "fault", role: "alert" }, icon(kind === "key" ? "key" : "warning"),
    el("div", {}, ...parts));
  if (kind === "key") {
    return box(keyForm((key) => {
      useKey(key);
      chat.again(node);
    }));
  }
  if (again) return box(el("p", {}, words("errorBusy"), " ", countdown(again)), el("div", { class: "row" }, retry("retryNow"),
    button("cancel", () => chat.cancelRetry())));
  const ways = tooLong(node.error) ? waysOfTooLong(node, page, button) : [retry("retry"), continueButton(node, page)];
  return box(el("p", {}, errorText(kind, message)), el("div", { class: "row wrap" }, ...ways.filter(Boolean)));
}

const tooLong = ({ code, status }) => code === "context_length_exceeded" || status === 413;

/** Trying again would be refused again: say less, or say it with nothing before it, here or in a new conversation. */
function waysOfTooLong(node, { chat, editNode, afresh }, button) {
  const question = chat.conversation.nodes[node.parent];
  const before = chat.conversation.nodes[question.parent];
  return [
    button("edit", () => editNode(question.id), "edit-question"),
    before && before.role !== "break" ? button("askAlone", () => chat.askAlone(question), "ask-alone") : null,
    button("newConversation", () => afresh(question), "afresh"),
    button("retry", () => chat.again(node), "retry"),
  ];
}

function errorText(kind, message) {
  const key = { gone: "errorGone", cut: "errorCut", busy: "errorBusy", refused: "errorRefused" }[kind] ?? "errorFailed";
  return words(key, { message });
}

/** Seconds until a time. Seen, not heard: it would be read out every second. */
function countdown(until) {
  const element = el("span", { "aria-hidden": "true" });
  const tick = () => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    element.textContent = words("retryIn", { time: words("seconds", { count: left }) });
    if (left > 0) setTimeout(() => element.isConnected && tick(), 500);
  };
  tick();
  return element;
}
