// Models and writers, in workers: one for the small models, and one for each large model, so that none waits for it.

import { complain } from "./dom.js";

const LARGE = 1_000_000; // bytes of a file that is fetched with a progress bar

class Engine {
  constructor() {
    this.asked = new Map();
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data: { id, ok, error, ...answer } }) => {
      const { resolve, reject } = this.asked.get(id);
      this.asked.delete(id);
      if (ok) resolve(answer);
      else reject(new Error(error));
    });
    this.worker.addEventListener("error", () => complain("This browser cannot run the page's worker."));
  }

  ask(type, values, transfer = []) {
    const id = Engine.asks++;
    this.worker.postMessage({ id, type, ...values }, transfer);
    return new Promise((resolve, reject) => this.asked.set(id, { resolve, reject }));
  }

  static asks = 0;
}

const shared = new Engine();
const loaded = new Map(); // file → promise of a model
export const own = { entry: null, buffer: null };

// What there is: { models: [{ name, title, idea, … }] }.
export const catalogue = fetch("models/index.json").then((response) => {
  if (!response.ok) throw new Error("The page has no weights: models/index.json is missing. python -m tools.page_models makes them.");
  return response.json();
});

// The file of a model at a step, or the last before it; with a fault, of the model that was trained with it.
export function fileOf(entry, step = Infinity, fault = "") {
  const broken = fault && entry.broken?.find(({ name }) => name === fault);
  if (broken) return broken;
  const snapshots = (entry.snapshots ?? []).filter((snapshot) => snapshot.step <= step);
  return step >= lastStep(entry) || !snapshots.length ? entry : snapshots.at(-1);
}

export const lastStep = (entry) => Math.max(...(entry.log ?? [[0]]).map(([step]) => step));

// → { engine, name, config, vocabulary, parameters, step }; loaded once. progress(share) is called for large files.
export function ready({ file, bytes }, progress = () => {}) {
  if (!loaded.has(file)) {
    const promise = load(file, bytes, progress);
    promise.catch(() => loaded.delete(file));
    loaded.set(file, promise);
  }
  return loaded.get(file);
}

async function load(file, bytes, progress) {
  const engine = bytes > LARGE ? new Engine() : shared;
  const url = new URL(`models/${file}`, document.baseURI).href;
  const values = own.entry?.file === file ? { buffer: own.buffer.slice(0) } : bytes > LARGE ? { buffer: await fetched(url, bytes, progress) } : { url };
  const { model } = await engine.ask("load", { name: file, ...values }, values.buffer ? [values.buffer] : []);
  return { ...model, engine, name: file };
}

async function fetched(url, bytes, progress) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} is not there (${response.status}).`);
  const parts = [];
  let size = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts).arrayBuffer();
    parts.push(value);
    progress(Math.min(1, (size += value.length) / bytes));
  }
}

// A model of one's own, from bytes. Throws Error, in words, if it cannot be read.
export async function takeOwn(title, buffer) {
  const file = `own ${Engine.asks}`;
  const entry = { name: "own", title, idea: "your own model", file, bytes: buffer.byteLength, log: null, snapshots: [] };
  const before = { ...own };
  Object.assign(own, { entry, buffer });
  try {
    Object.assign(entry, { parameters: (await ready(entry)).parameters });
  } catch (error) {
    Object.assign(own, before);
    throw error;
  }
  return entry;
}

// The models of the page, and one's own.
export const entries = async () => [...(await catalogue).models, ...(own.entry ? [own.entry] : [])];

// A text that a model writes: the same for the same settings.
export class Text {
  static writers = 0;
  constructor() {
    this.writer = Text.writers++;
    this.turn = 0;
  }

  // Begin again. → false if it was begun once more before the model was there.
  async start(file, { prompt, seed, temperature }, progress) {
    const turn = ++this.turn;
    this.model = null;
    const model = await ready(file, progress);
    if (turn !== this.turn) return false;
    await model.engine.ask("start", { writer: this.writer, name: model.name, prompt, seed, temperature, crop: "window" });
    if (turn !== this.turn) return false;
    this.model = model;
    return true;
  }

  // The next characters; "" if the text was begun again meanwhile.
  async next(characters) {
    const turn = this.turn;
    const { text } = await this.model.engine.ask("next", { writer: this.writer, count: characters });
    return turn === this.turn ? text : "";
  }
}

// What happens inside a model when it reads a text.
export async function look(file, text) {
  const model = await ready(file);
  const { seen } = await model.engine.ask("look", { name: model.name, text });
  return { ...seen, model };
}
