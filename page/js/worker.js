// Models live here, so that the page never waits for them. A message { id, type, … } is answered by { id, ok, … }.

import { encode, loadModel, look, Writer } from "./gpt.js";

const models = new Map(); // name → model
const writers = new Map(); // number → Writer

const answers = {
  async load({ name, url, buffer }) {
    if (!buffer) {
      const response = await fetch(url);
      if (!response.ok) throw new Error(`${url} is not there (${response.status}).`);
      buffer = await response.arrayBuffer();
    }
    const model = loadModel(buffer);
    models.set(name, model);
    const { step, fault, config, vocabulary, parameters } = model;
    return { model: { name: model.name, step, fault, config, vocabulary, parameters } };
  },

  start({ writer, name, ...settings }) {
    writers.set(writer, new Writer(model(name), settings));
    return {};
  },

  next({ writer, count = 1 }) {
    const start = performance.now();
    const by = writers.get(writer);
    const text = Array.from({ length: count }, () => by.next()).join("");
    return { text, seconds: (performance.now() - start) / 1000 };
  },

  look({ name, text }) {
    const by = model(name);
    return { seen: look(by, encode(by, text)) };
  },

  drop({ name }) {
    models.delete(name);
    return {};
  },
};

function model(name) {
  if (!models.has(name)) throw new Error(`No weights of ${name} are loaded.`);
  return models.get(name);
}

self.addEventListener("message", async ({ data: { id, type, ...rest } }) => {
  try {
    self.postMessage({ id, ok: true, ...(await answers[type](rest)) });
  } catch (error) {
    self.postMessage({ id, ok: false, error: error.message });
  }
});
