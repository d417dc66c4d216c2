// The same random numbers on every machine: mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c

// A seed → a function that returns numbers from 0 up to 1.
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Logits (V) → probabilities (V), in a new array.
export function softmax(logits, temperature = 1) {
  const most = Math.max(...logits);
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

// Draw a token from logits (V). Temperature 0 takes the likeliest.
export function sample(logits, temperature, random) {
  if (temperature <= 0) return logits.indexOf(Math.max(...logits));
  const probabilities = softmax(logits, temperature);
  let left = random();
  for (let token = 0; token < probabilities.length; token++) {
    left -= probabilities[token];
    if (left < 0) return token;
  }
  return probabilities.length - 1;
}
