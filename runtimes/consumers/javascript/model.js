// A bundle ready to talk: tokenizer, chat template and decoder in one object.

import { Bundle, BundleError } from "./bundle.js";
import { ChatTemplate } from "./chat.js";
import { Decoder } from "./decoder.js";
import { Reply } from "./reply.js";
import { samplingFrom } from "./sampling.js";
import { Tokenizer } from "./tokenizer.js";

export { Bundle, BundleError };

const DEFAULT_MAX_TOKENS = 1024;

export class Model {
  /**
   * @param {Bundle} bundle
   * @param {object} libraries what the caller imported: {ort, Tokenizer, Template}
   * @param {object} session an InferenceSession of the bundle's graph
   */
  static async create(bundle, libraries, session) {
    const config = await bundle.json("tokenizer_config.json");
    const tokenizer = new Tokenizer(libraries.Tokenizer, await bundle.json("tokenizer.json"), config);
    const source = bundle.has("chat_template.jinja") ? await bundle.text("chat_template.jinja") : config.chat_template;
    const template = typeof source === "string" ? new ChatTemplate(libraries.Template, source, tokenizer) : null;
    const decoder = new Decoder(libraries.ort, session, bundle.manifest);
    return new Model(bundle, tokenizer, template, decoder, await bundle.json("generation_config.json"));
  }

  constructor(bundle, tokenizer, template, decoder, generation) {
    this.bundle = bundle;
    this.tokenizer = tokenizer;
    this.template = template;
    this.decoder = decoder;
    this.sampling = samplingFrom(generation);
    this.maxTokens = generation.max_new_tokens ?? DEFAULT_MAX_TOKENS;
    const ends = generation.eos_token_id ?? bundle.manifest.architecture.eos_token_ids;
    this.endIds = new Set([ends].flat());
  }

  /**
   * A reply to iterate over.
   * @param {{role: string, content: string}[]} messages
   * @param {object} [options] maxTokens, signal, and what of the sampling (see sampling.js) to change; template: options of the
   *   chat template (enable_thinking, tools)
   * @returns {Reply}
   */
  reply(messages, { template = {}, ...options } = {}) {
    if (!this.template) throw new BundleError("the bundle has no chat template (a base model's has none)");
    const { ids, thinking } = this.template.prompt(messages, template);
    return this.continue(ids, { ...options, thinking });
  }

  /** Continue token ids; thinking: they end inside an open <think>. */
  continue(ids, { maxTokens = this.maxTokens, signal, thinking = false, ...sampling } = {}) {
    return new Reply(this, ids, { maxTokens, signal, thinking, sampling: { ...this.sampling, ...sampling } });
  }

  async close() {
    await this.decoder.close();
  }
}
