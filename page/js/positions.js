// How a model knows where a character is: the position table of tasks 1 to 7, the rotation of task 9.

import { h, s, visible } from "./dom.js";
import { heatmap, numbers } from "./draw.js";

const PAIRS = 16; // pairs of coordinates that are drawn

export function positions({ characters, positions: table, model }, head, row, column) {
  const T = characters.length;
  const { n_embd: C } = model.config;
  if (model.fault === "no_positions") return [h("h2", {}, "Where each character is"), h("p.soft", {}, "This model was trained without positions.")];
  if (!table) return rotation(characters, head.q.length / T, row, column);
  const values = table.slice(0, T * C);
  const most = values.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  const rows = characters.map((character, t) => [`${t} ${visible(character)}`, values.slice(t * C, (t + 1) * C)]);
  return [
    h("h2", {}, "Where each character is: the position table"),
    h("p.soft", {}, `position_embedding (T, C) = (${T}, ${C}), added to the tokens' embeddings. Each row is a position. Blue is above zero, orange below.`),
    h("div.scroll", { role: "region", "aria-label": "The position table, as a picture", tabindex: 0 }, heatmap(values, T, C, most, Math.max(3, Math.min(14, 640 / C)))),
    unfold("The same as a table", () => numbers("position_embedding: each row is a position", rows, most)),
  ];
}

function rotation(characters, D, row, column) {
  const pairs = Array.from({ length: D / 2 }, (_, i) => 10_000 ** ((-2 * i) / D));
  const hand = (angle, kind) => s("path", { class: kind, d: `M20 20L${(20 + 16 * Math.cos(angle)).toFixed(1)} ${(20 - 16 * Math.sin(angle)).toFixed(1)}` });
  const clocks = pairs.slice(0, PAIRS).map((frequency) => s("svg", { viewBox: "0 0 40 40", "aria-hidden": "true" }, s("circle", { cx: 20, cy: 20, r: 18 }), hand(row * frequency, "now"), hand(column * frequency, "other")));
  const turns = characters.map((character, t) => [`${t} ${visible(character)}`, pairs.map((frequency) => t * frequency)]);
  return [
    h("h2", {}, "Where each character is: the rotation"),
    h("p.soft", {}, `No table: each pair of coordinates of a query or key is turned by position × frequency, angles (T, D/2) = (${characters.length}, ${D / 2}). Line: the query of “${visible(characters[row])}”; dashed: the key of “${visible(characters[column])}”. The first ${Math.min(PAIRS, D / 2)} pairs:`),
    h("div.clocks", {}, clocks),
    unfold("The angles as a table, in radians", () => numbers("rotation_angles: each row is a position", turns, 2 * characters.length, 3)),
  ];
}

// A part that is made when it is opened.
export function unfold(summary, make) {
  const details = h("details", { ontoggle: () => details.open && details.childElementCount === 1 && details.append(make()) }, h("summary", {}, summary));
  return details;
}
