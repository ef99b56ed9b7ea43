// Inputs as decisions: a structured target reads what to do off the bytes, so that mutating a byte changes a step.

/** Reads from the beginning; past the end everything is 0. */
export class Choices {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** 0 to 255. */
  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  bool(): boolean {
    return (this.byte() & 1) === 1;
  }

  /** 0 to `n` - 1; `n` at most 256. */
  below(n: number): number {
    return this.byte() % n;
  }

  uint16(): number {
    return (this.byte() << 8) | this.byte();
  }

  uint32(): number {
    return ((this.uint16() << 16) | this.uint16()) >>> 0;
  }

  /** One of a list. */
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** Up to `max` bytes: their number is a byte before them. */
  bytes(max = 255): Uint8Array {
    const from = this.#at + 1;
    const to = Math.min(this.#bytes.length, from + Math.min(this.byte(), max));
    this.#at = Math.max(from, to);
    return this.#bytes.slice(from, to);
  }

  /** The same as text, one char per byte. */
  text(max = 255): string {
    return Buffer.from(this.bytes(max)).toString("latin1");
  }

  /** All that is left. */
  rest(): Uint8Array {
    const from = this.#at;
    this.#at = this.#bytes.length;
    return this.#bytes.slice(from);
  }
}

/** Cuts bytes into pieces, each a fresh copy: places follow from the bytes themselves, so that an input fails the same way each time. */
export function cut(bytes: Uint8Array, salt: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let state = salt | 1;
  for (const byte of bytes) state = Math.imul(state ^ byte, 0x01000193);
  for (let at = 0; at < bytes.length; ) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    // Mostly small pieces, for it is in them that parsers err; now and then a large one.
    const random = state >>> 0;
    const n = 1 + (random % 4 === 0 ? (random >>> 8) % 200 : (random >>> 8) % 7);
    pieces.push(bytes.slice(at, at + n));
    at += n;
  }
  return pieces;
}

/** A byte each. */
export function oneByOne(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte));
}

/**
 * Runs the same bytes whole, cut, and (when they are few) byte by byte; every run must have the same outcome. Pieces are
 * overwritten after use, so that whoever keeps a view of them is found out. Returns the outcome.
 */
export function everyCut<T>(
  bytes: Uint8Array,
  run: (pieces: Iterable<Uint8Array>) => T,
  same: (actual: T, expected: T, what: string) => void,
): T {
  const whole = run(lending([bytes.slice()]));
  same(run(lending(cut(bytes, 0x9e3779b1))), whole, "cut into pieces");
  if (bytes.length <= MAX_ONE_BY_ONE_BYTES) same(run(lending(oneByOne(bytes))), whole, "byte by byte");
  return whole;
}

const MAX_ONE_BY_ONE_BYTES = 256;

function* lending(pieces: readonly Uint8Array[]): Iterable<Uint8Array> {
  for (const piece of pieces) {
    yield piece;
    piece.fill(0xdb);
  }
}
