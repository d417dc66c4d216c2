// The ladder: every lesson writes on from one prompt with the same random numbers, at the step that the slider shows.

import { complain, copy, count, field, h, megabytes, say, select, shown } from "./dom.js";
import { catalogue, entries, fileOf, lastStep, Text } from "./engine.js";
import { curve, lossAt } from "./draw.js";
import { capital, titleOf } from "./inside.js";
import { keepLink, link, state } from "./state.js";

export const title = "Nine short scripts build a GPT. Each adds one idea to the one before.";
const LENGTH = 190; // characters that are written before all rest
const SPEEDS = [[12, "slowly"], [40, "as one reads"], [400, "fast"]];
const LARGE = 1_000_000; // bytes: such a model joins later

class Row {
  constructor(entry, later) {
    this.entry = entry;
    this.text = new Text();
    this.written = "";
    this.ready = false;
    this.busy = false;
    this.due = 0;
    this.output = h("p.text", { lang: "en" });
    this.note = h("span");
    this.loss = h("span");
    this.picture = h("div.picture");
    const [, number] = /^task0?(\d)/.exec(entry.name) ?? [];
    const more = [h("a", { href: `#inside?model=${entry.name}`, "aria-label": `inside ${titleOf(entry.name)}` }, "inside")];
    if (number) more.push(h("a", { href: `#lessons?model=${entry.name}`, "aria-label": `lesson of ${titleOf(entry.name)}` }, "lesson"));
    this.element = h("li.row", {},
      h("div.what", {}, h("h2", {}, h("span.number", {}, number ?? "+"), ` ${number ? capital(entry.idea) : entry.title}`), h("p", {}, this.loss, h("span", {}, `${entry.parameters < 1e6 ? count(entry.parameters) : `${(entry.parameters / 1e6).toFixed(1)} million`} parameters`), h("span.links", {}, more))),
      h("div", {}, this.output, this.note), this.picture);
    this.later = later;
  }

  // Begin the text again, with the weights of the step.
  async begin() {
    this.ready = false;
    this.written = "";
    this.due = 0;
    this.measure();
    try {
      const file = fileOf(this.entry, state.step);
      const bar = file.bytes > LARGE && h("progress", { max: 1, "aria-label": `Fetching ${titleOf(this.entry.name)}` });
      if (bar) this.note.replaceChildren(bar, ` ${megabytes(file.bytes)}`);
      if (!(await this.text.start(file, state, (share) => bar && (bar.value = share)))) return false;
      this.note.replaceChildren();
      this.draw();
      this.ready = true;
      return true;
    } catch (error) {
      this.note.replaceChildren(error.message);
      complain(error.message);
      return false;
    }
  }

  // The loss at this step, and where that is on the curve.
  measure() {
    const { log } = this.entry;
    if (!log) return;
    const only = !this.entry.snapshots?.length; // tasks 7 and 9 have their last weights alone
    const last = only || state.step >= lastStep(this.entry); // where a run ends with the whole text, its loss on that
    const { loss, exact } = last ? { loss: this.entry.val_loss, exact: true } : lossAt(log, state.step);
    const apart = only && state.step < lastStep(this.entry) ? " at its last step" : "";
    this.loss.replaceChildren("loss ", h("b", {}, `${exact ? "" : "≈ "}${loss.toFixed(exact ? 4 : 1)}`), apart);
    this.picture.replaceChildren(curve([{ log }], { step: last ? Infinity : state.step }));
  }

  draw() {
    this.output.replaceChildren(h("b", {}, state.prompt), ...shown(this.written));
  }

  async write(characters) {
    this.busy = true;
    try {
      const text = await this.text.next(characters);
      this.written += text;
      this.output.append(...shown(text));
    } catch (error) {
      this.note.replaceChildren(error.message);
      this.ready = false;
    }
    this.busy = false;
  }
}

export async function show(place) {
  const rows = (await entries()).map((entry) => new Row(entry));
  const { models } = await catalogue;
  const stops = [...new Set(models.flatMap(({ snapshots }) => (snapshots ?? []).map(({ step }) => step)))].sort((a, b) => a - b);
  const last = Math.max(...models.filter(({ snapshots }) => snapshots?.length).map(lastStep));
  const steps = [...stops.filter((step) => step < last), Infinity];
  const list = h("ol.ladder", { "aria-label": "The lessons, from noise to English" }, rows.map(({ element }) => element));
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let goal = LENGTH;
  let speed = 40;
  let before = performance.now();
  let gone = false;
  let rested = false; // all had written, and none was paused

  const button = h("button.main", { type: "button", onclick: () => (playing ? pause() : start()) });
  const label = () => (button.textContent = playing ? "Pause" : full() ? "Write on" : "Start");
  const done = (row) => row.written.length >= goal || !row.ready;
  const full = () => rows.some(({ ready }) => ready) && rows.every(done);
  const pause = () => { playing = false; label(); };
  const start = () => {
    if (full()) goal += LENGTH;
    playing = true;
    rested = false;
    label();
  };

  function tick(now) {
    if (gone) return;
    const passed = Math.min(0.1, (now - before) / 1000);
    before = now;
    for (const row of rows) {
      if (!playing || !row.ready || row.busy || row.written.length >= goal) continue;
      row.due += passed * speed;
      const characters = Math.min(Math.floor(row.due), goal - row.written.length);
      if (characters < 1) continue;
      row.due = Math.min(row.due - characters, 1);
      row.write(characters);
    }
    if (playing && full() && !rows.some(({ busy }) => busy)) {
      pause();
      rested = true;
      say(`All have written ${goal} characters.`);
    }
    requestAnimationFrame(tick);
  }

  async function restart() {
    keepLink();
    complain("");
    goal = LENGTH;
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) playing = true;
    label();
    await Promise.all(rows.filter(({ waiting }) => !waiting).map((row) => row.begin()));
  }

  // What the slider shows is there at once: the same prompt and random numbers, at another step.
  async function drag() {
    keepLink();
    pause();
    goal = LENGTH;
    await Promise.all(rows.map(async (row) => {
      if (row.waiting || row.entry.bytes > LARGE || !(await row.begin())) return row.measure();
      await row.write(LENGTH);
    }));
    label();
  }

  const stop = () => Math.max(0, steps.findIndex((step) => step >= state.step));
  const stepText = (step) => (step === Infinity ? `${count(last + (last % 10 === 9 ? 1 : 0))}, the last` : count(step));
  const said = h("b", {}, stepText(steps[stop()]));
  const slider = h("input", { type: "range", min: 0, max: steps.length - 1, step: 1, value: stop(), "aria-valuetext": `step ${stepText(steps[stop()])}`,
    oninput: () => {
      state.step = steps[slider.value];
      said.textContent = stepText(state.step);
      slider.setAttribute("aria-valuetext", `step ${said.textContent}`);
      drag();
    } });
  const input = (name, attributes, read) => h("input", { ...attributes, value: state[name], onchange: (event) => {
    if (!event.target.checkValidity()) return event.target.reportValidity();
    state[name] = read(event.target.value);
    restart();
  } });
  const wide = matchMedia("(min-width: 60rem)"); // on a narrow screen the settings are folded, so that the text is seen
  const settings = h("details.settings", { open: wide.matches }, h("summary", {}, "Prompt, seed, temperature, speed"), h("div", {},
    field("Prompt", input("prompt", { type: "text", maxlength: 200, size: 12, autocomplete: "off", spellcheck: "false" }, String)),
    field("Seed", input("seed", { type: "number", min: 0, max: 2 ** 32 - 1, required: true }, Number)),
    field("Temperature", input("temperature", { type: "number", min: 0, max: 2, step: 0.1, required: true }, Number)),
    field("Speed", select(SPEEDS, speed, (value) => (speed = Number(value))))));
  wide.addEventListener("change", () => (settings.open = wide.matches));
  place.append(
    h("p.lead", {}, "One prompt, the same random numbers: what you see between two rows is what one idea buys."),
    h("form.controls", { onsubmit: (event) => event.preventDefault() }, settings,
      h("label.field.slide", {}, h("span", {}, "Training step ", said), slider),
      h("div.buttons", {}, button, h("button", { type: "button", onclick: restart }, "Again"))),
    list,
    h("div.below", {}, h("p.soft", {}, "Loss: nats per character of text that no model has seen. Less is better. Task 8 is not here: it writes without end with the model of task 7."), h("div.buttons", {},
      h("button", { type: "button", onclick: () => copy(rows.map((row) => `${titleOf(row.entry.name)}: ${state.prompt}${row.written}`).join("\n\n"), "The text") }, "Copy text"),
      h("button", { type: "button", onclick: () => copy(link(), "The link") }, "Copy link"))),
  );
  label();
  begin();

  // The small models write at once; the large ones join when the others are there, on a click where data is saved.
  async function begin() {
    const small = rows.filter(({ entry }) => !(entry.bytes > LARGE));
    const large = rows.filter(({ entry }) => entry.bytes > LARGE);
    for (const row of large) {
      row.waiting = true;
      row.measure();
    }
    requestAnimationFrame(tick);
    await Promise.all(small.map((row) => row.begin()));
    for (const row of large) {
      const join = async () => {
        row.waiting = false;
        if (!(await row.begin())) return;
        if (rested) playing = true; // the others were faster
        label();
      };
      if (navigator.connection?.saveData) row.note.replaceChildren(h("button", { type: "button", onclick: join }, `Fetch ${megabytes(row.entry.bytes)}`));
      else if (!gone) await join();
    }
  }

  return () => { gone = true; };
}
