// The other end of an HTTP/2 connection under test: it writes any frames, and holds what it reads against RFC 9113, flow
// control included. All state is its own, so that it notices what the engine gets wrong.
import { Decoder, Encoder } from "#hpack";
import { DEFAULT_LIMITS } from "#http2";
import type { Choices } from "../input.ts";
import { bytesOf, check, latin1 } from "../target.ts";

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;
export const Flag = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;
export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DEFAULT_WINDOW = 65_535;
const MAX_WINDOW = 2 ** 31 - 1;
const MAX_FRAME_BYTES = 16_384;

export const u32 = (n: number): string => String.fromCharCode((n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255);

/** A frame as it is; one char is one byte. */
export function frame(type: number, flags: number, streamId: number, payload = ""): string {
  const n = payload.length;
  return `${String.fromCharCode((n >>> 16) & 255, (n >>> 8) & 255, n & 255, type, flags)}${u32(streamId)}${payload}`;
}

/** What the engine has done on one stream, and what it still may. */
class StreamView {
  /** Bytes the engine may send. */
  window: number;
  content = "";
  ended = false;
  /** Reset by the engine. */
  reset = false;
  /** Reset by this end. */
  gone = false;
  /** The head of its message (not 1xx) has been read. */
  head: readonly string[] | null = null;
  trailers: readonly string[] | null = null;

  constructor(window: number) {
    this.window = window;
  }
}

type Block = { readonly id: number; readonly ends: boolean; text: string };

export type PeerOptions = {
  /** The engine is a server: this end sends requests. */
  readonly ofServer: boolean;
  /** The engine's windows, as it was made. */
  readonly connectionWindow: number;
  /** Output is not always read before the next frames go: then this end never takes windows back. */
  readonly lazy: boolean;
};

export class Peer {
  readonly streams = new Map<number, StreamView>();
  /** Bytes of frames other than DATA and HEADERS that were read. */
  controlBytes = 0;
  /** Error code of the last GOAWAY read, -1 for none. */
  goaway = -1;
  settingsRead = 0;
  readonly ofServer: boolean;
  readonly #options: PeerOptions;
  readonly #encoder = new Encoder();
  readonly #decoder = new Decoder({ maxHeaderListBytes: 1 << 20, maxFields: 10_000 });
  #connectionWindow = DEFAULT_WINDOW;
  #initialWindow = DEFAULT_WINDOW;
  #tableBytes = 4096;
  /** Bytes this end may send on the connection. */
  #granted = DEFAULT_WINDOW;
  #rest = "";
  #expectPreface: boolean;
  #block: Block | null = null;

  constructor(options: PeerOptions) {
    this.ofServer = options.ofServer;
    this.#options = options;
    this.#expectPreface = !options.ofServer;
  }

  // --- what this end sends ---

  block(fields: readonly string[]): string {
    return latin1(
      this.#encoder.encodeOnce(fields, (encoder, list) => {
        for (let i = 0; i + 1 < list.length; i += 2) encoder.field(list[i] as string, list[i + 1] as string);
      }),
    );
  }

  /** Of a stream this end opens, or may have opened. */
  open(id: number): StreamView {
    let stream = this.streams.get(id);
    if (stream === undefined) this.streams.set(id, (stream = new StreamView(this.#initialWindow)));
    return stream;
  }

  /** SETTINGS of identifier and value pairs. */
  settings(pairs: readonly (readonly [number, number])[]): string {
    let payload = "";
    for (const [id, given] of pairs) {
      let value = given;
      if (id === 1) this.#tableBytes = Math.min(value, 4096);
      if (id === 4) {
        if (this.#options.lazy) value = Math.max(value, this.#initialWindow);
        if (value <= MAX_WINDOW) {
          for (const stream of this.streams.values()) stream.window += value - this.#initialWindow;
          this.#initialWindow = value;
        }
      }
      payload += String.fromCharCode(id >>> 8, id & 255) + u32(value);
    }
    return frame(FrameType.SETTINGS, 0, 0, payload);
  }

  windowUpdate(id: number, increment: number): string {
    if (id === 0) this.#connectionWindow += increment;
    else {
      const stream = this.streams.get(id);
      if (stream !== undefined) stream.window += increment;
    }
    return frame(FrameType.WINDOW_UPDATE, 0, id, u32(increment));
  }

  reset(id: number, code: number): string {
    const stream = this.streams.get(id);
    if (stream !== undefined) stream.gone = true;
    return frame(FrameType.RST_STREAM, 0, id, u32(code));
  }

  /** Counts flow-controlled bytes this end sends. */
  data(flags: number, id: number, payload: string): string {
    this.#granted -= payload.length;
    return frame(FrameType.DATA, flags, id, payload);
  }

  /** More was sent than allowed: the engine must have ended the connection. */
  get overdrawn(): boolean {
    return this.#granted < 0;
  }

  /** As much as the engine may have, on the connection and a stream. */
  openWindows(id: number): string {
    const stream = this.streams.get(id);
    let out = "";
    if (this.#connectionWindow < MAX_WINDOW) out += this.windowUpdate(0, MAX_WINDOW - this.#connectionWindow);
    if (stream !== undefined && stream.window < MAX_WINDOW) {
      // An increment has 31 bits; a window may be negative.
      while (stream.window < MAX_WINDOW) out += this.windowUpdate(id, Math.min(MAX_WINDOW, MAX_WINDOW - stream.window));
    }
    return out;
  }

  /** Bytes that may be sent now without overdrawing. */
  get granted(): number {
    return this.#granted;
  }

  // --- what this end reads ---

  read(bytes: string): void {
    this.#rest += bytes;
    if (this.#expectPreface && this.#rest.length >= PREFACE.length) {
      check(this.#rest.startsWith(PREFACE), "no connection preface");
      this.#rest = this.#rest.slice(PREFACE.length);
      this.#expectPreface = false;
    }
    let at = 0;
    while (this.#rest.length - at >= 9) {
      const byte = (i: number): number => this.#rest.charCodeAt(at + i);
      const length = (byte(0) << 16) | (byte(1) << 8) | byte(2);
      check(length <= MAX_FRAME_BYTES, () => `a frame of ${length} bytes`);
      if (this.#rest.length - at < 9 + length) break;
      const id = ((byte(5) << 24) | (byte(6) << 16) | (byte(7) << 8) | byte(8)) >>> 0;
      this.#frame(byte(3), byte(4), id, this.#rest.slice(at + 9, at + 9 + length));
      at += 9 + length;
    }
    this.#rest = this.#rest.slice(at);
  }

  /** Nothing may be left in the middle of a frame when the engine has no more output. */
  get whole(): boolean {
    return this.#rest === "" && this.#block === null;
  }

  #frame(type: number, flags: number, id: number, payload: string): void {
    check(this.#block === null || (type === FrameType.CONTINUATION && id === this.#block.id), "a header block is interrupted");
    check(this.settingsRead > 0 || type === FrameType.SETTINGS, "SETTINGS is not first");
    if (type !== FrameType.DATA && type !== FrameType.HEADERS && type !== FrameType.CONTINUATION) this.controlBytes += 9 + payload.length;
    switch (type) {
      case FrameType.DATA: {
        this.#data(flags, id, payload);
        return;
      }
      case FrameType.HEADERS:
        check(id !== 0 && (flags & ~(Flag.END_STREAM | Flag.END_HEADERS)) === 0, () => `HEADERS ${id} with flags ${flags}`);
        this.#block = { id, ends: (flags & Flag.END_STREAM) !== 0, text: payload };
        if ((flags & Flag.END_HEADERS) !== 0) this.#headers();
        return;
      case FrameType.CONTINUATION:
        check(this.#block !== null, "CONTINUATION without HEADERS");
        this.#block.text += payload;
        if ((flags & Flag.END_HEADERS) !== 0) this.#headers();
        return;
      case FrameType.RST_STREAM: {
        check(payload.length === 4 && id !== 0, "RST_STREAM");
        const stream = this.ofServer ? this.open(id) : this.streams.get(id);
        check(stream !== undefined, () => `RST_STREAM on stream ${id}, which nobody opened`);
        stream.reset = true;
        return;
      }
      case FrameType.SETTINGS:
        check(id === 0 && ((flags & Flag.ACK) !== 0 ? payload === "" : payload.length % 6 === 0), "SETTINGS");
        if ((flags & Flag.ACK) === 0) this.settingsRead++;
        return;
      case FrameType.PING:
        check(id === 0 && payload.length === 8, "PING");
        return;
      case FrameType.GOAWAY:
        check(id === 0 && payload.length >= 8, "GOAWAY");
        this.goaway = Buffer.from(payload, "latin1").readUInt32BE(4);
        return;
      case FrameType.WINDOW_UPDATE: {
        check(payload.length === 4, "WINDOW_UPDATE");
        const increment = Buffer.from(payload, "latin1").readUInt32BE(0);
        check(increment > 0 && increment <= MAX_WINDOW, () => `WINDOW_UPDATE of ${increment}`);
        if (id === 0) {
          this.#granted += increment;
          // More than its window an engine lends when streams that nobody reads hold most of it.
          const most = Math.max(DEFAULT_WINDOW, this.#options.connectionWindow) + DEFAULT_LIMITS.lentWindowBytes;
          check(this.#granted <= most, () => `a connection window of ${this.#granted}, at most ${most}`);
        }
        return;
      }
      default:
        check(false, () => `a frame of type ${type}`);
    }
  }

  #data(flags: number, id: number, payload: string): void {
    check((flags & ~Flag.END_STREAM) === 0, "DATA flags");
    const stream = this.#sending(id, "DATA");
    check(stream.head !== null, "DATA before a head");
    const n = payload.length;
    check(n > 0 || (flags & Flag.END_STREAM) !== 0, "DATA that says nothing");
    if (n > 0) {
      check(n <= this.#connectionWindow, () => `${n} bytes into a connection window of ${this.#connectionWindow}`);
      check(n <= stream.window, () => `${n} bytes into a stream window of ${stream.window}`);
    }
    this.#connectionWindow -= n;
    stream.window -= n;
    stream.content += payload;
    if ((flags & Flag.END_STREAM) !== 0) stream.ended = true;
  }

  #headers(): void {
    const { id, ends, text } = this.#block as Block;
    this.#block = null;
    const block = bytesOf(text);
    this.#decoder.decode(block, 0, block.length);
    check(!this.#decoder.overflow, "a header list without a bound");
    check(
      this.#decoder.tableBytes <= this.#tableBytes || this.#options.lazy,
      () => `a table of ${this.#decoder.tableBytes} bytes, ${this.#tableBytes} are allowed`,
    );
    const fields = this.#decoder.fields.slice(0, this.#decoder.count).flatMap(({ name, value }) => [name, value]);
    if (!this.ofServer && !this.streams.has(id)) {
      check((id & 1) === 1 && [...this.streams.keys()].every((other) => other < id), () => `stream ${id} is opened out of turn`);
      this.open(id);
    }
    const stream = this.#sending(id, "HEADERS");
    for (let i = 0; i < fields.length; i += 2)
      check(
        /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(fields[i] as string) && !/[\0\r\n]/.test(fields[i + 1] as string),
        () => `field ${JSON.stringify(fields.slice(i, i + 2))}`,
      );
    if (stream.head === null) {
      const first = fields[0];
      check(this.ofServer ? first === ":status" : first === ":method", () => `a head that begins with ${first}`);
      if (fields[1]?.startsWith("1") === true && this.ofServer) check(!ends && fields[1] !== "101", "1xx");
      else stream.head = fields;
    } else {
      check(ends && !fields.some((name, i) => i % 2 === 0 && name.startsWith(":")), "trailers");
      stream.trailers = fields;
    }
    if (ends) stream.ended = true;
  }

  #sending(id: number, what: string): StreamView {
    const stream = this.streams.get(id);
    check(stream !== undefined, () => `${what} on stream ${id}, which nobody opened`);
    check(!stream.ended && !stream.reset, () => `${what} on stream ${id}, which the engine has ended`);
    check(!stream.gone || this.#options.lazy, () => `${what} on stream ${id}, which was reset`);
    return stream;
  }
}

const PAIRS: readonly (readonly [string, string])[] = [
  ["content-length", "3"],
  ["content-length", "0"],
  ["x-a", "1"],
  ["te", "trailers"],
  ["cookie", "a=b"],
  ["host", "a.test"],
  ["authorization", "secret"],
  ["te", "gzip"],
  ["connection", "close"],
  ["transfer-encoding", "chunked"],
  ["X-Upper", "1"],
  ["x-nl", "a\nb"],
  ["x-space", " a"],
  [":path", "/late"],
  ["", "empty"],
  ["x-long", "v".repeat(300)],
  ["host", "b.test"],
  ["grpc-status", "0"],
  [":status", "200"],
  ["x-nul", "\0"],
];

/** Field lines, mostly good ones. */
export function someFields(choices: Choices): string[] {
  const fields: string[] = [];
  for (let n = choices.below(4); n > 0; n--) {
    const which = choices.byte();
    if (which >= 224) fields.push(choices.text(12), choices.text(12));
    else fields.push(...(PAIRS[which % PAIRS.length] as [string, string]));
  }
  return fields;
}

const METHODS = ["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "P T"];
const PATHS = ["/", "/a?b", "*", "", "/%", "/a b", "a", "/#"];

/** Pseudo-fields of a request, mostly good ones. */
export function requestFields(choices: Choices): string[] {
  const shape = choices.byte();
  const method = METHODS[(shape & 3) === 3 ? choices.below(METHODS.length) : shape & 1] as string;
  const fields = [":method", method];
  if (method === "CONNECT" && (shape & 4) === 0) fields.push(":authority", "a.test:443");
  else {
    fields.push(":scheme", (shape & 8) === 0 ? "http" : choices.of(["https", "http", "", "h t"]));
    if ((shape & 16) === 0) fields.push(":authority", (shape & 32) === 0 ? "a.test" : choices.text(8));
    fields.push(":path", (shape & 64) === 0 ? "/" : choices.of(PATHS));
  }
  return [...fields, ...someFields(choices)];
}
