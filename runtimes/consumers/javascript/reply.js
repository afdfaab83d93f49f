// Prompt tokens → a reply, token by token.

import { Sampler } from "./sampling.js";
import { ThinkingSplitter } from "./thinking.js";

export class Reply {
  /** Generated ids; the end token is not among them. */
  ids = [];
  /** All text that was generated, think tags included, and its two parts without the white space around them. */
  text = "";
  thinking = "";
  answer = "";
  /** @type {"stop"|"length"|"cancelled"|null} null while it goes on */
  finishReason = null;
  prefillSeconds = 0;
  decodeSeconds = 0;
  reusedTokens = 0;
  steps = 0;
  /** What the cache holds at the end: tokens, and the rows that each layer keeps of them; null where layers keep one for each. */
  cached = null;

  /**
   * @param {import("./model.js").Model} model
   * @param {number[]} prompt
   * @param {{maxTokens: number, signal?: AbortSignal, thinking: boolean, sampling: import("./sampling.js").Sampling}} options
   */
  constructor(model, prompt, { maxTokens, signal, thinking, sampling }) {
    const room = model.decoder.contextLength - prompt.length;
    if (room < 1) throw new RangeError(`the prompt's ${prompt.length} tokens leave no room in ${model.decoder.limit}`);
    if (!Number.isInteger(maxTokens) || maxTokens < 1) throw new RangeError(`maxTokens is ${maxTokens}; expected a number from 1`);
    this.model = model;
    this.prompt = prompt;
    this.signal = signal;
    this.limit = Math.min(maxTokens, room);
    this.sampler = new Sampler(sampling);
    this.splitter = new ThinkingSplitter(thinking);
  }

  /** Steps of one token a second, the prompt's left out; null where there was none. */
  get tokensPerSecond() {
    return this.steps ? this.steps / this.decodeSeconds : null;
  }

  /** Pieces of text as they come: {kind: "thinking"|"answer"|"tag", text}. */
  async *[Symbol.asyncIterator]() {
    const { decoder, tokenizer, endIds } = this.model;
    const seen = new Set(this.prompt);
    const stream = tokenizer.stream();
    const started = performance.now();
    try {
      let { logits, reused } = await decoder.start(this.prompt, this.signal);
      this.reusedTokens = reused;
      const decodeStarted = performance.now();
      this.prefillSeconds = (decodeStarted - started) / 1000;
      while (this.finishReason === null) {
        this.signal?.throwIfAborted();
        const id = this.sampler.pick(logits, seen);
        if (endIds.has(id)) {
          this.finishReason = "stop";
          break;
        }
        this.ids.push(id);
        seen.add(id);
        yield* this.#sort(this.splitter.push(stream.push(id)));
        if (this.ids.length === this.limit) {
          this.finishReason = "length";
        } else {
          logits = await decoder.append([id], this.signal);
          this.steps++;
          this.decodeSeconds = (performance.now() - decodeStarted) / 1000;
        }
      }
    } catch (error) {
      if (!this.signal?.aborted) throw error;
      this.finishReason = "cancelled";
    }
    yield* this.#sort([...this.splitter.push(stream.finish()), ...this.splitter.finish()]);
    this.thinking = this.thinking.trim();
    this.answer = this.answer.trimStart();
    const rows = decoder.rowsByLayer;
    this.cached = rows && { tokens: decoder.ids.length, rows };
  }

  *#sort(parts) {
    for (const part of parts) {
      this.text += part.text;
      if (part.kind !== "tag") this[part.kind] += part.text;
      yield part;
    }
  }
}
