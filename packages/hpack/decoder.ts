// Decodes header blocks, RFC 7541. One decoder per connection; blocks in the order received.
import { Buffer } from "node:buffer";
import { HeaderField } from "./header-field.ts";
import { huffmanDecode, maxDecodedBytes } from "./huffman.ts";
import { STATIC_ENTRIES, STATIC_TABLE } from "./static-table.ts";

/** The block cannot be decoded: the compression state is lost, COMPRESSION_ERROR (RFC 9113 §4.3). */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

export type DecoderOptions = {
  /** Bound of one list of fields, counted DECODED: name + value + 32 each (RFC 9113 §6.5.2). Bytes, default 65536. */
  readonly maxHeaderListBytes?: number;
  /** Most fields of one list, default 256. */
  readonly maxFields?: number;
};

/** SETTINGS_HEADER_TABLE_SIZE of this side: the protocol's default, which needs no negotiation. */
export const TABLE_BYTES = 4096;
export const MAX_HEADER_LIST_BYTES = 64 * 1024;
export const MAX_FIELDS = 256;

/**
 * Result of {@link Decoder.decode} is in the decoder itself, valid until the next call: `fields[0..count)` and the flags.
 *
 *     block ──► decode ──► fields, count        the list
 *                          changed              the block altered the table (or its size)
 *                          usedDynamic          it referred to entries of the dynamic table
 *                          overflow             the list passed a bound: fields is incomplete, the table is right
 *
 * A block with neither `changed` gives the same list again whenever `generation` is the same, and always when it did not
 * use the dynamic table either: see {@link BlockCache}.
 */
export class Decoder {
  readonly fields: HeaderField[] = [];
  count = 0;
  changed = false;
  usedDynamic = false;
  overflow = false;
  /** Rises with every change of the dynamic table. */
  generation = 0;

  /** Bound of one list, bytes as RFC 9113 §6.5.2 counts them. */
  readonly maxHeaderListBytes: number;
  readonly #maxFields: number;
  /** Ring: entry n (counted from the first ever inserted) is at n & mask. At most TABLE_BYTES / 32 = 128 entries. */
  readonly #ring: (HeaderField | null)[] = [];
  #inserted = 0;
  #entries = 0;
  #bytes = 0;
  #maxBytes = TABLE_BYTES;
  #listBytes = 0;
  #input: Uint8Array = EMPTY;
  #at = 0;
  #end = 0;
  #scratch: Uint8Array = EMPTY;

  constructor(options: DecoderOptions = {}) {
    this.maxHeaderListBytes = options.maxHeaderListBytes ?? MAX_HEADER_LIST_BYTES;
    this.#maxFields = options.maxFields ?? MAX_FIELDS;
  }

  /** Entries of the dynamic table, the newest first; for tests and dumps. */
  get table(): HeaderField[] {
    const entries: HeaderField[] = [];
    for (let i = 0; i < this.#entries; i++) entries.push(this.#ring[(this.#inserted - 1 - i) & RING_MASK] as HeaderField);
    return entries;
  }

  /** Size of the dynamic table, RFC 7541 §4.1. */
  get tableBytes(): number {
    return this.#bytes;
  }

  /** Decodes the block `bytes[start..end)`. Throws {@link HpackError}. */
  decode(bytes: Uint8Array, start: number, end: number): void {
    this.#input = bytes;
    this.#at = start;
    this.#end = end;
    this.count = 0;
    this.changed = false;
    this.usedDynamic = false;
    this.overflow = false;
    this.#listBytes = 0;
    let sizeUpdates = 0;
    let first = true;
    while (this.#at < end) {
      const byte = bytes[this.#at++] as number;
      if (byte >= 0x80) {
        //   1 | index (7+)      indexed field, §6.1
        const index = (byte & 0x7f) < 0x7f ? byte & 0x7f : this.#integer(0x7f);
        this.#emit(this.#entry(index));
      } else if (byte >= 0x40) {
        //   0 1 | index (6+)    literal with incremental indexing, §6.2.1
        const field = this.#literal((byte & 0x3f) < 0x3f ? byte & 0x3f : this.#integer(0x3f), false);
        this.#insert(field);
        this.#emit(field);
      } else if (byte >= 0x20) {
        //   0 0 1 | size (5+)   dynamic table size update, §6.3: only at the beginning of a block, §4.2
        if (!first) throw new HpackError("table size update after a field");
        if (++sizeUpdates > 2) throw new HpackError("more than two table size updates");
        this.#resize((byte & 0x1f) < 0x1f ? byte & 0x1f : this.#integer(0x1f));
        continue;
      } else {
        //   0 0 0 N | index (4+)   literal without indexing, §6.2.2; N: never indexed, §6.2.3
        const index = (byte & 0x0f) < 0x0f ? byte & 0x0f : this.#integer(0x0f);
        this.#emit(this.#literal(index, byte >= 0x10));
      }
      first = false;
    }
    this.#input = EMPTY;
  }

  #emit(field: HeaderField): void {
    this.#listBytes += field.name.length + field.value.length + 32;
    // HPACK bomb: references to one large entry cost a byte each. Decoding goes on for the table's sake alone.
    if (this.#listBytes > this.maxHeaderListBytes || this.count >= this.#maxFields) {
      this.overflow = true;
      return;
    }
    this.fields[this.count++] = field;
  }

  #entry(index: number): HeaderField {
    if (index <= STATIC_ENTRIES) {
      if (index === 0) throw new HpackError("index 0");
      return STATIC_TABLE[index] as HeaderField;
    }
    const back = index - STATIC_ENTRIES;
    if (back > this.#entries) throw new HpackError(`index ${index} is beyond the table`);
    this.usedDynamic = true;
    return this.#ring[(this.#inserted - back) & RING_MASK] as HeaderField;
  }

  #literal(nameIndex: number, sensitive: boolean): HeaderField {
    const name = nameIndex === 0 ? this.#string() : this.#entry(nameIndex).name;
    return new HeaderField(name, this.#string(), sensitive);
  }

  #insert(field: HeaderField): void {
    this.changed = true;
    this.generation++;
    const size = field.size;
    // An entry larger than the table empties it and is no error, §4.4.
    while (this.#entries > 0 && this.#bytes + size > this.#maxBytes) this.#evict();
    if (size > this.#maxBytes) return;
    this.#ring[this.#inserted++ & RING_MASK] = field;
    this.#entries++;
    this.#bytes += size;
  }

  #evict(): void {
    const at = (this.#inserted - this.#entries) & RING_MASK;
    this.#bytes -= (this.#ring[at] as HeaderField).size;
    this.#ring[at] = null;
    this.#entries--;
  }

  #resize(bytes: number): void {
    if (bytes > TABLE_BYTES) throw new HpackError(`table size ${bytes} is above the setting ${TABLE_BYTES}`);
    this.changed = true;
    this.generation++;
    this.#maxBytes = bytes;
    while (this.#bytes > bytes) this.#evict();
  }

  /** The rest of an integer whose prefix is full, §5.1. */
  #integer(prefix: number): number {
    let value = prefix;
    // Four more bytes are beyond every size and index here; more would only hide zeros.
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) throw new HpackError("the block ends within an integer");
      const byte = this.#input[this.#at++] as number;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new HpackError("integer too large");
  }

  /** String literal, §5.2: H | length (7+) | octets. */
  #string(): string {
    if (this.#at >= this.#end) throw new HpackError("the block ends before a string");
    const byte = this.#input[this.#at++] as number;
    const length = (byte & 0x7f) < 0x7f ? byte & 0x7f : this.#integer(0x7f);
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw new HpackError("the block ends within a string");
    this.#at = end;
    if (length === 0) return "";
    if (byte < 0x80) return latin1Slice.call(this.#input, start, end);
    const room = maxDecodedBytes(length);
    let out = this.#scratch;
    if (out.length < room) {
      out = new Uint8Array(Math.max(room, 256));
      if (room <= KEPT_SCRATCH_BYTES) this.#scratch = out;
    }
    const written = huffmanDecode(this.#input, start, end, out);
    if (written < 0) throw new HpackError("bad Huffman code");
    return latin1Slice.call(out, 0, written);
  }
}

const EMPTY = new Uint8Array(0);
const RING_MASK = TABLE_BYTES / 32 - 1;
const KEPT_SCRATCH_BYTES = 1024;
const latin1Slice = Buffer.prototype.latin1Slice;
