// Frames of HTTP/2 cut off the stream, against a plain reading of RFC 9113 §4.1.
import { ConnectionError } from "../../packages/http2/connection-error.ts";
import { FrameReader, type FrameSink } from "../../packages/http2/frame-reader.ts";
import { Flag, FrameType, frame, PREFACE } from "../harness/http2.ts";
import { everyCut } from "../input.ts";
import { check, latin1, same, type Target } from "../target.ts";

const target: Target = {
  name: "http2-frames",
  what: "HTTP/2 frames: the same however cut, as their headers say; DATA without padding, in pieces that add up",
  maxBytes: 2048,
  seeds: [
    PREFACE + frame(FrameType.SETTINGS, 0, 0, "\0\x04\0\0\0\x64") + frame(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, 1, "\x02abc\0\0"),
    PREFACE + frame(FrameType.HEADERS, Flag.END_HEADERS, 3, "\x82\x86\x84") + frame(FrameType.DATA, 0, 3, "") + frame(0x99, 255, 7, "x"),
    PREFACE + frame(FrameType.DATA, Flag.PADDED, 1, ""),
    PREFACE + frame(FrameType.DATA, Flag.PADDED, 1, "\x03ab"),
    `${PREFACE}\x00\x40\x01\x00\x00\x00\x00\x00\x01`,
    "PRI * HTTP/1.1\r\n",
  ],
  dictionary: [PREFACE, "\0\0\0\x04\0\0\0\0\0", "\0\0\x05\0\x08\0\0\0\x01", "\0\x40\0"],
  run(input) {
    same(everyCut(input, read, same), naive(latin1(input)), "as their headers say");
  },
};
export default target;

type Frame = { type: number; flags: number; id: number; length: number; payload: string; whole: boolean };
type Outcome = { frames: Frame[]; fault: number | null };

class Sink implements FrameSink {
  readonly dead = false;
  readonly frames: Frame[] = [];
  #content = 0;

  frame(type: number, flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    check(type !== FrameType.DATA && this.#content === 0, "a frame within DATA");
    this.frames.push({ type, flags, id, length: end - start, payload: latin1(bytes.subarray(start, end)), whole: true });
  }

  dataBegin(flags: number, id: number, length: number, content: number): void {
    check(this.#content === 0 && content <= length, "DATA within DATA");
    this.#content = content;
    this.frames.push({ type: 0, flags, id, length, payload: "", whole: content === 0 });
  }

  dataPiece(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    const data = this.frames.at(-1);
    check(data !== undefined && end > start && end - start <= this.#content, "a piece out of place");
    this.#content -= end - start;
    data.payload += latin1(bytes.subarray(start, end));
    check(last === (this.#content === 0), "the last piece");
    data.whole = last;
  }
}

function read(pieces: Iterable<Uint8Array>): Outcome {
  const sink = new Sink();
  const reader = new FrameReader(sink, true);
  try {
    for (const piece of pieces) reader.push(piece);
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    return { frames: sink.frames, fault: error.code };
  }
  return { frames: sink.frames, fault: null };
}

const MAX = 16_384;
const PROTOCOL_ERROR = 1;
const FRAME_SIZE_ERROR = 6;

function naive(text: string): Outcome {
  const frames: Frame[] = [];
  const begin = text.slice(0, PREFACE.length);
  if (!PREFACE.startsWith(begin)) return { frames, fault: PROTOCOL_ERROR };
  let rest = text.slice(PREFACE.length);
  while (rest.length >= 9) {
    const byte = (i: number): number => rest.charCodeAt(i);
    const [length, type, flags] = [byte(0) * 65_536 + byte(1) * 256 + byte(2), byte(3), byte(4)];
    const id = ((byte(5) & 127) * 16_777_216 + byte(6) * 65_536 + byte(7) * 256 + byte(8)) | 0;
    if (length > MAX) return { frames, fault: FRAME_SIZE_ERROR };
    let payload = rest.slice(9, 9 + length);
    let whole = payload.length === length;
    if (type === FrameType.DATA) {
      let content = length;
      if ((flags & Flag.PADDED) !== 0) {
        if (length === 0) return { frames, fault: FRAME_SIZE_ERROR };
        if (payload === "") break;
        content = length - 1 - payload.charCodeAt(0);
        if (content < 0) return { frames, fault: PROTOCOL_ERROR };
        payload = payload.slice(1);
      }
      payload = payload.slice(0, content);
      whole = payload.length === content;
    } else if (!whole) break;
    frames.push({ type, flags, id, length, payload, whole });
    rest = rest.slice(9 + length);
  }
  return { frames, fault: null };
}
