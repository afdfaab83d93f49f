// The small print under an answer.

import { decided, inShort } from "./choices.js";
import { duration, number, words } from "./language.js";
import { speedOf } from "./speed.js";

/**
 * { textContent, title }: tokens, their speed and the time to the first; and what it was asked with. While it runs, a piece of the
 * stream counts as a token.
 */
export function factsOf(node) {
  return { textContent: tokensOf(node), title: askedWith(node) };
}

function tokensOf({ usage, times, pieces, state, rate, before = 0, edited }) {
  if (edited) return words("edited");
  const tokens = usage?.completion_tokens ?? pieces ?? 0;
  if (tokens < 1 || !times?.first) return "";
  const parts = state === "running" ? [] : [words("tokens", { count: number(before + tokens) })];
  const speed = speedOf({ times, tokens, rate });
  if (speed) parts.push(words("speed", { rate: number(speed, 1) }));
  if (state !== "running") parts.push(words("firstToken", { time: duration(times.first - times.began) }));
  return parts.join(" · ");
}

function askedWith({ asked, model }) {
  if (!asked) return "";
  return [model, inShort(asked), decided(asked) && `${words("thinking")}: ${words(asked.thinking)}`,
    asked.system.trim() && `${words("system")}: ${asked.system.trim().slice(0, 200)}`].filter(Boolean).join("\n");
}
