// The lessons as diffs; a line that makes something leads to it in the drawing of the model, and back.

import { h, say } from "./dom.js";
import { catalogue, fileOf, look } from "./engine.js";
import { curve, heatmap } from "./draw.js";
import { capital } from "./inside.js";
import { state } from "./state.js";

export const title = "The lessons: what each one changes in the one before";

// What a model computes, in its order: [part, what it does, shape, the first task that has it, the last].
const PARTS = [
  ["tokens", "token embedding", "(B, T) → (B, T, C)", 1, 9],
  ["positions", "+ position embedding", "(B, T, C)", 1, 8],
  ["blocks", "in each of n_layer blocks:", "", 4, 9],
  ["norm", "layer norm", "(B, T, C)", 6, 9],
  ["heads", "queries, keys, values", "(B, H, T, D)", 1, 9],
  ["rotation", "turn queries and keys", "(B, H, T, D)", 9, 9],
  ["cache", "keep keys and values", "(1, H, length, D)", 8, 8],
  ["scale", "q kᵀ × scale", "(B, H, T, T)", 1, 9],
  ["mask", "the future: −∞", "(B, H, T, T)", 1, 9],
  ["softmax", "weights, and their average of v", "(B, H, T, T)", 1, 9],
  ["dropout", "dropout, while it is trained", "", 7, 9],
  ["skip", "+ what went into attention", "(B, T, C)", 5, 9],
  ["norm", "layer norm", "(B, T, C)", 6, 9],
  ["mlp", "feed-forward", "(B, T, C)", 3, 9],
  ["skip", "+ what went into it", "(B, T, C)", 5, 9],
  ["norm", "last layer norm", "(B, T, C)", 6, 9],
  ["head", "lm_head: logits", "(B, T, V)", 1, 9],
];

export async function show(place) {
  const response = await fetch("lessons/index.json");
  if (!response.ok) throw new Error("lessons/index.json is missing: python -m tools.page_lessons makes it.");
  const { lessons } = await response.json();
  const lesson = lessons.find(({ name }) => name === state.model) ?? lessons[0];
  const number = Number(lesson.name[5]);
  const before = lessons.find(({ name }) => name === lesson.parent);
  const picker = h("nav.picker", { "aria-label": "Lessons" }, lessons.map((each) =>
    h("a", { href: `#lessons?model=${each.name}`, "aria-current": each === lesson ? "true" : null, "aria-label": `${each.title}: ${each.idea}` }, each.name[5])));
  const [, text] = /^[^\n]*\n\n([^]*?)(?:\n\nDocumented[^]*)?$/.exec(lesson.docstring) ?? [null, lesson.docstring];
  const { diagram, light } = drawing(number);
  place.append(
    picker,
    h("div.columns", {},
      h("section", {}, h("h2", {}, `${lesson.title}: ${capital(lesson.idea)}`), h("p.docstring", {}, text.replace(/\n(?!\n|Paper| )/g, " ")),
        lesson.formula && h("p.formula", {}, lesson.formula), lesson.shapes && h("pre", { tabindex: 0, role: "region", "aria-label": "Shapes" }, lesson.shapes)),
      h("section", {}, h("h2", {}, "Write it yourself"), h("pre", { tabindex: 0, role: "region", "aria-label": "Commands" }, lesson.commands.join("\n")), losses(lesson))),
    h("section", {}, h("h2", {}, before ? `From ${lesson.parent}.py to ${lesson.name}.py` : `${lesson.name}.py, the first`),
      h("p.soft", {}, "Underlined lines make a part of the model: choose one, and the part is marked in the drawing."),
      h("div.lesson", {}, h("div.scroll", { tabindex: 0, role: "region", "aria-label": "The difference" }, diff(lesson, before, light)), diagram)),
  );
  await pictures(diagram, lesson.name);
}

function losses({ run, log, documented }) {
  if (!log.length) return h("p.soft", {}, "It reads the weights of task 7, and is not trained.");
  const end = documented.length ? ` Circles: the documented run, ${documented.at(-1)[2]} at the end.` : "";
  return [h("p.soft", {}, "Validation loss of ", h("code", {}, run), `, on random blocks: ${log.at(-1)[2]} at the end.${end}`), curve([{ log }], { wide: true, points: documented.map(([step, , loss]) => [step, loss]) })];
}

// The drawing of a lesson's model, and what marks a part of it.
function drawing(number) {
  const items = PARTS.filter(([, , , first, last]) => first <= number && number <= last).map(([part, what, shape, first]) =>
    h("li", { "data-part": part, class: first === number && number > 1 ? "new" : null }, h("span", {}, what), h("small", {}, number < 2 ? shape.replace("H, ", "") : shape)));
  const diagram = h("ol.diagram", { tabindex: 0, "aria-label": "What the model computes" }, items);
  const light = (part) => {
    const lit = items.filter(({ dataset }) => dataset.part === part);
    for (const item of items) item.classList.toggle("lit", lit.includes(item));
    lit[0]?.scrollIntoView({ block: "nearest" });
    say(lit.length ? `This line makes: ${lit[0].firstChild.textContent}.` : "This line makes what the lesson before it has.");
  };
  return { diagram, light };
}

function diff({ rows, name }, before, light) {
  const code = (side, cell, kind, part) => {
    if (!cell) return h(`td.${side}.empty`);
    const line = part ? h("button.line", { type: "button", "aria-pressed": "false", onclick: () => {
      for (const other of body.querySelectorAll(".line")) other.setAttribute("aria-pressed", String(other === line));
      light(part);
    } }) : h("code");
    line.innerHTML = cell[1] || " ";
    return h(`td.${side}.${kind}`, {}, h("span.at", { "aria-hidden": "true" }, cell[0]), line);
  };
  const body = h("tbody", {}, rows.map(({ kind, left, right, picture }, i) => {
    if (kind === "gap") return i ? h("tr.gap", {}, h("td", { colspan: before ? 2 : 1 }, "⋯")) : "";
    return h(`tr.${kind}`, {}, before && code("left", left, kind === "same" ? "same" : "gone", right ? "" : picture), code("right", right, kind === "same" || !before ? "same" : "come", picture));
  }));
  return h("table.diff", { class: before ? "diff" : "diff whole" }, h("thead", {}, h("tr", {}, before && h("th", { scope: "col" }, `${before.name}.py`), h("th", { scope: "col" }, `${name}.py`))), body);
}

// What some parts look like in the trained model, when it reads ROMEO:.
async function pictures(diagram, name) {
  const entry = (await catalogue).models.find((each) => each.name === name);
  if (!entry) return;
  const { heads: [head], positions, tokens: { length: T }, model } = await look(fileOf(entry), "ROMEO:");
  const most = Math.max(...head.scores.filter(Number.isFinite).map(Math.abs));
  const drawn = {
    scale: heatmap(head.scores.map((score) => (Number.isFinite(score) ? score : 0)), T, T, most),
    mask: heatmap(head.scores.map((score) => (Number.isFinite(score) ? 1 : 0)), T, T),
    softmax: heatmap(head.weights, T, T),
    positions: positions && heatmap(positions.slice(0, T * Math.min(32, model.config.n_embd)), T, Math.min(32, model.config.n_embd), 2, 3),
  };
  for (const [part, canvas] of Object.entries(drawn)) if (canvas) diagram.querySelector(`[data-part="${part}"]`)?.append(canvas);
}
