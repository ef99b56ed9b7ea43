// Bytes on their way to the socket. What is put in is copied; what is handed out is valid until the next call, so that large
// buffers go round among the connections of a process instead of being made, cleared and collected for every write.
import { OUTPUT_BYTES } from "./exchange.ts";

/** Output to this size is handed out as a copy, so that its buffer is free at once. */
const SMALL_BYTES = 4096;
/** A buffer of the pool: a full output and the frame that goes over it. */
const POOLED_BYTES = OUTPUT_BYTES + 32 * 1024;
/** Buffers that wait for use in a pool: about as many connections write much in one event-loop turn. */
export const MAX_POOLED = 16;
/** Below this a loop is faster than the call of a native copy. */
const COPY_BY_HAND_BYTES = 48;

/** Buffers that are free: an idle connection has none. The engines of a process share one pool. */
export class OutputPool {
  readonly #free: Uint8Array[] = [];
  readonly #small: Uint8Array[] = [];

  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(POOLED_BYTES);
  }

  takeSmall(): Uint8Array {
    return this.#small.pop() ?? new Uint8Array(SMALL_BYTES);
  }

  /** Takes back a buffer, or a view of one, whose bytes nobody needs; others than its own are left to the collector. */
  give(bytes: Uint8Array): void {
    const { byteLength } = bytes.buffer;
    const free = byteLength === POOLED_BYTES ? this.#free : byteLength === SMALL_BYTES ? this.#small : null;
    if (free === null || free.length >= MAX_POOLED) return;
    free.push(bytes.length === byteLength ? bytes : new Uint8Array(bytes.buffer));
  }

  /** A copy for some time; to be given back. Small ones are not worth a buffer of the pool. */
  copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length * 2 < POOLED_BYTES || bytes.length > POOLED_BYTES) return new Uint8Array(bytes);
    const buffer = this.take();
    buffer.set(bytes);
    return buffer.subarray(0, bytes.length);
  }
}

export class OutputBuffer {
  bytes: Uint8Array = NONE;
  /** `bytes[start..end)` waits to be taken. */
  start = 0;
  end = 0;
  readonly #pool: OutputPool;
  /** What was taken last: about as much is made room for at once. */
  #last = 0;
  /** Handed out, whole or in part, since the last `take`: nobody else may write to it. */
  #lent: Uint8Array | null = null;

  constructor(pool: OutputPool) {
    this.#pool = pool;
  }

  get pending(): number {
    return this.end - this.start;
  }

  /** Makes room for `n` bytes behind `end`. */
  room(n: number): void {
    if (this.end + n > this.bytes.length) this.#grow(n);
  }

  /** Appends `bytes[from..to)`. */
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

  /** What waits, at most `max` bytes of it; null when nothing does. Valid until the next `take`. */
  take(max: number): Uint8Array | null {
    if (this.#lent !== null) {
      this.#pool.give(this.#lent);
      this.#lent = null;
    }
    const n = this.end - this.start;
    if (n === 0) return null;
    if (n > max) {
      const begin = this.bytes.subarray(this.start, this.start + max);
      this.start += max;
      return begin;
    }
    this.#last = n;
    if (this.start === 0 && this.bytes.length === SMALL_BYTES) {
      const copy = this.bytes.slice(0, n);
      this.#pool.give(this.bytes);
      this.bytes = NONE;
      this.end = 0;
      return copy;
    }
    const all = this.bytes.subarray(this.start, this.end);
    this.#lent = this.bytes;
    this.bytes = NONE;
    this.start = 0;
    this.end = 0;
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
    const need = Math.max(pending + n, pending === 0 ? this.#last : 0);
    const { bytes } = this;
    if (need <= SMALL_BYTES) this.bytes = this.#pool.takeSmall();
    else this.bytes = need <= POOLED_BYTES ? this.#pool.take() : new Uint8Array(need + (need >> 1));
    if (pending > 0) this.bytes.set(bytes.subarray(this.start, this.end));
    // Its beginning may be on its way still.
    if (this.start > 0 && this.#lent === null) this.#lent = bytes;
    else if (this.start === 0) this.#pool.give(bytes);
    this.start = 0;
    this.end = pending;
  }
}

const NONE = new Uint8Array(0);
