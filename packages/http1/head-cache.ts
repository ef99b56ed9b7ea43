// Heads that repeat are parsed once: a bounded table from the bytes of a head to what was made of it. One is shared by all
// connections of one kind. A head enters on its second sight, so that heads which never repeat (ids in paths, cookies,
// dates) cost a hash and push nothing out.

export type HeadCacheOptions = {
  /** Heads kept, default 1024. */
  readonly maxEntries?: number;
  /** Bytes of heads kept, default 1 MiB; what is parsed of them takes about three times as much again. */
  readonly maxBytes?: number;
  /** Longest head kept, default 4 KiB. */
  readonly maxHeadBytes?: number;
};

export class HeadCacheEntry<T> {
  /** The whole head, its last empty line included: bytes that begin with it are this head. */
  readonly bytes: Uint8Array;
  readonly value: T;

  constructor(bytes: Uint8Array, value: T) {
    this.bytes = bytes;
    this.value = value;
  }
}

/** Two generations: hits move to the young one; when it is full the old one is dropped. */
export class HeadCache<T> {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #maxHeadBytes: number;
  #young = new Map<number, HeadCacheEntry<T>>();
  #old = new Map<number, HeadCacheEntry<T>>();
  #youngBytes = 0;
  #oldBytes = 0;
  /** Hashes seen once, by their low bits. */
  readonly #seen = new Int32Array(4096);
  #hash = 0;

  constructor(options: HeadCacheOptions = {}) {
    // Each generation gets half.
    this.#maxEntries = Math.max(1, (options.maxEntries ?? 1024) >> 1);
    this.#maxBytes = Math.max(1, (options.maxBytes ?? 1024 * 1024) >> 1);
    this.#maxHeadBytes = options.maxHeadBytes ?? 4096;
  }

  get entries(): number {
    return this.#young.size + this.#old.size;
  }

  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  /** The entry of the head `bytes[start..end)`, null when it is not kept. */
  find(bytes: Uint8Array, start: number, end: number): HeadCacheEntry<T> | null {
    const hash = hashBytes(bytes, start, end);
    this.#hash = hash;
    let entry = this.#young.get(hash);
    if (entry !== undefined) return entry.bytes.length === end - start && startsWith(bytes, start, entry.bytes) ? entry : null;
    entry = this.#old.get(hash);
    if (entry === undefined || entry.bytes.length !== end - start || !startsWith(bytes, start, entry.bytes)) return null;
    this.#old.delete(hash);
    this.#oldBytes -= entry.bytes.length;
    this.#insert(hash, entry);
    return entry;
  }

  /** After a `find` that found nothing: the entry if the head is now kept (its second sight), else null. */
  offer(bytes: Uint8Array, start: number, end: number, value: T): HeadCacheEntry<T> | null {
    const hash = this.#hash;
    if (end - start > this.#maxHeadBytes) return null;
    const slot = hash & 4095;
    if (this.#seen[slot] !== hash) {
      this.#seen[slot] = hash;
      return null;
    }
    const entry = new HeadCacheEntry(new Uint8Array(bytes.subarray(start, end)), value);
    this.#insert(hash, entry);
    return entry;
  }

  #insert(hash: number, entry: HeadCacheEntry<T>): void {
    if (this.#young.size >= this.#maxEntries || this.#youngBytes + entry.bytes.length > this.#maxBytes) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    const before = this.#young.get(hash);
    if (before !== undefined) this.#youngBytes -= before.bytes.length;
    this.#young.set(hash, entry);
    this.#youngBytes += entry.bytes.length;
  }
}

/** Whether `bytes` from `start` on begin with all of `prefix`. */
export function startsWith(bytes: Uint8Array, start: number, prefix: Uint8Array): boolean {
  const length = prefix.length;
  if (bytes.length - start < length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== prefix[i]) return false;
  return true;
}

/** Four lanes, so that the multiplications do not wait for each other. Collisions cost a miss, never a wrong head. */
function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let a = end - start;
  let b = 0x9e3779b1 | 0;
  let c = 0x85ebca77 | 0;
  let d = 0xc2b2ae3d | 0;
  let i = start;
  for (const last = end - 3; i < last; i += 4) {
    a = Math.imul(a ^ (bytes[i] as number), 0x01000193);
    b = Math.imul(b ^ (bytes[i + 1] as number), 0x01000193);
    c = Math.imul(c ^ (bytes[i + 2] as number), 0x01000193);
    d = Math.imul(d ^ (bytes[i + 3] as number), 0x01000193);
  }
  for (; i < end; i++) a = Math.imul(a ^ (bytes[i] as number), 0x01000193);
  let h = Math.imul(a ^ (b << 7) ^ (b >>> 25), 0x85ebca6b) ^ Math.imul(c ^ (d << 13) ^ (d >>> 19), 0xc2b2ae35);
  h ^= h >>> 15;
  // 0 marks an empty slot of the table of hashes seen.
  return h === 0 ? 1 : h;
}
