// The page: one view at a time, chosen by the address; a file may be dropped on all of them.

import { complain, h, say } from "./dom.js";
import { own, takeOwn } from "./engine.js";
import { keepLink, readLink, state } from "./state.js";
import { onColours } from "./draw.js";
import * as breaking from "./break.js";
import * as inside from "./inside.js";
import * as ladder from "./ladder.js";
import * as lessons from "./lessons.js";
import * as owning from "./own.js";

const main = document.getElementById("main");
const views = { ladder, inside, lessons, break: breaking, own: owning };
const TITLE = "A GPT in nine small steps";
let leave = () => {};

// Show the view of the address. A view's show(element) may return what to do when it is left.
async function show(focus) {
  leave();
  complain("");
  const view = views[state.view] ?? views.ladder;
  const place = h("div.view");
  main.replaceChildren(h("h1", { tabindex: -1 }, view.title), place);
  document.title = state.view === "ladder" ? TITLE : `${view.title} · ${TITLE}`;
  for (const anchor of document.querySelectorAll("nav a")) {
    if (anchor.hash === `#${state.view}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  if (focus) main.firstChild.focus();
  keepLink();
  leave = () => {};
  try {
    leave = (await view.show(place)) ?? leave;
  } catch (error) {
    complain(error.message);
  }
}

// A model of one's own, from a file that was dropped or chosen.
export async function open(file) {
  complain("");
  try {
    if (/\.(pt|pth|bin|ckpt)$/i.test(file.name)) {
      throw new Error(`A browser cannot read ${file.name} safely. Export it, and drop what this writes: python -m tools.export ${file.name}`);
    }
    const entry = await takeOwn(file.name.replace(/\.safetensors$/, ""), await file.arrayBuffer());
    state.view = "own";
    await show(true);
    say(`${entry.title} was read. It writes below, on the ladder and under Inside.`);
  } catch (error) {
    complain(`${file.name}: ${error.message}`);
  }
}

// The model that python -m page --weights serves.
async function takeServed() {
  const title = new URLSearchParams(location.search).get("own");
  if (!title) return;
  const response = await fetch("own.safetensors");
  if (response.ok) await takeOwn(title, await response.arrayBuffer());
  else complain("The model that the address names is not served. Start it with python -m page --weights FILE.");
}

document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
});
window.addEventListener("hashchange", () => {
  readLink();
  show(true);
});
onColours(() => show(false));
readLink();
takeServed().catch(({ message }) => complain(message)).finally(() => show(false));
