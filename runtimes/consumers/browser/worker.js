// The model lives here, so that the page stays responsive while it computes.
//
// Requests are {number, call, argument}, answers {number, result} or {number, error}; {event, …} comes in between.

import { chosen, served } from "./files.js";
import { openModel } from "./open.js";

let model = null;
let stop = null;

const calls = {
  /** {base} or {files}, and the provider that the address asks for */
  async open({ base, files, provider }) {
    await model?.close();
    model = null;
    const progress = (name, loaded, size) => postMessage({ event: "progress", name, loaded, size });
    const opened = await openModel(files ? chosen(files, progress) : served(new URL(base), progress), provider);
    model = opened.model;
    model.decoder.breathe = turn;
    const { family = "youtu", source, recipe, target, cache, architecture, files: sizes } = model.bundle.manifest;
    return {
      provider: opened.provider, threads: opened.threads, family, source, recipe, target, cache, architecture,
      bytes: Object.values(sizes).reduce((total, { size }) => total + size, 0),
    };
  },

  async reply({ messages, options }) {
    stop = new AbortController();
    const reply = model.reply(messages, { ...options, signal: stop.signal });
    for await (const piece of reply) postMessage({ event: "piece", ...piece });
    const { prompt, ids, text, thinking, answer, finishReason, cached } = reply;
    const { prefillSeconds, decodeSeconds, reusedTokens, tokensPerSecond } = reply;
    return {
      prompt, ids, text, thinking, answer, finishReason, cached, prefillSeconds, decodeSeconds, reusedTokens, tokensPerSecond,
    };
  },

  stop: async () => stop?.abort(),

  encode: async ({ text, options }) => model.tokenizer.encode(text, options),
  decode: async ({ ids }) => model.tokenizer.decode(ids),
  prompt: async ({ messages, options }) => model.template.prompt(messages, options),

  /** Logits after the ids; the cache is empty before and afterwards. */
  async logits({ ids }) {
    model.decoder.reset();
    const logits = await model.decoder.append(ids);
    model.decoder.reset();
    return logits;
  },
};

/** One turn of the event loop. WebAssembly computes without one, and a request to stop would wait for the reply's end. */
function turn() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

addEventListener("message", async ({ data: { number, call, argument } }) => {
  try {
    postMessage({ number, result: await calls[call](argument ?? {}) });
  } catch (error) {
    postMessage({ number, error: error.message });
  }
});
