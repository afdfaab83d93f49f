// How likely each token of an answer was, and what could have stood there instead: drawn when it is unfolded.

import { el, icon } from "./dom.js";
import { number, words } from "./language.js";

const STEPS = [0.9, 0.6, 0.3, 0.1]; // probabilities at which the shade changes

/** → { element, update() }; there is nothing in the element where the answer has none. */
export function probabilitiesView(node) {
  const place = el("div", { class: "probabilities-place", hidden: true });
  const inside = el("div", { class: "tokens", role: "list", "aria-label": words("probabilities") });
  const about = el("p", { class: "faint small token-about", role: "status" });
  let fold = null;
  let drawn = 0;
  const update = () => {
    const { tokens = [] } = node;
    place.hidden = !tokens.length || node.state === "running";
    if (place.hidden) return;
    if (!fold) {
      fold = el("details", { class: "steps probabilities", ontoggle: update },
        el("summary", {}, icon("chart"), el("span", {}, words("probabilities")), icon("right")), inside, about);
      place.append(fold);
    }
    if (!fold.open) return;
    inside.append(...tokens.slice(drawn).map((token) => tokenView(token, about)));
    drawn = tokens.length;
  };
  return { element: place, update };
}

function tokenView(token, about) {
  const [text, logprob] = token;
  const shade = STEPS.filter((step) => Math.exp(logprob) < step).length;
  const show = () => { about.textContent = saidOf(token); };
  return el("span", { role: "listitem" }, el("button", { type: "button", class: `token shade-${shade}`, title: saidOf(token),
    onclick: show, onfocus: show }, visible(text)), text.includes("\n") ? el("br") : null);
}

const saidOf = ([text, logprob, likely]) =>
  [`${quoted(text)} ${percent(logprob)}`, ...likely.filter(([other]) => other !== text).map(([other, p]) => `${quoted(other)} ${percent(p)}`)]
    .join(" · ");

const quoted = (text) => `“${visible(text)}”`;
const visible = (text) => text.replaceAll("\n", "⏎").replace(/^ | $/g, "·") || "∅";
const percent = (logprob) => `${number(100 * Math.exp(logprob), 1)} %`;
