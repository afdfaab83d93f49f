// Fields of forms, with their names and what there is to know about them.

import { el } from "./dom.js";
import { words } from "./language.js";
import { NUMBERS, allowed } from "./choices.js";

export function labelled(id, label, more, ...fields) {
  return el("div", { class: "setting" }, el("label", { for: id }, words(label)), ...fields,
    el("p", { class: "faint small", id: `${id}-more` }, words(more)));
}

export function choice(id, label, value, options, choose) {
  const select = el("select", { id, onchange: ({ target }) => choose(target.value) },
    ...options.map(([code, text]) => el("option", { value: code }, text)));
  select.value = value;
  return el("div", { class: "setting beside" }, el("label", { for: id }, words(label)), select);
}

export function box(id, label, more, value, choose) {
  const field = el("input", { id, type: "checkbox", "aria-describedby": `${id}-more`, onchange: ({ target }) => choose(target.checked) });
  field.checked = value;
  return el("div", { class: "setting" }, el("label", { class: "row", for: id }, field, words(label)),
    el("p", { class: "faint small", id: `${id}-more` }, words(more)));
}

/** A text that may be wrong: `take` is given it, and says whether it is right. */
export function textField(id, label, more, wrong, value, take) {
  const fault = el("p", { class: "wrong small", id: `${id}-wrong`, role: "alert" });
  const field = el("textarea", { id, rows: 2, spellcheck: "false", "aria-describedby": `${id}-more ${id}-wrong`, oninput: () => {
    const right = take(field.value);
    field.setAttribute("aria-invalid", !right);
    fault.textContent = right ? "" : words(wrong);
  } });
  field.value = value;
  return el("div", { class: "setting" }, el("label", { for: id }, words(label)), field,
    el("p", { class: "faint small", id: `${id}-more` }, words(more)), fault);
}

/** A number of NUMBERS, or nothing: then the standard holds. `take` is given the number or null. */
export function numberField(name, label, value, standard, take) {
  const { from, to, step, slider } = NUMBERS[name];
  const id = `set-${name}`;
  const wrong = el("p", { class: "wrong small", id: `${id}-wrong`, role: "alert" });
  const field = el("input", { id, type: "number", min: from, max: to, step: step < 1 ? "any" : step, inputmode: "decimal",
    placeholder: standard ?? words(name === "seed" ? "random" : "serverDefault"), "aria-describedby": `${id}-more ${id}-wrong`, value });
  const range = slider && el("input", { type: "range", min: from, max: to, step, value: value ?? standard ?? to / 2,
    "aria-label": words(label) });
  const changed = () => {
    const chosen = field.value.trim() === "" && !field.validity.badInput ? null : Number(field.value || NaN);
    const right = chosen === null || allowed(name, chosen);
    field.setAttribute("aria-invalid", !right);
    wrong.textContent = right ? "" : words(to === undefined ? "wrongNumberFrom" : "wrongNumber", { from, to });
    if (!right) return;
    take(chosen);
    if (range) range.value = chosen ?? standard ?? to / 2;
  };
  field.addEventListener("input", changed);
  range?.addEventListener("input", () => {
    field.value = range.value;
    changed();
  });
  return el("div", { class: "setting number" }, el("label", { for: id }, words(label)), range || el("span"), field,
    el("p", { class: "faint small", id: `${id}-more` }, words(`${label}More`)), wrong);
}
