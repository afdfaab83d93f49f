// Text files that go with a message.

import { el, icon, iconButton } from "./dom.js";
import { roughly, words } from "./language.js";

const LARGEST = 1_000_000; // bytes
const LONG = 2_000; // characters of a pasted text that becomes a file

/** { name, text } of a file; { name, wrong } where it is none that a model could read. */
export async function readFile(file) {
  const { name } = file;
  if (file.size > LARGEST) return { name, wrong: "fileLarge" };
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    return text.includes("\0") ? { name, wrong: "fileBinary" } : { name, text };
  } catch {
    return { name, wrong: "fileBinary" };
  }
}

/** A long text that was pasted, as a file; null: it is short enough to stand in the message. */
export const pastedFile = (text, count) => (text.length > LONG ? { name: words("pasted", { number: count + 1 }), text } : null);

/** List items with what takes a file away again. */
export const fileChips = (files, remove) => files.map((file) => el("li", { class: "chip" }, icon("file"),
  el("span", { class: "chip-name", dir: "auto" }, file.name), el("span", { class: "faint small" }, sizeOf(file)),
  iconButton("close", words("removeFile", { name: file.name }), () => remove(file))));

/** The files of a message that was sent, each to be unfolded; null where it has none. */
export function fileFolds(files) {
  if (!files?.length) return null;
  return el("div", { class: "files" }, ...files.map((file) => el("details", { class: "file" },
    el("summary", {}, icon("file"), el("span", { class: "chip-name", dir: "auto" }, file.name),
      el("span", { class: "faint small" }, sizeOf(file))),
    el("pre", { tabindex: 0, "aria-label": file.name, role: "group", dir: "auto" }, file.text))));
}

const sizeOf = ({ text }) => words("characters", { count: roughly(text.length) });
