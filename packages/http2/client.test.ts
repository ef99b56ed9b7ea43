// The client engine against raw frames of a server, well-meant and hostile.
import { describe, expect, test } from "bun:test";
import { type ClientStream, ErrorCode, RequestHead } from "#http";
import { Http2Client, type Http2Options } from "./index.ts";
import {
  concat,
  data,
  Flag,
  FrameType,
  frame,
  goaway,
  Peer,
  ping,
  Recorder,
  rst,
  settings,
  TestHost,
  text,
  windowUpdate,
} from "./testing/wire.ts";

class World {
  readonly host = new TestHost();
  readonly peer = new Peer(true);
  readonly client: Http2Client;
  states = 0;

  constructor(options: Http2Options = {}) {
    this.client = new Http2Client({ host: this.host, options });
    this.client.onStateChange = () => this.states++;
  }

  /** After SETTINGS of the server. */
  static begun(options: Http2Options = {}, ...pairs: number[]): World {
    const world = new World(options);
    world.send(settings(...pairs));
    world.states = 0;
    return world;
  }

  send(...frames: Uint8Array[]): string[] {
    this.client.receive(concat(...frames));
    return this.read();
  }

  read(): string[] {
    const lines: string[] = [];
    for (let bytes = this.client.output(); bytes !== null; bytes = this.client.output()) lines.push(...this.peer.read(bytes));
    return lines;
  }

  request(head: RequestHead = GET, end = true): { stream: ClientStream; in: Recorder } {
    const recorder = new Recorder();
    return { stream: this.client.request(head, end, recorder), in: recorder };
  }
}

function head(method: string, changes: Partial<RequestHead> = {}): RequestHead {
  return new RequestHead({
    version: "HTTP/2",
    method,
    form: "origin",
    scheme: "http",
    authority: "a.test",
    path: "/",
    fields: [],
    ...changes,
  } as RequestHead);
}

const GET = head("GET");
const POST = head("POST");
const GET_LINE = ":method=GET :scheme=http :authority=a.test :path=/";

describe("beginning", () => {
  test("the preface, SETTINGS without push, the connection's window, and a request at once", () => {
    const world = new World();
    world.request();
    expect(world.read()).toEqual(["PREFACE", "SETTINGS 2=0 6=65536", "WINDOW_UPDATE 0 983041", `HEADERS 1 ${GET_LINE} END`]);
  });

  test("another frame than SETTINGS is a connection error", () => {
    const world = new World();
    world.read();
    const { in: incoming } = world.request();
    world.read();
    expect(world.send(ping())).toEqual(["GOAWAY 0 PROTOCOL_ERROR"]);
    expect(incoming.events).toEqual(["protocol: SETTINGS is not first"]);
    expect([world.client.retired, world.client.ready, world.states, world.host.calls]).toEqual([true, false, 1, ["finish"]]);
  });
});

describe("exchanges", () => {
  test("a request with a body, informational and final response, trailers", () => {
    const world = World.begun();
    const { stream, in: incoming } = world.request(POST, false);
    stream.write(text("hel"), false);
    stream.write(text("lo"), true);
    expect(world.read()).toEqual([`HEADERS 1 ${GET_LINE.replace("GET", "POST")}`, "DATA 1 3", "DATA 1 2 END"]);
    world.send(
      world.peer.headers(1, [":status", "100"]),
      world.peer.headers(1, [":status", "200", "content-length", "3"]),
      data(1, "abc"),
      world.peer.headers(1, ["grpc-status", "0"], true),
    );
    expect(incoming.events).toEqual(["informational 100", "response 200", "data 3", "trailers grpc-status 0"]);
    expect(incoming.written).toBe(5);
    expect(world.client.activeStreams).toBe(0);
  });

  test("a request of HTTP/1 becomes one of HTTP/2", () => {
    const world = World.begun({ scheme: "https" });
    const fields = ["host", "b.test", "connection", "x", "upgrade", "h2c", "te", "trailers", "l5d-orig-proto", "HTTP/1.1"];
    world.request(head("GET", { version: "HTTP/1.1", scheme: null, authority: null, fields }));
    world.request(head("GET", { version: "HTTP/1.1", scheme: null, authority: null, fields: ["host", ""] }));
    world.request(head("OPTIONS", { form: "asterisk", path: "*", authority: "c.test", fields: ["host", "c.test"] }));
    world.request(head("CONNECT", { form: "authority", scheme: null, authority: "d.test:1", path: "" }), false);
    expect(world.read()).toEqual([
      "HEADERS 1 :method=GET :scheme=https :authority=b.test :path=/ te=trailers l5d-orig-proto=HTTP/1.1 END",
      "HEADERS 3 :method=GET :scheme=https :path=/ END",
      "HEADERS 5 :method=OPTIONS :scheme=http :authority=c.test :path=* END",
      "HEADERS 7 :method=CONNECT :authority=d.test:1",
    ]);
  });

  test("the same head takes the same few bytes", () => {
    const world = World.begun();
    const same = head("GET", { path: "/a/long/path", fields: ["user-agent", "some agent", "x-b", "a value of some length"] });
    const sizes: number[] = [];
    for (let i = 0; i < 6; i++) {
      world.request(same);
      let n = 0;
      for (let bytes = world.client.output(); bytes !== null; bytes = world.client.output()) {
        n += bytes.length;
        world.peer.read(bytes);
      }
      sizes.push(n);
    }
    expect(sizes.slice(2)).toEqual([15, 15, 15, 15]);
  });

  test("what a content-length does not say of HEAD, 304 and 204", () => {
    const world = World.begun();
    const requests = [world.request(head("HEAD")), world.request(), world.request(), world.request(head("HEAD"))];
    world.send(
      world.peer.headers(1, [":status", "200", "content-length", "3"], true),
      world.peer.headers(3, [":status", "304", "content-length", "3"], true),
      world.peer.headers(5, [":status", "204"], true),
      world.peer.headers(7, [":status", "200"]),
      data(7, "x"),
    );
    expect(requests.map((request) => request.in.events.at(-1))).toEqual([
      "response 200 END",
      "response 304 END",
      "response 204 END",
      "protocol: content where there is none",
    ]);
  });

  test("the response ends before the request: NO_ERROR tells to stop", () => {
    const world = World.begun();
    const { stream, in: incoming } = world.request(POST, false);
    stream.write(new Uint8Array(100_000), false);
    world.read();
    expect(world.send(world.peer.headers(1, [":status", "413"], true), rst(1, ErrorCode.NO_ERROR))).toEqual([]);
    expect(incoming.events).toEqual(["response 413 END", "reset NO_ERROR"]);
    expect(world.client.activeStreams).toBe(0);
  });
});

describe("readiness", () => {
  test("below the server's MAX_CONCURRENT_STREAMS, before its SETTINGS below ours", () => {
    const world = new World({ initialMaxSendStreams: 2 });
    world.request();
    expect(world.client.ready).toBe(true);
    world.request();
    expect(world.client.ready).toBe(false);
    expect(() => world.request()).toThrow("not ready");
    world.send(settings(3, 3));
    expect([world.client.ready, world.states]).toEqual([true, 1]);
    world.request();
    expect([world.client.ready, world.states]).toEqual([false, 1]);
    world.send(world.peer.headers(1, [":status", "200"], true));
    expect([world.client.ready, world.states]).toEqual([true, 2]);
    world.send(settings(3, 0));
    expect(world.client.ready).toBe(false);
    world.send(world.peer.headers(3, [":status", "200"], true), world.peer.headers(5, [":status", "200"], true));
    expect([world.client.ready, world.client.retired, world.states]).toEqual([false, false, 2]);
    world.send(settings(3, 1));
    expect([world.client.ready, world.states]).toEqual([true, 3]);
  });

  test("SETTINGS that do not name it: no limit", () => {
    const world = World.begun({ initialMaxSendStreams: 1 });
    for (let i = 0; i < 1500; i++) world.request();
    expect([world.client.ready, world.client.activeStreams]).toEqual([true, 1500]);
    for (let id = 2999; id > 0; id -= 2) world.client.receive(world.peer.headers(id, [":status", "200"], true));
    expect(world.client.activeStreams).toBe(0);
  });

  test("GOAWAY: what is above is refused, the rest is finished, then the connection is", () => {
    const world = World.begun();
    const [a, b, c] = [world.request(), world.request(), world.request()];
    world.read();
    world.send(goaway(1, ErrorCode.NO_ERROR));
    expect([a?.in.events, b?.in.events, c?.in.events]).toEqual([[], ["refused"], ["refused"]]);
    expect([world.client.ready, world.client.retired, world.client.activeStreams, world.states]).toEqual([false, true, 1, 1]);
    expect(world.host.calls).toEqual([]);
    // Frames for what was refused may still be under way.
    world.send(world.peer.headers(1, [":status", "200"], true), world.peer.headers(3, [":status", "200"], true));
    expect(a?.in.events).toEqual(["response 200 END"]);
    expect(world.host.calls).toEqual(["finish"]);
  });

  test("GOAWAY: whoever hears that a request was refused finds no room for it here", () => {
    const world = World.begun();
    const refused = world.request();
    const ready: boolean[] = [];
    refused.stream.incoming = {
      ...new Recorder(),
      onReset: () => void ready.push(world.client.ready, world.client.retired),
    } as unknown as Recorder;
    world.read();
    world.send(goaway(0, ErrorCode.NO_ERROR));
    expect(ready).toEqual([false, true]);
    expect([world.states, world.host.calls]).toEqual([1, ["finish"]]);
  });

  test("GOAWAY then SETTINGS of no streams, and floods of GOAWAY (CVE-2021-32780)", () => {
    const world = World.begun();
    const { in: incoming } = world.request();
    world.read();
    expect(world.send(goaway(0x7fffffff, 0), settings(3, 0), goaway(1, 0), goaway(0, 2), goaway(0, 2))).toEqual(["SETTINGS ACK"]);
    expect(incoming.events).toEqual(["refused"]);
    expect([world.client.activeStreams, world.states, world.host.calls]).toEqual([0, 1, ["finish"]]);
  });

  test("1000 requests, then GOAWAY: nothing is left (CVE-2023-35945)", () => {
    const world = World.begun({ initialMaxSendStreams: 2000 });
    const requests = Array.from({ length: 1000 }, () => world.request(POST, false));
    world.read();
    world.send(...Array.from({ length: 500 }, (_, i) => rst(1 + 4 * i, ErrorCode.REFUSED_STREAM)), goaway(0, 0));
    expect(world.client.activeStreams).toBe(0);
    expect(new Set(requests.flatMap((request) => request.in.events))).toEqual(new Set(["refused"]));
    expect(requests.every((request) => request.in.events.length === 1)).toBe(true);
  });

  test("drain: GOAWAY, finish when idle", () => {
    const world = World.begun();
    const { in: incoming } = world.request();
    world.client.drain();
    expect(world.read()).toEqual([`HEADERS 1 ${GET_LINE} END`, "GOAWAY 0 NO_ERROR"]);
    expect([world.client.retired, world.host.calls]).toEqual([true, []]);
    world.send(world.peer.headers(1, [":status", "200"], true));
    expect([incoming.events, world.host.calls]).toEqual([["response 200 END"], ["finish"]]);
  });

  test("the connection is gone: what never left is refused, the rest closed", () => {
    const world = World.begun();
    const sent = world.request();
    world.read();
    const waiting = world.request();
    world.client.receiveClose("ECONNRESET");
    expect([sent.in.events, waiting.in.events]).toEqual([["closed ECONNRESET"], ["refused"]]);
    expect([world.client.retired, world.states, world.client.activeStreams]).toEqual([true, 1, 0]);
  });

  test("the server's half is over", () => {
    const world = World.begun();
    const { in: incoming } = world.request();
    world.read();
    world.client.receiveEnd();
    expect(incoming.events).toEqual(["closed"]);
    world.read();
    expect([world.client.retired, world.host.calls]).toEqual([true, ["finish"]]);
  });

  test("a request made within a callback", () => {
    const world = World.begun({}, 3, 1);
    const first = world.request();
    const second = new Recorder();
    world.client.onStateChange = () => {
      if (world.client.ready) world.client.request(GET, true, second);
    };
    world.read();
    expect(world.send(world.peer.headers(1, [":status", "200"], true))).toEqual([`HEADERS 3 ${GET_LINE} END`]);
    world.send(world.peer.headers(3, [":status", "200"], true));
    expect([first.in.events, second.events]).toEqual([["response 200 END"], ["response 200 END"]]);
  });
});

describe("streams that end early", () => {
  test("reset by the server: REFUSED_STREAM may be sent again", () => {
    const world = World.begun();
    const requests = [world.request(), world.request()];
    world.send(rst(1, ErrorCode.REFUSED_STREAM), rst(3, ErrorCode.INTERNAL_ERROR));
    expect(requests.map((request) => request.in.events)).toEqual([["refused"], ["reset INTERNAL_ERROR"]]);
  });

  test("reset by us: late frames are tolerated and their compression counts", () => {
    const world = World.begun();
    const { stream, in: incoming } = world.request();
    stream.reset(ErrorCode.CANCEL);
    expect(world.read()).toEqual([`HEADERS 1 ${GET_LINE} END`, "RST_STREAM 1 CANCEL"]);
    const late = ["x-a", "1"];
    expect(world.send(world.peer.headers(1, [":status", "200", ...late]), data(1, "x"), world.peer.headers(1, late, true))).toEqual([]);
    const next = world.request();
    world.read();
    world.send(world.peer.headers(3, [":status", "200", ...late], true));
    expect([incoming.events, next.in.events, next.in.head?.fields]).toEqual([[], ["response 200 END"], late]);
  });

  const malformed: [string, readonly string[], boolean, string][] = [
    ["no status", ["x", "y"], true, "no :status"],
    ["a status of two digits", [":status", "20"], true, "invalid :status"],
    ["status 101", [":status", "101"], false, "invalid :status"],
    ["status 600", [":status", "600"], true, "invalid :status"],
    ["status +20", [":status", "+20"], true, "invalid :status"],
    ["two status", [":status", "200", ":status", "200"], true, ":status after a field"],
    ["a status behind a field", ["x", "y", ":status", "200"], true, ":status after a field"],
    ["a pseudo-header of requests", [":status", "200", ":path", "/"], true, 'pseudo-header ":path" in the wrong place'],
    [
      "a connection-specific field",
      [":status", "200", "transfer-encoding", "chunked"],
      true,
      'connection-specific field "transfer-encoding"',
    ],
    ["a field in upper case", [":status", "200", "X", "y"], true, 'invalid field "X"'],
    ["a line feed in a value", [":status", "200", "x", "a\nb"], true, 'invalid field "x"'],
    ["an informational response that ends", [":status", "103"], true, "informational response with END_STREAM"],
    ["a content-length without content", [":status", "200", "content-length", "1"], true, "content-length is not the length of DATA"],
    ["two content-lengths", [":status", "200", "content-length", "1", "content-length", "2"], false, "bad content-length"],
  ];
  test.each(malformed)("%s is malformed: PROTOCOL_ERROR", (_name, fields, end, message) => {
    const world = World.begun();
    const { in: incoming } = world.request();
    world.read();
    expect(world.send(world.peer.headers(1, fields, end))).toEqual(["RST_STREAM 1 PROTOCOL_ERROR"]);
    expect(incoming.events).toEqual([`protocol: ${message}`]);
    expect(world.client.activeStreams).toBe(0);
  });

  test("DATA before the head, or more or less of it than content-length", () => {
    const world = World.begun();
    const requests = [world.request(), world.request(), world.request()];
    world.read();
    const sized = [":status", "200", "content-length", "2"];
    expect(
      world.send(data(1, "x"), world.peer.headers(3, sized), data(3, "abc"), world.peer.headers(5, sized), data(5, "a", true)),
    ).toEqual(["RST_STREAM 1 PROTOCOL_ERROR", "RST_STREAM 3 PROTOCOL_ERROR", "RST_STREAM 5 PROTOCOL_ERROR"]);
    expect(requests.map((request) => request.in.events.at(-1))).toEqual([
      "protocol: DATA before a head",
      "protocol: content-length is not the length of DATA",
      "protocol: content-length is not the length of DATA",
    ]);
  });

  test("PUSH_PROMISE, ENABLE_PUSH, frames on even or unused streams are connection errors", () => {
    for (const bytes of [
      frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, [0, 0, 0, 2, 0x82]),
      settings(2, 1),
      data(2, "x"),
      data(3, "x"),
      windowUpdate(3, 1),
      new Peer(false).headers(2, [":status", "200"], true),
    ]) {
      const world = World.begun();
      const { in: incoming } = world.request();
      world.read();
      expect(world.send(bytes)).toEqual(["GOAWAY 0 PROTOCOL_ERROR"]);
      expect(incoming.events.length).toBe(1);
    }
  });
});

describe("a hostile server", () => {
  test("output that it does not read: reading pauses, and goes on when it is read", () => {
    const world = World.begun({ limits: { pauseOutputBytes: 170, pings: { burst: 1000, perSecond: 0 } } });
    world.client.receive(concat(...Array.from({ length: 10 }, () => ping())));
    expect(world.host.calls).toEqual([]);
    // Requests do not count: two proxies must not wait for each other.
    for (let i = 0; i < 50; i++) world.request();
    world.client.receive(windowUpdate(0, 1));
    expect(world.host.calls).toEqual([]);
    world.client.receive(ping());
    expect(world.host.calls).toEqual(["pause"]);
    expect(world.read().length).toBe(61);
    expect(world.host.calls).toEqual(["pause", "resume"]);
  });

  test("1xx without end: at the limit and past it", () => {
    const world = World.begun({ limits: { emptyFrames: { burst: 5, perSecond: 0 } }, now: () => 0 });
    const { in: incoming } = world.request();
    world.read();
    const early = (): Uint8Array => world.peer.headers(1, [":status", "103"]);
    expect(world.send(early(), early(), early(), early(), early())).toEqual([]);
    expect(incoming.events.length).toBe(5);
    expect(world.send(early())).toEqual(["GOAWAY 0 ENHANCE_YOUR_CALM"]);
  });

  test("a head beyond the limit", () => {
    const world = World.begun({ maxHeaderListBytes: 100 });
    const { in: incoming } = world.request();
    world.read();
    expect(world.send(world.peer.headers(1, [":status", "200", "x", "y".repeat(60)], true))).toEqual(["RST_STREAM 1 PROTOCOL_ERROR"]);
    expect(incoming.events).toEqual(["protocol: response head too large"]);
  });
});
