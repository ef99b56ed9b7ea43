// The server engine against raw frames: send these, expect those.
import { describe, expect, test } from "bun:test";
import { ErrorCode, ResponseHead } from "#http";
import { CONNECTION_PREFACE, type Http2Options, Http2Server } from "./index.ts";
import {
  concat,
  data,
  Flag,
  FrameType,
  frame,
  goaway,
  Peer,
  paddedData,
  ping,
  RecordingHandler,
  rst,
  settings,
  settingsAck,
  TestHost,
  text,
  uint32,
  windowUpdate,
} from "./testing/wire.ts";

class World {
  readonly host = new TestHost();
  readonly handler = new RecordingHandler();
  readonly peer = new Peer(false);
  readonly server: Http2Server;

  constructor(options: Http2Options = {}) {
    this.server = new Http2Server({ host: this.host, handler: this.handler, options });
  }

  /** After preface and SETTINGS, with what the server said to them read. */
  static begun(options: Http2Options = {}): World {
    const world = new World(options);
    world.send(CONNECTION_PREFACE as Uint8Array, settings());
    return world;
  }

  /** What the server answers to these frames. */
  send(...frames: Uint8Array[]): string[] {
    this.server.receive(concat(...frames));
    return this.read();
  }

  read(): string[] {
    const lines: string[] = [];
    for (let bytes = this.server.output(); bytes !== null; bytes = this.server.output()) lines.push(...this.peer.read(bytes));
    return lines;
  }
}

const ok = (...fields: string[]): ResponseHead => new ResponseHead({ version: "HTTP/2", status: 200, reason: "OK", fields });

describe("beginning", () => {
  test("SETTINGS and the connection's window come first, then the acknowledgement", () => {
    const world = new World();
    expect(world.read()).toEqual(["SETTINGS 3=4096 6=65536", "WINDOW_UPDATE 0 983041"]);
    expect(world.send(CONNECTION_PREFACE as Uint8Array, settings())).toEqual(["SETTINGS ACK"]);
  });

  test("windows and streams are configurable", () => {
    const world = new World({ initialStreamWindow: 1 << 20, initialConnectionWindow: 65_535, maxConcurrentStreams: 7 });
    expect(world.read()).toEqual([`SETTINGS 3=7 4=${1 << 20} 6=65536`]);
  });

  test("another preface is a connection error", () => {
    const world = new World();
    world.read();
    expect(world.send(text("GET / HTTP/1.1\r\n\r\n"))).toEqual(["GOAWAY 0 PROTOCOL_ERROR"]);
    expect(world.host.calls).toEqual(["finish"]);
    expect(world.handler.errors).toEqual(["invalid connection preface"]);
  });

  test("another frame than SETTINGS is a connection error", () => {
    const world = new World();
    world.read();
    expect(world.send(CONNECTION_PREFACE as Uint8Array, ping())).toEqual(["GOAWAY 0 PROTOCOL_ERROR"]);
  });
});

describe("exchanges", () => {
  test("a request without a body, a response with one", () => {
    const world = World.begun();
    world.send(world.peer.get(1, "/a?b", "accept", "*/*"));
    const { head, end, stream } = world.handler.last;
    expect(end).toBe(true);
    expect([head.version, head.method, head.form, head.scheme, head.authority, head.path, head.fields]).toEqual([
      "HTTP/2",
      "GET",
      "origin",
      "http",
      "a.test",
      "/a?b",
      ["accept", "*/*"],
    ]);
    expect(world.server.activeStreams).toBe(1);
    stream.respond(ok("server", "x"), false);
    stream.write(text("hello"), false);
    stream.write(text(" world"), true);
    expect(world.read()).toEqual(["HEADERS 1 :status=200 server=x", "DATA 1 5", "DATA 1 6 END"]);
    expect(world.handler.last.in.written).toBe(11);
    expect(world.server.activeStreams).toBe(0);
  });

  test("a request with a body and trailers, a response of a head alone", () => {
    const world = World.begun();
    world.send(world.peer.post(1, "content-length", "5"), data(1, "he"), data(1, "llo"), world.peer.headers(1, ["x-sum", "9"], true));
    const exchange = world.handler.last;
    expect(exchange.end).toBe(false);
    expect(exchange.in.events).toEqual(["data 5", "trailers x-sum 9"]);
    exchange.stream.respond(ok(), true);
    expect(world.read()).toEqual(["HEADERS 1 :status=200 END"]);
    expect(world.server.activeStreams).toBe(0);
  });

  test("trailers follow the data; an empty list of them is an empty DATA", () => {
    const world = World.begun();
    world.send(world.peer.get(1), world.peer.get(3));
    for (const [i, fields] of [["grpc-status", "0"], []].entries()) {
      const { stream } = world.handler.exchanges[i] as (typeof world.handler.exchanges)[0];
      stream.respond(ok(), false);
      stream.write(text("abc"), false);
      stream.trailers(fields as string[]);
    }
    expect(world.read()).toEqual([
      "HEADERS 1 :status=200",
      "DATA 1 3",
      "HEADERS 1 grpc-status=0 END",
      "HEADERS 3 :status=200",
      "DATA 3 3",
      "DATA 3 0 END",
    ]);
  });

  test("informational responses precede; 101 and what belongs to HTTP/1 connections is left out", () => {
    const world = World.begun();
    world.send(world.peer.post(1));
    const { stream } = world.handler.last;
    for (const status of [100, 101, 103]) {
      stream.informational(new ResponseHead({ version: "HTTP/1.1", status, reason: null, fields: [] }));
    }
    const fields = ["connection", "keep-alive", "keep-alive", "5", "transfer-encoding", "chunked", "te", "gzip", "x", "y"];
    stream.respond(new ResponseHead({ version: "HTTP/1.1", status: 404, reason: "Gone fishing", fields }), false);
    expect(world.read()).toEqual(["HEADERS 1 :status=100", "HEADERS 1 :status=103", "HEADERS 1 :status=404 x=y"]);
  });

  test("written before the head: sent behind it", () => {
    const world = World.begun();
    world.send(world.peer.get(1));
    const { stream } = world.handler.last;
    stream.write(text("early"), true);
    expect(world.read()).toEqual([]);
    stream.respond(ok(), false);
    expect(world.read()).toEqual(["HEADERS 1 :status=200", "DATA 1 5 END"]);
  });

  test("CONNECT has an authority and no path", () => {
    const world = World.begun();
    world.send(world.peer.headers(1, [":method", "CONNECT", ":authority", "a.test:443"]));
    const { head, stream } = world.handler.last;
    expect([head.form, head.authority, head.path, head.scheme]).toEqual(["authority", "a.test:443", "", null]);
    stream.respond(ok(), false);
    stream.write(text("tunnel"), false);
    expect(world.send(data(1, "up"))).toEqual(["HEADERS 1 :status=200", "DATA 1 6"]);
    expect(world.handler.last.in.events).toEqual(["data 2"]);
  });

  test("the same block is the same head", () => {
    const world = World.begun();
    for (let id = 1; id <= 11; id += 2) world.send(world.peer.get(id, "/same", "user-agent", "t"));
    const heads = world.handler.exchanges.map((exchange) => exchange.head);
    expect(heads[5]).toBe(heads[4] as (typeof heads)[0]);
    expect(heads[5]?.path).toBe("/same");
  });

  test("calls on a stream that is over do nothing", () => {
    const world = World.begun();
    world.send(world.peer.get(1));
    const { stream } = world.handler.last;
    stream.respond(ok(), true);
    stream.respond(ok(), true);
    stream.write(text("x"), true);
    stream.trailers(["a", "b"]);
    stream.reset(ErrorCode.CANCEL);
    stream.consume(10);
    expect(world.read()).toEqual(["HEADERS 1 :status=200 END"]);
  });
});

describe("header blocks", () => {
  test("in CONTINUATION frames, with padding and priority", () => {
    const world = World.begun();
    const block = world.peer.block([":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/long"]);
    const flags = Flag.PADDED | Flag.PRIORITY | Flag.END_STREAM;
    world.send(
      frame(FrameType.HEADERS, flags, 1, concat(Uint8Array.of(3, 0, 0, 0, 9, 1), block.subarray(0, 5), new Uint8Array(3))),
      frame(FrameType.CONTINUATION, 0, 1, block.subarray(5, 9)),
      frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, block.subarray(9)),
    );
    expect(world.handler.last.head.path).toBe("/long");
    expect(world.handler.last.end).toBe(true);
  });

  test("a response head larger than a frame is continued", () => {
    const world = World.begun();
    world.send(world.peer.get(1));
    world.handler.last.stream.respond(ok("x", "~".repeat(40_000)), true);
    const lines = world.read();
    expect(lines.map((line) => line.slice(0, 20).replace(/ :.*/, ""))).toEqual(["HEADERS 1 …", "CONTINUATION 1 …", "HEADERS 1"]);
    expect(lines[2]).toEndWith(`${"~".repeat(40_000)} END`);
  });

  test("another frame within a block is a connection error", () => {
    const world = World.begun();
    const begin = frame(FrameType.HEADERS, 0, 1, world.peer.block([":method", "GET"]));
    expect(world.send(begin, data(1, "x"))).toEqual(["GOAWAY 0 PROTOCOL_ERROR"]);
  });

  test("a block that cannot be decoded is a connection error", () => {
    const world = World.begun();
    expect(world.send(frame(FrameType.HEADERS, Flag.END_HEADERS, 1, [0xff, 0xff, 0xff, 0xff, 0xff]))).toEqual([
      "GOAWAY 0 COMPRESSION_ERROR",
    ]);
  });

  test("blocks of refused streams still count for the compression state", () => {
    const world = World.begun({ maxConcurrentStreams: 1 });
    world.send(world.peer.get(1, "/one"));
    // Sent twice, so that the peer's encoder puts them into its table within refused requests.
    expect(world.send(world.peer.get(3, "/two", "x-a", "1"), world.peer.get(5, "/two", "x-a", "1"))).toEqual([
      "RST_STREAM 3 REFUSED_STREAM",
      "RST_STREAM 5 REFUSED_STREAM",
    ]);
    world.handler.last.stream.respond(ok(), true);
    world.read();
    world.send(world.peer.get(7, "/two", "x-a", "1"));
    expect([world.handler.last.head.path, world.handler.last.head.get("x-a")]).toEqual(["/two", "1"]);
  });
});

describe("flow control", () => {
  test("windows are given back at half, when consumed", () => {
    const world = World.begun();
    world.send(world.peer.post(1));
    const kib = new Uint8Array(16_384);
    expect(world.send(data(1, kib), data(1, kib))).toEqual([]);
    world.handler.last.stream.consume(32_767);
    expect(world.read()).toEqual([]);
    world.handler.last.stream.consume(1);
    expect(world.read()).toEqual(["WINDOW_UPDATE 1 32768"]);
    // The connection's window is larger.
    const streams = Array.from({ length: 15 }, (_, i) => 3 + 2 * i);
    for (const id of streams) {
      world.send(world.peer.post(id), data(id, kib), data(id, kib));
      world.handler.last.stream.consume(32_767);
    }
    expect(world.read()).toEqual([]);
    world.handler.last.stream.consume(1);
    expect(world.read().sort()).toEqual(["WINDOW_UPDATE 31 32768"]);
    // More than the peer has left, once it has sent more.
    expect(world.send(data(31, kib))).toEqual(["WINDOW_UPDATE 0 524274"]);
    world.handler.last.stream.consume(16_384);
    expect(world.read()).toEqual([]);
  });

  test("a stream beyond its window is reset, at the limit it is not", () => {
    const world = World.begun();
    const chunk = new Uint8Array(13_107);
    world.send(world.peer.post(1), ...Array.from({ length: 5 }, () => data(1, chunk)));
    expect(world.handler.last.in.events).toEqual(["data 65535"]);
    expect(world.send(data(1, "x"))).toEqual(["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
    expect(world.handler.last.in.events).toEqual(["data 65535", "protocol: DATA beyond the stream's window"]);
  });

  test("the connection beyond its window is over", () => {
    const world = World.begun({ initialConnectionWindow: 65_535, limits: { lentWindowBytes: 0 } });
    const chunk = new Uint8Array(13_107);
    expect(world.send(world.peer.post(1), world.peer.post(3), ...Array.from({ length: 5 }, () => data(1, chunk)))).toEqual([]);
    expect(world.send(data(3, "x"))).toEqual(["GOAWAY 3 FLOW_CONTROL_ERROR"]);
  });

  test("what was held by a stream that is reset, and late DATA, is given back to the connection", () => {
    const world = World.begun({ initialConnectionWindow: 65_535 });
    const chunk = new Uint8Array(16_384);
    world.send(world.peer.post(1), data(1, chunk));
    world.handler.last.stream.reset(ErrorCode.CANCEL);
    expect(world.read()).toEqual(["RST_STREAM 1 CANCEL"]);
    expect(world.send(data(1, chunk))).toEqual(["WINDOW_UPDATE 0 32768"]);
    expect(world.send(data(1, chunk), paddedData(1, "", 100))).toEqual([]);
  });

  test("what is consumed after both messages ended still counts for the connection", () => {
    const world = World.begun({ initialConnectionWindow: 65_535 });
    world.send(world.peer.post(1), data(1, new Uint8Array(16_384)), data(1, new Uint8Array(16_384), true));
    world.handler.last.stream.respond(ok(), true);
    expect(world.read()).toEqual(["HEADERS 1 :status=200 END"]);
    world.handler.last.stream.consume(32_768);
    expect(world.read()).toEqual(["WINDOW_UPDATE 0 32768"]);
  });

  test("padding is given back at once", () => {
    const world = World.begun({ initialConnectionWindow: 65_535, initialStreamWindow: 512 });
    world.send(settingsAck());
    expect(world.send(world.peer.post(1), paddedData(1, "a", 255))).toEqual(["WINDOW_UPDATE 1 256"]);
    expect(world.handler.last.in.content).toBe("a");
  });

  test("output keeps to the peer's windows; what waits for them goes out in turns", () => {
    const world = World.begun();
    world.send(settings(4, 20_000), windowUpdate(0, 1_000_000), world.peer.get(1), world.peer.get(3));
    for (const { stream } of world.handler.exchanges) {
      stream.respond(ok(), false);
      stream.write(new Uint8Array(50_000), true);
    }
    expect(world.read()).toEqual([
      "HEADERS 1 :status=200",
      "DATA 1 16384",
      "DATA 1 3616",
      "HEADERS 3 :status=200",
      "DATA 3 16384",
      "DATA 3 3616",
    ]);
    expect(world.handler.last.in.written).toBe(20_000);
    expect(world.send(windowUpdate(3, 100))).toEqual(["DATA 3 100"]);
    expect(world.send(settings(4, 40_000))).toEqual(["SETTINGS ACK", "DATA 1 16384", "DATA 3 16384", "DATA 1 3616", "DATA 3 3616"]);
    expect(world.send(windowUpdate(1, 20_000), windowUpdate(3, 20_000))).toEqual(["DATA 1 10000 END", "DATA 3 9900 END"]);
    expect(world.server.activeStreams).toBe(0);
  });

  test("the connection's window stops all streams; heads and ends without content pass", () => {
    const world = World.begun();
    world.send(world.peer.get(1), world.peer.get(3), world.peer.get(5));
    const [a, b, c] = world.handler.exchanges.map((exchange) => exchange.stream);
    a?.respond(ok(), false);
    a?.write(new Uint8Array(65_535), false);
    world.read();
    a?.write(text("more"), true);
    b?.respond(ok(), false);
    b?.write(text("x"), true);
    c?.respond(ok(), false);
    c?.write(new Uint8Array(0), true);
    expect(world.read()).toEqual(["HEADERS 3 :status=200", "HEADERS 5 :status=200", "DATA 5 0 END"]);
    expect(world.send(windowUpdate(0, 3))).toEqual(["DATA 3 1 END"]);
    expect(world.send(windowUpdate(1, 100))).toEqual(["DATA 1 2"]);
    expect(world.send(windowUpdate(0, 100))).toEqual(["DATA 1 2 END"]);
  });

  test("a window made negative by SETTINGS", () => {
    const world = World.begun();
    world.send(world.peer.get(1));
    const { stream } = world.handler.last;
    stream.respond(ok(), false);
    stream.write(new Uint8Array(100), false);
    world.read();
    world.send(settings(4, 50));
    stream.write(text("abc"), true);
    expect(world.send(windowUpdate(1, 50))).toEqual([]);
    expect(world.send(windowUpdate(1, 2))).toEqual(["DATA 1 2"]);
    expect(world.send(windowUpdate(1, 2))).toEqual(["DATA 1 1 END"]);
  });

  test("windows above 2^31-1", () => {
    const world = World.begun();
    world.send(world.peer.post(1));
    expect(world.send(windowUpdate(1, 0x7fffffff))).toEqual(["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
    expect(world.send(windowUpdate(0, 0x7fffffff))).toEqual(["GOAWAY 1 FLOW_CONTROL_ERROR"]);
    const other = World.begun();
    other.send(other.peer.post(1), windowUpdate(1, 1));
    expect(other.send(settings(4, 0x7fffffff))).toEqual(["SETTINGS ACK", "GOAWAY 1 FLOW_CONTROL_ERROR"]);
  });

  test("an output is about 64 KiB", () => {
    const world = World.begun();
    world.send(settings(4, 1 << 20), windowUpdate(0, 1 << 20), world.peer.get(1));
    const { stream } = world.handler.last;
    stream.respond(ok(), false);
    stream.write(new Uint8Array(500_000), true);
    let total = 0;
    for (let bytes = world.server.output(); bytes !== null; bytes = world.server.output()) {
      expect(bytes.length).toBeLessThanOrEqual(64 * 1024 + 16_393);
      total += bytes.length;
    }
    expect(total).toBeGreaterThan(500_000);
  });

  test("what was handed out is not changed by later output", () => {
    const world = World.begun();
    const kept: { bytes: Uint8Array; copy: Uint8Array }[] = [];
    for (let id = 1; id < 400; id += 2) {
      world.server.receive(world.peer.get(id));
      world.handler.last.stream.respond(ok("x-id", String(id)), false);
      world.handler.last.stream.write(text(`body of ${id}`), true);
      for (let bytes = world.server.output(); bytes !== null; bytes = world.server.output()) kept.push({ bytes, copy: bytes.slice() });
    }
    for (const { bytes, copy } of kept) expect(bytes).toEqual(copy);
  });
});

describe("streams that end early", () => {
  test("the peer's reset", () => {
    const world = World.begun();
    world.send(world.peer.post(1), data(1, "x"), rst(1, ErrorCode.CANCEL));
    expect(world.handler.last.in.events).toEqual(["data 1", "reset CANCEL"]);
    expect(world.server.activeStreams).toBe(0);
    world.handler.last.stream.respond(ok(), true);
    expect(world.read()).toEqual([]);
  });

  test("our reset: content that waits is dropped, late frames are tolerated", () => {
    const world = World.begun();
    world.send(world.peer.post(1));
    const { stream } = world.handler.last;
    stream.respond(ok(), false);
    stream.write(new Uint8Array(70_000), false);
    stream.reset(ErrorCode.INTERNAL_ERROR);
    expect(world.read()).toEqual([
      "HEADERS 1 :status=200",
      ...Array(3).fill("DATA 1 16384"),
      "DATA 1 16383",
      "RST_STREAM 1 INTERNAL_ERROR",
    ]);
    expect(
      world.send(data(1, "late", true), world.peer.headers(1, ["x", "y"], true), windowUpdate(1, 5), rst(1, ErrorCode.CANCEL)),
    ).toEqual([]);
    expect(world.handler.last.in.events).toEqual([]);
  });

  test("a whole response before the request has ended, then NO_ERROR", () => {
    const world = World.begun();
    world.send(world.peer.post(1), data(1, "x"));
    const { stream } = world.handler.last;
    stream.respond(ok(), true);
    expect(world.server.activeStreams).toBe(1);
    stream.reset(ErrorCode.NO_ERROR);
    expect(world.read()).toEqual(["HEADERS 1 :status=200 END", "RST_STREAM 1 NO_ERROR"]);
    expect(world.server.activeStreams).toBe(0);
  });

  test("frames on streams that ended, were reset by the peer, or never were", () => {
    const ended = World.begun();
    ended.send(ended.peer.get(1));
    ended.handler.last.stream.respond(ok(), true);
    ended.read();
    expect(ended.send(windowUpdate(1, 1), rst(1, 0), frame(FrameType.PRIORITY, 0, 1, [0, 0, 0, 0, 1]))).toEqual([]);
    expect(ended.send(data(1, "x"))).toEqual(["GOAWAY 1 STREAM_CLOSED"]);

    const reset = World.begun();
    reset.send(reset.peer.post(1), rst(1, ErrorCode.CANCEL));
    expect(reset.send(data(1, "x"))).toEqual(["RST_STREAM 1 STREAM_CLOSED"]);

    const idle = World.begun();
    expect(idle.send(data(1, "x"))).toEqual(["GOAWAY 0 PROTOCOL_ERROR"]);
    const lower = World.begun();
    expect(lower.send(lower.peer.get(5), lower.peer.get(3))).toEqual(["GOAWAY 5 PROTOCOL_ERROR"]);
  });

  test("the connection is gone", () => {
    const world = World.begun();
    world.send(world.peer.post(1), world.peer.get(3));
    world.server.receiveClose("ECONNRESET");
    world.server.receiveClose("");
    expect(world.handler.exchanges.map((exchange) => exchange.in.events)).toEqual([["closed ECONNRESET"], ["closed ECONNRESET"]]);
    expect(world.server.activeStreams).toBe(0);
    expect(world.read()).toEqual([]);
    expect(world.host.calls).toEqual([]);
  });

  test("the peer's half is over: its requests are, whole ones too, then the connection finishes", () => {
    const world = World.begun();
    world.send(world.peer.post(1), world.peer.get(3));
    world.server.receiveEnd();
    expect(world.handler.exchanges.map((exchange) => exchange.in.events)).toEqual([["closed"], ["closed"]]);
    expect(world.server.activeStreams).toBe(0);
    world.read();
    expect(world.host.calls).toEqual(["finish"]);
  });

  test("a connection error ends every stream", () => {
    const world = World.begun();
    world.send(world.peer.post(1), world.peer.post(3));
    expect(world.send(ping(), windowUpdate(0, 0), ping())).toEqual(["PING ACK", "GOAWAY 3 PROTOCOL_ERROR"]);
    for (const exchange of world.handler.exchanges) expect(exchange.in.events).toEqual(["protocol: WINDOW_UPDATE of 0"]);
    expect(world.host.calls).toEqual(["finish"]);
  });
});

describe("drain", () => {
  test("GOAWAY twice, a round trip between; finish when idle", () => {
    const world = World.begun();
    world.send(world.peer.get(1));
    world.server.drain();
    world.server.drain();
    expect(world.read()).toEqual(["GOAWAY 2147483647 NO_ERROR", "PING"]);
    // Sent before the client knew.
    world.send(world.peer.get(3));
    expect(world.handler.exchanges.length).toBe(2);
    expect(world.send(ping(true))).toEqual([]);
    const pong = frame(FrameType.PING, Flag.ACK, 0, [...text("drain"), 0, 0, 0]);
    expect(world.send(pong)).toEqual(["GOAWAY 3 NO_ERROR"]);
    // Not looked at, and no error.
    expect(world.send(world.peer.get(5), data(7, "x").subarray(0, 0))).toEqual([]);
    expect(world.handler.exchanges.length).toBe(2);
    expect(world.host.calls).toEqual([]);
    for (const { stream } of world.handler.exchanges) stream.respond(ok(), true);
    expect(world.read()).toEqual(["HEADERS 1 :status=200 END", "HEADERS 3 :status=200 END"]);
    expect(world.host.calls).toEqual(["finish"]);
  });

  test("an idle connection finishes after the round trip", () => {
    const world = World.begun();
    world.server.drain();
    world.read();
    world.send(frame(FrameType.PING, Flag.ACK, 0, [...text("drain"), 0, 0, 0]));
    expect(world.host.calls).toEqual(["finish"]);
  });

  test("frames on streams above the last GOAWAY are ignored", () => {
    const world = World.begun();
    world.server.drain();
    world.read();
    world.send(world.peer.post(1), frame(FrameType.PING, Flag.ACK, 0, [...text("drain"), 0, 0, 0]));
    expect(world.send(world.peer.post(3), data(3, "late"), windowUpdate(3, 9), world.peer.headers(3, ["x", "y"], true), rst(3, 8))).toEqual(
      [],
    );
    expect(world.host.calls).toEqual([]);
  });
});

describe("other frames", () => {
  test("PING is answered, GOAWAY and unknown types are taken note of", () => {
    const world = World.begun();
    expect(world.send(ping(), goaway(0, 0), frame(0xbe, 0xff, 77, uint32(1)), ping())).toEqual(["PING ACK", "PING ACK"]);
  });

  test("SETTINGS_HEADER_TABLE_SIZE of the peer is kept to and told", () => {
    const world = World.begun();
    world.send(settings(1, 0), world.peer.get(1), world.peer.get(3));
    world.handler.exchanges[0]?.stream.respond(ok("x-a", "1"), true);
    world.handler.exchanges[1]?.stream.respond(ok("x-a", "1"), true);
    expect(world.read()).toEqual(["HEADERS 1 :status=200 x-a=1 END", "HEADERS 3 :status=200 x-a=1 END"]);
    expect(world.peer.decoder.tableBytes).toBe(0);
    world.send(settings(1, 4096), world.peer.get(5), world.peer.get(7));
    for (const { stream } of world.handler.exchanges.slice(2)) stream.respond(ok("x-a", "1"), true);
    world.read();
    expect(world.peer.decoder.tableBytes).toBe(36);
  });

  const errors: [string, Uint8Array, string][] = [
    ["SETTINGS on a stream", frame(FrameType.SETTINGS, 0, 1), "PROTOCOL_ERROR"],
    ["SETTINGS of five bytes", frame(FrameType.SETTINGS, 0, 0, [0, 1, 0, 0, 0]), "FRAME_SIZE_ERROR"],
    ["an acknowledgement with a payload", frame(FrameType.SETTINGS, Flag.ACK, 0, [0, 1, 0, 0, 0, 0]), "FRAME_SIZE_ERROR"],
    ["ENABLE_PUSH 2", settings(2, 2), "PROTOCOL_ERROR"],
    ["INITIAL_WINDOW_SIZE 2^31", settings(4, 0x80000000), "FLOW_CONTROL_ERROR"],
    ["MAX_FRAME_SIZE 16383", settings(5, 16_383), "PROTOCOL_ERROR"],
    ["MAX_FRAME_SIZE 2^24", settings(5, 1 << 24), "PROTOCOL_ERROR"],
    ["PING on a stream", frame(FrameType.PING, 0, 1, new Uint8Array(8)), "PROTOCOL_ERROR"],
    ["PING of seven bytes", frame(FrameType.PING, 0, 0, new Uint8Array(7)), "FRAME_SIZE_ERROR"],
    ["GOAWAY on a stream", frame(FrameType.GOAWAY, 0, 1, new Uint8Array(8)), "PROTOCOL_ERROR"],
    ["GOAWAY of seven bytes", frame(FrameType.GOAWAY, 0, 0, new Uint8Array(7)), "FRAME_SIZE_ERROR"],
    ["WINDOW_UPDATE of three bytes", frame(FrameType.WINDOW_UPDATE, 0, 0, [0, 0, 1]), "FRAME_SIZE_ERROR"],
    ["WINDOW_UPDATE on an idle stream", windowUpdate(1, 1), "PROTOCOL_ERROR"],
    ["RST_STREAM on stream 0", rst(0, 0), "PROTOCOL_ERROR"],
    ["RST_STREAM on an idle stream", rst(1, 0), "PROTOCOL_ERROR"],
    ["RST_STREAM of five bytes", frame(FrameType.RST_STREAM, 0, 1, new Uint8Array(5)), "FRAME_SIZE_ERROR"],
    ["PRIORITY on stream 0", frame(FrameType.PRIORITY, 0, 0, new Uint8Array(5)), "PROTOCOL_ERROR"],
    ["PRIORITY of four bytes", frame(FrameType.PRIORITY, 0, 1, new Uint8Array(4)), "FRAME_SIZE_ERROR"],
    ["a stream that depends on itself", frame(FrameType.PRIORITY, 0, 1, [0, 0, 0, 1, 0]), "PROTOCOL_ERROR"],
    ["PUSH_PROMISE", frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, [0, 0, 0, 2]), "PROTOCOL_ERROR"],
    ["CONTINUATION alone", frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1), "PROTOCOL_ERROR"],
    ["DATA on stream 0", data(0, "x"), "PROTOCOL_ERROR"],
    ["HEADERS on stream 0", frame(FrameType.HEADERS, Flag.END_HEADERS, 0, [0x82]), "PROTOCOL_ERROR"],
    ["HEADERS on an even stream", frame(FrameType.HEADERS, Flag.END_HEADERS, 2, [0x82]), "PROTOCOL_ERROR"],
    ["HEADERS of padding alone", frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.PADDED, 1, [2, 0]), "PROTOCOL_ERROR"],
    ["HEADERS too short for its priority", frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.PRIORITY, 1, [0, 0]), "FRAME_SIZE_ERROR"],
    ["a frame of 16385 bytes", frame(0xbe, 0, 0, new Uint8Array(16_385)), "FRAME_SIZE_ERROR"],
  ];
  test.each(errors)("%s is a connection error", (_name, bytes, code) => {
    const world = World.begun();
    expect(world.send(bytes)).toEqual([`GOAWAY 0 ${code}`]);
    expect(world.host.calls).toEqual(["finish"]);
  });

  test("a frame of 16384 bytes is none", () => {
    expect(World.begun().send(frame(0xbe, 0, 0, new Uint8Array(16_384)))).toEqual([]);
  });
});
