// The Huffman code of RFC 7541 §5.2 and appendix B. The code is canonical, so the lengths of its symbols say all of it.

/** Bits of the code of each byte, and of EOS. */
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10,
  12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7,
  7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22,
  23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22,
  23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20,
  24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const EOS = 256;
const LONGEST = 30;

/** Codes by symbol, right-aligned. */
const CODES = new Uint32Array(257);
const CODE_LENGTHS = Uint8Array.from(LENGTHS);
/** By the next eight bits: length << 8 | symbol of a code of at most eight bits, else 0. */
const SHORT = new Uint16Array(256);
/** Symbols by rising code. */
const SYMBOLS = new Uint16Array(257);
/** By length: the first code, how many codes, where their symbols begin in {@link SYMBOLS}. */
const FIRST_CODE = new Uint32Array(LONGEST + 1);
const COUNT = new Uint16Array(LONGEST + 1);
const FIRST_SYMBOL = new Uint16Array(LONGEST + 1);

build();

function build(): void {
  let code = 0;
  let at = 0;
  for (let length = 1; length <= LONGEST; length++) {
    FIRST_CODE[length] = code;
    FIRST_SYMBOL[length] = at;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (LENGTHS[symbol] !== length) continue;
      CODES[symbol] = code;
      SYMBOLS[at++] = symbol;
      if (length <= 8) {
        const first = code << (8 - length);
        for (let i = 0; i < 1 << (8 - length); i++) SHORT[first + i] = (length << 8) | symbol;
      }
      code++;
    }
    COUNT[length] = at - (FIRST_SYMBOL[length] as number);
    // The last code is EOS, thirty ones: shifting past it would leave 31 bits.
    if (length < LONGEST) code *= 2;
  }
}

/** Most bytes that `length` coded bytes can stand for: the shortest code has five bits. */
export function maxDecodedBytes(length: number): number {
  return Math.floor((length * 8) / 5);
}

/**
 * Decodes `bytes[start..end)` into `out`, which has room for {@link maxDecodedBytes}. Returns the bytes written; -1 when the
 * padding is longer than seven bits or not the beginning of EOS, or EOS is in it (RFC 7541 §5.2: a decoding error).
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number, out: Uint8Array): number {
  const bits = (end - start) * 8;
  let at = 0;
  let written = 0;
  // With sixteen bits to look at, a code of up to eight bits is one look-up.
  const fast = bits - 16;
  while (at <= fast) {
    const i = start + (at >>> 3);
    const short = SHORT[((((bytes[i] as number) << 8) | (bytes[i + 1] as number)) >>> (8 - (at & 7))) & 0xff] as number;
    if (short === 0) {
      const next = decodeLong(bytes, start, bits, at, out, written);
      if (next <= at) return next === at ? written : -1;
      at = next;
      written++;
    } else {
      out[written++] = short;
      at += short >>> 8;
    }
  }
  while (at < bits) {
    const next = decodeLong(bytes, start, bits, at, out, written);
    if (next <= at) return next === at ? written : -1;
    at = next;
    written++;
  }
  return written;
}

/** One symbol bit by bit. Returns the position behind it, `at` itself when only padding is left, -1 for an error. */
function decodeLong(bytes: Uint8Array, start: number, bits: number, at: number, out: Uint8Array, written: number): number {
  let code = 0;
  let position = at;
  let ones = true;
  for (let length = 1; length <= LONGEST; length++) {
    if (position === bits) return ones && length <= 8 ? at : -1;
    const bit = ((bytes[start + (position >>> 3)] as number) >>> (7 - (position & 7))) & 1;
    if (bit === 0) ones = false;
    code = code * 2 + bit;
    position++;
    const offset = code - (FIRST_CODE[length] as number);
    if (offset >= 0 && offset < (COUNT[length] as number)) {
      const symbol = SYMBOLS[(FIRST_SYMBOL[length] as number) + offset] as number;
      if (symbol === EOS) return -1;
      out[written] = symbol;
      return position;
    }
  }
  return -1;
}

/** Bytes that `text` (chars to 0xff) takes in the code. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += CODE_LENGTHS[text.charCodeAt(i)] as number;
  return (bits + 7) >>> 3;
}

/** Writes the code of `text` (chars to 0xff) at `out[at…]`, {@link huffmanLength} bytes. */
export function huffmanEncode(text: string, out: Uint8Array, at: number): void {
  // `acc` holds `held` < 8 bits between symbols, so that codes of up to 24 bits fit beside them.
  let acc = 0;
  let held = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    let code = CODES[symbol] as number;
    let length = CODE_LENGTHS[symbol] as number;
    if (length > 24) {
      acc = (acc << 8) | (code >>> (length - 8));
      out[at++] = acc >>> held;
      acc &= (1 << held) - 1;
      length -= 8;
      code &= (1 << length) - 1;
    }
    acc = (acc << length) | code;
    held += length;
    while (held >= 8) {
      held -= 8;
      out[at++] = acc >>> held;
    }
    acc &= (1 << held) - 1;
  }
  if (held > 0) out[at] = (acc << (8 - held)) | (0xff >>> held);
}
