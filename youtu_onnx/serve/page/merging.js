// Several tabs may hold one conversation. What each changed since it last read or wrote it is brought together, node by node.
//
// A snapshot is what a conversation was when it was read or written: the JSON of each node, what was chosen, and its own fields.

const FIELDS = ["title", "named", "settings"];

export function snapshot(conversation) {
  const json = (values) => Object.fromEntries(Object.entries(values).map(([key, value]) => [key, JSON.stringify(value)]));
  return { nodes: json(conversation.nodes), chosen: json(conversation.chosen), fields: json(pick(conversation)) };
}

/** What is kept: theirs, with what was changed here since the snapshot. What either removed is gone, and what hung on it. */
export function merge(base, mine, theirs) {
  const nodes = merged(base.nodes, mine.nodes, theirs.nodes);
  const children = {};
  for (const place of new Set([...Object.keys(theirs.children), ...Object.keys(mine.children)])) {
    children[place] = [...new Set([...(theirs.children[place] ?? []), ...(mine.children[place] ?? [])])].filter((id) => nodes[id]);
  }
  const made = {
    id: mine.id, created: mine.created, updated: Math.max(mine.updated, theirs.updated),
    ...pick(theirs), ...merged(base.fields, pick(mine), pick(theirs)),
    nodes, children, chosen: merged(base.chosen, mine.chosen, theirs.chosen),
  };
  return pruned(made);
}

/** Make one conversation like another, and leave its nodes the objects that they are: views hold them. */
export function become(conversation, other) {
  const nodes = {};
  for (const [id, node] of Object.entries(other.nodes)) {
    const kept = conversation.nodes[id] ?? node;
    if (kept !== node) {
      for (const key of Object.keys(kept)) delete kept[key]; // all: their order is part of the JSON
      Object.assign(kept, node);
    }
    nodes[id] = kept;
  }
  Object.assign(conversation, other, { nodes });
}

function merged(base, mine, theirs) {
  const all = {};
  for (const key of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
    const removed = key in base && !(key in mine && key in theirs);
    if (removed) continue;
    const changed = key in mine && JSON.stringify(mine[key]) !== base[key];
    all[key] = changed || !(key in theirs) ? mine[key] : theirs[key];
  }
  return all;
}

const pick = (conversation) =>
  Object.fromEntries(FIELDS.filter((name) => conversation[name] !== undefined).map((name) => [name, conversation[name]]));

/** Without nodes that nothing leads to, and with one chosen wherever there are some. */
function pruned(conversation) {
  const { nodes, children, chosen } = conversation;
  const reached = {};
  const waiting = ["root"];
  const kept = {};
  for (let place = waiting.pop(); place; place = waiting.pop()) {
    for (const id of children[place] ?? []) {
      reached[id] = nodes[id];
      waiting.push(id);
    }
    if (children[place]?.length) kept[place] = children[place];
  }
  const still = {};
  for (const [place, ids] of Object.entries(kept)) still[place] = ids.includes(chosen[place]) ? chosen[place] : ids.at(-1);
  return { ...conversation, nodes: reached, children: kept, chosen: still };
}
