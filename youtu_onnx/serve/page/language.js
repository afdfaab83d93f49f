// Which language the page speaks, and its words and numbers in it.

import { $, icon } from "./dom.js";
import { WORDS } from "./words.js";

let language = "en";

export const spoken = () => language;

/** "en", "zh", or null for the browser's first language that the page has. */
export function speak(wanted) {
  const browser = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag in WORDS);
  language = wanted in WORDS ? wanted : (browser ?? "en");
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

export function words(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: digits }).format(value);

/** 1234 → 1.2K, to read at a glance. */
export const roughly = (value) =>
  new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: value < 100_000 ? 1 : 0 }).format(value);

export function duration(milliseconds) {
  const seconds = Math.max(milliseconds / 1000, 0.1);
  if (seconds < 60) return words("seconds", { count: number(seconds, seconds < 10 ? 1 : 0) });
  return words("minutes", { minutes: number(Math.floor(seconds / 60)), seconds: number(Math.floor(seconds % 60)) });
}

/** Fill what index.html leaves to words: data-words (text), data-label (name and tooltip), data-placeholder, data-icon. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-words]")) element.textContent = words(element.dataset.words);
  for (const element of root.querySelectorAll("[data-placeholder]")) element.placeholder = words(element.dataset.placeholder);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", words(element.dataset.label));
    if (element.tagName === "BUTTON") element.title = words(element.dataset.label);
  }
  for (const element of root.querySelectorAll("[data-icon]:empty")) element.append(icon(element.dataset.icon));
  $("conversations")?.setAttribute("aria-label", words("conversations"));
}
