// How answers of a conversation are asked for: the system message, whether to think first, and how tokens are chosen. A conversation
// has its own; a new one begins with those of a preset.

export const NUMBERS = {
  temperature: { from: 0, to: 2, step: 0.05, slider: true },
  top_p: { from: 0.01, to: 1, step: 0.01, slider: true },
  top_k: { from: 0, step: 1 },
  min_p: { from: 0, to: 1, step: 0.01, asked: true },
  max_tokens: { from: 1, step: 1 },
  seed: { from: 0, to: 2 ** 31 - 1, step: 1 },
  repetition_penalty: { from: 0.01, to: 100, step: 0.01 },
  presence_penalty: { from: -2, to: 2, step: 0.1 },
  frequency_penalty: { from: -2, to: 2, step: 0.1 },
};
const STOPS = 4; // what the API takes
const LIKELY = 5; // tokens whose probabilities are asked for at each place
const OWN = ["model", "messages", "stream", "stream_options", "n"]; // fields that are the page's own

export const THINKING = ["auto", "on", "off"]; // auto: as the model's template has it

/** Whether it was decided, in place of the template, if the model thinks. */
export const decided = ({ thinking }) => thinking === "on" || thinking === "off";

export const plain = () => ({ system: "", thinking: "auto", sampling: {}, stop: [], raw: {}, probabilities: false });

export function allowed(name, value) {
  const { from, to = Infinity, step } = NUMBERS[name];
  return Number.isFinite(value) && value >= from && value <= to && (step < 1 || Number.isInteger(value));
}

/** What was kept or imported, less what is none of it. */
export function checked(found) {
  const sampling = Object.entries(isObject(found?.sampling) ? found.sampling : {})
    .filter(([name, value]) => name in NUMBERS && allowed(name, value));
  return {
    system: typeof found?.system === "string" ? found.system : "",
    thinking: THINKING.includes(found?.thinking) ? found.thinking : "auto",
    sampling: Object.fromEntries(sampling),
    stop: Array.isArray(found?.stop) ? found.stop.filter((one) => typeof one === "string" && one).slice(0, STOPS) : [],
    raw: isObject(found?.raw) ? found.raw : {},
    probabilities: found?.probabilities === true,
  };
}

/** Of the text of a field: an object of a request's fields; null where it is none. */
export function rawFields(text) {
  if (!text.trim()) return {};
  try {
    const found = JSON.parse(text);
    return isObject(found) && !OWN.some((name) => name in found) ? found : null;
  } catch {
    return null;
  }
}

/** Lines of a field are stop strings; \n in them is a line break. */
export const stopLines = (text) => text.split("\n").filter(Boolean).map((line) => line.replaceAll("\\n", "\n")).slice(0, STOPS);

/** The fields of a request that say how tokens are chosen. */
export function requestFields({ sampling, stop, raw, probabilities }) {
  return { ...sampling, ...(stop.length && { stop }), ...(probabilities && { logprobs: true, top_logprobs: LIKELY }), ...raw };
}

/** In a few words of the API's own, for a line above the messages; empty where all is the model's default. */
export function inShort(settings) {
  return Object.entries(requestFields({ ...settings, probabilities: false }))
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ");
}

/** Whether the same request would be answered by the same tokens: nothing is left to chance. */
export function certain({ sampling, raw }, defaults = {}) {
  const of = (name) => raw[name] ?? sampling[name] ?? defaults[name];
  if (of("temperature") === 0 || of("top_k") === 1) return "greedy";
  return of("seed") === undefined || of("seed") === null ? null : "seed";
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
