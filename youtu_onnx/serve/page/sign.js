// What is known of an answer before its first word: another tab writes, the model is loaded, others are
// served first, the prompt is read.

import { el } from "./dom.js";
import { duration, number, words } from "./language.js";

/** → { element, update(sign) }; sign: see chat.js, or null. */
export function signView() {
  const said = el("span", {});
  const bar = el("progress", { max: 1, "aria-label": words("readingPrompt") });
  const element = el("p", { class: "sign", hidden: true }, bar, said);
  const update = (sign) => {
    element.hidden = !sign;
    if (!sign) return;
    const { progress } = sign;
    bar.hidden = !progress;
    if (progress) bar.value = progress.total ? Math.min(1, progress.processed / progress.total) : 0;
    said.textContent = textOf(sign);
  };
  return { element, update };
}

function textOf({ tab, loading, queue, progress }) {
  if (tab) return words("waitsForTab");
  if (loading) return words("waitsForModel");
  if (!progress) return words(queue > 1 ? "waitsInQueue" : "waitsNext", { count: number(queue - 1) });
  const { total, cache = 0, processed, time_ms: time } = progress;
  const read = processed - cache;
  const left = time > 0 && read > 0 && processed < total ? (time * (total - processed)) / read : 0;
  const parts = [words("readTokens", { read: number(processed), all: number(total) })];
  if (cache > 0) parts.push(words("readBefore", { count: number(cache) }));
  if (left >= 1000) parts.push(words("timeLeft", { time: duration(left) }));
  return parts.join(" · ");
}
