// An answer of the model's: its thinking, its text, its steps, and what can be done with it.

import { versions } from "./conversation.js";
import { el, icon, iconButton } from "./dom.js";
import { editor } from "./editor.js";
import { factsOf } from "./facts.js";
import { fault } from "./fault.js";
import { duration, words } from "./language.js";
import { copyButton, moreButton, versionsOf } from "./message_actions.js";
import { noticeOf, repetition } from "./notices.js";
import { probabilitiesView } from "./probabilities.js";
import { Block } from "./rendering.js";
import { signView } from "./sign.js";
import { stepsView } from "./steps.js";

export function answerView(node, page) {
  const thinking = thinkingView(node, page);
  const steps = stepsView(node, page);
  const probabilities = probabilitiesView(node);
  const waiting = el("div", { class: "waiting" }, el("i"), el("i"), el("i"));
  const sign = signView();
  const answer = new Block(page.renderer, el("div", { class: "answer", dir: "auto" }), () => busy());
  const notice = el("div", { class: "notice" });
  const actions = el("div", { class: "message-actions" });
  const facts = el("span", { class: "facts" });
  const parts = [thinking.element, waiting, sign.element, answer.element, steps.element, probabilities.element, notice, actions];
  const element = el("article", { class: "assistant", "data-node": node.id,
    "aria-label": words("answered", { model: node.model ?? words("assistant") }) }, ...parts);
  let built = "";
  // The node may be done before `update` has shown its last piece: a rendering that ends in between is not the end.
  const busy = () => element.setAttribute("aria-busy", node.state === "running" || answer.text !== node.text || answer.waits);
  const again = () => {
    const why = page.chat.repeats(node);
    if (!why) return page.chat.again(node);
    notice.replaceChildren(repetition(why, node, page));
    notice.querySelector("button").focus();
  };
  const edit = () => element.replaceChildren(rewriting(node, page, () => {
    element.replaceChildren(...parts);
    actions.querySelector(".more")?.focus();
  }));
  const update = () => {
    const running = node.state === "running";
    waiting.hidden = !running || Boolean(node.thinking || node.text);
    sign.update(running ? page.chat.signOf(node) : null);
    thinking.update();
    steps.update();
    probabilities.update();
    answer.show(node.text, running);
    answer.element.hidden = !node.text;
    busy();
    Object.assign(facts, factsOf(node));
    // What holds the focus stays as it is while nothing about it changes.
    const isLast = !page.chat.conversation.chosen[node.id];
    const all = versions(page.chat.conversation, node);
    // An answer is done before it is saved, and until then no other version can be chosen.
    const fixed = all.length > 1 && Boolean(page.chat.run);
    const now = JSON.stringify([node.state, node.finish, node.error, isLast, all, fixed]);
    if (now === built) return;
    built = now;
    notice.replaceChildren(...[node.state === "failed" ? fault(node, page) : noticeOf(node, page)].filter(Boolean));
    actions.replaceChildren(...(running ? [facts] : [
      node.text ? copyButton(page, () => node.text) : null,
      node.state === "failed" ? null : iconButton("again", words("again"), again, { class: "quiet again" }),
      moreButton(node, page, () => [{ icon: "pencil", words: "editAnswer", action: edit, disabled: Boolean(page.chat.run) }]),
      versionsOf(node, page), facts].filter(Boolean)));
  };
  return { element, update };
}

function thinkingView(node, page) {
  const block = new Block(page.renderer, el("div", { class: "thoughts" }));
  const summary = el("span", {});
  const element = el("details", { class: "thinking", hidden: true },
    el("summary", {}, icon("bulb"), summary, icon("right")), block.element);
  let folded = null; // what the reader chose; null: open while it thinks
  element.firstElementChild.addEventListener("click", () => { folded = element.open; });
  const update = () => {
    element.hidden = !node.thinking.trim();
    const now = node.state === "running" && !node.text;
    element.classList.toggle("now", now);
    summary.textContent = now ? words("thinkingNow") : thoughtFor(node);
    element.open = folded === null ? now : !folded;
    if (page.explains(node.model)) block.showLiteral(node.thinking.trim()); // lines of a notation, whose stars are products
    else block.show(node.thinking.trim(), now);
  };
  return { element, update };
}

function thoughtFor({ times, thought = times?.first && times.answer ? times.answer - times.first : undefined }) {
  return thought === undefined ? words("thoughtSome") : words("thought", { time: duration(thought) });
}

function rewriting(node, { chat }, leave) {
  return editor({ text: node.text, label: "editAnswer", button: "keep", enter: false, leave, may: (text) => text.trim(),
    take: (text) => (text === node.text ? leave() : chat.rewrite(node, text)) });
}
