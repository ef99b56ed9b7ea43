// Attacks on a server, named after their advisories (spec hardening §3). Each bound is tested at its limit and just past it;
// time stands still unless a test moves it.
import { describe, expect, test } from "bun:test";
import { ErrorCode, ResponseHead } from "#http";
import { CONNECTION_PREFACE, type Http2Limits, type Http2Options, Http2Server } from "./index.ts";
import {
  concat,
  data,
  Flag,
  FrameType,
  frame,
  Peer,
  paddedData,
  ping,
  RecordingHandler,
  rst,
  settings,
  TestHost,
  text,
  windowUpdate,
} from "./testing/wire.ts";

const CALM = (last: number): string => `GOAWAY ${last} ENHANCE_YOUR_CALM`;
const OK = new ResponseHead({ version: "HTTP/2", status: 200, reason: null, fields: [] });

class World {
  now = 0;
  readonly host = new TestHost();
  readonly handler = new RecordingHandler();
  readonly peer = new Peer(false);
  readonly server: Http2Server;

  constructor(limits: Partial<Http2Limits> = {}, options: Http2Options = {}) {
    this.server = new Http2Server({ host: this.host, handler: this.handler, options: { ...options, limits, now: () => this.now } });
    this.send(CONNECTION_PREFACE as Uint8Array, settings());
  }

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

const times = (n: number, make: (i: number) => Uint8Array): Uint8Array[] => Array.from({ length: n }, (_, i) => make(i));
const burst = (n: number, perSecond = 0): { burst: number; perSecond: number } => ({ burst: n, perSecond });

describe("rapid reset (CVE-2023-44487, RUSTSEC-2023-0034)", () => {
  test("as many resets as the budget, then one more", () => {
    const world = new World({ resets: burst(10) });
    const attack = (i: number): Uint8Array => concat(world.peer.get(1 + 2 * i), rst(1 + 2 * i, ErrorCode.CANCEL));
    expect(world.send(...times(10, attack))).toEqual([]);
    expect(world.send(attack(10))).toEqual([CALM(21)]);
    expect(world.host.calls).toEqual(["finish"]);
    expect(world.server.activeStreams).toBe(0);
  });

  test("the default answers 100,000 of them within the first few thousand", () => {
    const world = new World();
    let sent = 0;
    let answer: string[] = [];
    while (answer.length === 0 && sent < 100_000) {
      // Ten thousand a second.
      world.now += 0.1;
      answer = world.send(world.peer.get(1 + 2 * sent), rst(1 + 2 * sent, ErrorCode.CANCEL));
      sent++;
    }
    expect(answer).toEqual([CALM(2 * sent - 1)]);
    expect(sent).toBeLessThan(1100);
    expect(world.handler.exchanges.length).toBe(sent);
  });

  test("completed exchanges and time earn resets back", () => {
    const world = new World({ resets: burst(2, 1) });
    world.handler.answer = ({ stream, head }) => {
      if (head.method === "GET") stream.respond(OK, true);
    };
    let id = -1;
    const reset = (): Uint8Array => concat(world.peer.post((id += 2)), rst(id, ErrorCode.CANCEL));
    for (let i = 0; i < 50; i++) expect(world.send(reset(), world.peer.get((id += 2))).length).toBe(1);
    expect(world.send(reset(), reset())).toEqual([]);
    world.now = 1000;
    expect(world.send(reset())).toEqual([]);
    expect(world.send(reset())).toEqual([CALM(id)]);
  });
});

describe("resets that the server is made to send (MadeYouReset, CVE-2025-8671)", () => {
  const attacks: [string, (world: World, id: number) => Uint8Array][] = [
    ["WINDOW_UPDATE of 0", (world, id) => concat(world.peer.post(id), windowUpdate(id, 0))],
    ["a window above 2^31-1", (world, id) => concat(world.peer.post(id), windowUpdate(id, 0x7fffffff))],
    ["DATA after END_STREAM", (world, id) => concat(world.peer.get(id), data(id, "x"))],
    ["HEADERS after END_STREAM", (world, id) => concat(world.peer.get(id), world.peer.headers(id, ["x", "y"], true))],
    ["malformed requests", (world, id) => world.peer.headers(id, [":method", "GET"], true)],
    ["content beyond content-length", (world, id) => concat(world.peer.post(id, "content-length", "1"), data(id, "xy"))],
    ["PRIORITY of a wrong length", (world, id) => concat(world.peer.post(id), frame(FrameType.PRIORITY, 0, id, [0]))],
    ["trailers that do not end", (world, id) => concat(world.peer.post(id), world.peer.headers(id, ["x", "y"]))],
  ];
  test.each(attacks)("%s", (_name, attack) => {
    const world = new World({ resets: burst(5) });
    for (let i = 0; i < 5; i++) expect(world.send(attack(world, 1 + 2 * i))[0]).toStartWith(`RST_STREAM ${1 + 2 * i} `);
    expect(world.send(attack(world, 11)).at(-1)).toBe(CALM(11));
  });

  test("more streams than allowed", () => {
    const world = new World({ resets: burst(5) }, { maxConcurrentStreams: 2 });
    expect(world.send(world.peer.post(1), world.peer.post(3))).toEqual([]);
    expect(world.send(...times(5, (i) => world.peer.post(5 + 2 * i)))).toEqual(times5("REFUSED_STREAM"));
    expect(world.send(world.peer.post(15)).at(-1)).toBe(CALM(15));
    expect(world.handler.exchanges.length).toBe(2);
  });

  const times5 = (code: string): string[] => [5, 7, 9, 11, 13].map((id) => `RST_STREAM ${id} ${code}`);

  test("DATA on streams that the peer reset itself", () => {
    const world = new World({ resets: burst(5) });
    const attack = (id: number): Uint8Array => concat(world.peer.post(id), rst(id, 8), ...times(9, () => data(id, "x")));
    expect(world.send(attack(1))).toEqual(["RST_STREAM 1 STREAM_CLOSED"]);
    expect(world.send(attack(3))).toEqual(["RST_STREAM 3 STREAM_CLOSED"]);
    expect(world.send(attack(5)).at(-1)).toBe(CALM(5));
  });
});

describe("CONTINUATION flood (VU#421644, RUSTSEC-2024-0332)", () => {
  test("frames of one block: at the limit and past it", () => {
    const world = new World({ continuations: 8 });
    const block = world.peer.block([":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"]);
    const begin = (id: number): Uint8Array => frame(FrameType.HEADERS, Flag.END_STREAM, id, block.subarray(0, 1));
    const more = (id: number, at: number, flags = 0): Uint8Array => frame(FrameType.CONTINUATION, flags, id, block.subarray(at, at + 1));
    const rest = frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, block.subarray(8));
    expect(world.send(begin(1), ...times(7, (i) => more(1, i + 1)), rest)).toEqual([]);
    expect(world.handler.exchanges.length).toBe(1);
    expect(world.send(begin(3), ...times(9, (i) => more(3, i + 1)))).toEqual([CALM(1)]);
  });

  test("bytes of one block: at the limit and past it", () => {
    const world = new World({ headerBlockBytes: 40_000 });
    const field = (bytes: number): string[] => ["x", "~".repeat(bytes)];
    const blockOf = (bytes: number): Uint8Array => {
      const pseudo = [":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"];
      let n = bytes - 40;
      // An encoder each: their blocks do not refer to each other.
      const make = (): Uint8Array => new Peer(false).block([...pseudo, ...field(n)]);
      while (make().length < bytes) n += bytes - make().length;
      return make();
    };
    const send = (id: number, block: Uint8Array): string[] =>
      world.send(
        frame(FrameType.HEADERS, Flag.END_STREAM, id, block.subarray(0, 16_384)),
        frame(FrameType.CONTINUATION, 0, id, block.subarray(16_384, 32_768)),
        frame(FrameType.CONTINUATION, Flag.END_HEADERS, id, block.subarray(32_768)),
      );
    expect(send(1, blockOf(40_000))).toEqual([]);
    expect(world.handler.last.head.path).toBe("/");
    expect(send(3, blockOf(40_001))).toEqual([CALM(1)]);
  });

  test("a million empty ones stop at once", () => {
    const world = new World();
    expect(world.send(frame(FrameType.HEADERS, 0, 1), ...times(1000, () => frame(FrameType.CONTINUATION, 0, 1)))).toEqual([CALM(0)]);
  });

  test("a connection that ends within a block", () => {
    const world = new World();
    world.send(frame(FrameType.HEADERS, 0, 1, [0x82]), frame(FrameType.CONTINUATION, 0, 1, [0x86]));
    world.server.receiveEnd();
    world.server.receiveClose("ECONNRESET");
    expect(world.server.activeStreams).toBe(0);
  });
});

describe("HPACK bomb (CVE-2016-1544)", () => {
  test("one large entry referred to again and again: 431, and the connection lives", () => {
    const world = new World();
    const large = ["x", "~".repeat(1900)];
    world.send(world.peer.get(1, "/", ...large), world.peer.get(3, "/", ...large), world.peer.get(5, "/", ...large));
    const block = world.peer.block([":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/", ...large]);
    const reference = block.subarray(block.length - 1);
    const bomb = concat(block, ...times(16_000, () => reference));
    const before = world.handler.exchanges.length;
    // This request has a body still to come.
    expect(world.send(frame(FrameType.HEADERS, Flag.END_HEADERS, 7, bomb))).toEqual([
      "HEADERS 7 :status=431 content-length=0 END",
      "RST_STREAM 7 NO_ERROR",
    ]);
    expect(world.handler.exchanges.length).toBe(before);
    expect(world.send(world.peer.get(9))).toEqual([]);
    expect(world.handler.exchanges.length).toBe(before + 1);
  });

  test("the list of fields at its limit and past it", () => {
    // The pseudo-headers, then 33 and the value of the field.
    const pseudo = 42 + 43 + 48 + 38;
    const world = new World({}, { maxHeaderListBytes: pseudo + 33 + 100 });
    world.send(world.peer.get(1, "/", "x", "y".repeat(100)));
    expect(world.handler.exchanges.length).toBe(1);
    expect(world.send(world.peer.get(3, "/", "x", "y".repeat(101)))[0]).toBe("HEADERS 3 :status=431 content-length=0 END");
    const few = new World({}, { maxFields: 5 });
    few.send(few.peer.get(1, "/", "x", "y"));
    expect(few.send(few.peer.get(3, "/", "x", "y", "z", "y"))[0]).toBe("HEADERS 3 :status=431 content-length=0 END");
  });
});

describe("floods of frames (CVE-2019-9512, -9515, -9517, -9518, CVE-2020-11080)", () => {
  test("PING", () => {
    const world = new World({ pings: burst(10) });
    expect(world.send(...times(10, () => ping())).length).toBe(10);
    expect(world.send(ping())).toEqual([CALM(0)]);
  });

  test("PING beside the frames of messages is none: gRPC measures with it", () => {
    const world = new World({ pings: burst(10) });
    world.send(world.peer.post(1));
    for (let i = 0; i < 100; i++) expect(world.send(data(1, "x"), ping())).toEqual(["PING ACK"]);
  });

  test("PING acknowledgements", () => {
    const world = new World({ pings: burst(10) });
    expect(world.send(...times(10, () => ping(true)))).toEqual([]);
    expect(world.send(ping(true))).toEqual([CALM(0)]);
  });

  test("SETTINGS", () => {
    // One was sent in the beginning.
    const world = new World({ settings: burst(10, 1) });
    expect(world.send(...times(9, () => settings())).length).toBe(9);
    expect(world.send(settings())).toEqual([CALM(0)]);
  });

  test("SETTINGS come back with time", () => {
    const world = new World({ settings: burst(2, 1) });
    expect(world.send(settings())).toEqual(["SETTINGS ACK"]);
    world.now = 1000;
    expect(world.send(settings())).toEqual(["SETTINGS ACK"]);
    expect(world.send(settings())).toEqual([CALM(0)]);
  });

  test("parameters of one SETTINGS frame", () => {
    const world = new World({ settingsPerFrame: 4 });
    expect(world.send(settings(3, 1, 3, 1, 3, 1, 3, 1))).toEqual(["SETTINGS ACK"]);
    expect(world.send(settings(3, 1, 3, 1, 3, 1, 3, 1, 3, 1))).toEqual([CALM(0)]);
  });

  test("WINDOW_UPDATE", () => {
    const world = new World({ windowUpdates: burst(10) });
    expect(world.send(...times(10, () => windowUpdate(0, 1)))).toEqual([]);
    expect(world.send(windowUpdate(0, 1))).toEqual([CALM(0)]);
  });

  test("WINDOW_UPDATE for what is sent is none", () => {
    const world = new World({ windowUpdates: burst(20) });
    world.send(world.peer.get(1));
    const { stream } = world.handler.last;
    stream.respond(OK, false);
    for (let i = 0; i < 100; i++) {
      stream.write(text("x"), false);
      expect(world.read().at(-1)).toBe("DATA 1 1");
      expect(world.send(windowUpdate(0, 1), windowUpdate(1, 1))).toEqual([]);
    }
  });

  const empty: [string, (world: World) => Uint8Array][] = [
    ["empty DATA (RUSTSEC-2026-0258)", () => data(1, "")],
    ["padded DATA without content", () => paddedData(1, "", 3)],
    ["PRIORITY", () => frame(FrameType.PRIORITY, 0, 1, [0, 0, 0, 0, 1])],
    ["unknown types", () => frame(0x77, 0, 1, [1])],
    ["RST_STREAM on closed streams", () => rst(3, 0)],
  ];
  test.each(empty)("%s", (_name, make) => {
    const world = new World({ emptyFrames: burst(10) });
    world.send(world.peer.post(1), world.peer.get(3));
    world.handler.last.stream.reset(0);
    world.read();
    expect(world.send(...times(10, () => make(world)))).toEqual([]);
    expect(world.send(make(world))).toEqual([CALM(3)]);
  });

  test("empty DATA between DATA with content is none", () => {
    const world = new World({ emptyFrames: burst(10) });
    world.send(world.peer.post(1));
    for (let i = 0; i < 100; i++) expect(world.send(data(1, ""), data(1, "x"))).toEqual([]);
    expect(world.handler.last.in.content.length).toBe(100);
  });

  test("the defaults stand a client that is only busy", () => {
    const world = new World();
    const frames = times(500, (i) =>
      concat(ping(), windowUpdate(0, 1), windowUpdate(0, 1), frame(FrameType.PRIORITY, 0, 1 + 2 * i, [0, 0, 0, 0, 1])),
    );
    expect(world.send(...frames).filter((line) => line !== "PING ACK")).toEqual([]);
  });
});

describe("a peer that does not read (RUSTSEC-2024-0003, CVE-2019-9517)", () => {
  test("reading pauses at the limit, and goes on when half is read", () => {
    const world = new World({ pauseOutputBytes: 170, pings: burst(10_000) });
    world.server.receive(concat(...times(10, () => ping())));
    expect(world.host.calls).toEqual([]);
    world.server.receive(ping());
    expect(world.host.calls).toEqual(["pause"]);
    world.server.receive(ping());
    expect(world.host.calls).toEqual(["pause"]);
    expect(world.read().length).toBe(12);
    expect(world.host.calls).toEqual(["pause", "resume"]);
  });

  test("what is read all the same ends the connection", () => {
    const world = new World({ pauseOutputBytes: 100, maxOutputBytes: 1700, pings: burst(10_000) });
    world.server.receive(concat(...times(100, () => ping())));
    expect(world.host.calls).toEqual(["pause"]);
    world.server.receive(ping());
    expect(world.host.calls).toEqual(["pause", "abort"]);
  });

  test("responses count: requests answered at once are bounded by the streams that the peer has not seen end", () => {
    const world = new World({ resets: burst(10_000) }, { maxConcurrentStreams: 10 });
    world.handler.answer = ({ stream }) => stream.respond(OK, true);
    world.server.receive(concat(...times(15, (i) => world.peer.get(1 + 2 * i))));
    const lines = world.read();
    expect(lines.filter((line) => line.startsWith("HEADERS")).length).toBe(10);
    expect(lines.filter((line) => line.endsWith("REFUSED_STREAM")).length).toBe(5);
    // Now that it could have seen them, more are welcome.
    expect(world.send(world.peer.get(101))).toEqual(["HEADERS 101 :status=200 END"]);
  });
});

test("streams reset while they wait for the connection's window do not pile up", () => {
  const world = new World({ resets: burst(100_000) });
  world.handler.answer = ({ stream }) => {
    stream.respond(OK, false);
    stream.write(new Uint8Array(70_000), true);
  };
  // The first takes the whole window of the connection.
  world.send(world.peer.get(1));
  world.send(world.peer.get(3));
  for (let id = 5; id < 4000; id += 2) world.send(world.peer.get(id), rst(id, ErrorCode.CANCEL));
  expect(world.server.activeStreams).toBe(2);
  // Those that are left have their turn.
  const lines = world.send(windowUpdate(0, 80_000), windowUpdate(1, 80_000), windowUpdate(3, 80_000));
  expect(lines.filter((line) => line.endsWith(" END"))).toEqual(["DATA 1 4465 END", "DATA 3 4464 END"]);
});

test("any bytes whatever: the engine never throws", () => {
  let seed = 12345;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % n;
  };
  for (let round = 0; round < 400; round++) {
    const world = new World();
    world.handler.answer = ({ stream, end }) => {
      stream.respond(OK, random(2) === 0);
      if (random(3) === 0) stream.reset(8);
      else if (end) stream.write(new Uint8Array(random(100_000)), true);
    };
    for (let i = 0; i < 30; i++) {
      const id = 1 + 2 * random(6);
      const frames = [
        () => world.peer.get(id),
        () => world.peer.post(id, "content-length", String(random(4))),
        () => data(id, "x".repeat(random(5)), random(2) === 0),
        () => rst(id, random(14)),
        () => windowUpdate(random(2) === 0 ? 0 : id, random(3) === 0 ? 0x7fffffff : random(9)),
        () => settings(random(8), random(3) === 0 ? 0xffffffff : random(100_000)),
        () => world.peer.headers(id, ["x", "y"], random(2) === 0),
        () =>
          frame(
            random(11),
            random(256),
            random(4) * random(4),
            times(random(9), () => Uint8Array.of(random(256))).map((b) => b[0] as number),
          ),
      ];
      world.send((frames[random(frames.length)] as () => Uint8Array)());
    }
    world.server.receiveClose("");
    expect(world.server.activeStreams).toBe(0);
  }
});
