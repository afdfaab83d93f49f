// A map of tokens by layers: which tokens each layer of the model keeps in sight.

import { el, svgElement } from "./dom.js";
import { number, words } from "./language.js";

const CELL = 10, ROW = 9, EDGE = 26, NAMES = 54; // pixels: a token's width, a layer's height, room for layers' and tokens' names
const ACROSS = 70; // tokens of a line
const LONGEST = 8; // characters of a token

/** → elements for what `explain` said of the layers and the tokens. */
export function gateMap(kept, tokens) {
  const percent = (part, all) => `${number((100 * part) / all)} %`;
  const rows = kept.form === "routed" ? words("rowsKept", { share: percent(kept.rows, kept.dense_rows) }) : words("rowsMasked");
  const said = `${words("pairsSeen", { share: percent(kept.pairs, kept.dense_pairs) })} · ${rows}`;
  const lines = [];
  for (let start = 0; start < tokens.length; start += ACROSS) {
    lines.push(mapLine(kept, tokens, start, Math.min(start + ACROSS, tokens.length)));
  }
  return [
    el("p", { class: "faint small gates-said" }, said),
    el("p", { class: "faint small gates-legend" }, ...["kept", "within", "left"].map((name) =>
      el("span", {}, el("i", { class: name }), words({ kept: "gateKept", within: "gateWithin", left: "gateLeft" }[name])))),
    el("div", { class: "gates", role: "img", "aria-label": said, tabindex: 0 }, ...lines),
  ];
}

function mapLine(kept, tokens, start, stop) {
  const layers = kept.open.length;
  const [width, height] = [EDGE + CELL * (stop - start) + 2, ROW * layers + NAMES];
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  const paths = { left: "", within: "", kept: "" };
  kept.open.forEach((gates, layer) => {
    svg.append(svgElement("text", { class: "layer", x: EDGE - 5, y: layer * ROW + 8 }, String(layer)));
    for (let at = start, end; at < stop; at = end) {
      const state = stateOf(gates, at, kept);
      for (end = at + 1; end < stop && stateOf(gates, end, kept) === state; end++);
      const length = CELL * (end - at);
      paths[state] += `M${EDGE + CELL * (at - start)} ${layer * ROW}h${length}v${ROW - 1}h-${length}z`;
    }
  });
  for (const [name, d] of Object.entries(paths)) if (d) svg.append(svgElement("path", { class: name, d }));
  for (let at = start; at < stop; at++) {
    const turned = `translate(${EDGE + CELL * (at - start) + 8} ${ROW * layers + 4}) rotate(-90)`;
    svg.append(svgElement("text", { class: tokens[at].reply ? "token reply" : "token", transform: turned }, label(tokens[at].text)));
  }
  return svg;
}

function stateOf(gates, token, { window }) {
  if (gates[token] === "1") return "kept";
  return token > gates.length - window ? "within" : "left";
}

function label(text) {
  const shown = text.trim() ? text.trim().replace(/\s+/g, " ") : text.replace(/\n/g, "⏎").replace(/\s/g, "␣");
  const letters = Array.from(shown);
  return letters.length > LONGEST ? `${letters.slice(0, LONGEST - 1).join("")}…` : shown;
}
