// Bytes on their way to the socket. The transport may keep what it is given, so nothing handed out is written again: small
// output is copied out of a buffer that stays (cheaper than a view with the share of the slab behind it), large output takes
// its buffer along.

/** Output to this size is copied; so much an idle connection holds at most. */
const COPIED_BYTES = 4096;
const FIRST_BYTES = 512;

export class OutputBuffer {
  bytes: Uint8Array = NONE;
  /** `bytes[start..end)` waits to be taken. */
  start = 0;
  end = 0;
  /** What was taken last: about as much is made room for at once. */
  #last = 0;

  get pending(): number {
    return this.end - this.start;
  }

  /** Makes room for `n` bytes behind `end`. */
  room(n: number): void {
    if (this.end + n > this.bytes.length) this.#grow(n);
  }

  /** Appends bytes. */
  append(bytes: Uint8Array, from: number, to: number): void {
    const n = to - from;
    this.room(n);
    const out = this.bytes;
    if (n <= COPY_BY_HAND_BYTES) {
      let at = this.end;
      for (let i = from; i < to; i++) out[at++] = bytes[i] as number;
    } else out.set(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), this.end);
    this.end += n;
  }

  /** What waits, at most `max` bytes of it; null when nothing does. */
  take(max: number): Uint8Array | null {
    const n = this.end - this.start;
    if (n === 0) return null;
    if (n > max) {
      const begin = this.bytes.subarray(this.start, this.start + max);
      this.start += max;
      return begin;
    }
    this.#last = n;
    if (this.start === 0 && this.bytes.length <= COPIED_BYTES) {
      this.end = 0;
      return this.bytes.slice(0, n);
    }
    const all = this.bytes.subarray(this.start, this.end);
    this.drop();
    return all;
  }

  /** Forgets what waits. */
  drop(): void {
    this.bytes = NONE;
    this.start = 0;
    this.end = 0;
  }

  #grow(n: number): void {
    const pending = this.end - this.start;
    const need = pending + n;
    const bytes = new Uint8Array(Math.max(FIRST_BYTES, need > 512 ? need + (need >> 1) : need, pending === 0 ? this.#last : 0));
    if (pending > 0) bytes.set(this.bytes.subarray(this.start, this.end));
    this.bytes = bytes;
    this.start = 0;
    this.end = pending;
  }
}

const NONE = new Uint8Array(0);
/** Below this a loop is faster than the call of a native copy. */
const COPY_BY_HAND_BYTES = 48;
