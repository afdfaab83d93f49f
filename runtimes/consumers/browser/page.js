// The page: what the buttons do.

import { Client } from "./client.js";
import { Conversation } from "./conversation.js";
import { firstLanguage, NAMES, rememberLanguage, WORDS } from "./words.js";

const part = (id) => document.getElementById(id);
const root = document.documentElement;
const parameters = new URLSearchParams(location.search);
const conversation = new Conversation(part("messages"));
const sizes = new Map(); // of the files that are being loaded: name → [loaded, size]
let language = firstLanguage();
let family = "youtu"; // of the bundle that is open, or was last
let current = null; // the message that is being written

const client = new Client((event) => {
  if (event.event === "piece") current?.piece(event);
  if (event.event === "progress") showProgress(event);
});

/** For tests, and for whoever opens the console. data-state on <html> says: loading, choose, ready, answering or failed. */
window.youtu = {
  bundle: null, // what was opened: provider, threads, family, source, recipe, target, cache, architecture
  replies: [], // every finished reply: prompt, ids, text, thinking, answer, finishReason, tokensPerSecond, …
  encode: (text, options) => client.call("encode", { text, options }),
  decode: (ids) => client.call("decode", { ids }),
  prompt: (messages, options) => client.call("prompt", { messages, options }),
  logits: (ids) => client.call("logits", { ids }),
};

function setState(state) {
  root.dataset.state = state;
  part("send").hidden = state === "answering";
  part("stop").hidden = state !== "answering";
  part("send").disabled = state !== "ready";
  part("progress").hidden = state !== "loading";
  part("examples").hidden = state !== "ready" || conversation.messages.length > 0;
  part("intro").hidden = conversation.list.childElementCount > 0;
}

function speak(next) {
  language = next;
  const words = WORDS[language];
  root.lang = language === "zh" ? "zh-CN" : "en";
  const name = NAMES[family] ?? family;
  document.title = words.title.replace("{name}", name);
  part("name").textContent = name;
  for (const labelled of document.querySelectorAll("[data-word]")) {
    labelled.textContent = words[labelled.dataset.word].replace("{name}", name);
  }
  for (const labelled of document.querySelectorAll("[data-label]")) {
    labelled.title = words[labelled.dataset.label];
    labelled.setAttribute("aria-label", words[labelled.dataset.label]);
  }
  part("text").placeholder = words.placeholder;
  part("examples").replaceChildren(...(words.examples[family] ?? words.examples.youtu).map((text) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.onclick = () => ask(text);
    return button;
  }));
}

async function open(where) {
  setState("loading");
  sizes.clear();
  part("error").hidden = true;
  try {
    const bundle = await client.call("open", { ...where, provider: parameters.get("provider") });
    window.youtu.bundle = bundle;
    part("bundle").textContent = `${bundle.source.model} · ${bundle.recipe.precision} · ${bundle.provider}`;
    family = bundle.family;
    conversation.stepwise = family === "microreason";
    conversation.clear();
    speak(language);
    setState("ready");
    part("text").focus();
  } catch (error) {
    part("error").textContent = error.message;
    // No bundle beside the page is no fault: one can be chosen.
    part("error").hidden = !where.files && !parameters.has("bundle") && error.message.startsWith("youtu_onnx.json: the server says 404");
    setState(part("error").hidden ? "choose" : "failed");
  }
}

function showProgress({ name, loaded, size }) {
  sizes.set(name, [loaded, size]);
  const [have, all] = [...sizes.values()].reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
  part("bar").value = have / all;
  part("loaded").textContent = `${WORDS[language].loading} · ${(have / 1e6).toFixed(1)} MB`;
}

async function ask(text) {
  if (root.dataset.state !== "ready" || !text.trim()) return;
  const words = WORDS[language];
  conversation.user(text);
  current = conversation.assistant(words);
  setState("answering");
  try {
    const result = await client.call("reply", { messages: conversation.messages, options: options() });
    current.finish(result);
    window.youtu.replies.push(result);
  } catch (error) {
    current.fail(error.message);
  }
  current = null;
  setState("ready");
}

function options() {
  const sampling = { defaults: {}, greedy: { greedy: true }, warm: { greedy: false, temperature: 0.8, topP: 0.95 } };
  const template = part("think").checked ? {} : { enable_thinking: false };
  return { ...sampling[part("sampling").value], template };
}

function send() {
  const text = part("text").value;
  if (root.dataset.state !== "ready" || !text.trim()) return;
  part("text").value = "";
  fit();
  ask(text);
}

/** The text box grows with what is in it. */
function fit() {
  const box = part("text");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
}

part("composer").onsubmit = (event) => {
  event.preventDefault();
  send();
};
part("text").oninput = fit;
part("text").onkeydown = (event) => {
  // Enter also ends the composition of a Chinese word, which sends nothing
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
};
part("stop").onclick = () => client.call("stop");
part("fresh").onclick = async () => {
  if (root.dataset.state === "answering") return;
  conversation.clear();
  setState(root.dataset.state);
};
part("language").onclick = () => {
  speak(language === "en" ? "zh" : "en");
  rememberLanguage(language);
};
part("open").onclick = part("open-first").onclick = () => part("folder").click();
part("folder").onchange = () => {
  const files = [...part("folder").files].filter((file) => file.webkitRelativePath.split("/").length <= 3);
  if (files.length) open({ files });
  part("folder").value = "";
};

speak(language);
open({ base: new URL(parameters.get("bundle") ?? "bundle/", location.href.split("?")[0]).href.replace(/\/?$/, "/") });
