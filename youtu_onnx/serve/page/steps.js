// The steps of an answer, with what their verifier says of each, and what each layer of the model kept: asked of the server when
// they are unfolded.

import { ApiError, explain } from "./api.js";
import { messages } from "./conversation.js";
import { el, icon } from "./dom.js";
import { gateMap } from "./gates.js";
import { number, words } from "./language.js";

const MARKS = { true: ["✓", "valid", "stepValid"], false: ["✗", "invalid", "stepInvalid"], null: ["—", "unknown", "stepUnknown"] };

/** → { element, update() } for an answer's node; there is nothing in the element where there are no steps to see. */
export function stepsView(node, page) {
  const element = el("div", { class: "steps-place", hidden: true });
  const update = () => {
    element.hidden = node.state !== "done" || !node.thinking.trim() || !page.explains(node.model);
    if (!element.hidden && !element.firstChild) element.append(folded(node, page));
  };
  return { element, update };
}

function folded(node, page) {
  const inside = el("div", { class: "steps-inside" });
  const fold = el("details", { class: "steps" },
    el("summary", {}, icon("check"), el("span", {}, words("steps")), icon("right")), inside);
  let asked = false;
  const ask = async () => {
    asked = true;
    inside.replaceChildren(el("p", { class: "faint small", role: "status" }, words("stepsAsked")));
    try {
      inside.replaceChildren(...explanation(await explain(request(node, page))));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      asked = false;
      inside.replaceChildren(el("p", { class: "note" }, words("stepsFailed", { message: error.message })),
        el("button", { type: "button", class: "link", onclick: ask }, words("retry")));
    }
  };
  fold.addEventListener("toggle", () => fold.open && !asked && ask());
  return fold;
}

function request(node, { chat }) {
  const question = chat.conversation.nodes[node.parent];
  return {
    model: node.model, messages: messages(chat.conversation, question, (node.asked ?? chat.settings).system),
    thinking: node.thinking.trim(), answer: node.text.trim(),
  };
}

function explanation({ steps, tokens, kept }) {
  const all = [...steps.lines, steps.answer];
  const valid = all.filter((step) => step.valid === true).length;
  const said = steps.family === null ? words("stepsUnknown") : words("stepsSound", { valid: number(valid), count: number(all.length) });
  return [
    el("ol", { class: "step-list" }, ...steps.lines.map((step) => line(step)), line(steps.answer, "step-answer")),
    el("p", { class: "faint small steps-sound", role: "status" }, said),
    ...(kept ? gateMap(kept, tokens) : []),
  ];
}

function line({ text, valid }, more = "") {
  const [mark, name, heard] = MARKS[valid];
  return el("li", { class: `${name} ${more}`.trim() },
    el("span", { class: "mark", role: "img", "aria-label": words(heard), title: words(heard) }, mark),
    el("span", { class: "line", dir: "auto" }, text));
}
