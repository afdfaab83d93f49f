// node ask.js FOLDER MESSAGE: one answer, through the pipeline as transformers.js's users know it.

import { resolve } from "node:path";

import { env, pipeline, TextStreamer } from "@huggingface/transformers";

const [folder, message] = process.argv.slice(2);
if (message === undefined) {
  console.error("usage: node ask.js FOLDER MESSAGE");
  process.exit(2);
}
env.allowRemoteModels = false; // the folder has everything
const generator = await pipeline("text-generation", resolve(folder));
const streamer = new TextStreamer(generator.tokenizer, { skip_prompt: true, skip_special_tokens: true });
await generator([{ role: "user", content: message }], { streamer });
