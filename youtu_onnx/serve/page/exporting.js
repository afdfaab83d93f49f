// Conversations as files.

import { el } from "./dom.js";
import { path } from "./conversation.js";
import { words } from "./language.js";

/** One, or a list of them: what is shown, as messages that the API takes, and the whole tree with the other versions. */
export function asJson(conversations) {
  const plain = (one) => ({
    title: one.title,
    created: new Date(one.created).toISOString(),
    updated: new Date(one.updated).toISOString(),
    messages: path(one).filter((node) => node.role !== "break").map(asMessage),
    tree: { nodes: one.nodes, children: one.children, chosen: one.chosen },
  });
  return JSON.stringify(Array.isArray(conversations) ? conversations.map(plain) : plain(conversations), null, 2);
}

export function asMarkdown(conversation) {
  const parts = [`# ${conversation.title.replace(/\s+/g, " ")}`, words("exported", { date: new Date().toLocaleString() })];
  for (const node of path(conversation)) {
    if (node.role === "break") {
      parts.push("---", `*${words("cleared")}*`);
      continue;
    }
    parts.push(node.role === "user" ? `## ${words("you")}` : `## ${node.model ?? words("assistant")}`);
    if (node.thinking) parts.push(`**${words("thoughts")}**`, node.thinking.trim().replace(/^/gm, "> "));
    if (node.text) parts.push(node.text.trim());
  }
  return `${parts.join("\n\n")}\n`;
}

export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = el("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Safe on every file system; letters of any script stay. */
export const fileName = (title, ending) =>
  `${title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 50) || "conversation"}.${ending}`;

function asMessage(node) {
  if (node.role === "user") return { role: "user", content: node.text };
  return { role: "assistant", content: node.text, ...(node.thinking && { reasoning_content: node.thinking }) };
}
