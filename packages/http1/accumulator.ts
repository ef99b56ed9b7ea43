// A run of bytes that cannot be handled yet: the beginning of a head, or what waits behind an exchange.

/** From this size on a rest is kept by reference instead of being copied. */
const ADOPT_BYTES = 4096;

export const EMPTY: Uint8Array = new Uint8Array(0);

export class Accumulator {
  #buffer: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;
  /** The buffer is someone else's and must not be appended to. */
  #adopted = false;

  get length(): number {
    return this.#end - this.#start;
  }

  /** What there is; valid until the next call. */
  view(): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** Adds `chunk` from `from` on. The chunk may be kept. */
  append(chunk: Uint8Array, from: number): void {
    const added = chunk.length - from;
    if (added <= 0) return;
    const length = this.length;
    if (length === 0 && added >= ADOPT_BYTES) {
      this.#buffer = chunk;
      this.#start = from;
      this.#end = chunk.length;
      this.#adopted = true;
      return;
    }
    if (this.#adopted || this.#end + added > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(length + added, length * 2, 256));
      grown.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = grown;
      this.#start = 0;
      this.#end = length;
      this.#adopted = false;
    }
    this.#buffer.set(from === 0 ? chunk : chunk.subarray(from), this.#end);
    this.#end += added;
  }

  /** Drops the first `n` bytes. Views handed out stay as they are: nothing is ever moved within a buffer. */
  consume(n: number): void {
    this.#start += n;
    if (this.#start >= this.#end) this.clear();
  }

  /** Takes everything out; the bytes are the caller's. */
  take(): Uint8Array {
    const view = this.view();
    this.clear();
    return view;
  }

  clear(): void {
    this.#buffer = EMPTY;
    this.#start = 0;
    this.#end = 0;
    this.#adopted = false;
  }
}
