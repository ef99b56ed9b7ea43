// Header blocks that repeat are decoded once: a bounded table from the bytes of a block to what was made of it, valid while
// the decoder's table has the same generation (for ever when the block does not refer to it). A block enters on its
// second sight, so that blocks which never repeat (ids in paths) cost a hash and push nothing out.

/** Blocks kept per connection and kind, in two generations. */
export const MAX_CACHED_BLOCKS = 256;
/** Bytes of blocks kept per connection and kind; what is decoded of them may be sixteen times as much. */
export const MAX_CACHED_BLOCK_BYTES = 32 * 1024;
/** Longest block kept. */
export const MAX_CACHED_BLOCK = 4096;

class Entry<T> {
  constructor(
    readonly bytes: Uint8Array,
    /** -1: valid for every state of the table. */
    readonly generation: number,
    readonly value: T,
  ) {}
}

export class BlockCache<T> {
  #young: Map<number, Entry<T>> | null = null;
  #old: Map<number, Entry<T>> | null = null;
  #youngBytes = 0;
  #seen: Int32Array | null = null;
  #hash = 0;

  /** What was made of the block `bytes[start..end)`, null when it is not kept. */
  find(bytes: Uint8Array, start: number, end: number, generation: number): T | null {
    const length = end - start;
    let h = length;
    for (let i = start; i < end; i++) h = Math.imul(h ^ (bytes[i] as number), 0x01000193);
    h ^= h >>> 15;
    this.#hash = h;
    if (this.#young === null) return null;
    let entry = this.#young.get(h);
    let promote = false;
    if (entry === undefined) {
      entry = this.#old?.get(h);
      if (entry === undefined) return null;
      promote = true;
    }
    if (entry.generation !== generation && entry.generation !== -1) return null;
    const kept = entry.bytes;
    if (kept.length !== length) return null;
    for (let i = 0; i < length; i++) if (kept[i] !== bytes[start + i]) return null;
    if (promote) {
      this.#old?.delete(h);
      this.#insert(h, entry);
    }
    return entry.value;
  }

  /** After a `find` that found nothing, for a block that did not change the table. `generation` -1: it did not use it either. */
  offer(bytes: Uint8Array, start: number, end: number, generation: number, value: T): void {
    if (end - start > MAX_CACHED_BLOCK) return;
    const hash = this.#hash;
    this.#seen ??= new Int32Array(SEEN);
    const slot = hash & (SEEN - 1);
    // The state of the table is part of what was seen: the same bytes at another one are another block.
    const mark = generation < 0 ? hash : Math.imul(hash ^ generation, 0x9e3779b1);
    if (this.#seen[slot] !== mark) {
      this.#seen[slot] = mark;
      return;
    }
    this.#insert(hash, new Entry(new Uint8Array(bytes.subarray(start, end)), generation, value));
  }

  #insert(hash: number, entry: Entry<T>): void {
    this.#young ??= new Map();
    const before = this.#young.get(hash);
    if (before !== undefined) this.#youngBytes -= before.bytes.length;
    else if (this.#young.size >= MAX_CACHED_BLOCKS / 2 || this.#youngBytes + entry.bytes.length > MAX_CACHED_BLOCK_BYTES / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(hash, entry);
    this.#youngBytes += entry.bytes.length;
  }
}

const SEEN = 256;
