// Pictures: colours, heatmaps, tables, curves, arcs, bars.

import { h, s, short, spoken, visible } from "./dom.js";

// Blue, and orange for what is below zero: the colour-blind can tell them apart.
const ENDS = { light: { zero: [252, 251, 248], up: [6, 62, 116], down: [168, 72, 0] }, dark: { zero: [24, 26, 29], up: [140, 200, 255], down: [255, 170, 90] } };
const dark = matchMedia("(prefers-color-scheme: dark)");

// A number from -1 to 1 → [r, g, b].
function colour(value) {
  const { zero, up, down } = ENDS[dark.matches ? "dark" : "light"];
  const end = value < 0 ? down : up;
  const share = Math.min(1, Math.abs(value) || 0);
  return zero.map((part, i) => Math.round(part + (end[i] - part) * share));
}

// The style of a cell: its colour, and black or white on it, whichever is easier to read.
export function shade(value) {
  const rgb = colour(value);
  const [r, g, b] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return { background: `rgb(${rgb})`, color: 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff" };
}

// A small picture of numbers (rows · columns); a table next to it says the same in words.
export function heatmap(values, rows, columns, most = 1, size = 6) {
  const canvas = h("canvas", { width: columns, height: rows, "aria-hidden": "true", style: { width: `${columns * size}px`, aspectRatio: `${columns} / ${rows}` } });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  values.forEach((value, i) => image.data.set([...colour(value / most), 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

// The attention weights (T·T) as a table of buttons, each in its colour. Arrow keys move; onpick(row, column).
export function attentionTable(characters, weights, picked, onpick) {
  const T = characters.length;
  const cells = [];
  const head = h("tr", {}, h("td"), characters.map((character) => h("th", { scope: "col" }, visible(character))));
  const rows = characters.map((character, row) =>
    h("tr", { class: row === picked[0] ? "picked" : null }, h("th", { scope: "row" }, visible(character)), characters.map((other, column) => {
      const weight = weights[row * T + column];
      const here = row === picked[0] && column === picked[1];
      const cell = h("button", { type: "button", tabindex: here ? 0 : -1, "aria-pressed": String(here), style: shade(weight), onclick: () => onpick(row, column) },
        h("span.hidden", {}, `“${spoken(character)}”, number ${row + 1}, looks at “${spoken(other)}”, number ${column + 1}: ${weight.toFixed(3)}`),
        T <= 10 && h("span", { "aria-hidden": "true" }, short(weight)));
      cells.push(cell);
      return h("td", {}, cell);
    })),
  );
  const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  const onkeydown = (event) => {
    const move = moves[event.key];
    const at = cells.indexOf(event.target);
    if (!move || at < 0) return;
    event.preventDefault();
    const [row, column] = [Math.floor(at / T) + move[0], (at % T) + move[1]];
    if (row >= 0 && row < T && column >= 0 && column < T) cells[row * T + column].focus();
  };
  return h("table.heat", { onkeydown, class: T > 10 ? "heat small" : "heat" }, h("caption", {}, "Row: the character that looks. Column: where it looks."), h("thead", {}, head), h("tbody", {}, rows));
}

// Rows of numbers with a name each, coloured; it scrolls in a region that the keyboard reaches.
export function numbers(label, rows, most, digits = 2) {
  const line = ([name, values]) => h("tr", {}, h("th", { scope: "row" }, name), Array.from(values, (value) => h("td", { style: shade(value / most) }, value.toFixed(digits).replace(/^-(0\.0*)$/, "$1"))));
  return h("div.scroll", { role: "region", "aria-label": label, tabindex: 0 }, h("table.numbers", {}, h("caption", {}, label), h("tbody", {}, rows.map(line))));
}

// Arcs over the text, from a character to those it looks at, the thicker the more.
export function arcs(characters, weights, from) {
  const [step, T] = [34, characters.length];
  const x = (i) => 20 + i * step;
  const high = 24 + Math.max(from, T - 1 - from) * 15;
  const drawn = characters.map((_, to) => {
    const weight = weights[from * T + to];
    if (weight < 0.01) return null;
    const top = high - 14 - Math.abs(from - to) * 15;
    const path = to === from ? `M${x(from) - 5} ${high - 8} q5 -26 10 0` : `M${x(from)} ${high - 8} C${x(from)} ${top - 8} ${x(to)} ${top - 8} ${x(to)} ${high - 8}`;
    return s("path", { d: path, "stroke-width": 0.7 + 7 * weight, "stroke-opacity": 0.25 + 0.75 * weight });
  });
  const letters = characters.map((character, i) => s("text", { x: x(i), y: high + 14, class: i === from ? "picked" : null }, visible(character)));
  return s("svg.arcs", { viewBox: `0 0 ${x(T - 1) + 20} ${high + 24}`, style: { maxWidth: `${(x(T - 1) + 20) * 1.1}px` }, "aria-hidden": "true" }, drawn, letters);
}

// [[label, probability], …] as bars with their numbers.
export function bars(rows) {
  return h("ol.bars", {}, rows.map(([label, share]) =>
    h("li", {}, h("span.character", { "aria-hidden": "true" }, visible(label)), h("span.hidden", {}, `${spoken(label)}: `), h("span.bar", { style: { width: `${(60 * share).toFixed(1)}%` } }), h("span", {}, `${(100 * share).toFixed(1)}%`)),
  ));
}

// Validation losses of logs over the share of the training that is done. lines: [{ log, kind }]; step: where we are.
export function curve(lines, { step = Infinity, points = [], wide = false } = {}) {
  const [width, height] = wide ? [520, 200] : [120, 44];
  const [low, high] = [Math.min(1.3, ...lines.flatMap(({ log }) => log.map(([, , loss]) => loss))), 4.4];
  const last = Math.max(...lines.flatMap(({ log }) => log.map(([at]) => at)));
  const left = wide ? 34 : 4;
  const x = (at) => left + ((width - left - 8) * at) / last;
  const y = (loss) => 5 + ((height - (wide ? 26 : 10)) * (high - Math.min(high, loss))) / (high - low);
  const svg = s("svg.curve", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", class: wide ? "curve wide" : "curve" });
  if (wide) {
    for (const loss of [1, 2, 3, 4].filter((loss) => loss > low)) svg.append(s("path.grid", { d: `M${left} ${y(loss)}H${width - 8}` }), s("text", { x: left - 8, y: y(loss) + 4, "text-anchor": "end" }, `${loss}`));
    for (const share of [0, 0.5, 1]) svg.append(s("text", { x: x(last * share), y: height - 4, "text-anchor": share ? (share < 1 ? "middle" : "end") : "start" }, Math.round(last * share + (last % 10 === 9 ? share : 0)).toLocaleString("en")));
  }
  for (const { log, kind = "" } of lines) svg.append(s("path", { class: `line ${kind}`, d: `M${log.map(([at, , loss]) => `${x(at).toFixed(1)} ${y(loss).toFixed(1)}`).join("L")}` }));
  for (const [at, loss] of points) svg.append(s("circle.documented", { cx: x(at), cy: y(loss), r: 4 }));
  const now = Math.min(step, last);
  svg.append(s("circle.now", { cx: x(now), cy: y(lossAt(lines[0].log, now).loss), r: wide ? 5 : 3.5 }));
  return svg;
}

// The validation loss at a step: exact where the log has that step, otherwise on the line between its neighbours.
export function lossAt(log, step) {
  const after = log.findIndex(([at]) => at >= step);
  if (after < 0) return { loss: log.at(-1)[2], exact: true };
  const [at, , loss] = log[after];
  if (at === step || !after) return { loss, exact: at === step };
  const [before, , previous] = log[after - 1];
  return { loss: previous + ((loss - previous) * (step - before)) / (at - before), exact: false };
}

// Shared by all views: draw again when the colours change.
export const onColours = (action) => dark.addEventListener("change", action);
