// What an HTTP/2 exchange costs in the engine alone, no sockets: CPU nanoseconds of the process (garbage collection included) per exchange.
//
//     node scripts/run.mjs bench/micro/http2.ts [SECONDS per row, default 1]
//
// Rows: a request head and a response of 100 bytes, heads that repeat (memoised) or never do; the peer's bytes are made
// beforehand for the one-sided rows. `pair` is a client engine and a server engine talking to each other; it costs a
// little more than with sockets between, whose buffers the runtime gives views of more cheaply.
import { Encoder } from "#hpack";
import {
  type ClientEngine,
  type Engine,
  type EngineHost,
  type Incoming,
  type RequestHandler,
  RequestHead,
  ResponseHead,
  type ResponseIncoming,
  type ServerStream,
} from "#http";
import { CONNECTION_PREFACE, Http2Client, Http2Server } from "#http2";

const seconds = Number(process.argv[2] ?? 1);
const HOST: EngineHost = { scheduleFlush() {}, pauseReading() {}, resumeReading() {}, finish() {}, abort() {} };
const BODY = new Uint8Array(100).fill(97);
const SETTINGS = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0);
const REQUEST_FIELDS = [
  ["user-agent", "curl/7.88.1"],
  ["accept", "*/*"],
  ["l5d-orig-proto", "HTTP/1.1"],
  ["x-b3-sampled", "0"],
  ["content-type", "application/json"],
].flat();
const RESPONSE = new ResponseHead({
  version: "HTTP/2",
  status: 200,
  reason: null,
  fields: ["server", "nginx/1.22.1", "content-type", "application/octet-stream", "content-length", "100", "cache-control", "no-cache"],
});

function request(path: string): RequestHead {
  return new RequestHead({
    version: "HTTP/2",
    method: "GET",
    form: "origin",
    scheme: "http",
    authority: "web.emojivoto.svc.cluster.local",
    path,
    fields: REQUEST_FIELDS,
  });
}

class Exchange implements Incoming {
  constructor(readonly stream: ServerStream) {}
  onData(chunk: Uint8Array): void {
    this.stream.consume(chunk.length);
  }
  onTrailers(): void {}
  onWritten(): void {}
  onReset(): void {}
}

const handler: RequestHandler = {
  onRequest(stream) {
    stream.respond(RESPONSE, false);
    stream.write(BODY, true);
    return new Exchange(stream);
  },
};

class Answer implements ResponseIncoming {
  stream: { consume(bytes: number): void } | null = null;
  onInformational(): void {}
  onResponse(): void {}
  onData(chunk: Uint8Array): void {
    this.stream?.consume(chunk.length);
  }
  onTrailers(): void {}
  onWritten(): void {}
  onReset(): void {}
}

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(9 + payload.length);
  bytes.set([
    payload.length >> 16,
    payload.length >> 8,
    payload.length,
    type,
    flags,
    streamId >> 24,
    streamId >> 16,
    streamId >> 8,
    streamId,
  ]);
  bytes.set(payload, 9);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts as Uint8Array[]));
}

function drainOutput(engine: Engine): number {
  let n = 0;
  for (let bytes = engine.output(); bytes !== null; bytes = engine.output()) n += bytes.length;
  return n;
}

/** Runs `batch` (which does `size` exchanges) for a while; prints CPU ns per exchange, the best of three runs. */
function row(name: string, size: number, batch: () => void): void {
  const warmUntil = performance.now() + 500;
  while (performance.now() < warmUntil) batch();
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 3; run++) {
    let exchanges = 0;
    const before = process.cpuUsage();
    const until = performance.now() + (seconds * 1000) / 3;
    while (performance.now() < until) {
      for (let i = 0; i < 64; i++) batch();
      exchanges += 64 * size;
    }
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, ((user + system) * 1000) / exchanges);
  }
  console.log(`${name.padEnd(66)} ${best.toFixed(0).padStart(6)} ns`);
}

function writeRequest(encoder: Encoder, head: RequestHead): void {
  encoder.field(":method", head.method);
  encoder.field(":scheme", "http");
  encoder.field(":authority", head.authority as string);
  encoder.field(":path", head.path);
  for (let i = 0; i < head.fields.length; i += 2) encoder.field(head.fields[i] as string, head.fields[i + 1] as string);
}

function prepared(name: string, perTurn: number, fresh: boolean): void {
  // One turn's input is built once and its ids advanced in place, so that building it is not measured (a copy of it is).
  const server = new Http2Server({ host: HOST, handler });
  server.receive(concat([CONNECTION_PREFACE as Uint8Array, SETTINGS]));
  drainOutput(server);
  const encoder = new Encoder();
  const heads = Array.from({ length: perTurn }, (_, i) => request(`/api/list?x=${i & 3}`));
  // Warm tables, so that the blocks are the steady ones.
  let id = 1;
  for (let round = 0; round < 3; round++) {
    for (const head of heads) {
      server.receive(frame(1, 0x5, id, encoder.encodeOnce(head, writeRequest)));
      id += 2;
    }
    drainOutput(server);
  }
  const frames = heads.map((head) => frame(1, 0x5, 1, encoder.encodeOnce(head, writeRequest)));
  const offsets: number[] = [];
  let at = 0;
  for (const bytes of frames) {
    offsets.push(at);
    at += bytes.length;
  }
  const template = concat(frames);
  let out = 0;
  row(`${name} (${Math.round(template.length / perTurn)} bytes in)`, perTurn, () => {
    for (const offset of offsets) {
      template[offset + 5] = id >>> 24;
      template[offset + 6] = id >>> 16;
      template[offset + 7] = id >>> 8;
      template[offset + 8] = id;
      id += 2;
    }
    // Connection windows of the peer: opened as it consumes.
    server.receive(windowUpdate(perTurn * BODY.length));
    server.receive(fresh ? template.slice() : template);
    out += drainOutput(server);
  });
  void out;
}

function windowUpdate(n: number): Uint8Array {
  return frame(8, 0, 0, Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n));
}

function pairRow(name: string, perTurn: number, head: (n: number) => RequestHead, body: Uint8Array | null): void {
  const server = new Http2Server({ host: HOST, handler });
  const client: ClientEngine = new Http2Client({ host: HOST });
  const pump = (): void => {
    for (;;) {
      const up = client.output();
      if (up !== null) server.receive(up);
      const down = server.output();
      if (down !== null) client.receive(down);
      if (up === null && down === null) return;
    }
  };
  pump();
  let n = 0;
  row(name, perTurn, () => {
    for (let i = 0; i < perTurn; i++) {
      const answer = new Answer();
      const stream = client.request(head(n++), body === null, answer);
      answer.stream = stream;
      if (body !== null) stream.write(body, true);
    }
    pump();
  });
}

const same = request("/api/list?view=1");
const four = [0, 1, 2, 3].map((i) => request(`/api/list?view=${i}`));
prepared("server: HEADERS in, head + 100 bytes out, 1 a turn", 1, false);
prepared("server: the same, 16 a turn", 16, false);
prepared("server: the same, 16 a turn, fresh input buffer", 16, true);
pairRow("pair: GET, one head, 1 a turn", 1, () => same, null);
pairRow("pair: GET, one head, 16 a turn", 16, () => same, null);
pairRow("pair: POST of 100 bytes, four heads, 16 a turn", 16, (n) => four[n & 3] as RequestHead, BODY);
pairRow("pair: GET, a head object each, four paths, 16 a turn", 16, (n) => request(`/api/list?view=${n & 3}`), null);
pairRow("pair: GET, a path each that never repeats, 16 a turn", 16, (n) => request(`/api/items/${n}`), null);
