// Conversations as files.

import { inShort } from "./choices.js";
import { contentOf, path } from "./conversation.js";
import { el } from "./dom.js";
import { words } from "./language.js";
import { sanitize } from "./sanitize.js";

/** One, or a list of them: what is shown, as messages that the API takes, and the whole tree with the other versions. */
export function asJson(conversations) {
  const plain = (one) => ({
    title: one.title,
    created: new Date(one.created).toISOString(),
    updated: new Date(one.updated).toISOString(),
    ...(one.settings && { settings: one.settings }),
    messages: [...(one.settings?.system.trim() ? [{ role: "system", content: one.settings.system }] : []),
      ...path(one).filter((node) => node.role !== "break").map(asMessage)],
    tree: { nodes: one.nodes, children: one.children, chosen: one.chosen },
  });
  return JSON.stringify(Array.isArray(conversations) ? conversations.map(plain) : plain(conversations), null, 2);
}

export function asMarkdown(conversation) {
  const parts = [`# ${conversation.title.replace(/\s+/g, " ")}`, words("exported", { date: new Date().toLocaleString() })];
  for (const { heading, notes, text } of sections(conversation)) {
    if (heading) parts.push(`## ${heading}`);
    for (const [name, note] of notes) parts.push(`**${name}**`, note.replace(/^/gm, "> "));
    if (text) parts.push(heading ? text : `---\n\n*${text}*`);
  }
  return `${parts.join("\n\n")}\n`;
}

/** A page of its own: what is shown here, with the colours of here. `render`: Markdown → HTML, which is not trusted. */
export async function asHtml(conversation, render) {
  const styles = await Promise.all(["base", "markdown"].map(async (name) => (await fetch(`static/${name}.css`)).text()));
  const body = el("main", {}, el("h1", {}, conversation.title),
    el("p", { class: "faint" }, words("exported", { date: new Date().toLocaleString() })));
  for (const { heading, notes, text, markdown } of sections(conversation)) {
    if (heading) body.append(el("h2", {}, heading));
    for (const [name, note] of notes) body.append(el("details", {}, el("summary", {}, name), el("pre", {}, note)));
    const shown = el("div", { class: "text" });
    if (markdown) shown.append(sanitize(await render(text)));
    else if (heading) shown.append(el("pre", { class: "said" }, text));
    else shown.append(el("hr"), el("p", { class: "faint" }, text));
    body.append(shown);
  }
  for (const button of body.querySelectorAll("button")) button.remove();
  // As text: a style element in any document of this page would be against its policy.
  return `<!doctype html>\n<html lang="${document.documentElement.lang}">\n<head>\n<meta charset="utf-8">\n` +
    `<meta name="viewport" content="width=device-width">\n${el("title", {}, conversation.title).outerHTML}\n` +
    `<style>\n${styles.join("\n")}${ALONE}</style>\n</head>\n<body>\n${body.outerHTML}\n</body>\n</html>\n`;
}

const ALONE = `
body { overflow: auto; height: auto; } main { max-width: 47rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin: 2rem 0 .5rem; font-size: 1.05rem; color: var(--soft); } pre.said, details pre { white-space: pre-wrap; font: inherit; margin: 0; }
details { color: var(--soft); margin-bottom: .75rem; }
`;

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

/** What is shown, top to bottom: a heading (none where the context was cleared), notes that may be folded, and a text. */
function sections(conversation) {
  const { settings } = conversation;
  const short = settings && inShort(settings);
  const first = settings?.system.trim() || short
    ? [{ heading: words("system"), notes: short ? [[words("ofConversation"), short]] : [], text: settings.system.trim() }] : [];
  return [...first, ...path(conversation).map((node) => {
    if (node.role === "break") return { heading: null, notes: [], text: words("cleared") };
    if (node.role === "user") return { heading: words("you"), notes: [], text: contentOf(node).trim() };
    const notes = node.thinking ? [[words("thoughts"), node.thinking.trim()]] : [];
    return { heading: node.model ?? words("assistant"), notes, text: node.text.trim(), markdown: true };
  })];
}

function asMessage(node) {
  if (node.role === "user") return { role: "user", content: contentOf(node) };
  return { role: "assistant", content: node.text, ...(node.thinking && { reasoning_content: node.thinking }) };
}
