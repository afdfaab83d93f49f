// Conversations from files: what this page exported, or messages as the API has them. Nothing in a file is trusted.

import { checked } from "./choices.js";
import { add, create } from "./conversation.js";

const ROLES = ["user", "assistant", "break"];
const STATES = ["done", "stopped", "interrupted"]; // others are taken as stopped: nobody writes them any more

/** The conversations in a file's text; none where it holds no such thing. */
export function fromJson(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return [];
  }
  return (Array.isArray(found) ? found : [found]).map(conversationOf).filter((one) => one && Object.keys(one.nodes).length);
}

function conversationOf(found) {
  const messages = Array.isArray(found?.messages) ? found.messages : null;
  if (!messages && typeof found?.tree?.nodes !== "object") return null;
  const made = create();
  const system = messages?.find((one) => one?.role === "system")?.content;
  made.settings = checked(found.settings ?? { system });
  if (typeof found.tree?.nodes === "object" && found.tree.nodes) addTree(made, found.tree);
  else addMessages(made, messages);
  if (typeof found.title === "string" && found.title.trim()) Object.assign(made, { title: found.title.trim().slice(0, 200), named: true });
  for (const time of ["created", "updated"]) made[time] = Date.parse(found[time]) || made[time];
  return made;
}

function addMessages(made, messages) {
  let parent = null;
  for (const one of messages) {
    if (!["user", "assistant"].includes(one?.role) || typeof one.content !== "string") continue;
    parent = add(made, parent, nodeOf({ role: one.role, text: one.content, thinking: one.reasoning_content, state: "done" })).id;
  }
}

/** From the first messages down, so that no node is without its parent; under new ids. */
function addTree(made, { nodes, children, chosen }) {
  const renamed = new Map([["root", null]]);
  const waiting = ["root"];
  for (let place = waiting.pop(); place; place = waiting.pop()) {
    for (const id of list(children?.[place])) {
      const node = Object.hasOwn(nodes, id) && !renamed.has(id) && nodeOf(nodes[id]);
      if (!node) continue;
      renamed.set(id, add(made, renamed.get(place), node).id);
      waiting.push(id);
    }
  }
  for (const [place, id] of Object.entries(chosen ?? {})) {
    const at = place === "root" ? "root" : renamed.get(place);
    if (at && renamed.has(id) && made.children[at]?.includes(renamed.get(id))) made.chosen[at] = renamed.get(id);
  }
}

function nodeOf(found) {
  if (!ROLES.includes(found?.role) || typeof (found.text ?? "") !== "string") return null;
  const node = { role: found.role, text: found.text ?? "" };
  if (node.role === "user") {
    const files = list(found.files).filter((one) => typeof one?.name === "string" && typeof one.text === "string")
      .map(({ name, text }) => ({ name, text }));
    return files.length ? { ...node, files } : node;
  }
  if (node.role === "break") return node;
  const { thinking, model, state, asked, tokens } = found;
  return { ...node, thinking: typeof thinking === "string" ? thinking : "", model: typeof model === "string" ? model : null,
    state: STATES.includes(state) ? state : "stopped", finish: found.finish === "length" ? "length" : "stop", usage: null, error: null,
    ...(asked && { asked: checked(asked) }),
    ...(tokens && list(tokens).every(isToken) && { tokens: list(tokens) }) };
}

const list = (value) => (Array.isArray(value) ? value : []);
const isPair = (value) => Array.isArray(value) && typeof value[0] === "string" && typeof value[1] === "number";
const isToken = (value) => isPair(value) && list(value[2]).every(isPair) && Array.isArray(value[2]);
