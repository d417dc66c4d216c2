// Reads a safetensors file: eight bytes of length, a JSON header, the numbers. https://github.com/huggingface/safetensors

const FLOATS = { F32: 4, F16: 2, BF16: 2 };

// ArrayBuffer → { metadata, tensors: { name: { shape, data: Float32Array } } }. Throws Error for a broken file.
export function readSafetensors(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 10) throw new Error("The file is too short to hold a model.");
  const length = Number(view.getBigUint64(0, true));
  if (length > buffer.byteLength - 8) throw new Error("This is not a safetensors file, or not all of one.");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  } catch {
    throw new Error("This is not a safetensors file: its header cannot be read.");
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    const size = FLOATS[dtype];
    const count = shape.reduce((product, side) => product * side, 1);
    if (!size) throw new Error(`The tensor ${name} is of type ${dtype}; expected ${Object.keys(FLOATS).join(", ")}.`);
    const start = 8 + length + offsets[0];
    if (start + size * count > buffer.byteLength) throw new Error(`The file ends within the tensor ${name}.`);
    tensors[name] = { shape, data: read[dtype](view, start, count) };
  }
  return { metadata, tensors };
}

const bits = new DataView(new ArrayBuffer(4));
let halves; // each of the 65,536 numbers of binary16, made when one is needed: a large model has millions

const read = {
  F32: (view, start, count) => each(count, (i) => view.getFloat32(start + 4 * i, true)),
  F16: (view, start, count) => {
    halves ??= each(65_536, half);
    return each(count, (i) => halves[view.getUint16(start + 2 * i, true)]);
  },
  BF16: (view, start, count) =>
    each(count, (i) => {
      bits.setUint32(0, view.getUint16(start + 2 * i, true) << 16);
      return bits.getFloat32(0);
    }),
};

function each(count, number) {
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i++) numbers[i] = number(i);
  return numbers;
}

// IEEE 754 binary16: sign, five bits of exponent, ten of fraction.
function half(word) {
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word >> 10) & 31;
  const fraction = word & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}
