// HTML from the server, copied into the page element by element from an allow list. What isn't on it loses its tag and keeps
// its text; what holds code, styles or frames goes with all that is in it.

import { el, icon } from "./dom.js";
import { words } from "./language.js";

const HTML = "http://www.w3.org/1999/xhtml";
const MATHML = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set(("p h1 h2 h3 h4 h5 h6 ul ol li dl dt dd blockquote pre code span em strong b i s del ins sub sup kbd mark a " +
  "hr br table thead tbody tfoot tr th td").split(" "));
const MATH = new Set(("math semantics mrow mi mo mn ms mtext mspace msup msub msubsup mfrac msqrt mroot munder mover munderover " +
  "mtable mtr mtd mstyle mpadded mphantom menclose mmultiscripts mprescripts none merror").split(" "));
const MATH_ATTRIBUTES = new Set(("display displaystyle scriptlevel mathvariant stretchy fence separator form lspace rspace " +
  "accent accentunder movablelimits largeop symmetric minsize maxsize linethickness width height depth voffset notation " +
  "columnalign rowalign columnspacing rowspacing columnlines rowlines frame").split(" "));
const DROPPED = new Set("script style template iframe object embed svg form noscript title textarea select annotation annotation-xml"
  .split(" "));
const NOTE = /^#fn(ref)?(\d{1,4})(?::\d+)?$/;
const DEEPEST = 200; // levels; deeper ones would overflow the stack

/** A fragment that is safe to put into the page. */
export function sanitize(html) {
  // A style attribute would be reported against the page's policy, even where it is never copied. Only alignment is wanted.
  const aligned = html.replace(/(<t[hd]) style="text-align:(left|center|right)">/g, '$1 align="$2">').replace(/ style="[^"]*"/g, "");
  const parsed = new DOMParser().parseFromString(aligned, "text/html");
  const fragment = document.createDocumentFragment();
  copyChildren(parsed.body, fragment, 0);
  return fragment;
}

function copyChildren(from, to, depth) {
  for (const child of from.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) to.append(child.data);
    else if (child.nodeType === Node.ELEMENT_NODE && depth < DEEPEST) copyElement(child, to, depth + 1);
  }
}

function copyElement(element, to, depth) {
  const name = element.localName;
  if (element.namespaceURI === MATHML && MATH.has(name)) return copyMath(element, to, depth);
  if (DROPPED.has(name)) return;
  if (name === "input" && element.closest("li")?.className === "task-list-item") return to.append(taskMark(element));
  if (element.namespaceURI !== HTML || !ELEMENTS.has(name)) {
    if (name === "img") to.append(element.getAttribute("alt") ?? "");
    return copyChildren(element, to, depth);
  }
  if (name === "pre") return to.append(codeBlock(element, depth));
  const note = name === "a" && footnote(element);
  if (note) return to.append(note);
  const copy = document.createElement(name);
  copyAttributes(element, copy, name);
  copyChildren(element, copy, depth);
  to.append(name === "table" ? el("div", { class: "table", tabindex: 0 }, copy) : copy);
}

function copyAttributes(element, copy, name) {
  const align = element.getAttribute("align");
  if (name === "span" && /^[a-z][a-z0-9]{0,2}$/.test(element.className)) copy.className = element.className; // pygments' tokens
  if ((name === "td" || name === "th") && /^(center|right)$/.test(align)) copy.className = align;
  if (name === "ol" && /^\d{1,9}$/.test(element.getAttribute("start"))) copy.start = Number(element.getAttribute("start"));
  if (name === "li" && element.className === "task-list-item") copy.className = "task";
  const note = name === "li" && element.className === "footnote-item" && NOTE.exec(`#${element.id}`);
  if (note) Object.assign(copy, { tabIndex: -1 }).dataset.note = note[2];
  if (name === "a") {
    const address = safeAddress(element.getAttribute("href"));
    if (address) Object.assign(copy, { href: address, rel: "noopener noreferrer", target: "_blank" });
  }
}

/** What leads to a footnote or back: a button, because the page's address says which conversation is shown. */
function footnote(element) {
  const [, back, number] = NOTE.exec(element.getAttribute("href")) ?? [];
  if (!number) return null;
  const label = back ? words("backToText") : words("footnote", { number });
  return el("button", { type: "button", class: "link footnote", [back ? "data-to-mark" : "data-to-note"]: number, "aria-label": label, title: label },
    back ? "↩" : number);
}

function taskMark(element) {
  const done = element.hasAttribute("checked");
  return el("span", { class: "task-mark", role: "img", "aria-label": words(done ? "taskDone" : "taskOpen") }, done ? "☑" : "☐");
}

/** To a footnote from its mark, and back; both within one text. */
export function followFootnote(button) {
  const { toNote, toMark } = button.dataset;
  const place = button.closest(".text").querySelector(toNote ? `[data-note="${toNote}"]` : `[data-to-note="${toMark}"]`);
  place?.scrollIntoView({ block: "nearest" });
  place?.focus();
}

/** Absolute addresses only: a relative one would lead into this server. */
function safeAddress(text) {
  try {
    const address = new URL(text);
    return ["http:", "https:", "mailto:"].includes(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}

function copyMath(element, to, depth) {
  const copy = document.createElementNS(MATHML, element.localName);
  for (const { name, value } of element.attributes) if (MATH_ATTRIBUTES.has(name)) copy.setAttribute(name, value);
  copyChildren(element, copy, depth);
  to.append(copy);
}

function codeBlock(element, depth) {
  const language = /(?:^|\s)language-([\w+#.-]{1,30})(?:\s|$)/.exec(element.querySelector("code")?.className ?? "")?.[1] ?? "";
  const code = el("code");
  copyChildren(element.querySelector("code") ?? element, code, depth);
  const label = language ? words("codeIn", { language }) : words("code");
  return el("div", { class: "code" },
    el("div", { class: "code-head" }, el("span", {}, language || words("code")),
      el("button", { type: "button", class: "quiet copy-code", "aria-label": words("copyCode"), title: words("copyCode") },
        icon("copy"), el("span", {}, words("copy")))),
    el("pre", { tabindex: 0, role: "group", "aria-label": label }, code));
}
