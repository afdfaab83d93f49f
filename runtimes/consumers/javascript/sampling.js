// Choosing the next token from logits. Names and order of the steps are transformers'.

/**
 * @typedef {object} Sampling
 * @property {boolean} greedy take the likeliest token
 * @property {number} temperature divides the logits; 0 is the same as greedy
 * @property {number} topK keep the k likeliest tokens; 0 keeps all
 * @property {number} topP keep the fewest tokens that together have this probability; 1 keeps all
 * @property {number} repetitionPenalty for tokens that are in the text already (Keskar et al. 2019); 1 does nothing
 * @property {number} [seed] of the random numbers; without it they are fresh
 */

/** The defaults that generation_config.json sets; without do_sample that is greedy. */
export function samplingFrom(config) {
  return {
    greedy: !config.do_sample,
    temperature: config.temperature ?? 1,
    topK: config.top_k ?? (config.do_sample ? 50 : 0), // as transformers fills in
    topP: config.top_p ?? 1,
    repetitionPenalty: config.repetition_penalty ?? 1,
  };
}

export class Sampler {
  /** @param {Sampling} sampling */
  constructor(sampling) {
    check(sampling);
    this.sampling = sampling;
    this.random = sampling.seed === undefined ? Math.random : seeded(sampling.seed);
  }

  /**
   * @param {Float32Array} logits [V]
   * @param {Set<number>} seen ids that the repetition penalty applies to
   */
  pick(logits, seen) {
    const { greedy, temperature, repetitionPenalty } = this.sampling;
    if (repetitionPenalty !== 1) {
      logits = logits.slice();
      for (const id of seen) logits[id] = logits[id] < 0 ? logits[id] * repetitionPenalty : logits[id] / repetitionPenalty;
    }
    const best = argmax(logits);
    if (!Number.isFinite(logits[best])) throw new Error("the model computed logits that are not numbers");
    if (greedy || temperature === 0) return best;
    const { ids, probabilities } = distribution(logits, this.sampling);
    let left = this.random();
    for (let index = 0; index < ids.length - 1; index++) {
      left -= probabilities[index];
      if (left < 0) return ids[index];
    }
    return ids[ids.length - 1];
  }
}

/** The tokens that may be drawn and their probabilities, likeliest first: temperature, then top_k, then top_p. */
export function distribution(logits, { temperature, topK, topP }) {
  const largest = logits[argmax(logits)];
  let ids = likeliest(logits, topK || logits.length);
  let weights = ids.map((id) => Math.exp((logits[id] - largest) / temperature));
  if (topP < 1) {
    const wanted = topP * sum(weights);
    let reached = 0;
    let kept = 0;
    while (kept < ids.length && reached < wanted) reached += weights[kept++]; // the first always stays
    ids = ids.slice(0, kept);
    weights = weights.slice(0, kept);
  }
  const total = sum(weights);
  return { ids, probabilities: weights.map((weight) => weight / total) };
}

/** The ids of the largest logits, largest first; of equal ones the lower id. */
function likeliest(logits, count) {
  let ids = Array.from(logits.keys());
  if (count < logits.length) {
    const threshold = logits.slice().sort()[logits.length - count];
    const above = ids.filter((id) => logits[id] > threshold);
    const level = ids.filter((id) => logits[id] === threshold);
    ids = above.concat(level.slice(0, count - above.length));
  }
  return ids.sort((one, other) => logits[other] - logits[one] || one - other);
}

function argmax(values) {
  let best = 0;
  for (let index = 1; index < values.length; index++) {
    if (values[index] > values[best] || Number.isNaN(values[best])) best = index;
  }
  return best;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** Marsaglia's xorshift with 32 bits of state. */
function seeded(seed) {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  for (let warming = 0; warming < 8; warming++) next();
  return next;
}

function check({ temperature, topK, topP, repetitionPenalty, seed }) {
  const require = (right, name, value, expected) => {
    if (!right) throw new RangeError(`${name} is ${value}; expected ${expected}`);
  };
  require(Number.isFinite(temperature) && temperature >= 0, "temperature", temperature, "a number from 0");
  require(Number.isInteger(topK) && topK >= 0, "top_k", topK, "a whole number from 0");
  require(topP > 0 && topP <= 1, "top_p", topP, "a number above 0, up to 1");
  require(Number.isFinite(repetitionPenalty) && repetitionPenalty > 0, "repetition_penalty", repetitionPenalty, "a number above 0");
  require(seed === undefined || (Number.isInteger(seed) && seed >= 0), "seed", seed, "a whole number from 0");
}
