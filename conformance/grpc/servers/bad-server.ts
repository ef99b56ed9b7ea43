// HTTP/2 servers that misbehave in the ways of gRPC's "Http2 Interop" cases: frames by hand, since no library lets one.
// `node bad-server.mjs NAME=PORT …`; says "listening" when all do. What a server finds wrong it answers with a status that is no OK.
import { createServer, type Socket } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { SimpleRequestSchema, SimpleResponseSchema } from "../gen/interop_pb.ts";

const PREFACE_BYTES = 24;
const FRAME_HEAD_BYTES = 9;
const FRAME_BYTES = 16_384;
const Type = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, WINDOW_UPDATE: 8, CONTINUATION: 9 } as const;
const ACK = 0x1;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;
const PADDED = 0x8;
const INITIAL_WINDOW_SIZE = 4;
const MAX_CONCURRENT_STREAMS = 3;

const u16 = (n: number): Buffer => Buffer.of(n >> 8, n & 0xff);
function u32(n: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(n);
  return out;
}
function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}
/** A literal field without indexing (RFC 7541 §6.2.2). */
const field = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), Buffer.of(value.length), Buffer.from(value)]);
const RESPONSE = Buffer.concat([Buffer.of(0x88), field("content-type", "application/grpc")]);

type Stream = {
  readonly id: number;
  request: Buffer[];
  /** What is still to be sent. */
  rest: Buffer;
  window: number;
};

/** What a case does differently. */
type Behaviour = {
  readonly settings?: Buffer;
  /** Bytes of padding and of data in each DATA frame. */
  readonly pad?: number;
  readonly chunk?: number;
  /** Part of the response that is sent. */
  readonly part?: (response: Buffer) => Buffer;
  onConnection?(connection: Connection): void;
  /** The head of a request has come: a complaint, or null. */
  onRequest?(connection: Connection, stream: Stream): string | null;
  /** Around the response. */
  onResponse?(connection: Connection): void;
  /** All data of the response are sent; by default the trailers follow. */
  onSent?(connection: Connection, stream: Stream): void;
};

class Connection {
  readonly #socket: Socket;
  readonly #behaviour: Behaviour;
  readonly streams = new Map<number, Stream>();
  #window = 65_535;
  #initialWindow = 65_535;
  #buffer: Buffer = Buffer.alloc(0);
  #preface = PREFACE_BYTES;
  settingsAcked = false;
  goaway = false;
  #pings = 0;
  #whenPonged: (() => void) | null = null;

  constructor(socket: Socket, behaviour: Behaviour) {
    this.#socket = socket;
    this.#behaviour = behaviour;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.write(frame(Type.SETTINGS, 0, 0, behaviour.settings));
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  ping(): void {
    this.write(frame(Type.PING, 0, 0, Buffer.concat([u32(0xfa1), u32(++this.#pings)])));
  }

  /** Once every PING is answered. */
  whenPonged(then: () => void): void {
    this.#whenPonged = then;
    this.#ponged();
  }

  #ponged(): void {
    if (this.#pings !== 0 || this.#whenPonged === null) return;
    const then = this.#whenPonged;
    this.#whenPonged = null;
    then();
  }

  trailers(stream: Stream, status = 0, message = ""): void {
    const fields = [field("grpc-status", String(status)), ...(message === "" ? [] : [field("grpc-message", message)])];
    this.write(frame(Type.HEADERS, END_HEADERS | END_STREAM, stream.id, Buffer.concat(fields)));
    this.streams.delete(stream.id);
  }

  reset(stream: Stream): void {
    // NO_ERROR, as the reference server's library sends by default.
    this.write(frame(Type.RST_STREAM, 0, stream.id, u32(0)));
    this.streams.delete(stream.id);
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    if (this.#buffer.length < this.#preface) return;
    this.#buffer = this.#buffer.subarray(this.#preface);
    this.#preface = 0;
    while (this.#buffer.length >= FRAME_HEAD_BYTES) {
      const end = FRAME_HEAD_BYTES + this.#buffer.readUIntBE(0, 3);
      if (this.#buffer.length < end) return;
      const [type = 0, flags = 0] = this.#buffer.subarray(3, 5);
      const id = this.#buffer.readUInt32BE(5);
      const payload = this.#buffer.subarray(FRAME_HEAD_BYTES, end);
      this.#buffer = this.#buffer.subarray(end);
      this.#onFrame(type, flags, id, payload);
    }
  }

  #onFrame(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case Type.SETTINGS:
        if ((flags & ACK) !== 0) this.settingsAcked = true;
        else this.#onSettings(payload);
        return;
      case Type.PING:
        if ((flags & ACK) === 0) this.write(frame(Type.PING, ACK, 0, payload));
        // Others ping too; ours are known by their first word.
        else if (payload.readUInt32BE(0) === 0xfa1) {
          this.#pings--;
          this.#ponged();
        }
        return;
      case Type.WINDOW_UPDATE: {
        const stream = this.streams.get(id);
        if (id === 0) this.#window += payload.readUInt32BE(0);
        else if (stream !== undefined) stream.window += payload.readUInt32BE(0);
        for (const each of [...this.streams.values()]) this.#send(each);
        return;
      }
      case Type.HEADERS:
        this.#onHeaders(id, flags);
        return;
      case Type.DATA:
        this.#onData(id, flags, payload);
        return;
      case Type.RST_STREAM:
        this.streams.delete(id);
        return;
    }
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== INITIAL_WINDOW_SIZE) continue;
      const value = payload.readUInt32BE(at + 2);
      for (const stream of this.streams.values()) stream.window += value - this.#initialWindow;
      this.#initialWindow = value;
    }
    this.write(frame(Type.SETTINGS, ACK, 0));
  }

  #onHeaders(id: number, flags: number): void {
    const stream: Stream = { id, request: [], rest: Buffer.alloc(0), window: this.#initialWindow };
    this.streams.set(id, stream);
    const complaint = this.#behaviour.onRequest?.(this, stream) ?? null;
    if (complaint === null && this.streams.has(id)) this.write(frame(Type.HEADERS, END_HEADERS, id, RESPONSE));
    else if (complaint !== null) {
      this.write(frame(Type.HEADERS, END_HEADERS, id, RESPONSE));
      this.trailers(stream, 13, complaint);
    }
    if ((flags & END_STREAM) !== 0) this.#onComplete(stream);
  }

  #onData(id: number, flags: number, payload: Buffer): void {
    if (payload.length > 0) this.write(frame(Type.WINDOW_UPDATE, 0, 0, u32(payload.length)));
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    const data = (flags & PADDED) === 0 ? payload : payload.subarray(1, payload.length - (payload[0] ?? 0));
    stream.request.push(data);
    if ((flags & END_STREAM) !== 0) this.#onComplete(stream);
    else if (payload.length > 0) this.write(frame(Type.WINDOW_UPDATE, 0, id, u32(payload.length)));
  }

  #onComplete(stream: Stream): void {
    const request = fromBinary(SimpleRequestSchema, Buffer.concat(stream.request).subarray(5));
    const message = toBinary(
      SimpleResponseSchema,
      create(SimpleResponseSchema, { payload: { body: new Uint8Array(request.responseSize) } }),
    );
    const response = Buffer.concat([Buffer.of(0), u32(message.length), message]);
    stream.rest = this.#behaviour.part?.(response) ?? response;
    this.#behaviour.onResponse?.(this);
    this.#send(stream);
    this.#behaviour.onResponse?.(this);
  }

  #send(stream: Stream): void {
    if (stream.rest.length === 0) return;
    const { pad, chunk = FRAME_BYTES } = this.#behaviour;
    const padding = pad === undefined ? 0 : pad + 1;
    const parts: Buffer[] = [];
    while (stream.rest.length > 0) {
      const room = Math.min(this.#window, stream.window, FRAME_BYTES) - padding;
      if (room <= 0) break;
      const data = stream.rest.subarray(0, Math.min(room, chunk));
      stream.rest = stream.rest.subarray(data.length);
      this.#window -= data.length + padding;
      stream.window -= data.length + padding;
      parts.push(
        pad === undefined
          ? frame(Type.DATA, 0, stream.id, data)
          : frame(Type.DATA, PADDED, stream.id, Buffer.concat([Buffer.of(pad), data, Buffer.alloc(pad)])),
      );
    }
    if (parts.length > 0) this.write(Buffer.concat(parts));
    if (stream.rest.length > 0) return;
    if (this.#behaviour.onSent !== undefined) this.#behaviour.onSent(this, stream);
    else this.trailers(stream);
  }
}

const behaviours: Readonly<Record<string, Behaviour>> = {
  // After each answer: the next request must come on another connection.
  goaway: {
    onRequest: (connection) => (connection.goaway ? "a request after GOAWAY" : null),
    onSent(connection, stream) {
      connection.trailers(stream);
      connection.goaway = true;
      connection.write(frame(Type.GOAWAY, 0, 0, Buffer.concat([u32(stream.id), u32(0)])));
    },
  },
  rst_after_header: {
    onRequest(connection, stream) {
      connection.write(frame(Type.HEADERS, END_HEADERS, stream.id, RESPONSE));
      connection.reset(stream);
      return null;
    },
  },
  rst_during_data: {
    part: (response) => response.subarray(0, response.length >> 1),
    onSent: (connection, stream) => connection.reset(stream),
  },
  rst_after_data: { onSent: (connection, stream) => connection.reset(stream) },
  // The answer ends once every PING is answered.
  ping: {
    onRequest(connection) {
      connection.ping();
      return null;
    },
    onResponse: (connection) => connection.ping(),
    onSent: (connection, stream) => connection.whenPonged(() => connection.trailers(stream)),
  },
  max_streams: {
    settings: Buffer.concat([u16(MAX_CONCURRENT_STREAMS), u32(1)]),
    // Until it has told that it knows the limit a client cannot be blamed.
    onRequest: (connection) => (connection.settingsAcked && connection.streams.size > 1 ? "more than one stream at a time" : null),
  },
  data_frame_padding: { pad: 255, chunk: 5 },
};

const servers = process.argv.slice(2).map((arg) => arg.split("="));
let up = 0;
for (const [name = "", port] of servers) {
  const behaviour = behaviours[name];
  if (behaviour === undefined) throw new Error(`no case ${name}`);
  const server = createServer((socket) => new Connection(socket, behaviour));
  server.listen(Number(port), () => {
    if (++up === servers.length) console.log("listening");
  });
}
