// What is said under an answer that isn't simply done, with the way on.

import { el } from "./dom.js";
import { number, words } from "./language.js";

const LIVELY = 0.8; // the temperature that is offered where there is none

/** Of an answer that was cut, stopped or broken off, or is empty; null: there is nothing to say. */
export function noticeOf(node, page) {
  const note = (key) => el("div", { class: "notes" }, el("p", { class: "note" }, words(key)), continueButton(node, page));
  if (node.state === "stopped" || node.state === "interrupted") return note(node.state);
  if (node.state === "done" && node.finish === "length") return note("atLimit");
  if (node.state === "done" && !node.text.trim()) return note("nothing");
  return null;
}

/** Null where there is nothing to go on with, or more was said since. */
export function continueButton(node, { chat }) {
  const begun = node.text || node.thinking;
  if (!begun || chat.conversation.chosen[node.id]) return null;
  if (node.finish === "stop" && node.state === "done") return null;
  return el("button", { type: "button", class: "plain-button go-on", onclick: () => chat.goOn(node) }, words("goOn"));
}

/** Another answer would be the same: why, and what would make it another. */
export function repetition(why, node, { chat }) {
  const { sampling, raw } = node.asked;
  const button = (label, how) => el("button", { type: "button", class: "plain-button", onclick: () => chat.again(node, how) }, label);
  const change = why === "greedy"
    ? { sampling: { ...without(sampling, "top_k"), temperature: LIVELY }, raw: without(raw, "temperature", "top_k") }
    : { sampling: without(sampling, "seed"), raw: without(raw, "seed") };
  const offer = why === "greedy" ? words("againAt", { temperature: number(LIVELY, 2) }) : words("againWithoutSeed");
  return el("div", { class: "fault repeats", role: "status" }, el("div", {},
    el("p", {}, words(why === "greedy" ? "repeatsGreedy" : "repeatsSeed")),
    el("div", { class: "row wrap" }, button(offer, change), button(words("againAnyway"), {}))));
}

const without = (fields, ...names) => Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));
