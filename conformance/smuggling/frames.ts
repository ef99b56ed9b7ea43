// Frames and header blocks of HTTP/2 written by hand: what no library would send.
import { Peer } from "../../packages/http2/testing/wire.ts";
import { FrameType, frame, PREFACE } from "../../proxy/testing/frames.ts";
import type { Raw } from "../../proxy/testing/wire.ts";

export type FieldList = readonly (readonly [name: string, value: string])[];

export const Flag = { END_STREAM: 1, END_HEADERS: 4 } as const;
export const CONTINUATION = 9;

/** An integer with a prefix of `bits`, the bits above it being `first` (RFC 7541 §5.1). */
export function prefixed(first: number, bits: number, value: number): Buffer {
  const max = (1 << bits) - 1;
  if (value < max) return Buffer.of(first | value);
  const out = [first | max];
  let rest = value - max;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  out.push(rest);
  return Buffer.from(out);
}

/** A literal of RFC 7541 §6.2, no Huffman code: `first` 0x10 is never indexed, 0x40 goes into the dynamic table. */
export function literal(name: string, value: string, first: 0x00 | 0x10 | 0x40 = 0x10): Buffer {
  return Buffer.concat([
    Buffer.of(first),
    prefixed(0, 7, name.length),
    Buffer.from(name, "latin1"),
    prefixed(0, 7, value.length),
    Buffer.from(value, "latin1"),
  ]);
}

export const block = (fields: FieldList): Buffer => Buffer.concat(fields.map(([name, value]) => literal(name, value)));

/** HEADERS, with CONTINUATION for blocks that do not fit a frame. */
export function headers(stream: number, bytes: Uint8Array, end: boolean, pieceBytes = 16_384): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += pieceBytes) {
    const last = at + pieceBytes >= bytes.length;
    const flags = (last ? Flag.END_HEADERS : 0) | (at === 0 && end ? Flag.END_STREAM : 0);
    frames.push(frame(at === 0 ? FrameType.HEADERS : CONTINUATION, flags, stream, bytes.subarray(at, at + pieceBytes)));
  }
  return Buffer.concat(frames);
}

export const data = (stream: number, text: string, end: boolean): Buffer =>
  frame(FrameType.DATA, end ? Flag.END_STREAM : 0, stream, Buffer.from(text, "latin1"));

/** A client's side of a connection: what came is read as lines, such as `RST_STREAM 3 PROTOCOL_ERROR`. */
export class FrameClient {
  readonly raw: Raw;
  readonly lines: string[] = [];
  readonly #peer = new Peer(false);
  #read = 0;

  constructor(raw: Raw) {
    this.raw = raw;
    raw.write(Buffer.concat([Buffer.from(PREFACE, "latin1"), frame(FrameType.SETTINGS, 0, 0)]));
  }

  write(...frames: readonly Uint8Array[]): void {
    this.raw.write(Buffer.concat(frames));
  }

  /** Resolves with the first line that satisfies, null when the connection ends before. */
  async find(matches: (line: string) => boolean): Promise<string | null> {
    let ended = false;
    for (;;) {
      this.#pull();
      const hit = this.lines.find(matches);
      if (hit !== undefined || ended) return hit ?? null;
      const { length } = this.raw.text();
      await this.raw
        .until((text) => text.length > length)
        .catch(() => {
          ended = true;
        });
    }
  }

  #pull(): void {
    const text = this.raw.text();
    if (text.length === this.#read) return;
    this.lines.push(...this.#peer.read(Buffer.from(text.slice(this.#read), "latin1")));
    this.#read = text.length;
  }
}
