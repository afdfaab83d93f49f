// A conversation is a tree: an edited message or a second answer is a sibling of the first, and nothing is lost.
//
// conversation: { id, title, named, created, updated, nodes: { id: node }, children: { id or "root": [id] }, chosen: { same: id } }
// node: { id, parent, role: "user" | "assistant" | "break", text, … }. What comes before a break isn't sent.
// An assistant's node also has: thinking, model, state ("running", "done", "stopped", "interrupted", "failed"), finish, usage,
// times, error.

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

/** Remove a node that nothing follows. */
export function removeLast(conversation, id) {
  const at = conversation.nodes[id].parent ?? ROOT;
  conversation.children[at] = conversation.children[at].filter((child) => child !== id);
  conversation.chosen[at] = conversation.children[at].at(-1);
  delete conversation.nodes[id];
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

/** What the model is told: messages from the last break to a node, that included. */
export function messages(conversation, upTo, system) {
  const nodes = [];
  for (let node = upTo; node && node.role !== "break"; node = conversation.nodes[node.parent]) nodes.unshift(node);
  const told = nodes.filter((node) => node.role === "user" || node.text).map(({ role, text }) => ({ role, content: text }));
  return system.trim() ? [{ role: "system", content: system }, ...told] : told;
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
  const line = first.text.trim().replace(/\s+/g, " ");
  return line.length > 60 ? `${Array.from(line).slice(0, 58).join("")}…` : line;
}
