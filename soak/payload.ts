// Bytes that both ends can make of a number: what is received can be compared with what it should be, byte by byte.

const POOL_BYTES = 4 * 1024 * 1024;

export class Payloads {
  readonly #pool: Buffer;

  constructor() {
    // xorshift32: no period within the pool, the same in every process.
    const words = new Uint32Array(POOL_BYTES / 4);
    let x = 0x9e3779b9;
    for (let i = 0; i < words.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      words[i] = x >>> 0;
    }
    this.#pool = Buffer.from(words.buffer);
  }

  /** The payload of `seed`: a view, not to be written to. At most 2 MiB. */
  of(seed: number, bytes: number): Buffer {
    const start = (Math.imul(seed, 2_654_435_761) >>> 0) % (POOL_BYTES / 2);
    return this.#pool.subarray(start, start + bytes);
  }
}

/** 0 to `below` - 1, from a seed: many small ones, few large ones. */
export function skewed(seed: number, below: number): number {
  const x = (Math.imul(seed ^ (seed >>> 16), 0x45d9f3b) >>> 0) / 4_294_967_296;
  return Math.floor(x ** 4 * below);
}
