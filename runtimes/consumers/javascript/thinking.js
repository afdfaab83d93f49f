// Where a reply's thinking ends and its answer begins: <think>…</think>answer. Tags count only there; later ones are text.

const OPEN = "<think>";
const CLOSE = "</think>";

/** Sorts streamed text into thinking, answer and the tags between them; the parts join to the text again. */
export class ThinkingSplitter {
  #held = "";

  /** @param {boolean} inside the prompt ended with an open <think> */
  constructor(inside = false) {
    this.state = inside ? "thinking" : "start";
  }

  /** @returns {{kind: "thinking"|"answer"|"tag", text: string}[]} what is certain; a possible beginning of a tag is held back */
  push(text) {
    text = this.#held + text;
    this.#held = "";
    const parts = [];
    if (this.state === "start") {
      const stripped = text.trimStart();
      if (stripped.startsWith(OPEN)) {
        parts.push({ kind: "tag", text: text.slice(0, text.length - stripped.length + OPEN.length) });
        text = stripped.slice(OPEN.length);
        this.state = "thinking";
      } else if (OPEN.startsWith(stripped)) {
        this.#held = text; // white space alone, or a piece of the tag
        return parts;
      } else {
        this.state = "answer";
      }
    }
    if (this.state === "thinking") {
      const end = text.indexOf(CLOSE);
      if (end >= 0) {
        parts.push({ kind: "thinking", text: text.slice(0, end) }, { kind: "tag", text: CLOSE });
        text = text.slice(end + CLOSE.length);
        this.state = "answer";
      } else {
        const keep = overlap(text, CLOSE);
        parts.push({ kind: "thinking", text: text.slice(0, text.length - keep) });
        this.#held = text.slice(text.length - keep);
        text = "";
      }
    }
    parts.push({ kind: "answer", text });
    return parts.filter((part) => part.text);
  }

  /** What was held back: it was no tag. */
  finish() {
    const text = this.#held;
    this.#held = "";
    return text ? [{ kind: this.state === "thinking" ? "thinking" : "answer", text }] : [];
  }
}

/** Length of the longest end of the text that begins the tag. */
function overlap(text, tag) {
  for (let length = Math.min(text.length, tag.length - 1); length > 0; length--) {
    if (text.endsWith(tag.slice(0, length))) return length;
  }
  return 0;
}
