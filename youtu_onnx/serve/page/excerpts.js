// Where a conversation holds a text that is looked for.

const BEFORE = 30; // characters shown before what was found
const AFTER = 60;

/** { before, found, after } of the first place in its messages; all empty where only the title holds it; null: nowhere. */
export function excerpt(conversation, wanted) {
  for (const node of Object.values(conversation.nodes)) {
    for (const text of [node.text, node.thinking, ...(node.files ?? []).map((file) => file.text)]) {
      const found = text && around(text, wanted);
      if (found) return found;
    }
  }
  return conversation.title.toLowerCase().includes(wanted.toLowerCase()) ? { before: "", found: "", after: "" } : null;
}

function around(text, wanted) {
  const at = text.toLowerCase().indexOf(wanted.toLowerCase());
  if (at < 0) return null;
  const end = at + wanted.length;
  const start = Math.max(0, at - BEFORE);
  const plain = (from, to) => text.slice(from, to).replace(/\s+/g, " ");
  return { before: `${start ? "…" : ""}${plain(start, at)}`, found: plain(at, end),
    after: `${plain(end, end + AFTER)}${end + AFTER < text.length ? "…" : ""}` };
}
