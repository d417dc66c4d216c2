// What a link holds, and what all views share.

export const state = {
  view: "ladder",
  prompt: "ROMEO:",
  seed: 1,
  temperature: 0.8,
  step: Infinity, // the last
  model: "task06",
  block: 0,
  head: 0,
  fault: "",
};

const read = {
  prompt: (text) => text.slice(0, 200),
  seed: (text) => whole(text, 2 ** 32 - 1),
  temperature: (text) => (text >= 0 && text <= 2 && text !== "" ? Number(text) : undefined),
  step: (text) => (text === "last" ? Infinity : whole(text, 1e9)),
  model: (text) => text,
  block: (text) => whole(text, 99),
  head: (text) => whole(text, 99),
  fault: (text) => text,
};

const whole = (text, most) => (/^\d{1,10}$/.test(text) && Number(text) <= most ? Number(text) : undefined);

// Take the view and the values of the address; what is missing or cannot be read stays as it is.
export function readLink() {
  const [view, query] = location.hash.slice(1).split("?");
  if (["ladder", "inside", "lessons", "break", "own"].includes(view)) state.view = view;
  for (const [name, text] of new URLSearchParams(query)) {
    const value = read[name]?.(text);
    if (value !== undefined) state[name] = value;
  }
}

const USED = {
  ladder: ["prompt", "seed", "temperature", "step"],
  inside: ["prompt", "model", "step", "block", "head"],
  lessons: ["model"],
  break: ["prompt", "seed", "temperature", "model", "fault"],
  own: [],
};

// The address of what is seen now.
export function link() {
  const values = USED[state.view].map((name) => [name, state[name] === Infinity ? "last" : state[name]]);
  const query = new URLSearchParams(values).toString();
  return `${location.origin}${location.pathname}${location.search}#${state.view}${query && `?${query}`}`;
}

export const keepLink = () => history.replaceState(null, "", link());
