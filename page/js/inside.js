// Inside: where every head looks from a character, what comes next, what the model thinks after each block.

import { complain, count, field, h, select, spoken, visible } from "./dom.js";
import { entries, fileOf, look } from "./engine.js";
import { arcs, attentionTable, bars, heatmap, numbers } from "./draw.js";
import { keepLink, state } from "./state.js";
import { positions } from "./positions.js";

export const title = "Inside: where each head looks, and what the model thinks";
const LONGEST = 24; // characters that are shown at once

export async function show(place) {
  const all = await entries();
  const entry = () => all.find(({ name }) => name === state.model) ?? all.at(-1);
  const parts = Object.fromEntries(["characters", "heads", "picture", "formula", "next", "lens", "positions"].map((name) => [name, h("section", { id: name })]));
  const steps = h("div");
  let seen; // of the whole text
  let [row, column] = [Infinity, Infinity];
  let turn = 0;

  place.append(
    h("form.controls", { onsubmit: (event) => event.preventDefault() },
      field("Model", select(all.map(({ name, idea }) => [name, `${titleOf(name)}: ${idea}`]), entry().name, (value) => { state.model = value; [state.block, state.head] = [0, 0]; choose(); })),
      steps,
      field("Text", h("input", { type: "text", value: state.prompt, maxlength: 200, required: true, size: 18, autocomplete: "off", spellcheck: "false", oninput: (event) => {
        if (!event.target.value) return;
        state.prompt = event.target.value;
        [row, column] = [Infinity, Infinity];
        read();
      } }))),
    parts.characters,
    h("div.columns", {}, h("div", {}, parts.picture, parts.formula), h("div", {}, parts.heads, parts.next, parts.lens)),
    parts.positions,
  );

  function choose() {
    const { snapshots = [] } = entry();
    const options = [...snapshots.map(({ step }) => [step, count(step)]), ["last", "the last"]];
    const value = snapshots.some(({ step }) => step === state.step) ? state.step : "last";
    steps.replaceChildren(snapshots.length ? field("Training step", select(options, value, (text) => { state.step = text === "last" ? Infinity : Number(text); read(); })) : "");
    return read();
  }

  // Read the text again, with the model that is chosen.
  async function read() {
    const now = ++turn;
    keepLink();
    complain("");
    try {
      const file = fileOf(entry(), state.step);
      const text = Array.from(state.prompt).slice(-Math.min(LONGEST, entry().config?.block_size ?? LONGEST)).join("");
      const found = await look(file, text);
      if (now !== turn) return;
      seen = found;
      seen.characters = seen.tokens.map((token) => seen.model.vocabulary[token]);
      row = Math.min(row, seen.characters.length - 1);
      column = Math.min(column, row);
      await draw();
    } catch (error) {
      if (now === turn) complain(error.message);
    }
  }

  const chosen = () => seen.heads.find(({ block, head }) => block === state.block && head === state.head) ?? seen.heads[0];

  async function draw() {
    const { characters, model } = seen;
    const { n_embd: C, n_head: H = 1 } = model.config;
    const T = characters.length;
    const head = chosen();
    const D = head.q.length / T;
    const last = head.block + 1;
    const where = `head ${head.head + 1} of block ${last}`;
    const focused = document.activeElement?.closest("section")?.id;
    parts.characters.replaceChildren(
      h("h2", {}, "Choose a character"),
      h("p.soft", {}, `B = 1, T = ${T}, C = ${C}, H = ${H}, D = ${D}, V = ${model.vocabulary.length}. The model sees ${count(model.config.block_size)} characters at most.`),
      h("div.letters", {}, characters.map((character, i) => h("button", { type: "button", "aria-pressed": String(i === row), "aria-label": `${spoken(character)}, number ${i + 1}`, onclick: () => { [row, column] = [i, Math.min(column, i)]; draw(); } }, visible(character)))));
    const heads = seen.heads.map((each) => h("button", { type: "button", "aria-pressed": String(each === head), onclick: () => { [state.block, state.head] = [each.block, each.head]; keepLink(); draw(); } },
      heatmap(each.weights, T, T, 1, Math.max(3, Math.min(8, 48 / T))), h("span.hidden", {}, `Block ${each.block + 1}, head ${each.head + 1}`), h("small", { "aria-hidden": "true" }, `${each.block + 1}.${each.head + 1}`)));
    parts.heads.replaceChildren(h("h2", {}, "Every head of every block"), h("p.soft", {}, "block.head, weights (T, T) each: a row looks at its columns"), h("div.heads", { style: { gridTemplateColumns: `repeat(${H}, max-content)` } }, heads));
    parts.picture.replaceChildren(
      h("h2", {}, `Where “${visible(characters[row])}” looks, by ${where}`),
      arcs(characters, head.weights, row),
      h("div.scroll", { tabindex: 0, role: "region", "aria-label": `Attention weights of ${where}` }, attentionTable(characters, head.weights, [row, column], (i, j) => { [row, column] = [i, j]; draw(); })));
    parts.formula.replaceChildren(h("h2", {}, `“${visible(characters[row])}” looks at “${visible(characters[column])}”: the formula with its numbers`), ...formula(head, T, D));
    parts.positions.replaceChildren(...positions(seen, head, row, column));
    if (focused && parts[focused] && document.activeElement === document.body) parts[focused].querySelector('[aria-pressed="true"]')?.focus();
    await drawNext();
  }

  // softmax(q · k × scale), for the cell that is chosen.
  function formula({ q, k, scores, weights, scale }, T, D) {
    const query = q.subarray(row * D, (row + 1) * D);
    const key = k.subarray(column * D, (column + 1) * D);
    const product = query.map((value, d) => value * key[d]);
    const dot = product.reduce((sum, value) => sum + value, 0);
    const most = Math.max(...query.map(Math.abs), ...key.map(Math.abs), ...product.map(Math.abs));
    const line = scores.subarray(row * T, (row + 1) * T);
    const score = line[column];
    const sum = line.reduce((total, value) => total + Math.exp(value), 0);
    const steps = [
      ["q · k", "the sum of the products", dot.toFixed(3)],
      ["× scale", `${scale.toFixed(4)} = ${(scale ** -2).toFixed(0)}^(−½)`, (dot * scale).toFixed(3)],
      ["mask", score === -Infinity ? "the future may not be seen" : "itself or the past: kept", score === -Infinity ? "−∞" : score.toFixed(3)],
      ["exp", "of the score", Math.exp(score).toFixed(3)],
      ["÷ sum", `of the row: ${sum.toFixed(3)}`, weights[row * T + column].toFixed(3)],
    ];
    return [
      h("p.formula", {}, `softmax(q · k × scale) = exp(${score === -Infinity ? "−∞" : score.toFixed(3)}) ÷ ${sum.toFixed(3)} = `, h("b", {}, weights[row * T + column].toFixed(3))),
      numbers(`Query, key and their product, (D) = (${D}) each`, [["q", query], ["k", key], ["q × k", product]], most),
      h("table.steps", {}, h("caption", {}, "From the product to the weight"), h("tbody", {}, steps.map(([name, what, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, what), h("td", {}, value))))),
    ];
  }

  // What comes after the chosen character: the model reads the text up to it.
  async function drawNext() {
    const now = ++turn;
    const { characters, model } = seen;
    const to = row + 1 === characters.length ? seen : await look(fileOf(entry(), state.step), characters.slice(0, row + 1).join(""));
    if (now !== turn) return;
    const likely = (shares, most) => Array.from(shares, (share, token) => [model.vocabulary[token], share]).sort((a, b) => b[1] - a[1]).slice(0, most);
    parts.next.replaceChildren(h("h2", {}, `After “${characters.slice(0, row + 1).map(visible).join("")}”`), h("p.soft", {}, `the eight likeliest of the probabilities (V) = (${model.vocabulary.length})`), bars(likely(to.probabilities, 8)));
    const lens = to.lens.map((logits, i) => {
      const most = Math.max(...logits);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
      return h("tr", {}, h("th", { scope: "row" }, `block ${i + 1}`), likely(logits.map((logit) => Math.exp(logit - most) / sum), 4).map(([character, share]) => h("td", {}, h("span.character", {}, visible(character)), ` ${(100 * share).toFixed(0)}%`)));
    });
    parts.lens.replaceChildren(h("h2", {}, "What it thinks after each block"), h("p.soft", {}, "the last norm and lm_head on x (C) as each block leaves it, and the softmax of these logits (V): the likeliest four"), h("div.scroll", { tabindex: 0, role: "region", "aria-label": "What it thinks after each block" }, h("table.lens", {}, h("tbody", {}, lens))));
  }

  await choose();
}

export const titleOf = (name) => (/^task0\d/.test(name) ? `Task ${name[5]}` : "Yours");
export const capital = (text) => text[0].toUpperCase() + text.slice(1);
