// What the reader chose. Kept in localStorage; the API key only in sessionStorage, for as long as the tab is open.

const NAME = "youtu-onnx:preferences"; // theme.js reads it, too
const KEY = "youtu-onnx:key";
const THINKING = ["auto", "on", "off"];

export const NUMBERS = {
  temperature: { from: 0, to: 2, step: 0.05, slider: true },
  top_p: { from: 0.01, to: 1, step: 0.01, slider: true },
  top_k: { from: 0, step: 1 },
  max_tokens: { from: 1, step: 1 },
  seed: { from: 0, to: 2 ** 31 - 1, step: 1 },
};

const EMPTY = { theme: "system", language: null, model: null, thinking: "auto", system: "", list: true, sampling: {} };

const memory = {};
const chosen = { ...EMPTY, ...read() };
if (!THINKING.includes(chosen.thinking)) chosen.thinking = "auto";

export const preference = (name) => chosen[name];

export function prefer(name, value) {
  chosen[name] = value;
  write(localStorageOrMemory(), NAME, JSON.stringify(chosen));
}

/** A number, or null for the model's default. */
export function preferNumber(name, value) {
  const sampling = { ...chosen.sampling };
  if (value === null) delete sampling[name];
  else sampling[name] = value;
  prefer("sampling", sampling);
}

export function allowed(name, value) {
  const { from, to = Infinity, step } = NUMBERS[name];
  return Number.isFinite(value) && value >= from && value <= to && (step < 1 || Number.isInteger(value));
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

function localStorageOrMemory() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

function write(storage, name, value) {
  try {
    storage?.setItem(name, value);
  } catch { /* full or refused: the choice holds until the page is closed */ }
}

/** What was kept; nothing where storage is refused or holds something else. */
function read() {
  let found;
  try {
    found = JSON.parse(localStorage.getItem(NAME) ?? "{}");
  } catch {
    return {};
  }
  const sampling = Object.entries(found.sampling ?? {}).filter(([name, value]) => name in NUMBERS && allowed(name, value));
  return { ...found, sampling: Object.fromEntries(sampling) };
}
