#!/usr/bin/env node
// node chat.js BUNDLE [--prompt TEXT] [options]: talk to a bundle, or answer one message.

import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";

import { CommandError, Conversation, isCommand } from "./conversation.js";
import { openModel } from "./open.js";

const USAGE = `usage: node chat.js BUNDLE [--prompt TEXT] [--system TEXT] [--no-thinking] [--json] [--max-tokens N]
                [--greedy | --temperature X --top-k N --top-p X --seed N] [--threads N] [--provider NAME]`;
const OPTIONS = {
  prompt: { type: "string" }, system: { type: "string" }, "no-thinking": { type: "boolean" }, json: { type: "boolean" },
  "max-tokens": { type: "string" }, greedy: { type: "boolean" }, temperature: { type: "string" }, "top-k": { type: "string" },
  "top-p": { type: "string" }, seed: { type: "string" }, threads: { type: "string" }, provider: { type: "string" },
  help: { type: "boolean" },
};

function readArguments() {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (values.help) return { help: true };
  if (positionals.length !== 1) throw new TypeError("name one bundle");
  if (values.json && values.prompt === undefined) throw new TypeError("--json prints the answer to a --prompt");
  const number = (name) => (values[name] === undefined ? undefined : Number(values[name]));
  const sampling = { temperature: number("temperature"), topK: number("top-k"), topP: number("top-p"), seed: number("seed") };
  const chosen = Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined));
  const samples = ["temperature", "topK", "topP"].some((name) => name in chosen);
  if (values.greedy && Object.keys(chosen).length) throw new TypeError("--greedy has no use for the options of sampling");
  return {
    folder: positionals[0], prompt: values.prompt, system: values.system, json: values.json ?? false,
    open: { threads: number("threads"), provider: values.provider },
    reply: {
      ...chosen, ...(samples ? { greedy: false } : values.greedy ? { greedy: true } : {}),
      ...(values["max-tokens"] === undefined ? {} : { maxTokens: number("max-tokens") }),
      template: values["no-thinking"] ? { enable_thinking: false } : {},
    },
  };
}

/** Stream a reply to stdout, thinking dimmed. */
async function show(model, messages, options) {
  const reply = model.reply(messages, options);
  const [dim, plain] = process.stdout.isTTY ? ["\x1b[2m", "\x1b[0m"] : ["", ""];
  for await (const { kind, text } of reply) process.stdout.write(kind === "answer" ? printable(text) : dim + printable(text) + plain);
  process.stdout.write("\n");
  return reply;
}

/** A model's text can't move the cursor or set the terminal's title. */
function printable(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}

async function answerOne(model, { prompt, json, reply: options }, messages) {
  messages.push({ role: "user", content: prompt });
  if (!json) {
    const stop = new AbortController();
    process.once("SIGINT", () => stop.abort());
    await show(model, messages, { ...options, signal: stop.signal });
    return;
  }
  const reply = model.reply(messages, options);
  for await (const _ of reply); // run it to its end
  console.log(JSON.stringify({
    text: reply.text, thinking: reply.thinking, answer: reply.answer, token_ids: reply.ids, finish_reason: reply.finishReason,
    usage: { prompt_tokens: reply.prompt.length, completion_tokens: reply.ids.length },
    timing: { prefill_seconds: reply.prefillSeconds, decode_seconds: reply.decodeSeconds },
    ...(reply.cached ? { cache: reply.cached } : {}),
  }));
}

async function converse(model, { system, reply: options }) {
  const conversation = new Conversation(model.bundle.manifest.source.model, system, options);
  console.log(`${conversation.model}; /help lists the commands, Ctrl-C stops an answer`);
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
  let stop = null; // ends the answer that is being written
  lines.on("SIGINT", () => {
    if (stop) return stop.abort();
    console.log("\n/exit leaves");
    lines.prompt();
  });
  lines.prompt();
  for await (const line of lines) {
    const before = conversation.turns.slice();
    try {
      const next = isCommand(line.trim()) ? conversation.obey(line.trim()) : { ask: line.trim() };
      if (next.leave) break;
      if (next.say) console.log(next.say);
      if (next.ask) {
        stop = new AbortController();
        const asked = [...conversation.messages, { role: "user", content: next.ask }];
        conversation.add(next.ask, await show(model, asked, { ...conversation.options, signal: stop.signal }));
      }
    } catch (error) {
      conversation.turns = before;
      if (!(error instanceof CommandError || error instanceof RangeError)) throw error;
      console.error(`error: ${error.message}${error instanceof RangeError ? "; /reset starts over" : ""}`);
    }
    stop = null;
    lines.prompt();
  }
  lines.close();
}

let choices;
try {
  choices = readArguments();
} catch (error) {
  console.error(`error: ${error.message}\n${USAGE}`);
  process.exit(2);
}
if (choices.help) {
  console.log(USAGE);
} else {
  try {
    const model = await openModel(choices.folder, choices.open);
    const messages = choices.system ? [{ role: "system", content: choices.system }] : [];
    await (choices.prompt === undefined ? converse : answerOne)(model, choices, messages);
    await model.close();
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
