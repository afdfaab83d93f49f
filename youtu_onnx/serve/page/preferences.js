// What the reader chose. Kept in localStorage; the API key only in sessionStorage, for as long as the tab is open.

import { checked, plain } from "./choices.js";

const NAME = "youtu-onnx:preferences"; // theme.js reads it, too
const KEY = "youtu-onnx:key";

// presets: [{ name, settings }]; preset: the name of the one that new conversations begin with; fresh: what was changed for the
// next new conversation, before its first message.
const EMPTY = { theme: "system", language: null, model: null, list: true, presets: [], preset: null, fresh: null };

const memory = {};
const chosen = { ...EMPTY, ...read() };

/** Event "refused": the browser keeps nothing; the choice holds until the page is closed. */
export const keeping = new EventTarget();

export const preference = (name) => chosen[name];

export function prefer(name, value) {
  chosen[name] = value;
  try {
    localStorage.setItem(NAME, JSON.stringify(chosen));
  } catch {
    keeping.dispatchEvent(new CustomEvent("refused"));
  }
}

/** With what a new conversation begins. */
export function freshSettings() {
  return chosen.fresh ?? chosen.presets.find((one) => one.name === chosen.preset)?.settings ?? plain();
}

/** A number for the next new conversation, or null for the model's default. */
export function preferNumber(name, value) {
  const sampling = { ...freshSettings().sampling };
  if (value === null) delete sampling[name];
  else sampling[name] = value;
  prefer("fresh", { ...freshSettings(), sampling });
}

/** Keep settings under a name, in place of those that had it. */
export function keepPreset(name, settings) {
  prefer("presets", [...chosen.presets.filter((one) => one.name !== name), { name, settings: structuredClone(settings) }]);
}

export function removePreset(name) {
  prefer("presets", chosen.presets.filter((one) => one.name !== name));
  if (chosen.preset === name) prefer("preset", null);
}

export function apiKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return memory[KEY] ?? "";
  }
}

export function useApiKey(key) {
  memory[KEY] = key;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch { /* it is in memory */ }
}

/** What was kept; nothing where storage is refused or holds something else. */
function read() {
  let found;
  try {
    found = JSON.parse(localStorage.getItem(NAME) ?? "{}");
  } catch {
    return {};
  }
  const presets = (Array.isArray(found.presets) ? found.presets : []).filter((one) => typeof one?.name === "string" && one.name)
    .map(({ name, settings }) => ({ name, settings: checked(settings) }));
  const { system, sampling, thinking, ...rest } = found;
  if (system || (thinking ?? "auto") !== "auto" || Object.keys(sampling ?? {}).length) { // until they belonged to conversations, these held for all
    presets.push({ name: "1", settings: checked({ system, thinking, sampling }) });
    rest.preset = "1";
  }
  return { ...rest, presets, fresh: found.fresh ? checked(found.fresh) : null };
}
