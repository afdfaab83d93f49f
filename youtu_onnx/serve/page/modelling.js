// What is known of the model: from its entry in v1/models, which each server fills as it can.

import { $, el, iconButton } from "./dom.js";
import { number, words } from "./language.js";

const LABELS = [
  ["precision", "factPrecision"], ["context_length", "contextLength"], ["family", "factFamily"], ["parameters", "factParameters"],
  ["provider", "factProvider"], ["bytes", "factWeights"], ["memory_bytes", "factMemory"], ["loaded", "factLoaded"],
  ["version", "factVersion"],
];

/** [label, text] of all that is known. */
export function factsOfModel(model) {
  const known = { ...model, ...(model.details ?? {}) };
  const facts = LABELS.filter(([name]) => known[name] !== undefined && known[name] !== null)
    .map(([name, label]) => [words(label), textOf(name, known[name])]);
  const defaults = Object.entries(model.defaults ?? {}).map(([name, value]) => `${name} ${value}`).join(" · ");
  return [[words("model"), model.id], ...facts, ...(defaults ? [[words("presetDefaults"), defaults]] : [])];
}

function textOf(name, value) {
  if (name.endsWith("bytes")) return words("mebibytes", { count: number(value / 2 ** 20) });
  if (typeof value === "boolean") return words(value ? "yes" : "no");
  return typeof value === "number" ? number(value) : String(value);
}

/** Shows what is known, and then what `again` finds out: how much memory is taken changes. */
export function openModel(model, again) {
  const dialog = $("model-panel");
  const facts = el("dl", { class: "about" });
  const show = (known) => known && facts.replaceChildren(
    ...factsOfModel(known).map(([label, text]) => el("div", {}, el("dt", {}, label), el("dd", {}, text))));
  show(model);
  dialog.replaceChildren(
    el("div", { class: "bar" }, el("h2", { id: "model-title" }, words("aboutModel")),
      iconButton("close", words("close"), () => dialog.close(), { id: "model-close" })), facts);
  dialog.showModal();
  again().then(show);
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
}
