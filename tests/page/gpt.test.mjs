// The page's forward pass gives PyTorch's numbers: node --test, with the folder of reference.py in REFERENCE.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { encode, forward, KVCache, loadModel, look, Writer } from "../../page/js/gpt.js";
import { generator, sample } from "../../page/js/random.js";
import { readSafetensors } from "../../page/js/safetensors.js";

const folder = process.env.REFERENCE;
const reference = JSON.parse(readFileSync(`${folder}/reference.json`, "utf8"));
const file = (name) => new Uint8Array(readFileSync(`${folder}/${name}.safetensors`)).buffer;

function near(got, expected, limit = 1e-4) {
  assert.equal(got.length, expected.length);
  got.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < limit, `${value}, expected ${expected[i]}`));
}

for (const [name, { texts, logits, greedy, weights }] of Object.entries(reference)) {
  const model = loadModel(file(name));

  test(`${name}: logits at every length`, () => texts.forEach((text, i) => near([...forward(model, text)], logits[i])));

  test(`${name}: the same text as its own generate, past the block`, () => {
    const writer = new Writer(model, { prompt: "\n", temperature: 0 });
    const text = Array.from(greedy, () => writer.next()).join("");
    assert.equal(text, greedy.map((token) => model.vocabulary[token]).join(""));
  });

  if (model.fault) continue;

  test(`${name}: logits token by token, with the cache`, () => {
    const cache = new KVCache(model);
    const text = texts.at(-1);
    let last;
    for (const token of text) last = forward(model, [token], cache);
    near([...last], logits.at(-1));
  });

  test(`${name}: where every head looks`, () => {
    const { heads, lens } = look(model, texts.at(-1));
    const T = texts.at(-1).length;
    near([...lens.at(-1)], logits.at(-1));
    for (const { block, head, weights: got } of heads) near([...got], weights[block][head].flat(), 1e-5);
    assert.equal(heads.length, weights.flat().length);
    assert.equal(heads[0].weights.length, T * T);
  });

  test(`${name}: half a block goes on after the block is full`, () => {
    const writer = new Writer(model, { prompt: "\n", temperature: 0, crop: "half" });
    const rows = Array.from({ length: 100 }, () => (writer.next(), writer.cache.rows));
    assert.equal(Math.max(...rows), model.config.block_size);
    assert.equal(Math.min(...rows.slice(model.config.block_size)), model.config.block_size / 2);
  });
}

test("the same seed writes the same text, another seed another", () => {
  const model = loadModel(file("task03"));
  const write = (seed) => {
    const writer = new Writer(model, { seed });
    return Array.from({ length: 40 }, () => writer.next()).join("");
  };
  assert.equal(write(5), write(5));
  assert.notEqual(write(5), write(6));
});

test("samples follow the probabilities", () => {
  const random = generator(3);
  const counts = [0, 0];
  for (let i = 0; i < 4000; i++) counts[sample([0, Math.log(3)], 1, random)]++;
  assert.ok(Math.abs(counts[1] / 4000 - 0.75) < 0.03);
  const cold = Array.from({ length: 4000 }, () => sample([0, Math.log(3)], 0.5, random));
  assert.ok(Math.abs(cold.reduce((sum, token) => sum + token) / 4000 - 0.9) < 0.02);
  assert.equal(sample([1, 3, 2], 0, random), 1);
});

test("what is no model is refused in words", () => {
  const whole = file("task01");
  assert.throws(() => readSafetensors(new ArrayBuffer(4)), /too short/);
  assert.throws(() => readSafetensors(new TextEncoder().encode("PK\x03\x04 a zip file, as .pt files are").buffer), /not a safetensors file/);
  assert.throws(() => readSafetensors(whole.slice(0, 3000)), /ends within the tensor/);
  assert.throws(() => encode(loadModel(whole), "é"), /does not know/);
});
