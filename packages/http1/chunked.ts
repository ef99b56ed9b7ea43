// The chunked transfer coding, RFC 9112 §7.1, read strictly: CR LF and nothing else ends a line, extensions are checked.
import type { Fields } from "#http";
import { Accumulator } from "./accumulator.ts";
import { CLASS, CR, HEX, HTAB, LF, QDTEXT, SP, TCHAR } from "./chars.ts";
import { FORBIDDEN_TRAILERS } from "./encode.ts";
import { HeadFault, parseFields } from "./fields.ts";
import { latin1 } from "./latin1.ts";
import { MAX_CHUNK_EXTENSION_BYTES, MAX_CHUNK_SIZE_DIGITS, MAX_TRAILER_BYTES } from "./limits.ts";

const State = {
  SIZE: 0,
  /** Behind a size or an extension; white space only before `;`. */
  EXT_SPACE: 1,
  /** Behind `;`. */
  EXT_NAME_START: 2,
  EXT_NAME: 3,
  /** White space behind an extension's name. */
  EXT_NAME_END: 4,
  /** Behind `=`. */
  EXT_VALUE_START: 5,
  EXT_VALUE: 6,
  EXT_QUOTED: 7,
  EXT_QUOTED_PAIR: 8,
  EXT_QUOTED_END: 9,
  SIZE_LF: 10,
  DATA: 11,
  DATA_CR: 12,
  DATA_LF: 13,
  TRAILER_START: 14,
  TRAILER_END_LF: 15,
  TRAILERS: 16,
  DONE: 17,
} as const;

/** Pull decoder: `next` reads on until there is data, the end, a fault, or no more input. */
export class ChunkedDecoder {
  /** Set by `next`: a piece of the body, null when it found none. */
  data: Uint8Array | null = null;
  done = false;
  /** With `done`: the trailer section, null when it is empty. */
  trailers: Fields | null = null;
  fault: string | null = null;
  #state: number = State.SIZE;
  #digits = 0;
  #size = 0;
  #extensionBytes = 0;
  #trailers: Accumulator | null = null;

  reset(): void {
    this.data = null;
    this.done = false;
    this.trailers = null;
    this.fault = null;
    this.#state = State.SIZE;
    this.#digits = 0;
    this.#size = 0;
    this.#extensionBytes = 0;
    this.#trailers = null;
  }

  /** Reads `bytes` from `pos` on; returns where it stopped. */
  next(bytes: Uint8Array, pos: number): number {
    this.data = null;
    const length = bytes.length;
    let i = pos;
    while (i < length) {
      const c = bytes[i] as number;
      switch (this.#state) {
        case State.SIZE:
          if (((CLASS[c] as number) & HEX) !== 0) {
            if (++this.#digits > MAX_CHUNK_SIZE_DIGITS) return this.#fail("chunk size too large", i);
            // Letters differ from digits in bit 6; both cases agree in the low three bits, a = 1.
            this.#size = this.#size * 16 + (c < 58 ? c - 48 : (c & 7) + 9);
            if (!Number.isSafeInteger(this.#size)) return this.#fail("chunk size too large", i);
            i++;
            break;
          }
          if (this.#digits === 0) return this.#fail("invalid chunk size", i);
          if (c === CR) this.#state = State.SIZE_LF;
          else if (c === 0x3b) this.#state = State.EXT_NAME_START;
          else if (c === SP || c === HTAB) this.#state = State.EXT_SPACE;
          else return this.#fail("invalid chunk size", i);
          i++;
          break;
        case State.SIZE_LF:
          if (c !== LF) return this.#fail("CR without LF in chunk size", i);
          i++;
          this.#digits = 0;
          this.#state = this.#size === 0 ? State.TRAILER_START : State.DATA;
          break;
        case State.DATA: {
          const n = Math.min(this.#size, length - i);
          this.#size -= n;
          if (this.#size === 0) this.#state = State.DATA_CR;
          this.data = i === 0 && n === length ? bytes : bytes.subarray(i, i + n);
          return i + n;
        }
        case State.DATA_CR:
          if (c !== CR) return this.#fail("chunk data longer than its size", i);
          this.#state = State.DATA_LF;
          i++;
          break;
        case State.DATA_LF:
          if (c !== LF) return this.#fail("CR without LF behind chunk data", i);
          this.#state = State.SIZE;
          i++;
          break;
        case State.TRAILER_START:
          if (c === CR) {
            this.#state = State.TRAILER_END_LF;
            i++;
            break;
          }
          this.#trailers = new Accumulator();
          this.#state = State.TRAILERS;
          break;
        case State.TRAILER_END_LF:
          if (c !== LF) return this.#fail("CR without LF behind last chunk", i);
          return this.#finish(i + 1);
        case State.TRAILERS:
          return this.#readTrailers(bytes, i);
        case State.DONE:
          return i;
        default:
          i = this.#extension(c, i);
          if (this.fault !== null) return i;
      }
    }
    return i;
  }

  #extension(c: number, i: number): number {
    if (++this.#extensionBytes > MAX_CHUNK_EXTENSION_BYTES) return this.#fail("chunk extensions too large", i);
    const space = c === SP || c === HTAB;
    const token = ((CLASS[c] as number) & TCHAR) !== 0;
    let next = -1;
    switch (this.#state) {
      case State.EXT_SPACE:
        next = space ? State.EXT_SPACE : c === 0x3b ? State.EXT_NAME_START : -1;
        break;
      case State.EXT_NAME_START:
        next = space ? State.EXT_NAME_START : token ? State.EXT_NAME : -1;
        break;
      case State.EXT_NAME:
        next = token ? State.EXT_NAME : afterName(c, space);
        break;
      case State.EXT_NAME_END:
        next = c === CR ? -1 : afterName(c, space);
        break;
      case State.EXT_VALUE_START:
        next = space ? State.EXT_VALUE_START : c === 0x22 ? State.EXT_QUOTED : token ? State.EXT_VALUE : -1;
        break;
      case State.EXT_VALUE:
        next = token ? State.EXT_VALUE : afterValue(c, space);
        break;
      case State.EXT_QUOTED:
        next =
          c === 0x22
            ? State.EXT_QUOTED_END
            : c === 0x5c
              ? State.EXT_QUOTED_PAIR
              : ((CLASS[c] as number) & QDTEXT) !== 0
                ? State.EXT_QUOTED
                : -1;
        break;
      case State.EXT_QUOTED_PAIR:
        next = space || (c > SP && c !== 0x7f) ? State.EXT_QUOTED : -1;
        break;
      case State.EXT_QUOTED_END:
        next = afterValue(c, space);
        break;
    }
    if (next < 0) return this.#fail("invalid chunk extension", i);
    this.#state = next;
    return i + 1;
  }

  #readTrailers(bytes: Uint8Array, start: number): number {
    const kept = this.#trailers as Accumulator;
    const before = kept.length;
    // Only what can belong to the section is copied: an empty line ends it.
    let state = before === 0 ? 0 : endState(kept.view());
    let i = start;
    for (; i < bytes.length; i++) {
      if (before + (i - start) >= MAX_TRAILER_BYTES) return this.#fail("trailers too large", i);
      const c = bytes[i] as number;
      if (c === LF) {
        if ((state & 1) === 0) return this.#fail("LF without CR in trailers", i);
        state++;
        if (state === 4) {
          i++;
          break;
        }
      } else if (c === CR) {
        if ((state & 1) === 1) return this.#fail("CR without LF in trailers", i);
        state = state === 2 ? 3 : 1;
      } else {
        if ((state & 1) === 1) return this.#fail("CR without LF in trailers", i);
        state = 0;
      }
    }
    kept.append(i === bytes.length ? bytes : bytes.subarray(0, i), start);
    if (state !== 4) return i;
    const section = kept.take();
    const fields: string[] = [];
    const fault = parseFields(section, latin1(section, 0, section.length), 0, 0, section.length - 2, fields);
    if (fault instanceof HeadFault) return this.#fail(`trailers: ${fault.message}`, i);
    for (let f = 0; f < fields.length; f += 2)
      if (FORBIDDEN_TRAILERS.has(fields[f] as string)) return this.#fail(`field ${fields[f]} in trailers`, i);
    this.trailers = fields;
    return this.#finish(i);
  }

  #finish(pos: number): number {
    this.#state = State.DONE;
    this.done = true;
    return pos;
  }

  #fail(message: string, pos: number): number {
    this.fault = message;
    return pos;
  }
}

function afterName(c: number, space: boolean): number {
  if (space) return State.EXT_NAME_END;
  if (c === 0x3d) return State.EXT_VALUE_START;
  return afterValue(c, false);
}

function afterValue(c: number, space: boolean): number {
  if (c === 0x3b) return State.EXT_NAME_START;
  if (c === CR) return State.SIZE_LF;
  return space ? State.EXT_SPACE : -1;
}

/** How many bytes of CR LF CR LF the text ends with. */
function endState(bytes: Uint8Array): number {
  const n = bytes.length;
  if (bytes[n - 1] === CR) return bytes[n - 2] === LF && bytes[n - 3] === CR ? 3 : 1;
  return bytes[n - 1] === LF && bytes[n - 2] === CR ? 2 : 0;
}
