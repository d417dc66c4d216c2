// Break it: the same lesson trained with one fault, next to the right one.

import { h, say, shown, visible } from "./dom.js";
import { catalogue, fileOf, look, Text } from "./engine.js";
import { attentionTable, curve } from "./draw.js";
import { keepLink, state } from "./state.js";
import { titleOf, capital } from "./inside.js";

export const title = "Break it: take one thing away, and see what it was for";
const LENGTH = 300;

export async function show(place) {
  const { models } = await catalogue;
  const faults = models.flatMap((entry) => (entry.broken ?? []).map((fault) => ({ entry, fault })));
  if (!faults.length) throw new Error("There are no broken models here: python -m tools.page_models makes them.");
  const chosen = () => faults.find(({ fault }) => fault.name === state.fault) ?? faults[0];
  const result = h("div");
  let turn = 0;
  const switches = h("fieldset.switches", {}, h("legend", {}, "The fault"), faults.map((each) =>
    h("label", {}, h("input", { type: "radio", name: "fault", value: each.fault.name, checked: each === chosen(), onchange: () => { state.fault = each.fault.name; draw(); } }), ` ${capital(each.fault.title)} `, h("small", {}, `in ${titleOf(each.entry.name)}`))));
  place.append(h("p.lead", {}, "Each of these models was trained as the lesson says, but for one line. python -m check names such faults in your own code; here they are seen."), switches, result);

  async function draw() {
    const now = ++turn;
    const { entry, fault } = chosen();
    state.fault = fault.name;
    keepLink();
    const sides = await Promise.all([side("As it should be", entry, entry), side(fault.title, entry, fileOf(entry, Infinity, fault.name))]);
    if (now !== turn) return;
    result.replaceChildren(
      h("p.fault", {}, fault.text),
      h("div.sides", {}, sides),
      h("section", {}, h("h2", {}, "Validation loss while it was trained"), h("p.soft", {}, `Line: as it should be, ${entry.log.at(-1)[2].toFixed(4)} at the end. Dashed: ${fault.title}, ${fault.log.at(-1)[2].toFixed(4)}.`), curve([{ log: entry.log }, { log: fault.log, kind: "other" }], { wide: true })));
    say(`${fault.title}: the loss ends at ${fault.log.at(-1)[2].toFixed(2)} instead of ${entry.log.at(-1)[2].toFixed(2)}.`);
  }

  // What one of the two models writes, and where its first head looks.
  async function side(name, entry, file) {
    const text = new Text();
    await text.start(file, state);
    const written = await text.next(LENGTH);
    const seen = await look(file, Array.from(state.prompt).slice(-8).join(""));
    const characters = seen.tokens.map((token) => seen.model.vocabulary[token]);
    const place = h("div.scroll", { tabindex: 0, role: "region", "aria-label": `Attention weights: ${name}` });
    const draw = (picked) => place.replaceChildren(attentionTable(characters, seen.heads[0].weights, picked, (row, column) => {
      draw([row, column]);
      place.querySelector('[aria-pressed="true"]').focus();
    }));
    const last = seen.heads[0].weights.slice(-characters.length); // of the last character
    draw([characters.length - 1, last.indexOf(Math.max(...last))]);
    return h("section", {}, h("h2", {}, capital(name)), h("p.text", {}, h("b", {}, state.prompt), ...shown(written)), h("h3", {}, `Where it looks: head 1 of block 1, after “${characters.map(visible).join("")}”`), place);
  }

  await draw();
}
