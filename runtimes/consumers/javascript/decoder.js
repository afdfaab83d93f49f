// One sequence of tokens in a cache, and the logits that follow it. S new tokens, P past tokens, T = P + S, V vocabulary.

const ARRAYS = { float32: Float32Array, float16: Uint16Array, uint8: Uint8Array };

/** Tokens per step of a prefill. A step may compute logits of all its tokens, S · V numbers, so steps are kept short; from 64 on a
 * graph for the CPU takes its faster order of attention. */
const PREFILL_STEP = 128;

export class Decoder {
  /** @type {number[]} tokens in the cache */
  ids = [];
  /** @type {(() => Promise<void>)|null} awaited after each step: a chance for whoever drives it to do something else */
  breathe = null;

  /**
   * @param {{Tensor: Function}} ort onnxruntime-node or onnxruntime-web
   * @param {object} session an opened InferenceSession of the bundle's graph
   * @param {object} manifest the bundle's
   */
  constructor(ort, session, manifest) {
    this.ort = ort;
    this.session = session;
    this.cache = manifest.cache;
    /** Whether the last tokens can be taken back: each has one row in every tensor, and no later one changed it. */
    this.rewindable = this.cache.uniform !== false && this.cache.rewindable !== false;
    /** What the mask has for a step's last token: 1 + k asks for the logits of the last k only, where the graph reads that. */
    this.last = manifest.graph?.mask_keeps_logits ? 2 : 1;
    this.reserved = manifest.cache.length ?? null; // M of a cache of reserved length, null of one that grows
    this.contextLength = this.reserved ?? manifest.architecture.max_position_embeddings;
    /** The most tokens, in words of an error. */
    this.limit = this.reserved === null ? `the context of ${this.contextLength}`
      : `the ${this.reserved} that this bundle reserves; export it with a larger --max-length`;
    this.vocabSize = manifest.architecture.vocab_size;
    this.pasts = this.#emptyPasts();
  }

  /** Rows that each layer keeps, where that isn't one for each token; else null. */
  get rowsByLayer() {
    if (this.cache.uniform !== false) return null;
    const rows = [];
    for (const { past, layer } of this.cache.tensors) rows[layer] = this.pasts[past].dims[2];
    return rows;
  }

  /**
   * Make the prompt the cache's contents. What the cache holds of it already is not computed again; where tokens can't be taken
   * back, that is all of its tokens or none.
   * @param {AbortSignal} [signal] ends it between steps
   * @returns {Promise<{logits: Float32Array, reused: number}>} logits [V] after the prompt
   */
  async start(prompt, signal) {
    let shared = 0;
    while (shared < Math.min(this.ids.length, prompt.length - 1) && this.ids[shared] === prompt[shared]) shared++;
    if (!this.rewindable && shared < this.ids.length) shared = 0;
    await this.rewind(this.ids.length - shared);
    return { logits: await this.append(prompt.slice(shared), signal), reused: shared };
  }

  /** Run more tokens; logits [V] after the last. */
  async append(ids, signal) {
    this.#check(ids);
    let logits;
    for (let at = 0; at < ids.length; at += PREFILL_STEP) {
      signal?.throwIfAborted();
      logits = await this.#step(ids.slice(at, at + PREFILL_STEP), at + PREFILL_STEP >= ids.length);
    }
    return logits;
  }

  /** Drop the last tokens: as many as one likes where the cache is rewindable, else all or none. */
  async rewind(count) {
    if (count === 0) return;
    const length = this.ids.length - count;
    if (this.reserved !== null) {
      this.ids.length = length; // the mask says which rows are in use
      return;
    }
    if (length === 0) return this.reset();
    if (!this.rewindable) throw new RangeError(`can't take back ${count} of ${this.ids.length} tokens: rows of this cache are gone`);
    const kept = {};
    for (const { past, heads, width } of this.cache.tensors) {
      const data = await this.pasts[past].getData(); // from a GPU it has to come back to be cut
      const rows = data.length / heads;
      const cut = new data.constructor(heads * length * width);
      for (let head = 0; head < heads; head++) {
        cut.set(data.subarray(head * rows, head * rows + length * width), head * length * width);
      }
      kept[past] = new this.ort.Tensor(this.cache.dtype, cut, [1, heads, length, width]);
    }
    this.#replacePasts(kept);
    this.ids.length = length;
  }

  reset() {
    if (this.reserved === null) this.#replacePasts(this.#emptyPasts());
    this.ids = [];
  }

  async close() {
    this.#replacePasts({});
    await this.session.release();
  }

  async #step(ids, wantsLogits) {
    const past = this.ids.length;
    const total = past + ids.length;
    const feeds = {
      ...this.pasts, // [1, heads, P or M, width] each
      input_ids: this.#integers(ids), // [1, S]
      attention_mask: this.#integers( // [1, T or M]
        [...Array(total - 1).fill(1), this.last, ...Array((this.reserved ?? total) - total).fill(0)]),
      position_ids: this.#integers(ids.map((_, index) => past + index)), // [1, S]
    };
    const presents = this.cache.tensors.map((tensor) => tensor.present);
    // Also where the length is reserved: onnxruntime-web doesn't write into tensors that it is given for outputs.
    const results = await this.session.run(feeds, wantsLogits ? ["logits", ...presents] : presents);
    this.#replacePasts(Object.fromEntries(this.cache.tensors.map((tensor) => [tensor.past, results[tensor.present]])));
    this.ids.push(...ids);
    await this.breathe?.();
    return wantsLogits ? lastRow(results.logits, this.vocabSize) : undefined;
  }

  #integers(values) {
    return new this.ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  }

  #emptyPasts() {
    const array = ARRAYS[this.cache.dtype];
    if (!array) throw new Error(`a cache of ${this.cache.dtype}; this reader knows ${Object.keys(ARRAYS).join(", ")}`);
    const rows = this.reserved ?? 0;
    const empty = ({ past, heads, width }) =>
      [past, new this.ort.Tensor(this.cache.dtype, new array(heads * rows * width), [1, heads, rows, width])];
    return Object.fromEntries(this.cache.tensors.map(empty));
  }

  #replacePasts(pasts) {
    for (const tensor of Object.values(this.pasts ?? {})) tensor.dispose?.(); // a GPU's memory is not garbage collected
    this.pasts = pasts;
  }

  #check(ids) {
    if (ids.length === 0) throw new RangeError("no tokens to run");
    if (this.ids.length + ids.length > this.contextLength) {
      throw new RangeError(`${this.ids.length + ids.length} tokens are more than ${this.limit}`);
    }
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= this.vocabSize);
    if (wrong !== undefined) throw new RangeError(`token id ${wrong} is outside the vocabulary of ${this.vocabSize}`);
  }
}

function lastRow(logits, vocabSize) {
  const row = logits.data.subarray(logits.data.length - vocabSize);
  if (logits.type === "float32") return row.slice();
  if (row instanceof Uint16Array) return Float32Array.from(row, halfToNumber);
  return Float32Array.from(row); // a Float16Array, where the platform has them
}

/** IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits. */
export function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
