// What was written and not sent, for each conversation, until the tab is closed.

const NAME = "youtu-onnx:draft";
const NEW = "new"; // all conversations without messages share one draft

const memory = new Map();

export const draftKey = ({ id, nodes }) => `${NAME}:${Object.keys(nodes).length ? id : NEW}`;

/** { text, files }. */
export function draft(key) {
  try {
    const found = JSON.parse(sessionStorage.getItem(key) ?? "null") ?? memory.get(key);
    return { text: found?.text ?? "", files: found?.files ?? [] };
  } catch {
    return memory.get(key) ?? { text: "", files: [] };
  }
}

export function keepDraft(key, text, files) {
  memory.set(key, { text, files });
  try {
    if (text || files.length) sessionStorage.setItem(key, JSON.stringify({ text, files }));
    else sessionStorage.removeItem(key);
  } catch {
    sessionStorageless(key);
  }
}

/** It is in memory; an older one must not come back in its place. */
function sessionStorageless(key) {
  try {
    sessionStorage.removeItem(key);
  } catch { /* there is none */ }
}
