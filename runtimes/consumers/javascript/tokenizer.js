// Text ↔ token ids, with the Tokenizer class of npm @huggingface/tokenizers.
//
// Added tokens (<|User|>, <think>, …) steer the model, so a caller says for each text whether their literals stand for the
// tokens (special: text that a template wrote) or are ordinary characters (text that a person wrote).

const NAMED_TOKENS = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
const REPLACEMENT = "\ufffd"; // what bytes that are no UTF-8 (yet) decode to

export class Tokenizer {
  #library;
  #json;
  #whole;
  #plainTwin;
  #acting; // ids of the added tokens
  #normalizes; // texts are normalized before such a token is looked for: others than its literal stand for it, too

  /**
   * @param {Function} library the Tokenizer class
   * @param {object} json tokenizer.json
   * @param {object} config tokenizer_config.json
   */
  constructor(library, json, config) {
    this.#library = library;
    this.#json = { ...json, truncation: null, padding: null };
    this.#whole = new library(this.#json, config);
    /** The named special tokens' texts, as chat templates read them. */
    this.named = {};
    for (const name of NAMED_TOKENS) {
      const text = config[name]?.content ?? config[name];
      if (typeof text === "string") this.named[name] = text;
    }
    const added = (json.added_tokens ?? []).filter((token) => token.content.trim());
    this.#acting = new Set(added.map((token) => token.id));
    this.#normalizes = Boolean(json.normalizer) && added.some((token) => token.normalized);
    const literals = added.map((token) => token.content);
    literals.sort((one, other) => other.length - one.length);
    /** Matches every added token's literal; a regular expression with the flag g. */
    this.addedPattern = new RegExp(literals.map(escaped).join("|") || "(?!)", "g");
  }

  /**
   * @param {boolean} [options.special] literals of added tokens become those tokens
   * @param {boolean} [options.frame] add what the tokenizer puts around a whole text (the begin-of-text token)
   */
  encode(text, { special = false, frame = false } = {}) {
    text = text.toWellFormed();
    if (text === "" && !frame) return [];
    const ordinary = special || (text.search(this.addedPattern) < 0 && !this.hidesLiterals(text));
    const tokenizer = ordinary ? this.#whole : this.#plain;
    return Array.from(tokenizer.encode(text, { add_special_tokens: frame }).ids, Number);
  }

  /** Whether a text without literals of added tokens would become one all the same. */
  hidesLiterals(text) {
    if (!this.#normalizes) return false;
    return Array.from(this.#whole.encode(text, { add_special_tokens: false }).ids, Number).some((id) => this.#acting.has(id));
  }

  decode(ids) {
    const known = Array.from(ids).filter((id) => this.#whole.id_to_token(id) !== undefined);
    return known.length ? this.#whole.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false }) : "";
  }

  stream() {
    return new TextStream(this);
  }

  /** A twin that knows no added token can't produce one. Made on first need: few texts have any. */
  get #plain() {
    this.#plainTwin ??= new this.#library({ ...this.#json, added_tokens: [] }, {});
    return this.#plainTwin;
  }
}

/** Tokens that surely hold any unfinished character: it has at most 3 bytes, and a token at least one. */
const TAIL = 8;

/** Turns ids into text as they come; a character spread over several tokens is held back until its last byte is there. */
export class TextStream {
  #pending = [];
  #emitted = 0; // characters of the pending ids' text that were handed out

  constructor(tokenizer) {
    this.tokenizer = tokenizer;
  }

  /** The text that this id completes, often empty. */
  push(id) {
    this.#pending.push(id);
    const text = this.tokenizer.decode(this.#pending);
    if (!text.endsWith(REPLACEMENT)) {
      const piece = text.slice(this.#emitted);
      this.#pending = [];
      this.#emitted = 0;
      return piece;
    }
    const piece = text.slice(this.#emitted, -1); // only the last U+FFFD may still turn into a character
    this.#emitted = text.length - 1;
    this.#trim(text);
    return piece;
  }

  /** What was held back. */
  finish() {
    const piece = this.tokenizer.decode(this.#pending).slice(this.#emitted);
    this.#pending = [];
    this.#emitted = 0;
    return piece;
  }

  /** Forget old tokens of a long run of broken bytes, so that a step's cost stays bounded. */
  #trim(text) {
    if (this.#pending.length < 4 * TAIL) return;
    const head = this.tokenizer.decode(this.#pending.slice(0, -TAIL));
    const tail = this.#pending.slice(-TAIL);
    if (head + this.tokenizer.decode(tail) === text && head.length <= this.#emitted) {
      this.#pending = tail;
      this.#emitted -= head.length;
    }
  }
}

function escaped(literal) {
  return literal.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
