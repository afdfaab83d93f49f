// A conversation is a tree: an edited message or a second answer is a sibling of the first, and nothing is lost.
//
// conversation: { id, title, named, created, updated, settings (see choices.js), nodes: { id: node },
// children: { id or "root": [id] }, chosen: { same: id } }
// node: { id, parent, role: "user" | "assistant" | "break", text, … }. What comes before a break isn't sent.
// A reader's node also has: files ([{ name, text }], or none).
// An assistant's node also has: thinking, model, asked (the settings it was asked with), state ("running", "done", "stopped",
// "interrupted", "failed"), finish, usage, times, error, tokens (their probabilities, or none).

const ROOT = "root";

/** crypto.randomUUID() is missing where the page comes over plain HTTP from another machine. */
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export function create() {
  const now = Date.now();
  return { id: newId(), title: "", named: false, created: now, updated: now, nodes: {}, children: {}, chosen: {} };
}

/** Add a node after another (null: at the start) and choose it. */
export function add(conversation, parent, fields) {
  const node = { id: newId(), parent, created: Date.now(), text: "", ...fields };
  conversation.nodes[node.id] = node;
  (conversation.children[parent ?? ROOT] ??= []).push(node.id);
  conversation.chosen[parent ?? ROOT] = node.id;
  conversation.updated = Date.now();
  if (!conversation.named && node.role === "user") conversation.title = titleOf(conversation);
  return node;
}

/** Remove a node and all that follows it, in all versions. Returns what was removed, for `putBack`. */
export function remove(conversation, id) {
  const at = conversation.nodes[id].parent ?? ROOT;
  const place = conversation.children[at].indexOf(id);
  conversation.children[at] = conversation.children[at].filter((child) => child !== id);
  const removed = { id, place, nodes: {}, children: {}, chosen: {} };
  for (const waiting = [id]; waiting.length;) {
    const one = waiting.pop();
    waiting.push(...(conversation.children[one] ?? []));
    for (const part of ["nodes", "children", "chosen"]) {
      if (conversation[part][one] !== undefined) removed[part][one] = conversation[part][one];
      delete conversation[part][one];
    }
  }
  if (conversation.children[at].length) conversation.chosen[at] = conversation.children[at][Math.max(0, place - 1)];
  else for (const part of ["children", "chosen"]) delete conversation[part][at];
  return removed;
}

export function putBack(conversation, { id, place, ...parts }) {
  const at = parts.nodes[id].parent ?? ROOT;
  if (at !== ROOT && !conversation.nodes[at]) return;
  for (const [part, values] of Object.entries(parts)) Object.assign(conversation[part], values);
  (conversation.children[at] ??= []).splice(place, 0, id);
  conversation.chosen[at] = id;
}

/** A new conversation of the messages up to a node, that included. */
export function fork(conversation, upTo, title) {
  const made = { ...create(), named: true, title, settings: structuredClone(conversation.settings) };
  let parent = null;
  for (const { id, parent: _, created, ...fields } of lineage(conversation, upTo)) {
    const node = add(made, parent, structuredClone(fields));
    node.created = created;
    parent = node.id;
  }
  return made;
}

/** The nodes that are shown, first to last. */
export function path(conversation) {
  const nodes = [];
  for (let id = conversation.chosen[ROOT]; id; id = conversation.chosen[id]) nodes.push(conversation.nodes[id]);
  return nodes;
}

export const last = (conversation) => path(conversation).at(-1) ?? null;

/** A node and those that stand for it in other versions, in order. */
export const versions = (conversation, node) => conversation.children[node.parent ?? ROOT];

export function choose(conversation, id) {
  conversation.chosen[conversation.nodes[id].parent ?? ROOT] = id;
}

/** From the first message to a node, in the version that it is in. */
export function lineage(conversation, upTo) {
  const nodes = [];
  for (let node = upTo; node; node = conversation.nodes[node.parent]) nodes.unshift(node);
  return nodes;
}

/** What the model is told: messages from the last break to a node, that included; without what the server refused to read. */
export function messages(conversation, upTo, system) {
  const nodes = lineage(conversation, upTo);
  const since = nodes.slice(nodes.findLastIndex((node) => node.role === "break") + 1);
  const told = since.filter((node) => (node.role === "user" ? node === upTo || !refused(conversation, node) : node.text))
    .map((node) => ({ role: node.role, content: contentOf(node) }));
  return system.trim() ? [{ role: "system", content: system }, ...told] : told;
}

/** Whether the server refused a message of the reader: it is not sent again with later ones. */
export function refused(conversation, node) {
  const answer = conversation.nodes[conversation.chosen[node.id]];
  return answer?.state === "failed" && answer.error?.kind === "refused" && !answer.text;
}

/** A message with its files, each fenced by more backticks than are in it. */
export function contentOf({ text, files }) {
  const fenced = (files ?? []).map((file) => {
    const fence = "`".repeat(Math.max(3, ...[...file.text.matchAll(/`+/g)].map(([found]) => found.length + 1)));
    return `${file.name}:\n${fence}\n${file.text.replace(/\n$/, "")}\n${fence}`;
  });
  return [...fenced, text].filter(Boolean).join("\n\n");
}

/** Tokens of the context that the last answer since a break filled; null: not known. */
export function contextUsed(conversation) {
  for (const node of path(conversation).reverse()) {
    if (node.role === "break") return 0;
    if (node.usage) return node.usage.total_tokens ?? null;
  }
  return null;
}

function titleOf(conversation) {
  const first = path(conversation).find((node) => node.role === "user");
  const line = (first.text.trim() || (first.files?.[0]?.name ?? "")).replace(/\s+/g, " ");
  return line.length > 60 ? `${Array.from(line).slice(0, 58).join("")}…` : line;
}
