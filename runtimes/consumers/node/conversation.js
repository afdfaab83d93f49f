// A conversation: its messages, how replies are written, and what begins with a slash. The commands are those of youtu-onnx chat.

import { readFileSync, writeFileSync } from "node:fs";

const ROLES = ["system", "user", "assistant"];
const NUMBERS = { temperature: "temperature", top_k: "topK", top_p: "topP", seed: "seed", max_tokens: "maxTokens" };
const SETTINGS = [...Object.keys(NUMBERS), "greedy", "thinking"];
const SAMPLING = ["temperature", "topK", "topP"];
export const COMMANDS = {
  "/help": ["", "this list"],
  "/reset": ["", "forget the conversation and start anew"],
  "/retry": ["", "answer the last question again"],
  "/edit": ["TEXT", "ask something else in place of the last question"],
  "/system": ["[TEXT]", "show the system message, or set it; - takes it away"],
  "/set": ["[NAME VALUE]", `show settings, or set one: ${SETTINGS.join(", ")}`],
  "/save": ["FILE", "write the conversation as JSON"],
  "/load": ["FILE", "go on with a conversation that was written as JSON"],
  "/stats": ["", "tokens and speed of the last answer"],
  "/exit": ["", "leave"],
};

/** What was typed can't be done; the message says why. */
export class CommandError extends Error {}

export class Conversation {
  last = null; // the last reply

  /** @param {string} model its name; @param {string} [system]; @param {object} options of replies, as Model.reply takes them */
  constructor(model, system, options) {
    Object.assign(this, { model, system, options, turns: [] });
  }

  get messages() {
    return [...(this.system ? [{ role: "system", content: this.system }] : []), ...this.turns];
  }

  /** Remember a question and its answer. */
  add(question, reply) {
    this.last = reply;
    if (!reply.ids.length) return;
    const thinking = reply.thinking ? { reasoning_content: reply.thinking } : {};
    this.turns.push({ role: "user", content: question }, { role: "assistant", content: reply.answer, ...thinking });
  }

  /** Forget the last question and its answer; the question. */
  takeBack() {
    const place = this.turns.findLastIndex(({ role }) => role === "user");
    if (place < 0) throw new CommandError("nothing was asked yet");
    return this.turns.splice(place)[0].content;
  }

  /**
   * Do what a command says.
   * @returns {{say?: string, ask?: string, leave?: boolean}} what to tell the user, and what to ask the model then
   */
  obey(line) {
    const [name] = line.split(/\s/, 1);
    const rest = line.slice(name.length).trim();
    if (!(name in COMMANDS)) throw new CommandError(`no command ${name}; /help lists them`);
    if (rest && !COMMANDS[name][0]) throw new CommandError(`${name} stands alone`);
    if (!rest && /^[A-Z]/.test(COMMANDS[name][0])) throw new CommandError(`${name} needs ${COMMANDS[name][0]}`);
    return this[`_${name.slice(1)}`](rest);
  }

  _help() {
    return { say: Object.entries(COMMANDS).map(([name, [args, meaning]]) => `${`${name} ${args}`.padEnd(19)} ${meaning}`).join("\n") };
  }

  _exit() {
    return { leave: true };
  }

  _reset() {
    this.turns = [];
    return { say: "the conversation starts anew" };
  }

  _retry() {
    return { ask: this.takeBack() };
  }

  _edit(text) {
    this.takeBack();
    return { ask: text };
  }

  _system(text) {
    if (text) this.system = text === "-" ? undefined : text;
    return { say: this.system ? `system: ${this.system}` : "there is no system message" };
  }

  _set(text) {
    if (text) this.options = changed(this.options, ...text.replace("=", " ").split(/\s+/, 2));
    return { say: SETTINGS.map((name) => `${name.padEnd(12)} ${shown(this.options, name)}`).join("\n") };
  }

  _save(file) {
    try {
      if (readable(file)) this.#read(file); // what is no conversation isn't replaced
      writeFileSync(file, `${JSON.stringify({ model: this.model, messages: this.messages }, null, 1)}\n`);
    } catch (error) {
      throw error instanceof CommandError ? error : new CommandError(`can't write ${file}: ${error.message}`);
    }
    return { say: `written to ${file}` };
  }

  _load(file) {
    const messages = this.#read(file);
    const opening = messages[0]?.role === "system" ? messages.shift().content : undefined;
    Object.assign(this, { system: opening, turns: messages });
    return { say: `${messages.length} messages; the conversation goes on` };
  }

  _stats() {
    if (!this.last) return { say: "nothing was answered yet" };
    const { ids, prompt, reusedTokens, prefillSeconds, tokensPerSecond } = this.last;
    const speed = tokensPerSecond === null ? "" : ` at ${tokensPerSecond.toFixed(1)} tokens/s`;
    return {
      say: `last answer  ${ids.length} tokens${speed}\n`
        + `its prompt   ${prompt.length} tokens, ${reusedTokens} of them in the cache already, read in ${prefillSeconds.toFixed(2)} s`,
    };
  }

  #read(file) {
    let found;
    try {
      found = JSON.parse(readFileSync(file, "utf8"));
    } catch (error) {
      throw new CommandError(`${file} is no conversation: ${error.message}`);
    }
    const messages = Array.isArray(found) ? found : found?.messages;
    const valid = (one) => ROLES.includes(one?.role) && typeof one.content === "string";
    if (!Array.isArray(messages) || !messages.every(valid)) throw new CommandError(`${file} is no conversation: it has no messages`);
    return messages;
  }
}

/** Whether a line is a command, or a word alone that looks like one. */
export const isCommand = (line) => line.split(/\s/, 1)[0] in COMMANDS || /^\/\S*$/.test(line);

function readable(file) {
  try {
    return readFileSync(file).length >= 0;
  } catch {
    return false;
  }
}

/** Options with one setting changed. Sampling and being greedy end one another. */
function changed(options, name, value) {
  if (!SETTINGS.includes(name)) throw new CommandError(`no setting ${name}; there is ${SETTINGS.join(", ")}`);
  if (value === undefined) throw new CommandError(`/set ${name} needs a value`);
  const { [NUMBERS[name] ?? name]: _, ...rest } = options;
  if (name in NUMBERS) {
    if (value === "default") return rest;
    if (!Number.isFinite(Number(value))) throw new CommandError(`${name} is ${value}; choose a number, or default`);
    return { ...rest, [NUMBERS[name]]: Number(value), ...(SAMPLING.includes(NUMBERS[name]) ? { greedy: false } : {}) };
  }
  if (!["on", "off", "default"].includes(value)) throw new CommandError(`${name} is ${value}; choose on, off or default`);
  if (name === "thinking") return { ...options, template: value === "default" ? {} : { enable_thinking: value === "on" } };
  for (const sampling of value === "on" ? [...SAMPLING, "seed"] : []) delete rest[sampling];
  return value === "default" ? rest : { ...rest, greedy: value === "on" };
}

function shown(options, name) {
  const value = name === "thinking" ? options.template?.enable_thinking : options[NUMBERS[name] ?? name];
  return value === undefined ? "default" : value === true ? "on" : value === false ? "off" : value;
}
