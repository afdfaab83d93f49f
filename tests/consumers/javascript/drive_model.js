// Runs the JavaScript core in Node on a bundle. A job comes as JSON on stdin, what was found goes as JSON to stdout.
//
// job: {bundle, texts, chats, prompts, questions, distributions, tokens, asked}; the last two may be left out

import { openModel } from "./node/open.js";
import { distribution } from "./javascript/sampling.js";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const job = JSON.parse(input);
const model = await openModel(job.bundle, { threads: 1 });
const { tokenizer, template, decoder } = model;

const texts = job.texts.map((text) => {
  const ids = tokenizer.encode(text, { special: true });
  const stream = tokenizer.stream();
  const pieces = [...ids.map((id) => stream.push(id)), stream.finish()];
  return { ids, text: tokenizer.decode(ids), plain: tokenizer.encode(text), pieces };
});
const chats = job.chats.map(({ messages, options }) => template.prompt(messages, options));

const logits = [];
for (const ids of job.prompts) {
  decoder.reset();
  logits.push(Array.from(await decoder.append(ids)));
}
// The same prompts again, from the other end, in a cache that holds the one before: what they share is kept.
const again = [];
for (const ids of [...job.prompts].reverse()) {
  const { logits: row, reused } = await decoder.start(ids);
  again.unshift({ logits: Array.from(row), reused });
}

const answers = [];
for (const text of job.questions) {
  const reply = model.reply([{ role: "user", content: text }], { maxTokens: job.tokens });
  const pieces = [];
  for await (const piece of reply) pieces.push(piece);
  const { ids, thinking, answer, finishReason } = reply;
  answers.push({ ids, text: reply.text, thinking, answer, finishReason, pieces });
}
// Prompts in one cache, each after the one before.
const asked = [];
decoder.reset();
for (const { ids, tokens } of job.asked ?? []) {
  const reply = model.continue(ids, { maxTokens: tokens.length, greedy: true });
  for await (const _ of reply);
  asked.push({ ids: reply.ids, reused: reply.reusedTokens, cached: reply.cached });
}
const distributions = job.distributions.map(({ logits: row, ...sampling }) => distribution(Float32Array.from(row), sampling));
await model.close();
console.log(JSON.stringify({ texts, chats, logits, again, answers, asked, distributions, ends: [...model.endIds] }));
