// Keeps a request body while it streams, so that it can be sent again (spec proxy §5.4). Pure.

/** Bytes kept, inclusive. One more and the body can be sent only once. */
export const MAX_REPLAY_BYTES = 64 * 1024;

/** Where a body goes. */
export type Sink = {
  write(chunk: Uint8Array, end: boolean): void;
  trailers(fields: readonly string[]): void;
};

export class ReplayBuffer {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #ended = false;
  #trailers: readonly string[] | null = null;
  #overflowed = false;

  /** Everything seen so far is here. */
  get complete(): boolean {
    return !this.#overflowed;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a copy of `chunk`. */
  push(chunk: Uint8Array, end: boolean, trailers: readonly string[] | null): void {
    if (end) this.#ended = true;
    if (this.#overflowed) return;
    this.#trailers = trailers;
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_REPLAY_BYTES) {
      this.#overflowed = true;
      this.#chunks = [];
    } else if (chunk.length > 0) this.#chunks.push(new Uint8Array(chunk));
  }

  /** Sends what has been seen; what is yet to come follows from its source. */
  play(sink: Sink): void {
    const last = this.#chunks.length - 1;
    const endsWithData = this.#ended && this.#trailers === null;
    for (let i = 0; i <= last; i++) sink.write(this.#chunks[i] as Uint8Array, endsWithData && i === last);
    if (this.#trailers !== null) sink.trailers(this.#trailers);
    else if (endsWithData && last < 0) sink.write(new Uint8Array(0), true);
  }
}
