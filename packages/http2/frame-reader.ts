// Cuts the peer's bytes into frames. DATA is passed on as it comes; every other frame when it is whole.
import { ErrorCode } from "#http";
import { ConnectionError } from "./connection-error.ts";
import { CONNECTION_PREFACE, Flag, FRAME_HEADER_BYTES, FrameType, MAX_FRAME_BYTES, readUint31 } from "./frames/header.ts";

/** Who takes the frames. When it sets `dead`, the rest of the bytes is dropped; what it throws passes through `push`. */
export interface FrameSink {
  readonly dead: boolean;
  /** A whole frame other than DATA: its payload is `bytes[start..end)`, valid during the call. */
  frame(type: number, flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void;
  /** A DATA frame begins: `length` counts against the windows, `content` without padding follows. */
  dataBegin(flags: number, streamId: number, length: number, content: number): void;
  /** `bytes[start..end)`, not empty, is content of the frame begun last; it may be kept. `last`: the content is complete. */
  dataPiece(bytes: Uint8Array, start: number, end: number, last: boolean): void;
}

export class FrameReader {
  readonly #sink: FrameSink;
  /** Bytes of the preface already seen; CONNECTION_PREFACE.length when past it. */
  #preface: number;
  /** Content and padding of the DATA frame in progress still to come. */
  #content = 0;
  #padding = 0;
  /** The beginning of a frame that is not whole: `#partial[0..#have)`. */
  #partial: Uint8Array = NONE;
  #have = 0;

  constructor(sink: FrameSink, expectPreface: boolean) {
    this.#sink = sink;
    this.#preface = expectPreface ? 0 : CONNECTION_PREFACE.length;
  }

  /** Throws {@link ConnectionError}; nothing may be pushed after it. */
  push(bytes: Uint8Array): void {
    const sink = this.#sink;
    const n = bytes.length;
    let at = 0;
    while (this.#preface < CONNECTION_PREFACE.length) {
      if (at === n) return;
      if (bytes[at++] !== CONNECTION_PREFACE[this.#preface++]) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "invalid connection preface");
      }
    }
    while (at < n && !sink.dead) {
      if (this.#content > 0) {
        const end = Math.min(n, at + this.#content);
        this.#content -= end - at;
        const start = at;
        at = end;
        sink.dataPiece(bytes, start, end, this.#content === 0);
      } else if (this.#padding > 0) {
        const skip = Math.min(n - at, this.#padding);
        this.#padding -= skip;
        at += skip;
      } else if (this.#have > 0) at = this.#fill(bytes, at);
      else if (n - at < FRAME_HEADER_BYTES) at = this.#keep(bytes, at, FRAME_HEADER_BYTES);
      else {
        const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
        const type = bytes[at + 3] as number;
        const flags = bytes[at + 4] as number;
        if (length > MAX_FRAME_BYTES) this.#tooLarge(length);
        else {
          const need = type === FrameType.DATA ? prelude(flags, length) : FRAME_HEADER_BYTES + length;
          if (n - at < need) at = this.#keep(bytes, at, need);
          else {
            this.#dispatch(type, flags, length, bytes, at);
            at += need;
          }
        }
      }
    }
  }

  /** `bytes[at…]` begins with a frame: whole, or of DATA what precedes the content. */
  #dispatch(type: number, flags: number, length: number, bytes: Uint8Array, at: number): void {
    const streamId = readUint31(bytes, at + 5);
    const start = at + FRAME_HEADER_BYTES;
    if (type !== FrameType.DATA) {
      this.#sink.frame(type, flags, streamId, bytes, start, start + length);
      return;
    }
    let content = length;
    let padding = 0;
    if ((flags & Flag.PADDED) !== 0) {
      if (length === 0) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "padded DATA without a pad length");
      padding = bytes[start] as number;
      content = length - 1 - padding;
      // RFC 9113 §6.1.
      if (content < 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "padding longer than DATA");
    }
    this.#content = content;
    this.#padding = padding;
    this.#sink.dataBegin(flags, streamId, length, content);
  }

  /** Keeps `bytes[at…]`, the beginning of something of `need` bytes. */
  #keep(bytes: Uint8Array, at: number, need: number): number {
    if (this.#partial.length < need) this.#partial = new Uint8Array(Math.max(need, MIN_PARTIAL_BYTES));
    const n = bytes.length - at;
    this.#partial.set(bytes.subarray(at), 0);
    this.#have = n;
    return bytes.length;
  }

  /** Completes what is kept with `bytes[at…]`. */
  #fill(bytes: Uint8Array, at: number): number {
    let need = FRAME_HEADER_BYTES;
    let length = 0;
    for (let step = 0; step < 2; step++) {
      if (this.#have >= FRAME_HEADER_BYTES) {
        const head = this.#partial;
        length = ((head[0] as number) << 16) | ((head[1] as number) << 8) | (head[2] as number);
        if (length > MAX_FRAME_BYTES) {
          this.#tooLarge(length);
        }
        need = head[3] === FrameType.DATA ? prelude(head[4] as number, length) : FRAME_HEADER_BYTES + length;
        if (this.#partial.length < need) {
          const larger = new Uint8Array(need);
          larger.set(this.#partial.subarray(0, this.#have));
          this.#partial = larger;
        }
      }
      const end = Math.min(bytes.length, at + need - this.#have);
      while (at < end) this.#partial[this.#have++] = bytes[at++] as number;
      if (this.#have < need) return at;
      if (need > FRAME_HEADER_BYTES) break;
    }
    const partial = this.#partial;
    this.#have = 0;
    // A long frame that came in pieces is no reason to hold its room.
    if (partial.length > MAX_KEPT_PARTIAL_BYTES) this.#partial = NONE;
    this.#dispatch(partial[3] as number, partial[4] as number, length, partial, 0);
    return at;
  }

  #tooLarge(length: number): never {
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `frame of ${length} bytes`);
  }
}

/** Bytes of a DATA frame before its content. */
function prelude(flags: number, length: number): number {
  return (flags & Flag.PADDED) !== 0 && length > 0 ? FRAME_HEADER_BYTES + 1 : FRAME_HEADER_BYTES;
}

const NONE = new Uint8Array(0);
const MIN_PARTIAL_BYTES = 64;
const MAX_KEPT_PARTIAL_BYTES = 1024;
