// A peer made of raw frames, for tests: what it sends is written frame by frame, what it gets is read as lines of text.
import { Decoder, Encoder } from "#hpack";
import {
  type EngineHost,
  ErrorCode,
  type Fields,
  type Incoming,
  type RequestHandler,
  type RequestHead,
  type ResponseHead,
  type ResponseIncoming,
  type ServerStream,
  type StreamError,
} from "#http";
import { CONNECTION_PREFACE, Flag, FrameType, readUint31, readUint32 } from "../frames/header.ts";

export { Flag, FrameType };

/** A frame as it is. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array | readonly number[] = []): Uint8Array {
  const bytes = new Uint8Array(9 + payload.length);
  const n = payload.length;
  bytes.set([n >>> 16, n >>> 8, n, type, flags, streamId >>> 24, streamId >>> 16, streamId >>> 8, streamId]);
  bytes.set(payload, 9);
  return bytes;
}

export const uint32 = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
export const text = (s: string): Uint8Array => Uint8Array.from(s, (c) => c.charCodeAt(0));

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** identifier, value, … */
export function settings(...pairs: number[]): Uint8Array {
  const payload: number[] = [];
  for (let i = 0; i < pairs.length; i += 2)
    payload.push((pairs[i] as number) >>> 8, (pairs[i] as number) & 255, ...uint32(pairs[i + 1] as number));
  return frame(FrameType.SETTINGS, 0, 0, payload);
}

export const settingsAck = (): Uint8Array => frame(FrameType.SETTINGS, Flag.ACK, 0);
export const windowUpdate = (streamId: number, increment: number): Uint8Array =>
  frame(FrameType.WINDOW_UPDATE, 0, streamId, uint32(increment));
export const rst = (streamId: number, code: number): Uint8Array => frame(FrameType.RST_STREAM, 0, streamId, uint32(code));
export const ping = (ack = false): Uint8Array => frame(FrameType.PING, ack ? Flag.ACK : 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]);
export const goaway = (last: number, code: number): Uint8Array => frame(FrameType.GOAWAY, 0, 0, [...uint32(last), ...uint32(code)]);

export function data(streamId: number, content: Uint8Array | string, end = false): Uint8Array {
  return frame(FrameType.DATA, end ? Flag.END_STREAM : 0, streamId, typeof content === "string" ? text(content) : content);
}

/** DATA with a pad length and that much padding. */
export function paddedData(streamId: number, content: string, padding: number, end = false): Uint8Array {
  const flags = Flag.PADDED | (end ? Flag.END_STREAM : 0);
  return frame(FrameType.DATA, flags, streamId, concat(Uint8Array.of(padding), text(content), new Uint8Array(padding)));
}

const NAMES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

const codeName = (code: number): string => NAMES.get(code) ?? String(code);

/** The peer's half of the compression state and its view of what it gets. */
export class Peer {
  readonly encoder = new Encoder();
  readonly decoder = new Decoder({ maxHeaderListBytes: 1 << 20 });
  #rest = new Uint8Array(0);
  #expectPreface: boolean;

  constructor(expectPreface: boolean) {
    this.#expectPreface = expectPreface;
  }

  /** A block of `:name: value` pairs. */
  block(fields: readonly string[]): Uint8Array {
    return this.encoder
      .encodeOnce(fields, (encoder, list) => {
        for (let i = 0; i < list.length; i += 2) encoder.field(list[i] as string, list[i + 1] as string);
      })
      .slice();
  }

  headers(streamId: number, fields: readonly string[], end = false): Uint8Array {
    return frame(FrameType.HEADERS, Flag.END_HEADERS | (end ? Flag.END_STREAM : 0), streamId, this.block(fields));
  }

  get(streamId: number, path = "/", ...more: string[]): Uint8Array {
    return this.headers(streamId, [":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", path, ...more], true);
  }

  post(streamId: number, ...more: string[]): Uint8Array {
    return this.headers(streamId, [":method", "POST", ":scheme", "http", ":authority", "a.test", ":path", "/", ...more]);
  }

  /** Frames in `bytes`, a line each; what is not whole is kept for the next call. */
  read(bytes: Uint8Array): string[] {
    let all = concat(this.#rest, bytes);
    const lines: string[] = [];
    if (this.#expectPreface && all.length >= CONNECTION_PREFACE.length) {
      this.#expectPreface = false;
      lines.push(String.fromCharCode(...all.subarray(0, 3)) === "PRI" ? "PREFACE" : "NO PREFACE");
      all = all.subarray(CONNECTION_PREFACE.length);
    }
    let at = 0;
    while (all.length - at >= 9) {
      const length = ((all[at] as number) << 16) | ((all[at + 1] as number) << 8) | (all[at + 2] as number);
      if (all.length - at < 9 + length) break;
      lines.push(this.#line(all[at + 3] as number, all[at + 4] as number, readUint31(all, at + 5), all.subarray(at + 9, at + 9 + length)));
      at += 9 + length;
    }
    this.#rest = all.slice(at);
    return lines;
  }

  #block: Uint8Array = new Uint8Array(0);
  #blockEnds = false;

  #line(type: number, flags: number, streamId: number, payload: Uint8Array): string {
    const end = (flags & Flag.END_STREAM) !== 0 ? " END" : "";
    switch (type) {
      case FrameType.DATA:
        return `DATA ${streamId} ${payload.length}${end}`;
      case FrameType.HEADERS:
        this.#block = payload;
        this.#blockEnds = end !== "";
        return (flags & Flag.END_HEADERS) !== 0 ? this.#head(streamId) : `HEADERS ${streamId} …`;
      case FrameType.CONTINUATION:
        this.#block = concat(this.#block, payload);
        return (flags & Flag.END_HEADERS) !== 0 ? this.#head(streamId) : `CONTINUATION ${streamId} …`;
      case FrameType.RST_STREAM:
        return `RST_STREAM ${streamId} ${codeName(readUint32(payload, 0))}`;
      case FrameType.SETTINGS: {
        if ((flags & Flag.ACK) !== 0) return "SETTINGS ACK";
        const pairs: string[] = [];
        for (let i = 0; i < payload.length; i += 6) pairs.push(` ${payload[i + 1]}=${readUint32(payload, i + 2)}`);
        return `SETTINGS${pairs.join("")}`;
      }
      case FrameType.PING:
        return (flags & Flag.ACK) !== 0 ? "PING ACK" : "PING";
      case FrameType.GOAWAY:
        return `GOAWAY ${readUint31(payload, 0)} ${codeName(readUint32(payload, 4))}`;
      case FrameType.WINDOW_UPDATE:
        return `WINDOW_UPDATE ${streamId} ${readUint32(payload, 0)}`;
      default:
        return `TYPE ${type} ${streamId}`;
    }
  }

  #head(streamId: number): string {
    this.decoder.decode(this.#block, 0, this.#block.length);
    const fields = this.decoder.fields.slice(0, this.decoder.count).map((field) => ` ${field.name}=${field.value}`);
    return `HEADERS ${streamId}${fields.join("")}${this.#blockEnds ? " END" : ""}`;
  }
}

/** Records what an engine asks of its connection. */
export class TestHost implements EngineHost {
  readonly calls: string[] = [];
  scheduleFlush(): void {}
  pauseReading(): void {
    this.calls.push("pause");
  }
  resumeReading(): void {
    this.calls.push("resume");
  }
  finish(): void {
    this.calls.push("finish");
  }
  abort(): void {
    this.calls.push("abort");
  }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

/** Records what comes on a stream, a line each; consecutive DATA is joined. */
export class Recorder implements ResponseIncoming {
  readonly events: string[] = [];
  content = "";
  written = 0;
  head: ResponseHead | RequestHead | null = null;
  #dataLast = false;

  onInformational(head: ResponseHead): void {
    this.#push(`informational ${head.status}`);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.head = head;
    this.#push(`response ${head.status}${end ? " END" : ""}`);
  }

  onData(chunk: Uint8Array, end: boolean): void {
    if (chunk.length === 0 && !end) throw new Error("empty chunk without end");
    this.content += latin1(chunk);
    if (this.#dataLast) this.events.pop();
    this.#push(`data ${this.content.length}${end ? " END" : ""}`);
    this.#dataLast = true;
  }

  onTrailers(fields: Fields): void {
    this.#push(`trailers ${fields.join(" ")}`);
  }

  onWritten(bytes: number): void {
    this.written += bytes;
  }

  onReset(error: StreamError): void {
    this.#push(describeError(error));
  }

  #push(event: string): void {
    this.#dataLast = false;
    this.events.push(event);
  }
}

function describeError(error: StreamError): string {
  switch (error.kind) {
    case "reset":
      return `reset ${NAMES.get(error.code)}`;
    case "closed":
      return `closed ${error.errno}`.trimEnd();
    case "protocol":
      return `protocol: ${error.message}`;
    case "refused":
      return "refused";
  }
}

export type Exchange = { readonly stream: ServerStream; readonly head: RequestHead; readonly end: boolean; readonly in: Recorder };

/** Keeps every request; does not answer. */
export class RecordingHandler implements RequestHandler {
  readonly exchanges: Exchange[] = [];
  readonly errors: string[] = [];
  /** Called within `onRequest`. */
  answer: ((exchange: Exchange) => void) | null = null;

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): Incoming {
    const exchange = { stream, head, end, in: new Recorder() };
    this.exchanges.push(exchange);
    this.answer?.(exchange);
    return exchange.in;
  }

  onProtocolError(message: string): void {
    this.errors.push(message);
  }

  /** The exchange begun last. */
  get last(): Exchange {
    return this.exchanges[this.exchanges.length - 1] as Exchange;
  }
}
