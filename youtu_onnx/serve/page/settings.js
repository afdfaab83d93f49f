// The settings: a dialog at the side. What is changed holds at once.

import { $, el, icon, iconButton } from "./dom.js";
import { words } from "./language.js";
import { NUMBERS, allowed, apiKey, prefer, preferNumber, preference } from "./preferences.js";
import { WORDS } from "./words.js";

const WORDS_OF = { temperature: "temperature", top_p: "topP", top_k: "topK", max_tokens: "maxTokens", seed: "seed" };
const COMMAND = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";
const KEYS = [["keySend", "Enter"], ["keyLine", "Shift+Enter"], ["keyStop", "Esc"], ["keyNew", `${COMMAND}+Shift+O`],
  ["keyList", `${COMMAND}+Shift+S`], ["keyFocus", "Shift+Esc"], ["keyEdit", "↑"], ["keySettings", `${COMMAND}+,`]];

/** actions: { defaults, themeChosen, languageChosen, keyChosen, changed, exportAll, removeAll }. */
export function openSettings(actions) {
  const dialog = $("settings");
  draw(dialog, actions);
  if (!dialog.open) dialog.showModal();
  dialog.onclick = (event) => event.target === dialog && dialog.close(); // the part around it
}

/** Words have changed while it is open. */
export function redrawSettings(actions) {
  if ($("settings").open) draw($("settings"), actions);
}

function draw(dialog, actions) {
  const top = dialog.querySelector(".sheet")?.scrollTop ?? 0;
  const focused = document.activeElement?.id;
  const sheet = el("div", { class: "sheet" },
    el("div", { class: "bar" }, el("h2", { id: "settings-title" }, words("settings")),
      iconButton("close", words("close"), () => dialog.close(), { id: "settings-close" })),
    sampling(dialog, actions), appearance(actions), connection(actions), conversations(actions), keyboard());
  dialog.replaceChildren(sheet);
  sheet.scrollTop = top;
  if (focused) $(focused)?.focus();
}

function sampling(dialog, actions) {
  const system = el("textarea", { id: "set-system", rows: 3, dir: "auto", "aria-describedby": "set-system-more",
    oninput: ({ target }) => prefer("system", target.value) });
  system.value = preference("system");
  return el("section", {}, el("h3", {}, words("sampling")),
    labelled("set-system", "system", "systemMore", system),
    choice("set-thinking", "thinking", preference("thinking"),
      ["auto", "on", "off"].map((value) => [value, words(value)]),
      (value) => { prefer("thinking", value); actions.changed(); }),
    el("p", { class: "faint small" }, words("samplingMore")),
    ...Object.keys(NUMBERS).map((name) => numberRow(name, actions.defaults()[name])),
    el("button", { type: "button", class: "plain-button", id: "set-defaults", onclick: () => {
      prefer("sampling", {});
      draw(dialog, actions);
    } }, words("defaults")));
}

function numberRow(name, standard) {
  const { from, to, step, slider } = NUMBERS[name];
  const id = `set-${name}`;
  const value = preference("sampling")[name];
  const label = WORDS_OF[name];
  const wrong = el("p", { class: "wrong small", id: `${id}-wrong`, role: "alert" });
  const field = el("input", { id, type: "number", min: from, max: to, step: step < 1 ? "any" : step, inputmode: "decimal",
    placeholder: standard ?? words(name === "seed" ? "random" : "serverDefault"), "aria-describedby": `${id}-more ${id}-wrong`, value });
  const range = slider && el("input", { type: "range", min: from, max: to, step, value: value ?? standard ?? to / 2,
    "aria-label": words(label) });
  const take = () => {
    const chosen = field.value.trim() === "" && !field.validity.badInput ? null : Number(field.value || NaN);
    const right = chosen === null || allowed(name, chosen);
    field.setAttribute("aria-invalid", !right);
    wrong.textContent = right ? "" : words(to === undefined ? "wrongNumberFrom" : "wrongNumber", { from, to });
    if (!right) return;
    preferNumber(name, chosen);
    if (range) range.value = chosen ?? standard ?? to / 2;
  };
  field.addEventListener("input", take);
  range?.addEventListener("input", () => {
    field.value = range.value;
    take();
  });
  return el("div", { class: "setting number" }, el("label", { for: id }, words(label)), range || el("span"), field,
    el("p", { class: "faint small", id: `${id}-more` }, words(`${label}More`)), wrong);
}

function appearance(actions) {
  return el("section", {}, el("h3", {}, words("appearance")),
    choice("set-theme", "theme", preference("theme"),
      [["system", words("themeSystem")], ["light", words("themeLight")], ["dark", words("themeDark")]], actions.themeChosen),
    choice("set-language", "language", preference("language") ?? "",
      [["", words("languageBrowser")], ...Object.entries(WORDS).map(([code, { name }]) => [code, name])],
      (value) => actions.languageChosen(value || null)));
}

function connection(actions) {
  const field = el("input", { id: "set-key", type: "password", autocomplete: "off", spellcheck: "false",
    "aria-describedby": "set-key-more", onchange: ({ target }) => actions.keyChosen(target.value.trim()) });
  field.value = apiKey();
  return el("section", {}, el("h3", {}, words("connection")), labelled("set-key", "apiKey", "apiKeyMore", field));
}

function conversations(actions) {
  const sure = el("div", { class: "sure", hidden: true }, el("p", {}, words("removeAllSure")),
    el("button", { type: "button", class: "danger-button", onclick: actions.removeAll }, words("removeAll")));
  return el("section", {}, el("h3", {}, words("data")), el("div", { class: "row wrap" },
    el("button", { type: "button", class: "plain-button", onclick: actions.exportAll }, icon("download"), words("exportAll")),
    el("button", { type: "button", class: "plain-button danger", onclick: () => { sure.hidden = !sure.hidden; } },
      icon("trash"), words("removeAll"))), sure);
}

function keyboard() {
  const rows = KEYS.map(([name, keys]) => el("div", {}, el("dt", {}, words(name)),
    el("dd", {}, ...keys.split(/(?<=.)\+/).map((key) => el("kbd", {}, key)))));
  return el("section", {}, el("h3", {}, words("keys")), el("dl", { class: "keys" }, ...rows));
}

function labelled(id, label, more, field) {
  return el("div", { class: "setting" }, el("label", { for: id }, words(label)), field,
    el("p", { class: "faint small", id: `${id}-more` }, words(more)));
}

function choice(id, label, value, options, choose) {
  const select = el("select", { id, onchange: ({ target }) => choose(target.value) },
    ...options.map(([code, text]) => el("option", { value: code }, text)));
  select.value = value;
  return el("div", { class: "setting beside" }, el("label", { for: id }, words(label)), select);
}
