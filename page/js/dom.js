// Small helpers: elements, messages, formats.

// h("button.quiet", { onclick }, "text", element, …) → an element. An attribute of false, null or undefined is left out.
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElement(name), classes, attributes, children);
}

// The same for SVG.
export function s(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), classes, attributes, children);
}

function fill(element, classes, attributes, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

// A labelled control; `note` is read with it.
export function field(label, control, note) {
  return h("label.field", {}, h("span", {}, label), control, note && h("small", {}, note));
}

// options: [[value, text], …]
export function select(options, value, onchange) {
  const choices = options.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value) }, text));
  return h("select", { onchange: (event) => onchange(event.target.value) }, choices);
}

export const say = (text) => (document.getElementById("status").textContent = text);
export const complain = (text) => (document.getElementById("error").textContent = text);

// One character, so that it can be seen.
export const visible = (character) => ({ "\n": "↵", " ": "␣" })[character] ?? character;
// One character, so that it can be heard.
export const spoken = (character) => ({ "\n": "line break", " ": "space" })[character] ?? character;

// Text with its line breaks as signs, so that a row stays low.
export function shown(text) {
  return text.split("\n").flatMap((line, i) => (i ? [h("i", { "aria-hidden": "true" }, "↵"), ` ${line}`] : [line]));
}

export const count = (number) => number.toLocaleString("en");
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
// A weight between 0 and 1 in a narrow cell: .31, 1, 0
export const short = (value) => (value > 0.995 ? "1" : value < 0.005 ? "0" : value.toFixed(2).slice(1));

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    complain(`The browser did not allow copying. ${what}: ${text}`);
  }
}
