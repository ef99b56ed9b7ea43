// Bytes on their way to the socket. Frames are written into a slab; what was handed out is a view of it that is never
// written again, so that the transport may keep a refused remainder. A slab is dropped when it is full: the views keep it.

const FIRST_SLAB_BYTES = 1024;
/** Slabs double to this size: a busy connection makes one in some hundred small messages, an idle one holds at most this. */
const MAX_SLAB_BYTES = 16 * 1024;

export class OutputBuffer {
  bytes: Uint8Array = NONE;
  /** `bytes[start..end)` waits to be taken. */
  start = 0;
  end = 0;
  #slab = FIRST_SLAB_BYTES;

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
    const end = n > max ? this.start + max : this.end;
    const view = this.bytes.subarray(this.start, end);
    this.start = end;
    // A large buffer was made for this output alone.
    if (end === this.end && this.bytes.length > MAX_SLAB_BYTES) this.drop();
    return view;
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
    const size = need > this.#slab ? need + (need >> 1) : this.#slab;
    if (this.#slab < MAX_SLAB_BYTES) this.#slab *= 2;
    const bytes = new Uint8Array(size);
    if (pending > 0) bytes.set(this.bytes.subarray(this.start, this.end));
    this.bytes = bytes;
    this.start = 0;
    this.end = pending;
  }
}

const NONE = new Uint8Array(0);
/** Below this a loop is faster than the call of a native copy. */
const COPY_BY_HAND_BYTES = 48;
