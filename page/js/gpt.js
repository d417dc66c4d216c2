// The GPT of tasks 1 to 7 and 9, as their Python files have it: which parts a model has is read from its tensors' names.
//
// In shape comments: T time (rows that are computed), S all rows so far, C = n_embd, H heads, D head size, V vocabulary.
// A matrix is a Float32Array of its rows.

import { generator, sample, softmax } from "./random.js";
import { readSafetensors } from "./safetensors.js";

const EPSILON = 1e-5; // of LayerNorm

// A safetensors file with configuration and vocabulary in its header → a model. Throws Error if it is not one of ours.
export function loadModel(buffer) {
  const { metadata, tensors } = readSafetensors(buffer);
  if (!metadata.config || !metadata.vocabulary || !tensors["token_embedding.weight"]) {
    throw new Error("The file holds no model of these lessons. python -m tools.export makes one from a .pt file.");
  }
  const config = JSON.parse(metadata.config);
  const vocabulary = Array.from(JSON.parse(metadata.vocabulary)); // of symbols, each of which may be two UTF-16 units
  const layers = Object.keys(tensors).filter((name) => name.endsWith("attention.qkv.weight") || name === "attention.key.weight");
  const blocks = layers.map((_, i) => (layers.length > 1 || tensors["blocks.0.attention.qkv.weight"] ? `blocks.${i}.` : ""));
  const parameters = Object.values(tensors).reduce((total, { data }) => total + data.length, 0);
  const { model_name: name, step, fault = "" } = metadata;
  return { name, step: Number(step), fault, config, vocabulary, parameters, tensors, blocks };
}

// The keys and values of the tokens that were read, of each block; `rows` of them.
export class KVCache {
  constructor(model) {
    const size = model.config.block_size * model.config.n_embd;
    this.rows = 0;
    this.blocks = model.blocks.map(() => ({ keys: new Float32Array(size), values: new Float32Array(size) }));
  }

  // New keys and values (T, C) of a block → all of them (S, C).
  update(i, keys, values, C) {
    const cached = this.blocks[i];
    cached.keys.set(keys, this.rows * C);
    cached.values.set(values, this.rows * C);
    return cached;
  }
}

// Tokens after those in the cache (T) → logits (V) of the token after the last. `seen` collects what happens inside.
export function forward(model, tokens, cache = new KVCache(model), seen = null) {
  const T = tokens.length;
  let x = embed(model, tokens, cache.rows); // (T, C)
  model.blocks.forEach((block, i) => {
    x = runBlock(model, block, i, x, T, cache, seen); // (T, C)
    seen?.lens.push(output(model, x, T)); // (V)
  });
  cache.rows += T;
  return output(model, x, T); // (V)
}

// (block_size, C), where the model has one: task 9 rotates instead, and one broken model never added its own.
function positionTable({ tensors, fault }) {
  return fault === "no_positions" ? undefined : tensors["position_embedding.weight"]?.data;
}

function embed(model, tokens, first) {
  const C = model.config.n_embd;
  const table = model.tensors["token_embedding.weight"].data; // (V, C)
  const positions = positionTable(model);
  const x = new Float32Array(tokens.length * C); // (T, C)
  tokens.forEach((token, t) => {
    for (let c = 0; c < C; c++) {
      x[t * C + c] = table[token * C + c] + (positions ? positions[(first + t) * C + c] : 0);
    }
  });
  return x;
}

function runBlock(model, block, i, x, T, cache, seen) {
  const { tensors, fault } = model;
  const skips = tensors[`${block}attention.projection.weight`]; // from task 5 on
  let branch = norm(model, `${block}attention_norm`, x); // (T, C)
  branch = selfAttention(model, block, i, branch, T, cache, seen); // (T, C)
  x = skips && fault !== "no_skip" ? add(x, branch) : branch;
  if (!tensors[`${block}feed_forward.layers.0.weight`]) return x;
  branch = feedForward(model, block, norm(model, `${block}feed_forward_norm`, x)); // (T, C)
  return skips ? add(x, branch) : branch;
}

function selfAttention(model, block, i, x, T, cache, seen) {
  const { config, tensors, fault } = model;
  const H = config.n_head ?? 1;
  const { k, q, v } = heads(model, block, x, T, H); // (T, H·D) each
  const C = k.length / T;
  const D = C / H;
  if (!tensors["position_embedding.weight"]) {
    rotate(k, T, H, cache.rows);
    rotate(q, T, H, cache.rows);
  }
  const first = cache.rows;
  const S = first + T;
  const { keys, values } = cache.update(i, k, v, C); // (S, H·D)
  const size = config.head_size ?? config.n_embd;
  const scale = fault === "no_scale" ? 1 : size ** -0.5;
  const mixed = new Float32Array(T * C); // (T, H·D)
  for (let h = 0; h < H; h++) {
    const scores = new Float32Array(T * S).fill(-Infinity); // (T, S)
    for (let t = 0; t < T; t++) {
      const last = fault === "no_mask" ? S - 1 : first + t;
      for (let s = 0; s <= last; s++) {
        let sum = 0;
        for (let d = h * D; d < (h + 1) * D; d++) sum += q[t * C + d] * keys[s * C + d];
        scores[t * S + s] = sum * scale;
      }
    }
    const weights = scores.slice(); // (T, S)
    if (fault === "softmax_over_queries") normalize(weights, S, T, 1, S);
    else normalize(weights, T, S, S, 1);
    for (let t = 0; t < T; t++) {
      for (let s = 0; s < S; s++) {
        const weight = weights[t * S + s];
        if (weight) for (let d = h * D; d < (h + 1) * D; d++) mixed[t * C + d] += weight * values[s * C + d];
      }
    }
    seen?.heads.push({ block: i, head: h, q: column(q, T, C, h, D), k: column(keys, S, C, h, D), v: column(values, S, C, h, D), scores, weights, scale });
  }
  return tensors[`${block}attention.projection.weight`] ? linear(model, `${block}attention.projection`, mixed) : mixed;
}

// x (T, C) → keys, queries and values (T, H·D). The rows of qkv are key, query, value of each head.
function heads(model, block, x, T, H) {
  const names = { k: "key", q: "query", v: "value" };
  if (model.tensors[`${block}attention.key.weight`]) {
    return Object.fromEntries(Object.entries(names).map(([n, name]) => [n, linear(model, `${block}attention.${name}`, x)]));
  }
  const all = linear(model, `${block}attention.qkv`, x); // (T, 3·H·D)
  const D = all.length / T / H / 3;
  const parts = { k: new Float32Array(T * H * D), q: new Float32Array(T * H * D), v: new Float32Array(T * H * D) };
  for (let t = 0; t < T; t++) {
    for (let h = 0; h < H; h++) {
      ["k", "q", "v"].forEach((n, role) => {
        const start = ((t * H + h) * 3 + role) * D;
        parts[n].set(all.subarray(start, start + D), (t * H + h) * D);
      });
    }
  }
  return parts;
}

// Turn coordinates i and i + D/2 of each head's vectors as one point in a plane, by position times frequency (task 9).
function rotate(x, T, H, first) {
  const D = x.length / T / H;
  for (let row = 0; row < T * H; row++) {
    const position = first + Math.floor(row / H);
    for (let i = 0; i < D / 2; i++) {
      const angle = Math.fround(position * Math.fround(10_000 ** ((-2 * i) / D)));
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const [a, b] = [x[row * D + i], x[row * D + D / 2 + i]];
      x[row * D + i] = a * cos - b * sin;
      x[row * D + D / 2 + i] = a * sin + b * cos;
    }
  }
}

function feedForward(model, block, x) {
  const hidden = linear(model, `${block}feed_forward.layers.0`, x).map((value) => Math.max(0, value)); // (T, 4C)
  const second = `${block}feed_forward.layers.2`;
  return model.tensors[`${second}.weight`] ? linear(model, second, hidden) : hidden; // (T, C)
}

// The last of T rows (T, C) → logits (V).
function output(model, x, T) {
  return linear(model, "lm_head", norm(model, "final_norm", x.subarray(-x.length / T)));
}

// (T, in) → (T, out): each row times each row of the weights (out, in).
function linear({ tensors }, name, x) {
  const { shape: [rows, columns], data } = tensors[`${name}.weight`];
  const bias = tensors[`${name}.bias`]?.data;
  const T = x.length / columns;
  const y = new Float32Array(T * rows);
  for (let t = 0; t < T; t++) {
    for (let o = 0; o < rows; o++) {
      let sum = bias ? bias[o] : 0;
      for (let i = 0, w = o * columns, at = t * columns; i < columns; i++) sum += data[w + i] * x[at + i];
      y[t * rows + o] = sum;
    }
  }
  return y;
}

// LayerNorm of each row, where the model has it (from task 6 on).
function norm({ tensors }, name, x) {
  if (!tensors[`${name}.weight`]) return x;
  const [gain, shift] = [tensors[`${name}.weight`].data, tensors[`${name}.bias`].data];
  const C = gain.length;
  const y = new Float32Array(x.length);
  for (let row = 0; row < x.length; row += C) {
    let [mean, variance] = [0, 0];
    for (let c = 0; c < C; c++) mean += x[row + c] / C;
    for (let c = 0; c < C; c++) variance += (x[row + c] - mean) ** 2 / C;
    const scale = 1 / Math.sqrt(variance + EPSILON);
    for (let c = 0; c < C; c++) y[row + c] = (x[row + c] - mean) * scale * gain[c] + shift[c];
  }
  return y;
}

// Softmax of `count` lines of `length` numbers: line n begins at n · step, and its numbers are `stride` apart.
function normalize(x, count, length, step, stride) {
  for (let n = 0; n < count; n++) {
    let [most, sum] = [-Infinity, 0];
    for (let j = 0; j < length; j++) most = Math.max(most, x[n * step + j * stride]);
    for (let j = 0; j < length; j++) sum += x[n * step + j * stride] = Math.exp(x[n * step + j * stride] - most);
    for (let j = 0; j < length; j++) x[n * step + j * stride] /= sum;
  }
}

const add = (x, y) => x.map((value, i) => value + y[i]);

// The columns of one head: (T, H·D) → (T, D).
function column(x, T, C, h, D) {
  const y = new Float32Array(T * D);
  for (let t = 0; t < T; t++) y.set(x.subarray(t * C + h * D, t * C + (h + 1) * D), t * D);
  return y;
}

// All that the last token's prediction was made of: { heads: [{ block, head, q, k, v, scores, weights (T·T), scale }],
// lens: [logits (V) after each block], logits (V), probabilities (V), positions: the table (block_size, C), if there is
// one }. The text is cut to its last block.
export function look(model, tokens) {
  const seen = { tokens: tokens.slice(-model.config.block_size), heads: [], lens: [] };
  const logits = forward(model, seen.tokens, new KVCache(model), seen);
  return { ...seen, logits, positions: positionTable(model), probabilities: softmax(logits) };
}

// Characters → tokens. Throws Error for one that the model does not know.
export function encode(model, text) {
  return Array.from(text, (character) => {
    const token = model.vocabulary.indexOf(character);
    if (token < 0) throw new Error(`The model does not know the character “${character}”.`);
    return token;
  });
}

// Writes without end, a character at a call of `next`.
export class Writer {
  // crop: what is read when the block is full. "window": its last `block_size` tokens again, as the lessons'
  // generate; "half": its last half, then on with the cache, as task 8.
  constructor(model, { prompt = "\n", seed = 1, temperature = 1, crop = "window" } = {}) {
    Object.assign(this, { model, temperature, crop, random: generator(seed), tokens: encode(model, prompt || "\n") });
    this.cache = new KVCache(model);
    this.read = 0; // tokens that the cache holds, or held before it was made again
  }

  next() {
    const { model, tokens, crop } = this;
    const longest = model.config.block_size;
    const looksAhead = ["no_mask", "softmax_over_queries"].includes(model.fault); // earlier rows depend on later ones
    const added = tokens.length - this.read;
    if (looksAhead || this.cache.rows + added > longest) {
      this.cache = new KVCache(model);
      const full = tokens.length > longest && crop === "half";
      this.read = Math.max(0, tokens.length - (full ? Math.max(1, longest >> 1) : longest));
    }
    const logits = forward(model, tokens.slice(this.read), this.cache);
    this.read = tokens.length;
    const token = sample(logits, this.temperature, this.random);
    tokens.push(token);
    if (tokens.length > 4 * longest) {
      this.read -= tokens.length - 2 * longest;
      tokens.splice(0, tokens.length - 2 * longest);
    }
    return model.vocabulary[token];
  }
}
