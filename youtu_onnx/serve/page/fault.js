// What went wrong with an answer, shown in its place, with the way on.

import { el, icon } from "./dom.js";
import { words } from "./language.js";
import { keyForm } from "./key.js";

export function fault(node, { chat, useKey }) {
  const { kind, message, again } = node.error;
  const retry = (label) => el("button", { type: "button", class: "plain-button retry", onclick: () => chat.again(node) }, words(label));
  const box = (...parts) => el("div", { class: "fault", role: "alert" }, icon(kind === "key" ? "key" : "warning"),
    el("div", {}, ...parts));
  if (kind === "key") {
    return box(keyForm((key) => {
      useKey(key);
      chat.again(node);
    }));
  }
  if (again) return box(el("p", {}, words("errorBusy"), " ", countdown(again)), el("div", { class: "row" }, retry("retryNow"),
    el("button", { type: "button", class: "plain-button", onclick: () => chat.cancelRetry() }, words("cancel"))));
  return box(el("p", {}, errorText(kind, message)), el("div", { class: "row" }, retry("retry")));
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
