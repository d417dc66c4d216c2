// A model of one's own: a file that is dropped or chosen, or that python -m page --weights serves.

import { count, h } from "./dom.js";
import { own, Text } from "./engine.js";
import { open } from "./app.js";
import { state } from "./state.js";

export const title = "Your own model, trained on any text";

export async function show(place) {
  const input = h("input", { type: "file", accept: ".safetensors,.pt", onchange: () => input.files[0] && open(input.files[0]) });
  place.append(
    h("p.lead", {}, "Train one, make a safetensors file of it, and drop it anywhere on this page. It stays in your browser."),
    h("pre", { tabindex: 0 }, "python task06.py --data my_text.txt --save my.pt\npython -m page --weights my.pt\n\n# or, to drop it on a page that is open already\npython -m tools.export my.pt"),
    h("div.drop", {}, h("label.field", {}, h("span", {}, "A safetensors file of one of the tasks"), input)),
  );
  if (!own.entry) return;
  const { entry } = own;
  const text = new Text();
  const output = h("p.verse");
  place.append(h("section", {}, h("h2", {}, entry.title), h("p.soft", {}, `${count(entry.parameters)} parameters · `, h("a", { href: "#inside?model=own" }, "look inside"), " · ", h("a", { href: "#ladder" }, "on the ladder")), output));
  try {
    await text.start(entry, state);
    output.append(h("b", {}, state.prompt), await text.next(300));
  } catch ({ message }) { // the prompt has characters that its text had not
    await text.start(entry, { ...state, prompt: "" });
    output.append(await text.next(300), h("small", {}, ` (without the prompt: ${message})`));
  }
}
