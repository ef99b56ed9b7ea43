// Reads heads off a byte stream: finds where they end, bounds them, and knows those that were read before.
import { CR, LF } from "./chars.ts";
import { HeadFault } from "./fields.ts";
import { type HeadCache, type HeadCacheEntry, startsWith } from "./head-cache.ts";
import { MAX_EMPTY_LINES, MAX_HEAD_BYTES } from "./limits.ts";
import { findHeadEnd, partialHeadFault } from "./scan.ts";

export class HeadReader<T> {
  /** Of the last `read`: the head, null when it is not complete or faulty. */
  value: T | null = null;
  fault: HeadFault | null = null;
  readonly #cache: HeadCache<T>;
  readonly #parse: (bytes: Uint8Array, start: number, end: number) => T | HeadFault;
  readonly #maxEmptyLines: number;
  readonly #begins: string;
  /** The connection's last head: most clients repeat it, and comparing is cheaper than searching. */
  #last: HeadCacheEntry<T> | null = null;
  /** Bytes of the incomplete head that were looked at. */
  #scanned = 0;
  #emptyLines = 0;

  constructor(options: {
    cache: HeadCache<T>;
    parse: (bytes: Uint8Array, start: number, end: number) => T | HeadFault;
    /** Empty lines before a head are ignored (RFC 9112 §2.2: requests only). */
    emptyLines: boolean;
    /** What every head begins with; "" when that varies. A peer that says something else is not waited for. */
    begins?: string;
  }) {
    this.#cache = options.cache;
    this.#parse = options.parse;
    this.#begins = options.begins ?? "";
    this.#maxEmptyLines = options.emptyLines ? MAX_EMPTY_LINES : 0;
  }

  /**
   * Reads the head that begins at `pos`. Returns where it ends; or, when it is not complete (`value` and `fault` null), where
   * it begins: the caller keeps the bytes from there on and calls again with them and more.
   */
  read(bytes: Uint8Array, pos: number): number {
    this.fault = null;
    const last = this.#last;
    if (last !== null && startsWith(bytes, pos, last.bytes)) {
      this.value = last.value;
      this.#scanned = 0;
      this.#emptyLines = 0;
      return pos + last.bytes.length;
    }
    this.value = null;
    let start = pos;
    while (bytes[start] === CR && bytes[start + 1] === LF && this.#emptyLines < this.#maxEmptyLines) {
      this.#emptyLines++;
      start += 2;
      this.#scanned = 0;
    }
    const end = findHeadEnd(bytes, start + Math.max(0, this.#scanned - 3));
    if (end < 0 || end - start > MAX_HEAD_BYTES) return this.#incomplete(bytes, start, end);
    this.#scanned = 0;
    this.#emptyLines = 0;
    const entry = this.#cache.find(bytes, start, end);
    if (entry !== null) {
      this.#last = entry;
      this.value = entry.value;
      return end;
    }
    const parsed = this.#parse(bytes, start, end);
    if (parsed instanceof HeadFault) {
      this.fault = parsed;
      return end;
    }
    this.value = parsed;
    this.#last = this.#cache.offer(bytes, start, end, parsed) ?? last;
    return end;
  }

  #incomplete(bytes: Uint8Array, start: number, end: number): number {
    const message = partialHeadFault(end < 0 ? bytes : bytes.subarray(0, end), start, start + this.#scanned);
    if (message !== null) this.fault = new HeadFault(400, message);
    else if (!this.#mayBegin(bytes, start)) this.fault = new HeadFault(400, "not HTTP");
    else if (end >= 0 || bytes.length - start > MAX_HEAD_BYTES) {
      let i = start;
      while (i < start + MAX_HEAD_BYTES && bytes[i] !== LF) i++;
      this.fault = i === start + MAX_HEAD_BYTES ? new HeadFault(414, "request line too long") : new HeadFault(431, "head too large");
    }
    this.#scanned = bytes.length - start;
    return start;
  }

  #mayBegin(bytes: Uint8Array, start: number): boolean {
    const n = Math.min(this.#begins.length, bytes.length - start);
    for (let i = 0; i < n; i++) if (bytes[start + i] !== this.#begins.charCodeAt(i)) return false;
    return true;
  }
}
