// Where an API key is asked for.

import { el } from "./dom.js";
import { words } from "./language.js";
import { apiKey } from "./preferences.js";

export function keyForm(use) {
  const field = el("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true,
    "aria-label": words("apiKey"), placeholder: words("apiKey") });
  return el("form", { class: "key-form", onsubmit: (event) => { event.preventDefault(); use(field.value.trim()); } },
    el("p", {}, words(apiKey() ? "errorKeyWrong" : "errorKey")),
    el("div", { class: "row" }, field, el("button", { type: "submit", class: "main-button" }, words("useKey"))),
    el("p", { class: "faint small" }, words("apiKeyMore")));
}
