// Streams by id. Ids rise, so a ring indexed by the id holds nearly all; a stream that outlives its turn in the ring while
// another needs the place makes the newer one go to a map.
import type { Stream } from "./stream.ts";

const FIRST_RING = 16;
const MAX_RING = 1024;

export class StreamTable {
  #ring: (Stream | null)[] = new Array(FIRST_RING).fill(null);
  #mask = FIRST_RING - 1;
  readonly #others = new Map<number, Stream>();
  size = 0;

  get(id: number): Stream | undefined {
    const stream = this.#ring[(id >>> 1) & this.#mask];
    if (stream !== null && stream !== undefined && stream.id === id) return stream;
    return this.#others.size === 0 ? undefined : this.#others.get(id);
  }

  /** `stream.id` must not be in it. */
  add(stream: Stream): void {
    this.size++;
    if (this.size > this.#ring.length >> 1 && this.#ring.length < MAX_RING) this.#grow();
    this.#place(stream);
  }

  delete(id: number): void {
    const slot = (id >>> 1) & this.#mask;
    const stream = this.#ring[slot];
    if (stream !== null && stream !== undefined && stream.id === id) {
      this.#ring[slot] = null;
      this.size--;
    } else if (this.#others.delete(id)) this.size--;
  }

  /** A snapshot, in no order. */
  all(): Stream[] {
    const streams: Stream[] = [];
    for (const stream of this.#ring) if (stream !== null) streams.push(stream);
    for (const stream of this.#others.values()) streams.push(stream);
    return streams;
  }

  #place(stream: Stream): void {
    const slot = (stream.id >>> 1) & this.#mask;
    if (this.#ring[slot] === null) this.#ring[slot] = stream;
    else this.#others.set(stream.id, stream);
  }

  #grow(): void {
    const streams = this.all();
    const length = this.#ring.length * 2;
    this.#ring = new Array(length).fill(null);
    this.#mask = length - 1;
    this.#others.clear();
    for (const stream of streams) this.#place(stream);
  }
}
