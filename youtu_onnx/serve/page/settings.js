// The settings: a dialog at the side. What is changed holds at once.

import { $, el, icon, iconButton } from "./dom.js";
import { choice, labelled } from "./fields.js";
import { conversationSettings } from "./choosing.js";
import { words } from "./language.js";
import { apiKey, preference } from "./preferences.js";
import { WORDS } from "./words.js";

const COMMAND = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";
const KEYS = [["keySend", "Enter"], ["keyLine", "Shift+Enter"], ["keyStop", "Esc"], ["keyNew", `${COMMAND}+Shift+O`],
  ["keyList", `${COMMAND}+Shift+S`], ["keyFocus", "Shift+Esc"], ["keyEdit", "↑"], ["keySettings", `${COMMAND}+,`]];

/** actions: { settings, adjust, defaults, themeChosen, languageChosen, keyChosen, exportAll, importFiles, removeAll }. */
export function openSettings(actions) {
  const dialog = $("settings");
  draw(dialog, actions);
  if (!dialog.open) dialog.showModal();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); }; // the part around it; returning false would keep forms from being sent
}

/** Words have changed while it is open. */
export function redrawSettings(actions) {
  if ($("settings").open) draw($("settings"), actions);
}

function draw(dialog, actions) {
  const top = dialog.querySelector(".sheet")?.scrollTop ?? 0;
  const others = $("set-others")?.open;
  const focused = document.activeElement?.id;
  const sheet = el("div", { class: "sheet" },
    el("div", { class: "bar" }, el("h2", { id: "settings-title" }, words("settings")),
      iconButton("close", words("close"), () => dialog.close(), { id: "settings-close" })),
    conversationSettings(actions, () => draw(dialog, actions)), appearance(actions), connection(actions), conversations(actions), keyboard());
  dialog.replaceChildren(sheet);
  if (others) $("set-others").open = true;
  sheet.scrollTop = top;
  if (focused) $(focused)?.focus();
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
    el("button", { type: "button", class: "plain-button", id: "import-open", onclick: actions.importFiles }, icon("plus"),
      words("importFiles")),
    el("button", { type: "button", class: "plain-button danger", onclick: () => { sure.hidden = !sure.hidden; } },
      icon("trash"), words("removeAll"))), sure);
}

function keyboard() {
  const rows = KEYS.map(([name, keys]) => el("div", {}, el("dt", {}, words(name)),
    el("dd", {}, ...keys.split(/(?<=.)\+/).map((key) => el("kbd", {}, key)))));
  return el("section", {}, el("h3", {}, words("keys")), el("dl", { class: "keys" }, ...rows));
}
