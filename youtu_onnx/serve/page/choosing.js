// The part of the settings that belongs to the shown conversation: its system message, whether to think first, how tokens are
// chosen, and presets of them.

import { NUMBERS, THINKING, plain, rawFields, stopLines } from "./choices.js";
import { $, el } from "./dom.js";
import { box, choice, labelled, numberField, textField } from "./fields.js";
import { words } from "./language.js";
import { keepPreset, prefer, preference, removePreset } from "./preferences.js";

const LABELS = { temperature: "temperature", top_p: "topP", top_k: "topK", max_tokens: "maxTokens", seed: "seed", min_p: "minP",
  repetition_penalty: "repetition", presence_penalty: "presence", frequency_penalty: "frequency" };
const FIRST = ["temperature", "top_p", "top_k", "max_tokens", "seed"];
const DEFAULTS = ""; // the preset's place in the list that stands for the model's defaults

/** actions: { settings, adjust, defaults }; redraw: called where fields must show other values. */
export function conversationSettings(actions, redraw) {
  const settings = actions.settings();
  const system = el("textarea", { id: "set-system", rows: 3, dir: "auto", "aria-describedby": "set-system-more",
    oninput: ({ target }) => actions.adjust({ system: target.value }) });
  system.value = settings.system;
  const fields = (names) => names.filter((name) => !NUMBERS[name].asked || name in actions.defaults())
    .map((name) => numberRow(name, actions));
  return el("section", { id: "of-conversation" }, el("h3", {}, words("ofConversation")),
    presets(actions, redraw),
    labelled("set-system", "system", "systemMore", system),
    choice("set-thinking", "thinking", settings.thinking ?? "auto", THINKING.map((value) => [value, words(value)]),
      (thinking) => actions.adjust({ thinking })),
    el("p", { class: "faint small" }, words("samplingMore")),
    ...fields(FIRST),
    more(actions, fields(Object.keys(LABELS).filter((name) => !FIRST.includes(name)))),
    el("button", { type: "button", class: "plain-button", id: "set-defaults", onclick: () => {
      const { sampling, stop, raw, probabilities } = plain();
      actions.adjust({ sampling, stop, raw, probabilities });
      redraw();
    } }, words("defaults")));
}

function numberRow(name, actions) {
  return numberField(name, LABELS[name], actions.settings().sampling[name], actions.defaults()[name], (chosen) => {
    const sampling = { ...actions.settings().sampling };
    if (chosen === null) delete sampling[name];
    else sampling[name] = chosen;
    actions.adjust({ sampling });
  });
}

function more({ settings, adjust }, numbers) {
  const { stop, raw, probabilities } = settings();
  const rawText = Object.keys(raw).length ? JSON.stringify(raw) : "";
  const open = Boolean(stop.length || rawText || probabilities);
  return el("details", { id: "set-others", open }, el("summary", {}, words("others")),
    ...numbers,
    textField("set-stop", "stopAt", "stopAtMore", "stopAt", stop.map((one) => one.replaceAll("\n", "\\n")).join("\n"), (text) => {
      adjust({ stop: stopLines(text) });
      return true;
    }),
    textField("set-raw", "raw", "rawMore", "rawWrong", rawText, (text) => {
      const fields = rawFields(text);
      if (fields) adjust({ raw: fields });
      return Boolean(fields);
    }),
    box("set-probabilities", "probabilities", "probabilitiesMore", probabilities, (wanted) => adjust({ probabilities: wanted })));
}

function presets(actions, redraw) {
  const now = JSON.stringify(actions.settings());
  const known = [{ name: DEFAULTS, settings: plain() }, ...preference("presets")];
  const current = known.find((one) => JSON.stringify(one.settings) === now);
  const use = (name) => {
    actions.adjust(structuredClone(known.find((one) => one.name === name).settings));
    redraw();
  };
  const options = known.map(({ name }) => [name, name || words("presetDefaults")]);
  const place = choice("set-preset", "preset", current?.name ?? "…", current ? options : [["…", words("presetNone")], ...options], use);
  const name = el("input", { id: "preset-name", required: true, maxlength: 60, autocomplete: "off", dir: "auto",
    "aria-label": words("presetName"), placeholder: words("presetName") });
  const first = el("button", { type: "button", class: "plain-button", id: "preset-first", "aria-pressed": isFirst(current),
    disabled: !current, onclick: () => { prefer("preset", current.name || null); redraw(); } }, words("presetFirst"));
  const remove = el("button", { type: "button", class: "plain-button", id: "preset-remove", disabled: !current?.name,
    onclick: () => { removePreset(current.name); redraw(); } }, words("presetRemove"));
  return el("div", { class: "setting" }, place,
    el("form", { class: "row", onsubmit: (event) => {
      event.preventDefault();
      keepPreset(name.value.trim() || words("preset"), actions.settings());
      redraw();
      $("set-preset").focus();
    } }, name, el("button", { type: "submit", class: "plain-button", id: "preset-keep" }, words("presetKeep"))),
    el("div", { class: "row wrap" }, first, remove));
}

const isFirst = (preset) => String(Boolean(preset) && (preference("preset") ?? DEFAULTS) === preset.name);
