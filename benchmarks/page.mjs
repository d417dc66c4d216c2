// How fast do the page's models write? node benchmarks/page.mjs > docs/logs/page_writing.txt
//
// Characters a second of each model in page/models, on one core: with the key-value cache until the block is full, and
// reading the whole window again for each character, as the lessons' generate does.

import { readFileSync } from "node:fs";
import { cpus } from "node:os";

import { encode, forward, KVCache, loadModel } from "../page/js/gpt.js";

const folder = new URL("../page/models/", import.meta.url);
const { models } = JSON.parse(readFileSync(new URL("index.json", folder), "utf8"));
const TEXT = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n";
const SECONDS = 2;

function rate(step) {
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < 1000 * SECONDS) {
    step();
    count++;
  }
  return (count / (performance.now() - start)) * 1000;
}

console.log("$ node benchmarks/page.mjs");
console.log("| model | parameters | characters/s, cached | characters/s, a full window again |\n|---|---|---|---|");
for (const { name, file, parameters } of models) {
  const model = loadModel(new Uint8Array(readFileSync(new URL(file, folder))).buffer);
  const tokens = encode(model, TEXT.repeat(4)).slice(0, model.config.block_size);
  let cache = new KVCache(model);
  const cached = rate(() => {
    if (cache.rows === model.config.block_size) cache = new KVCache(model);
    forward(model, [tokens[cache.rows]], cache);
  });
  const again = rate(() => forward(model, tokens));
  console.log(`| ${name} | ${parameters.toLocaleString("en")} | ${cached.toFixed(0)} | ${again.toFixed(again < 10 ? 1 : 0)} |`);
}
console.log(`\n# Node.js ${process.version}, one core of ${cpus().length}, ${cpus()[0].model.trim()}`);
