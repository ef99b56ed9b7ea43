// A run of bytes that cannot be handled yet: the beginning of a head, or what waits behind an exchange.

export const EMPTY: Uint8Array = new Uint8Array(0);

export class Accumulator {
  #buffer: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** What there is; valid until the next call. */
  view(): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** Adds a copy of `chunk` from `from` on. */
  append(chunk: Uint8Array, from: number): void {
    const added = chunk.length - from;
    if (added <= 0) return;
    const length = this.length;
    if (this.#end + added > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(length + added, length * 2, 256));
      grown.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = grown;
      this.#start = 0;
      this.#end = length;
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
  }
}
