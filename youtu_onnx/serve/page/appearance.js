// Light or dark, and in which language.

import { $, icon } from "./dom.js";
import { speak, spoken, translate, words } from "./language.js";
import { prefer, preference } from "./preferences.js";
import { WORDS } from "./words.js";

const THEMES = ["system", "light", "dark"];
const THEME_ICONS = { system: "screen", light: "sun", dark: "moon" };

export function chooseTheme(theme) {
  prefer("theme", theme);
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  drawSwitches();
}

/** again: called once the page's own words are in it. */
export function chooseLanguage(language, again) {
  prefer("language", language);
  speak(language);
  translate();
  drawSwitches();
  again();
}

export function listenForSwitches(again) {
  $("theme").addEventListener("click", () => chooseTheme(THEMES[(THEMES.indexOf(preference("theme")) + 1) % THEMES.length]));
  $("language").addEventListener("click", () => chooseLanguage(otherLanguage(), again));
  drawSwitches();
}

const otherLanguage = () => Object.keys(WORDS).find((code) => code !== spoken());

function drawSwitches() {
  const theme = preference("theme");
  const themeWords = `${words("theme")}: ${words({ system: "themeSystem", light: "themeLight", dark: "themeDark" }[theme])}`;
  Object.assign($("theme"), { ariaLabel: themeWords, title: themeWords }).replaceChildren(icon(THEME_ICONS[theme]));
  const other = otherLanguage();
  $("language").textContent = WORDS[other].name;
  $("language").lang = other === "zh" ? "zh-CN" : other;
}
