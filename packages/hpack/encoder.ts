// Encodes header blocks, RFC 7541. One encoder per connection; blocks are sent in the order encoded.
//
// What goes into the dynamic table: a field whose value is seen a second time. So fields that repeat cost one byte and
// fields that never do (ids in paths, trace ids) leave the table alone. Once everything that repeats is in, the table
// does not change any more: then a head that repeats has the same block each time and is copied, not encoded.
import { ENTRY_OVERHEAD_BYTES } from "./header-field.ts";
import { huffmanEncode, huffmanLength } from "./huffman.ts";
import type { SensitiveNames } from "./sensitive-names.ts";
import { STATIC_ENTRIES, STATIC_NAMES } from "./static-table.ts";

/** Something whose block is worth keeping: a slot for it. */
export interface Encodable {
  encoded: unknown;
}

/** Writes the fields of `source` by {@link Encoder.field}. */
export type FieldWriter<T> = (encoder: Encoder, source: T) => void;

export type EncoderOptions = {
  /** Bound of the dynamic table; the peer's SETTINGS_HEADER_TABLE_SIZE may lower it. Bytes, 0 to 65536, default 4096. */
  readonly maxTableBytes?: number;
  /** Names to be sent never indexed beside authorization, proxy-authorization and short cookies. */
  readonly sensitive?: SensitiveNames;
};

class Block {
  constructor(
    /** The encoder's mark: heads outlive connections and must not hold them. */
    readonly owner: object,
    /** Of the table it refers to; the encoder's `fixed` when it refers to none. */
    readonly generation: number,
    readonly bytes: Uint8Array,
  ) {}
}

/** What the tables have of one name, and how its fields are represented. */
class Name {
  /** The value looked up last and where it was found: a name mostly has one value. */
  lastValue: string | null = null;
  lastPlace = 0;
  /** By value: an index of the static table, or -1 - (the number of an entry of the dynamic one). */
  readonly places: Map<string, number>;
  /** How many of them are static. */
  readonly staticValues: number;

  constructor(
    readonly text: string,
    /** Index of a static entry of that name, 0 for none. */
    readonly staticIndex: number,
    readonly rule: number,
    staticValues: ReadonlyMap<string, number> | undefined,
  ) {
    this.places = new Map(staticValues);
    this.staticValues = this.places.size;
  }
}

class Entry {
  constructor(
    readonly name: Name,
    readonly value: string,
    /** Its number, counted from the first entry ever inserted. */
    readonly number: number,
  ) {}
}

/** An insertion that pushes something out, or adds to a crowded name, is allowed once in so many blocks: a working set larger than the table does not churn. */
const BLOCKS_PER_COSTLY_INSERT = 256;
const MAX_COSTLY_INSERTS = 8;
/** Entries that one name may have freely: fields of many values (content-length, paths) must not fill the table alone. */
const FREE_ENTRIES_PER_NAME = 16;
/** Blocks kept for sources that are sent on several connections, in two generations. */
const MAX_KEPT_BLOCKS = 128;
/** A block longer than this is not kept. */
const MAX_KEPT_BLOCK_BYTES = 4096;
const SEEN = 256;

/** How fields of a name are represented: index what repeats, or else. */
const INDEXED = 0;
const NEVER_INDEXED = 1;
const NOT_INDEXED = 2;
const BY_LENGTH = 3;
const RULES: ReadonlyMap<string, number> = new Map([
  ["authorization", NEVER_INDEXED],
  ["proxy-authorization", NEVER_INDEXED],
  // Short cookies can be guessed, RFC 7541 §7.1.3.
  ["cookie", BY_LENGTH],
  ["set-cookie", NOT_INDEXED],
  // They repeat for a second and never again.
  ["date", NOT_INDEXED],
  ["age", NOT_INDEXED],
  ["expires", NOT_INDEXED],
  ["x-envoy-upstream-service-time", NOT_INDEXED],
]);
const SHORT_COOKIE = 20;

export class Encoder {
  /** Stands for this encoder in the slots of sources. */
  readonly #mark: object = {};
  readonly #sensitive: SensitiveNames | null;
  readonly #limit: number;
  #maxBytes: number;
  /** Size updates to be told at the beginning of the next block: the smallest in between and the last; -1 for none. */
  #smallestUpdate = -1;
  #update = -1;
  /** Insertion order; entry n is at n - #firstNumber. */
  #entries: Entry[] = [];
  #evicted = 0;
  #inserted = 0;
  #bytes = 0;
  /** Names of the static table that were met, and all of the dynamic one: bounded by the size of the tables. */
  readonly #names = new Map<string, Name>();
  #generation = 0;
  /** Stands for the generation of blocks that do not refer to the dynamic table. Below 0. */
  #fixed = -1;
  #sensitiveNames = 0;
  #costlyInserts = MAX_COSTLY_INSERTS;
  #blocks = 0;
  #seen: Int32Array | null = null;
  #out = new Uint8Array(256);
  #at = 0;
  // Of the block being written:
  #stable = true;
  #usedDynamic = false;
  #young: Map<object, Block> | null = null;
  #old: Map<object, Block> | null = null;

  constructor(options: EncoderOptions = {}) {
    this.#limit = options.maxTableBytes ?? 4096;
    this.#maxBytes = Math.min(this.#limit, DEFAULT_TABLE_BYTES);
    if (this.#limit < DEFAULT_TABLE_BYTES) this.#smallestUpdate = this.#update = this.#limit;
    this.#sensitive = options.sensitive ?? null;
  }

  /** Size of the dynamic table, RFC 7541 §4.1. */
  get tableBytes(): number {
    return this.#bytes;
  }

  /** Rises with every change of the dynamic table. */
  get generation(): number {
    return this.#generation;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE: told to it by a size update in the next block, RFC 7541 §4.2. */
  setPeerTableSize(bytes: number): void {
    const size = Math.min(bytes, this.#limit);
    if (size === this.#maxBytes && this.#update < 0) return;
    this.#smallestUpdate = this.#update < 0 ? size : Math.min(this.#smallestUpdate, size);
    this.#update = size;
    this.#maxBytes = size;
    this.#evictTo(size);
    this.#generation++;
  }

  /** The block of `source`. Valid until the next call; kept with the source when it is worth it. */
  encode<T extends Encodable>(source: T, write: FieldWriter<T>): Uint8Array {
    const kept = source.encoded;
    if (kept instanceof Block) {
      if (kept.owner !== this.#mark) return this.encodeShared(source, write);
      if (this.#valid(kept)) return kept.bytes;
    }
    const bytes = this.encodeOnce(source, write);
    // On its second sight it is worth keeping; most sources that are made anew have none.
    if (kept === null) source.encoded = this.#mark;
    else if (this.#stable && bytes.length <= MAX_KEPT_BLOCK_BYTES) source.encoded = this.#blockOf(bytes);
    return bytes;
  }

  /** The same for something without a slot (a list of trailers), or whose slot another encoder has: kept in the encoder. */
  encodeShared<T extends object>(source: T, write: FieldWriter<T>): Uint8Array {
    const kept = this.#kept(source);
    if (kept !== null) return kept.bytes;
    const bytes = this.encodeOnce(source, write);
    if (this.#stable && bytes.length <= MAX_KEPT_BLOCK_BYTES) this.#keep(source, this.#blockOf(bytes));
    return bytes;
  }

  /** The block of `source`, without looking for or keeping one. Valid until the next call. */
  encodeOnce<T>(source: T, write: FieldWriter<T>): Uint8Array {
    this.#at = 0;
    this.#stable = true;
    this.#usedDynamic = false;
    if (this.#update >= 0) this.#writeUpdates();
    write(this, source);
    if (++this.#blocks >= BLOCKS_PER_COSTLY_INSERT) {
      this.#blocks = 0;
      if (this.#costlyInserts < MAX_COSTLY_INSERTS) this.#costlyInserts++;
    }
    return this.#out.subarray(0, this.#at);
  }

  /** One field of the block being written. `name` in lower case; chars beyond latin1 are sent as "?". */
  field(name: string, value: string): void {
    const known = this.#names.get(name) ?? this.#meet(name);
    let rule = known === null ? INDEXED : known.rule;
    if (rule === BY_LENGTH) rule = value.length < SHORT_COOKIE ? NEVER_INDEXED : INDEXED;
    if (this.#sensitive !== null && this.#sensitive.size > 0 && this.#sensitive.has(name)) rule = NEVER_INDEXED;
    let nameIndex = 0;
    if (known !== null) {
      if (rule === INDEXED) {
        let place: number | undefined;
        if (known.lastValue === value) place = known.lastPlace;
        else {
          place = known.places.get(value);
          if (place !== undefined) {
            known.lastValue = value;
            known.lastPlace = place;
          }
        }
        if (place !== undefined) {
          if (place < 0) {
            this.#usedDynamic = true;
            place = this.#index(-1 - place);
          }
          this.#integer(0x80, 0x7f, place);
          return;
        }
      }
      nameIndex = known.staticIndex;
      if (nameIndex === 0) {
        for (const place of known.places.values()) {
          nameIndex = this.#index(-1 - place);
          this.#usedDynamic = true;
          break;
        }
      }
    }
    if (rule !== INDEXED) {
      this.#literal(rule === NEVER_INDEXED ? 0x10 : 0x00, 0x0f, nameIndex, name, value);
      return;
    }
    const size = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (size > this.#maxBytes >> 1) {
      this.#literal(0x00, 0x0f, nameIndex, name, value);
      return;
    }
    if (!this.#seenBefore(name, value)) {
      // Its next block will be another one.
      this.#stable = false;
      this.#literal(0x00, 0x0f, nameIndex, name, value);
      return;
    }
    const crowded = known !== null && known.places.size - known.staticValues >= FREE_ENTRIES_PER_NAME;
    if (crowded || this.#bytes + size > this.#maxBytes) {
      if (this.#costlyInserts === 0) {
        this.#literal(0x00, 0x0f, nameIndex, name, value);
        return;
      }
      this.#costlyInserts--;
    }
    this.#literal(0x40, 0x3f, nameIndex, name, value);
    this.#insert(name, value, size);
  }

  /** A name that is not among those met: null when the static table has none of it and no rule is about it. */
  #meet(name: string): Name | null {
    const known = STATIC_NAMES.get(name);
    const rule = RULES.get(name) ?? INDEXED;
    if (known === undefined && rule === INDEXED) return null;
    const met = new Name(name, known?.index ?? 0, rule, known?.values);
    this.#names.set(name, met);
    return met;
  }

  #valid(block: Block): boolean {
    if (this.#sensitive !== null && this.#sensitive.size !== this.#sensitiveNames) {
      // What was indexed may be sensitive now.
      this.#sensitiveNames = this.#sensitive.size;
      this.#generation++;
      this.#fixed--;
    }
    return this.#update < 0 && (block.generation === this.#generation || block.generation === this.#fixed);
  }

  #blockOf(bytes: Uint8Array): Block {
    return new Block(this.#mark, this.#usedDynamic ? this.#generation : this.#fixed, bytes.slice());
  }

  #kept(source: object): Block | null {
    if (this.#young === null) return null;
    let block = this.#young.get(source);
    if (block === undefined) {
      block = this.#old?.get(source);
      if (block === undefined || !this.#valid(block)) return null;
      this.#old?.delete(source);
      this.#keep(source, block);
      return block;
    }
    return this.#valid(block) ? block : null;
  }

  #keep(source: object, block: Block): void {
    this.#young ??= new Map();
    if (this.#young.size >= MAX_KEPT_BLOCKS / 2 && !this.#young.has(source)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(source, block);
  }

  #seenBefore(name: string, value: string): boolean {
    let h = name.length;
    for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
    for (let i = 0; i < value.length; i++) h = Math.imul(h ^ value.charCodeAt(i), 0x01000193);
    h ^= h >>> 15;
    if (h === 0) h = 1;
    this.#seen ??= new Int32Array(SEEN);
    const slot = h & (SEEN - 1);
    if (this.#seen[slot] === h) return true;
    this.#seen[slot] = h;
    return false;
  }

  #index(number: number): number {
    return STATIC_ENTRIES + this.#inserted - number;
  }

  #insert(name: string, value: string, size: number): void {
    this.#stable = false;
    this.#generation++;
    this.#evictTo(this.#maxBytes - size);
    const number = this.#inserted++;
    let known = this.#names.get(name);
    if (known === undefined) this.#names.set(name, (known = new Name(name, 0, INDEXED, undefined)));
    this.#entries.push(new Entry(known, value, number));
    this.#bytes += size;
    known.places.set(value, -1 - number);
  }

  #evictTo(bytes: number): void {
    while (this.#bytes > bytes && this.#entries.length > 0) {
      const { name, value, number } = this.#entries[this.#evicted++] as Entry;
      this.#bytes -= name.text.length + value.length + ENTRY_OVERHEAD_BYTES;
      if (name.places.get(value) === -1 - number) {
        name.places.delete(value);
        if (name.lastValue === value) name.lastValue = null;
        if (name.places.size === 0 && name.staticIndex === 0 && name.rule === INDEXED) this.#names.delete(name.text);
      }
      if (this.#evicted === this.#entries.length || this.#evicted >= 64) {
        this.#entries.splice(0, this.#evicted);
        this.#evicted = 0;
      }
    }
  }

  #writeUpdates(): void {
    this.#stable = false;
    if (this.#smallestUpdate < this.#update) this.#integer(0x20, 0x1f, this.#smallestUpdate);
    this.#integer(0x20, 0x1f, this.#update);
    this.#update = -1;
    this.#smallestUpdate = -1;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#out.length) return;
    const grown = new Uint8Array(Math.max(this.#out.length * 2, this.#at + bytes));
    grown.set(this.#out.subarray(0, this.#at));
    this.#out = grown;
  }

  /** RFC 7541 §5.1. */
  #integer(pattern: number, prefix: number, value: number): void {
    this.#room(6);
    if (value < prefix) {
      this.#out[this.#at++] = pattern | value;
      return;
    }
    this.#out[this.#at++] = pattern | prefix;
    let rest = value - prefix;
    while (rest >= 0x80) {
      this.#out[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#out[this.#at++] = rest;
  }

  #literal(pattern: number, prefix: number, nameIndex: number, name: string, value: string): void {
    this.#integer(pattern, prefix, nameIndex);
    if (nameIndex === 0) this.#string(name);
    this.#string(value);
  }

  /** RFC 7541 §5.2, in whichever form is shorter. */
  #string(given: string): void {
    const text = latin1Only(given);
    const coded = huffmanLength(text);
    if (coded < text.length) {
      this.#integer(0x80, 0x7f, coded);
      this.#room(coded + 4);
      huffmanEncode(text, this.#out, this.#at);
      this.#at += coded;
      return;
    }
    this.#integer(0x00, 0x7f, text.length);
    this.#room(text.length);
    const out = this.#out;
    let at = this.#at;
    for (let i = 0; i < text.length; i++) out[at++] = text.charCodeAt(i);
    this.#at = at;
  }
}

/** Until the peer's SETTINGS say otherwise, RFC 9113 §6.5.2. */
const DEFAULT_TABLE_BYTES = 4096;

function latin1Only(text: string): string {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 255) return text.replace(/[^\u0000-\u00ff]/g, "?");
  return text;
}
