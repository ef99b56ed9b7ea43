// Everything a server of HTTP/2 can do wrong, by the sections of RFC 9113, and what must come of it; the mirror of what h2spec
// does to servers. What is odd but allowed is here too, with a whole response as its outcome.
import {
  concat,
  data,
  Flag,
  FrameType,
  frame,
  goaway,
  paddedData,
  ping,
  rst,
  settings,
  settingsAck,
  text,
  uint32,
  windowUpdate,
} from "../../packages/http2/testing/wire.ts";
import { CUT, type HostileCase, NONE, type Outcome, type Told, WAITING, WHOLE } from "./case.ts";
import type { Hostile } from "./server.ts";

type Options = Partial<Pick<HostileCase, "method" | "body" | "quiet" | "http2Client">> & { readonly outcome?: Outcome };
type Make = (server: Hostile) => Uint8Array | readonly Uint8Array[] | void | Promise<void>;

const cases: HostileCase[] = [];

function add(group: string, source: string, name: string, make: Make, outcome: Outcome, told: Told, options: Options = {}): void {
  cases.push({
    group,
    name,
    source,
    method: options.method ?? (options.body === undefined ? "GET" : "POST"),
    body: options.body ?? "",
    quiet: options.quiet ?? false,
    act: async (server) => {
      const made = await make(server);
      if (made instanceof Uint8Array) server.send(made);
      else if (made !== undefined) server.send(...made);
    },
    outcome,
    told,
    http2Client: options.http2Client ?? false,
  });
}

/** A connection error before there is a response. */
const fatal = (group: string, source: string, name: string, code: string, make: Make, options: Options = {}): void =>
  add(group, source, name, make, options.outcome ?? NONE, { goaway: code }, options);
/** A stream error before there is a response. */
const stream = (group: string, source: string, name: string, code: string, make: Make, options: Options = {}): void =>
  add(group, source, name, make, options.outcome ?? NONE, { rst: code }, options);
/** Odd but allowed: the response comes, and nobody is blamed. */
const fine = (group: string, source: string, name: string, make: Make, options: Options = {}): void =>
  add(group, source, name, make, options.outcome ?? WHOLE, "nothing", options);

const QUIET: Options = { quiet: true };
const STATUS = [":status", "200"];
const times = (n: number, make: (i: number) => Uint8Array): Uint8Array => concat(...Array.from({ length: n }, (_, i) => make(i)));
const raw = (latin1: string): Uint8Array => text(latin1);
const headersFrame = (
  s: Hostile,
  block: Uint8Array | readonly number[],
  flags = Flag.END_HEADERS | Flag.END_STREAM,
  id = s.id,
): Uint8Array => frame(FrameType.HEADERS, flags, id, block);
const literal = (name: string, value: string): number[] => [0x10, name.length, ...text(name), value.length, ...text(value)];

// --- the connection's beginning ---
const START = "beginning";
fatal(START, "§3.4", "an HTTP/1 response", "FRAME_SIZE_ERROR", () => raw("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), QUIET);
fatal(START, "§3.4", "the client's preface", "FRAME_SIZE_ERROR", () => raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), QUIET);
fatal(START, "§3.4", "a line of text", "FRAME_SIZE_ERROR", () => raw("220 smtp.example ESMTP\r\n"), QUIET);
fatal(START, "§3.4", "HEADERS before SETTINGS", "PROTOCOL_ERROR", (s) => s.ok(), QUIET);
fatal(START, "§3.4", "PING before SETTINGS", "PROTOCOL_ERROR", () => ping(), QUIET);
fatal(START, "§3.4", "WINDOW_UPDATE before SETTINGS", "PROTOCOL_ERROR", () => windowUpdate(0, 1), QUIET);
fatal(START, "§3.4", "GOAWAY before SETTINGS", "PROTOCOL_ERROR", () => goaway(0, 0), QUIET);
fatal(START, "§3.4", "DATA before SETTINGS", "PROTOCOL_ERROR", (s) => data(s.id, "x"), QUIET);
fatal(START, "§3.4", "an unknown frame before SETTINGS", "PROTOCOL_ERROR", () => frame(0x77, 0, 0), QUIET);
add(START, "§3.4", "nothing, and the end", (s) => s.end(), NONE, null, QUIET);
add(START, "§3.4", "nothing, and a reset", (s) => s.abort(), NONE, null, QUIET);
add(
  START,
  "§3.4",
  "nothing at all",
  async (s) => {
    // It comes to its senses when the client has given up.
    await s.find((line) => line.startsWith("RST_STREAM "));
    s.send(settings());
  },
  WAITING,
  null,
  QUIET,
);
fine(START, "§3.4", "SETTINGS late", (s) => [settings(), settingsAck(), s.ok()], QUIET);
fine(START, "§6.5.3", "SETTINGS that are never acknowledged", (s) => [settings(), s.ok()], QUIET);

// --- SETTINGS ---
const SET = "SETTINGS";
fatal(SET, "§6.5", "a length of 5", "FRAME_SIZE_ERROR", () => frame(FrameType.SETTINGS, 0, 0, [0, 1, 0, 0, 0]));
fatal(SET, "§6.5", "a length of 7", "FRAME_SIZE_ERROR", () => frame(FrameType.SETTINGS, 0, 0, [0, 1, 0, 0, 0, 0, 0]));
fatal(SET, "§6.5", "on a stream", "PROTOCOL_ERROR", (s) => frame(FrameType.SETTINGS, 0, s.id));
fatal(SET, "§6.5", "an acknowledgement with parameters", "FRAME_SIZE_ERROR", () =>
  frame(FrameType.SETTINGS, Flag.ACK, 0, [0, 1, 0, 0, 0, 0]),
);
fatal(SET, "§6.5.2, §8.4", "ENABLE_PUSH of 1 from a server", "PROTOCOL_ERROR", () => settings(2, 1));
fatal(SET, "§6.5.2", "ENABLE_PUSH of 2", "PROTOCOL_ERROR", () => settings(2, 2));
fatal(SET, "§6.5.2", "INITIAL_WINDOW_SIZE of 2^31", "FLOW_CONTROL_ERROR", () => settings(4, 0x80000000));
fatal(SET, "§6.5.2", "INITIAL_WINDOW_SIZE of 2^32-1", "FLOW_CONTROL_ERROR", () => settings(4, 0xffffffff));
fatal(SET, "§6.5.2", "MAX_FRAME_SIZE of 16,383", "PROTOCOL_ERROR", () => settings(5, 16_383));
fatal(SET, "§6.5.2", "MAX_FRAME_SIZE of 0", "PROTOCOL_ERROR", () => settings(5, 0));
fatal(SET, "§6.5.2", "MAX_FRAME_SIZE of 2^24", "PROTOCOL_ERROR", () => settings(5, 1 << 24));
fatal(SET, "CVE-2020-11080", "a thousand parameters", "ENHANCE_YOUR_CALM", () =>
  settings(...Array.from({ length: 2000 }, (_, i) => (i % 2 === 0 ? 3 : 100))),
);
fine(SET, "§6.5.2", "ENABLE_PUSH of 0", (s) => [settings(2, 0), s.ok()]);
fine(SET, "§6.5.2", "unknown parameters", (s) => [settings(0x99, 7, 0xffff, 0xffffffff), s.ok()]);
fine(SET, "§6.5.2", "HEADER_TABLE_SIZE of 0", (s) => [settings(1, 0), s.ok()]);
fine(SET, "§6.5.2", "HEADER_TABLE_SIZE of 2^32-1", (s) => [settings(1, 0xffffffff), s.ok()]);
fine(SET, "§6.5.2", "MAX_FRAME_SIZE of 2^24-1", (s) => [settings(5, (1 << 24) - 1), s.ok()]);
fine(SET, "§6.5.2", "MAX_HEADER_LIST_SIZE of 1", (s) => [settings(6, 1), s.ok()]);
fine(SET, "§6.5.2", "MAX_CONCURRENT_STREAMS of 0 with a request in progress", (s) => [settings(3, 0), s.ok(), settings(3, 100)]);
fine(SET, "§6.5.3", "a parameter twice, the last is valid", (s) => [settings(4, 1, 4, 65_535), s.ok()]);
fine(SET, "§6.5.3", "acknowledgements of nothing", (s) => [times(5, settingsAck), s.ok()]);

// --- frames where they may not be ---
const PLACE = "streams";
for (const [name, type, payload] of [
  ["DATA", FrameType.DATA, [1]],
  ["HEADERS", FrameType.HEADERS, [0x88]],
  ["PRIORITY", FrameType.PRIORITY, [0, 0, 0, 1, 0]],
  ["RST_STREAM", FrameType.RST_STREAM, [0, 0, 0, 8]],
  ["PUSH_PROMISE", FrameType.PUSH_PROMISE, [0, 0, 0, 2, 0x82]],
  ["CONTINUATION", FrameType.CONTINUATION, [0x88]],
] as const)
  fatal(PLACE, "§6", `${name} on stream 0`, "PROTOCOL_ERROR", () => frame(type, Flag.END_HEADERS, 0, payload));
fatal(PLACE, "§6.7", "PING on a stream", "PROTOCOL_ERROR", (s) => frame(FrameType.PING, 0, s.id, new Uint8Array(8)));
fatal(PLACE, "§6.8", "GOAWAY on a stream", "PROTOCOL_ERROR", (s) => frame(FrameType.GOAWAY, 0, s.id, new Uint8Array(8)));
fatal(PLACE, "§5.1", "DATA on a stream nobody opened", "PROTOCOL_ERROR", (s) => data(s.id + 100, "x"));
fatal(PLACE, "§5.1", "HEADERS on a stream nobody opened", "PROTOCOL_ERROR", (s) => headersFrame(s, [0x88], 5, s.id + 100));
fatal(PLACE, "§5.1", "RST_STREAM on a stream nobody opened", "PROTOCOL_ERROR", (s) => rst(s.id + 100, 8));
fatal(PLACE, "§5.1", "WINDOW_UPDATE on a stream nobody opened", "PROTOCOL_ERROR", (s) => windowUpdate(s.id + 100, 1));
for (const [name, make] of [
  ["DATA", () => data(2, "x")],
  ["HEADERS", (s: Hostile) => headersFrame(s, [0x88], 5, 2)],
  ["RST_STREAM", () => rst(2, 8)],
  ["WINDOW_UPDATE", () => windowUpdate(2, 1)],
] as const)
  fatal(PLACE, "§5.1.1", `${name} on a stream of the server's own`, "PROTOCOL_ERROR", make);
fatal(PLACE, "§6.6, §8.4", "PUSH_PROMISE on the request's stream", "PROTOCOL_ERROR", (s) =>
  frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, s.id, [0, 0, 0, 2, 0x82]),
);
fatal(PLACE, "§6.6", "PUSH_PROMISE of an odd stream", "PROTOCOL_ERROR", (s) =>
  frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, s.id, [0, 0, 0, 99, 0x82]),
);
fatal(PLACE, "§6.6", "PUSH_PROMISE of stream 0", "PROTOCOL_ERROR", (s) =>
  frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, s.id, [0, 0, 0, 0, 0x82]),
);
fatal(PLACE, "§6.10", "CONTINUATION without HEADERS", "PROTOCOL_ERROR", (s) =>
  frame(FrameType.CONTINUATION, Flag.END_HEADERS, s.id, [0x88]),
);
fatal(
  PLACE,
  "§6.10",
  "CONTINUATION behind a whole block",
  "PROTOCOL_ERROR",
  (s) => [s.head(), frame(FrameType.CONTINUATION, Flag.END_HEADERS, s.id, [0x88])],
  { outcome: CUT },
);
fine(PLACE, "§6.3", "PRIORITY on a stream nobody opened", (s) => [frame(FrameType.PRIORITY, 0, s.id + 100, [0, 0, 0, 0, 1]), s.ok()]);
fatal(PLACE, "§5.3.1", "PRIORITY of a stream on itself", "PROTOCOL_ERROR", (s) => frame(FrameType.PRIORITY, 0, s.id, [...uint32(s.id), 1]));
fine(PLACE, "§5.5", "frames of unknown types", (s) => [
  frame(0x0a, 0, 0, [1]),
  frame(0x0c, 0, s.id, [1, 2]),
  frame(0xff, 0xff, 0, new Uint8Array(1000)),
  s.ok(),
]);
fine(PLACE, "§4.1", "flags that mean nothing", (s) => [
  frame(FrameType.PING, 0xfe, 0, new Uint8Array(8)),
  frame(FrameType.WINDOW_UPDATE, 0xff, 0, uint32(1)),
  s.ok(),
]);
fine(PLACE, "§4.1", "the reserved bit of a stream's number", (s) => {
  const ok = s.ok();
  const bytes = ok.slice();
  bytes[5] = 0x80;
  return bytes;
});

// --- sizes ---
const SIZE = "sizes";
fatal(SIZE, "§4.2", "HEADERS of 16,385 bytes", "FRAME_SIZE_ERROR", (s) => headersFrame(s, new Uint8Array(16_385)));
fatal(SIZE, "§4.2", "DATA of 16,385 bytes", "FRAME_SIZE_ERROR", (s) => [s.head(), data(s.id, new Uint8Array(16_385))], { outcome: CUT });
fatal(SIZE, "§4.2", "an unknown frame of 16 MB", "FRAME_SIZE_ERROR", () => Uint8Array.of(0xff, 0xff, 0xff, 0x77, 0, 0, 0, 0, 0));
for (const n of [0, 3, 5])
  fatal(SIZE, "§6.4", `RST_STREAM of ${n} bytes`, "FRAME_SIZE_ERROR", (s) => frame(FrameType.RST_STREAM, 0, s.id, new Uint8Array(n)));
for (const n of [0, 7, 9])
  fatal(SIZE, "§6.7", `PING of ${n} bytes`, "FRAME_SIZE_ERROR", () => frame(FrameType.PING, 0, 0, new Uint8Array(n)));
for (const n of [0, 3, 5])
  fatal(SIZE, "§6.9", `WINDOW_UPDATE of ${n} bytes`, "FRAME_SIZE_ERROR", () => frame(FrameType.WINDOW_UPDATE, 0, 0, new Uint8Array(n)));
for (const n of [0, 7])
  fatal(SIZE, "§6.8", `GOAWAY of ${n} bytes`, "FRAME_SIZE_ERROR", () => frame(FrameType.GOAWAY, 0, 0, new Uint8Array(n)));
for (const n of [0, 4, 6])
  stream(SIZE, "§6.3", `PRIORITY of ${n} bytes`, "FRAME_SIZE_ERROR", (s) => frame(FrameType.PRIORITY, 0, s.id, new Uint8Array(n)));
fatal(SIZE, "§6.2", "padding longer than HEADERS", "PROTOCOL_ERROR", (s) => headersFrame(s, [9, 0x88], Flag.PADDED | 5));
fatal(SIZE, "§6.2", "padded HEADERS without a pad length", "FRAME_SIZE_ERROR", (s) => headersFrame(s, [], Flag.PADDED | 5));
fatal(SIZE, "§6.2", "HEADERS with a priority of 4 bytes", "FRAME_SIZE_ERROR", (s) => headersFrame(s, [0, 0, 0, 0], Flag.PRIORITY | 5));
fatal(
  SIZE,
  "§6.1",
  "padding as long as DATA",
  "PROTOCOL_ERROR",
  (s) => [s.head(), frame(FrameType.DATA, Flag.PADDED, s.id, [2, 0, 0].slice(0, 2))],
  { outcome: CUT },
);
fatal(SIZE, "§6.1", "padded DATA without a pad length", "FRAME_SIZE_ERROR", (s) => [s.head(), frame(FrameType.DATA, Flag.PADDED, s.id)], {
  outcome: CUT,
});
fine(SIZE, "§6.1, §6.2", "padding of every frame", (s) => [
  headersFrame(s, [3, 0, 0, 0, 0, 1, 0x88, 0, 0, 0], Flag.PADDED | Flag.PRIORITY | Flag.END_HEADERS),
  paddedData(s.id, "o", 255),
  paddedData(s.id, "k", 0, true),
]);

// --- windows ---
const WINDOW = "windows";
fatal(WINDOW, "§6.9", "WINDOW_UPDATE of 0 for the connection", "PROTOCOL_ERROR", () => windowUpdate(0, 0));
stream(WINDOW, "§6.9, CVE-2025-8671", "WINDOW_UPDATE of 0 for the stream", "PROTOCOL_ERROR", (s) => windowUpdate(s.id, 0));
fatal(WINDOW, "§6.9.1", "the connection's window above 2^31-1", "FLOW_CONTROL_ERROR", () => windowUpdate(0, 0x7fffffff));
stream(WINDOW, "§6.9.1, CVE-2025-8671", "the stream's window above 2^31-1", "FLOW_CONTROL_ERROR", (s) => windowUpdate(s.id, 0x7fffffff));
fatal(WINDOW, "§6.9.2", "the stream's window above 2^31-1 by SETTINGS", "FLOW_CONTROL_ERROR", (s) => [
  windowUpdate(s.id, 0x7fff0000 - 1),
  settings(4, 0x7fffffff),
]);
stream(
  WINDOW,
  "§6.9.1",
  "DATA beyond the stream's window",
  "FLOW_CONTROL_ERROR",
  (s) => [s.head(), times(16, () => data(s.id, new Uint8Array(16_384)))],
  { outcome: CUT, http2Client: true },
);
fine(WINDOW, "§6.9", "WINDOW_UPDATE of the largest steps", (s) => [windowUpdate(0, 0x7fffffff - 65_535), s.ok()]);
fine(
  WINDOW,
  "§6.9.2",
  "a window of 0, opened later",
  async (s) => {
    s.send(settings(4, 0));
    await s.turn();
    s.send(windowUpdate(s.id, 5));
    await s.find((line) => line.startsWith("DATA ") && line.endsWith(" END"));
    s.send(s.ok());
  },
  { body: "hello" },
);
add(WINDOW, "§6.9", "a window that is never opened", () => settings(4, 0), WAITING, null, { body: "x".repeat(70_000) });
fine(WINDOW, "§8.1", "a window that is never opened, and an answer all the same", (s) => [s.ok(), rst(s.id, 0)], {
  body: "x".repeat(70_000),
});
fine(
  WINDOW,
  "§6.9.2",
  "a window that SETTINGS make negative",
  async (s) => {
    await s.find((line) => line.startsWith("DATA "));
    s.send(settings(4, 0), settings(4, 65_535), s.ok());
  },
  { body: "hello" },
);

// --- header blocks ---
const BLOCK = "header blocks";
for (const [name, block, source] of [
  ["index 0", [0x80], "RFC 7541 §6.1"],
  ["an index beyond the tables", [0xff, 0x80, 0x01], "RFC 7541 §2.3.3"],
  ["an index of 5 bytes", [0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], "RFC 7541 §5.1"],
  ["an integer without end", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "RFC 7541 §5.1"],
  ["a literal cut in its name", [0x88, 0x10, 5, 0x61], "RFC 7541 §5.2"],
  ["a literal without value", [0x88, 0x10, 1, 0x61], "RFC 7541 §6.2"],
  ["a literal whose value is cut", [0x88, 0x10, 1, 0x61, 9, 0x61], "RFC 7541 §5.2"],
  ["Huffman padding of 8 bits", [0x88, 0x10, 1, 0x61, 0x82, 0x1f, 0xff], "RFC 7541 §5.2"],
  ["Huffman padding of zeros", [0x88, 0x10, 1, 0x61, 0x81, 0x18], "RFC 7541 §5.2"],
  ["Huffman EOS", [0x88, 0x10, 1, 0x61, 0x84, 0xff, 0xff, 0xff, 0xff], "RFC 7541 §5.2"],
  ["a table larger than allowed", [0x3f, 0xe2, 0x1f, 0x88], "RFC 7541 §6.3"],
  ["a table size update behind a field", [0x88, 0x20], "RFC 7541 §4.2"],
] as const)
  fatal(BLOCK, source, name, "COMPRESSION_ERROR", (s) => headersFrame(s, block));
stream(BLOCK, "§8.3.2", "nothing in it", "PROTOCOL_ERROR", (s) => headersFrame(s, []));
stream(BLOCK, "CVE-2016-1544", "an entry of 4 KB referenced 4,000 times", "PROTOCOL_ERROR", (s) =>
  headersFrame(
    s,
    concat(Uint8Array.of(0x88, 0x40, 1, 0x61, 0x7f, 0x81, 0x1e), new Uint8Array(0xf00).fill(0x61), new Uint8Array(4000).fill(0xbe)),
  ),
);
stream(BLOCK, "§10.5.1", "a list of more than 64 KiB", "PROTOCOL_ERROR", (s) => {
  const block = s.peer.block([":status", "200", ...Array.from({ length: 80 }, (_, i) => [`x-${i}`, "v".repeat(1000)]).flat()]);
  const frames = [];
  for (let at = 0; at < block.length; at += 16_384)
    frames.push(
      frame(
        at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION,
        (at === 0 ? Flag.END_STREAM : 0) | (at + 16_384 >= block.length ? Flag.END_HEADERS : 0),
        s.id,
        block.subarray(at, at + 16_384),
      ),
    );
  return frames;
});
stream(BLOCK, "§10.5.1", "a thousand fields", "PROTOCOL_ERROR", (s) =>
  headersFrame(s, concat(Uint8Array.of(0x88), new Uint8Array(1000).fill(0x90))),
);
fatal(BLOCK, "CVE-2024-27316", "CONTINUATION without end", "ENHANCE_YOUR_CALM", (s) => [
  headersFrame(s, [0x88], 0),
  times(100, () => frame(FrameType.CONTINUATION, 0, s.id, [0x90])),
]);
fatal(BLOCK, "CVE-2024-27919", "empty CONTINUATION without end", "ENHANCE_YOUR_CALM", (s) => [
  headersFrame(s, [0x88], 0),
  times(100, () => frame(FrameType.CONTINUATION, 0, s.id)),
]);
fatal(BLOCK, "CVE-2024-27316", "CONTINUATION of 16 KiB without end", "ENHANCE_YOUR_CALM", (s) => [
  headersFrame(s, [0x88], 0),
  times(12, () => frame(FrameType.CONTINUATION, 0, s.id, new Uint8Array(16_384).fill(0x90))),
]);
for (const [name, make] of [
  ["DATA", (s: Hostile) => data(s.id, "x")],
  ["PING", () => ping()],
  ["SETTINGS", () => settings()],
  ["WINDOW_UPDATE", () => windowUpdate(0, 1)],
  ["an unknown frame", () => frame(0x77, 0, 0)],
  ["HEADERS", (s: Hostile) => headersFrame(s, [0x88])],
  ["CONTINUATION of another stream", (s: Hostile) => frame(FrameType.CONTINUATION, Flag.END_HEADERS, s.id + 2, [0x88])],
  ["RST_STREAM of the same stream", (s: Hostile) => rst(s.id, 8)],
  ["GOAWAY", () => goaway(0, 0)],
] as const)
  fatal(BLOCK, "§6.10", `${name} within it`, "PROTOCOL_ERROR", (s) => [headersFrame(s, [0x88], 0), make(s)]);
add(
  BLOCK,
  "CVE-2024-27983",
  "the end of the connection within it",
  (s) => {
    s.send(headersFrame(s, [0x88], 0));
    s.end();
  },
  NONE,
  null,
);
add(
  BLOCK,
  "CVE-2024-27983",
  "a reset of the connection within it",
  async (s) => {
    s.send(headersFrame(s, [0x88], 0));
    await s.turn();
    s.abort();
  },
  NONE,
  null,
);
fine(BLOCK, "§4.3", "in CONTINUATION of a byte each", (s) => [
  headersFrame(s, [], 0),
  ...[...s.peer.block([":status", "200", "x", "1"])].map((byte, i, all) =>
    frame(FrameType.CONTINUATION, i === all.length - 1 ? Flag.END_HEADERS : 0, s.id, [byte]),
  ),
  data(s.id, "ok", true),
]);
fine(BLOCK, "RFC 7541 §4.2", "table size updates at its beginning", (s) => [
  headersFrame(s, [0x20, 0x3f, 0xe1, 0x1f, 0x88], Flag.END_HEADERS),
  data(s.id, "ok", true),
]);

// --- responses ---
const RESPONSE = "responses";
const malformed = (name: string, source: string, fields: readonly (readonly [string, string])[], options: Options = {}): void =>
  stream(
    RESPONSE,
    source,
    name,
    "PROTOCOL_ERROR",
    (s) =>
      headersFrame(
        s,
        fields.flatMap(([n, v]) => literal(n, v)),
      ),
    options,
  );
malformed("no :status", "§8.3.2", [["x", "1"]]);
malformed("two :status", "§8.3", [
  [":status", "200"],
  [":status", "200"],
]);
malformed(":status behind a field", "§8.3", [
  ["x", "1"],
  [":status", "200"],
]);
for (const status of ["", "20", "2000", "abc", "099", "600", "999", "-20", "+20", " 200", "200 ", "200 OK", "2\xb20"])
  malformed(`:status ${JSON.stringify(status)}`, "§8.3.2, RFC 9110 §15", [[":status", status]]);
malformed(":status 101", "§8.6", [[":status", "101"]]);
for (const name of [":path", ":method", ":scheme", ":authority", ":foo", ":"])
  malformed(`${name} in a response`, "§8.3", [
    [":status", "200"],
    [name, "/"],
  ]);
for (const [name, value] of [
  ["X", "1"],
  ["x-Foo", "1"],
  ["", "1"],
  ["x y", "1"],
  ["x:", "1"],
  ["x\r\nset-cookie", "1"],
  ["x\0", "1"],
  ["x", "a\rb"],
  ["x", "a\nb"],
  ["x", "a\r\nset-cookie: b"],
  ["x", "a\0b"],
  ["x", "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"],
  ["x", " a"],
  ["x", "a\t"],
] as const)
  malformed(`field ${JSON.stringify(name)}: ${JSON.stringify(value)}`, "§8.2.1", [
    [":status", "200"],
    [name, value],
  ]);
for (const [name, value] of [
  ["connection", "close"],
  ["keep-alive", "timeout=5"],
  ["proxy-connection", "close"],
  ["transfer-encoding", "chunked"],
  ["upgrade", "h2c"],
] as const)
  malformed(`${name}: ${value}`, "§8.2.2", [
    [":status", "200"],
    [name, value],
  ]);
for (const value of ["+2", "-2", "2, 2", "", "0x2", "2 2", "99999999999999999999"])
  malformed(`content-length ${JSON.stringify(value)}`, "RFC 9110 §8.6", [
    [":status", "200"],
    ["content-length", value],
  ]);
malformed("two lengths that differ", "RFC 9110 §8.6", [
  [":status", "200"],
  ["content-length", "2"],
  ["content-length", "3"],
]);
stream(RESPONSE, "§8.1.1", "a length of 5 and no content", "PROTOCOL_ERROR", (s) => s.head([...STATUS, "content-length", "5"], true));
stream(
  RESPONSE,
  "§8.1.1",
  "less content than its length",
  "PROTOCOL_ERROR",
  (s) => [s.head([...STATUS, "content-length", "5"]), data(s.id, "ok", true)],
  { outcome: CUT },
);
stream(
  RESPONSE,
  "§8.1.1",
  "more content than its length",
  "PROTOCOL_ERROR",
  (s) => [s.head([...STATUS, "content-length", "1"]), data(s.id, "ok", true)],
  { outcome: CUT },
);
stream(
  RESPONSE,
  "§8.1.1",
  "less content than its length, and trailers",
  "PROTOCOL_ERROR",
  (s) => [s.head([...STATUS, "content-length", "5"]), data(s.id, "ok"), s.head(["x", "1"], true)],
  { outcome: CUT },
);
stream(RESPONSE, "§8.1", "DATA before HEADERS", "PROTOCOL_ERROR", (s) => data(s.id, "ok", true));
stream(RESPONSE, "§8.1", "empty DATA with END_STREAM before HEADERS", "PROTOCOL_ERROR", (s) => data(s.id, "", true));
stream(RESPONSE, "§8.1", "a second head", "PROTOCOL_ERROR", (s) => [s.head(), s.head()], { outcome: CUT });
stream(RESPONSE, "§8.1", "trailers without END_STREAM", "PROTOCOL_ERROR", (s) => [s.head(), data(s.id, "ok"), s.head(["x", "1"])], {
  outcome: CUT,
});
stream(RESPONSE, "§8.1", "trailers with :status", "PROTOCOL_ERROR", (s) => [s.head(), data(s.id, "ok"), s.head([":status", "200"], true)], {
  outcome: CUT,
});
stream(
  RESPONSE,
  "§8.2",
  "trailers in upper case",
  "PROTOCOL_ERROR",
  (s) => [s.head(), data(s.id, "ok"), headersFrame(s, literal("X", "1"))],
  { outcome: CUT },
);
stream(
  RESPONSE,
  "§8.2.1",
  "trailers with CR LF",
  "PROTOCOL_ERROR",
  (s) => [s.head(), data(s.id, "ok"), headersFrame(s, literal("x", "1\r\ny: 2"))],
  { outcome: CUT },
);
stream(
  RESPONSE,
  "§8.2.2",
  "trailers with transfer-encoding",
  "PROTOCOL_ERROR",
  (s) => [s.head(), data(s.id, "ok"), headersFrame(s, literal("transfer-encoding", "chunked"))],
  { outcome: CUT },
);
stream(RESPONSE, "RFC 9110 §15.4.5", "304 with content", "PROTOCOL_ERROR", (s) => [s.head([":status", "304"]), data(s.id, "ok", true)], {
  outcome: { kind: "cut", status: 304 },
});
stream(RESPONSE, "RFC 9110 §15.3.5", "204 with content", "PROTOCOL_ERROR", (s) => [s.head([":status", "204"]), data(s.id, "ok", true)], {
  outcome: { kind: "cut", status: 204 },
});
stream(RESPONSE, "RFC 9110 §9.3.2", "content in the response to HEAD", "PROTOCOL_ERROR", (s) => [s.head(), data(s.id, "ok", true)], {
  method: "HEAD",
  outcome: CUT,
});
fatal(RESPONSE, "§5.1", "DATA behind the end", "STREAM_CLOSED", (s) => [s.ok(), data(s.id, "more")], { outcome: WHOLE });
fatal(RESPONSE, "§5.1", "HEADERS behind the end", "STREAM_CLOSED", (s) => [s.ok(), s.head(["x", "1"], true)], { outcome: WHOLE });
fine(RESPONSE, "§5.1", "WINDOW_UPDATE, PRIORITY and RST_STREAM behind the end", (s) => [
  s.ok(),
  windowUpdate(s.id, 1),
  frame(FrameType.PRIORITY, 0, s.id, [0, 0, 0, 0, 1]),
  rst(s.id, 0),
]);
fine(RESPONSE, "§8.1", "trailers", (s) => [s.head(), data(s.id, "ok"), s.head(["x", "1"], true)]);
fine(RESPONSE, "§8.1", "END_STREAM on HEADERS", (s) => s.head([":status", "200"], true), {
  outcome: { kind: "whole", status: 200, body: "" },
});
fine(RESPONSE, "RFC 9110 §9.3.2", "a length in the response to HEAD", (s) => s.head([...STATUS, "content-length", "5"], true), {
  method: "HEAD",
  outcome: { kind: "whole", status: 200, body: "" },
});
fine(RESPONSE, "RFC 9110 §15.4.5", "304 with a length", (s) => s.head([":status", "304", "content-length", "5"], true), {
  outcome: { kind: "whole", status: 304, body: "" },
});
fine(RESPONSE, "RFC 9110 §15.3.5", "204 and an empty end", (s) => [s.head([":status", "204"]), data(s.id, "", true)], {
  outcome: { kind: "whole", status: 204, body: "" },
});
fine(RESPONSE, "§6.1", "empty DATA around content", (s) => [
  s.head(),
  data(s.id, ""),
  data(s.id, "o"),
  data(s.id, ""),
  data(s.id, "k"),
  data(s.id, "", true),
]);
fine(RESPONSE, "RFC 9110 §8.6", "a length twice, the same", (s) => [
  headersFrame(s, [0x88, ...literal("content-length", "2"), ...literal("content-length", "2")], Flag.END_HEADERS),
  data(s.id, "ok", true),
]);
fine(RESPONSE, "RFC 9110 §15", "a status nobody knows", (s) => [s.head([":status", "299"]), data(s.id, "ok", true)], {
  outcome: { kind: "whole", status: 299, body: "ok" },
});
fine(RESPONSE, "§8.1", "before the end of the request, and RST_STREAM with NO_ERROR", (s) => [s.ok(), rst(s.id, 0)], {
  body: "x".repeat(100_000),
});

// --- 1xx ---
const INTERIM = "1xx";
fine(INTERIM, "RFC 9110 §15.2", "100 and 103", (s) => [s.head([":status", "100"]), s.head([":status", "103", "link", "</a>"]), s.ok()]);
fine(INTERIM, "RFC 9110 §15.2", "199", (s) => [s.head([":status", "199"]), s.ok()]);
fine(INTERIM, "RFC 9110 §8.6", "103 with a length", (s) => [s.head([":status", "103", "content-length", "5"]), s.ok()]);
stream(INTERIM, "§8.1", "100 with END_STREAM", "PROTOCOL_ERROR", (s) => s.head([":status", "100"], true));
stream(INTERIM, "§8.1", "103, and content", "PROTOCOL_ERROR", (s) => [s.head([":status", "103"]), data(s.id, "ok", true)]);
stream(INTERIM, "§8.1", "100 behind the head", "PROTOCOL_ERROR", (s) => [s.head(), s.head([":status", "100"])], { outcome: CUT });
fatal(INTERIM, "CVE-2019-9518 class", "without end", "ENHANCE_YOUR_CALM", (s) => times(1500, () => s.head([":status", "103"])));

// --- RST_STREAM ---
const RST = "RST_STREAM";
for (const [code, name] of [
  [0, "NO_ERROR"],
  [1, "PROTOCOL_ERROR"],
  [2, "INTERNAL_ERROR"],
  [5, "STREAM_CLOSED"],
  [8, "CANCEL"],
  [11, "ENHANCE_YOUR_CALM"],
  [13, "HTTP_1_1_REQUIRED"],
] as const)
  add(RST, "§6.4, spec proxy §4.9", `${name} before a response`, (s) => rst(s.id, code), { kind: "reset", code: name }, "nothing");
add(RST, "§7", "an unknown code before a response", (s) => rst(s.id, 0xff), { kind: "reset", code: "255" }, "nothing");
add(RST, "§8.7", "REFUSED_STREAM: the request goes again", (s) => rst(s.id, 7), WHOLE, "nothing");
add(RST, "§6.4", "behind the head", (s) => [s.head(), rst(s.id, 2)], CUT, "nothing");
add(RST, "§6.4", "within the content", (s) => [s.head([...STATUS, "content-length", "5"]), data(s.id, "he"), rst(s.id, 8)], CUT, "nothing");
add(RST, "§6.4", "NO_ERROR within the content", (s) => [s.head(), data(s.id, "he"), rst(s.id, 0)], CUT, "nothing");
add(RST, "§6.4", "twice", (s) => [rst(s.id, 2), rst(s.id, 2)], { kind: "reset", code: "INTERNAL_ERROR" }, "nothing");
fatal(RST, "CVE-2019-9514 class", "two thousand for one stream", "ENHANCE_YOUR_CALM", (s) => times(2000, () => rst(s.id, 2)), {
  outcome: { kind: "reset", code: "INTERNAL_ERROR" },
});
stream(RST, "§5.1", "and content behind it", "STREAM_CLOSED", (s) => [rst(s.id, 2), data(s.id, "x")], {
  outcome: { kind: "reset", code: "INTERNAL_ERROR" },
});

// --- GOAWAY and the end of connections ---
const GOAWAY = "GOAWAY";
add(GOAWAY, "§6.8", "with the request, and its response", (s) => [goaway(s.id, 0), s.ok()], WHOLE, null);
add(GOAWAY, "§6.8", "of 2^31-1, and the response", (s) => [goaway(0x7fffffff, 0), s.ok()], WHOLE, null);
add(GOAWAY, "§6.8", "twice, as a graceful server does", (s) => [goaway(0x7fffffff, 0), goaway(s.id, 0), s.ok()], WHOLE, null);
add(GOAWAY, "§6.8", "without the request: it goes again", () => goaway(0, 0), WHOLE, null);
add(GOAWAY, "§6.8", "without the request, with an error: it goes again", () => goaway(0, 2), WHOLE, null);
add(
  GOAWAY,
  "§6.8",
  "without the request, and the end: it goes again",
  (s) => {
    s.send(goaway(0, 0));
    s.end();
  },
  WHOLE,
  null,
);
add(GOAWAY, "§6.8", "with a stream of the server's own as the last", (s) => [goaway(2, 0), s.ok()], WHOLE, null);
add(GOAWAY, "§6.8", "whose last stream rises", (s) => [goaway(s.id, 0), goaway(s.id + 2, 0), s.ok()], WHOLE, null);
add(
  GOAWAY,
  "§6.8",
  "with 16 KB of text",
  (s) => [
    frame(FrameType.GOAWAY, 0, 0, concat(Uint8Array.from([...uint32(s.id), ...uint32(0)]), new Uint8Array(16_000).fill(0x1b))),
    s.ok(),
  ],
  WHOLE,
  null,
);
add(GOAWAY, "§6.8", "with an unknown code, and the response", (s) => [goaway(s.id, 0xdead), s.ok()], WHOLE, null);
add(
  GOAWAY,
  "CVE-2021-32780",
  "then MAX_CONCURRENT_STREAMS of 0, and the response",
  (s) => [goaway(s.id, 0), settings(3, 0), s.ok()],
  WHOLE,
  null,
);
add(GOAWAY, "CVE-2021-32780", "without the request, then MAX_CONCURRENT_STREAMS of 0", () => [goaway(0, 0), settings(3, 0)], WHOLE, null);
add(
  GOAWAY,
  "CVE-2021-32780",
  "MAX_CONCURRENT_STREAMS of 0, then GOAWAY without the request",
  () => [settings(3, 0), goaway(0, 0)],
  WHOLE,
  null,
);
add(GOAWAY, "CVE-2023-35945", "then RST_STREAM", (s) => [goaway(s.id, 0), rst(s.id, 2)], { kind: "reset", code: "INTERNAL_ERROR" }, null);
add(
  GOAWAY,
  "CVE-2023-35945",
  "RST_STREAM, then GOAWAY",
  (s) => [rst(s.id, 2), goaway(s.id, 0)],
  { kind: "reset", code: "INTERNAL_ERROR" },
  null,
);
add(
  GOAWAY,
  "§6.8",
  "and the end before the response",
  (s) => {
    s.send(goaway(s.id, 0));
    s.end();
  },
  NONE,
  null,
);
add(
  GOAWAY,
  "§6.8",
  "and the end within the content",
  (s) => {
    s.send(s.head([...STATUS, "content-length", "5"]), data(s.id, "he"), goaway(s.id, 0));
    s.end();
  },
  CUT,
  null,
);
add(
  GOAWAY,
  "§5.4.1",
  "an error, and the end within the content",
  (s) => {
    s.send(s.head(), data(s.id, "he"), goaway(s.id, 2));
    s.end();
  },
  CUT,
  null,
);

const END = "the end of the connection";
add(END, "§9.1", "before the response", (s) => s.end(), NONE, null);
add(END, "§9.1", "by RST before the response", (s) => s.abort(), NONE, null);
add(
  END,
  "§9.1",
  "within the content",
  (s) => {
    s.send(s.head(), data(s.id, "he"));
    s.end();
  },
  CUT,
  null,
);
add(
  END,
  "§9.1",
  "within a length",
  (s) => {
    s.send(s.head([...STATUS, "content-length", "5"]), data(s.id, "he"));
    s.end();
  },
  CUT,
  null,
);
add(
  END,
  "§9.1",
  "within DATA",
  (s) => {
    s.send(s.head(), data(s.id, "hello").subarray(0, 11));
    s.end();
  },
  CUT,
  null,
);
add(
  END,
  "§9.1",
  "within a frame's header",
  (s) => {
    s.send(s.head([":status", "200"], true).subarray(0, 5));
    s.end();
  },
  NONE,
  null,
);
add(
  END,
  "§9.1",
  "by RST within the content",
  async (s) => {
    s.send(s.head(), data(s.id, "he"));
    // The bytes must have left, or the reset overtakes them.
    await s.turn();
    s.abort();
  },
  CUT,
  null,
);
add(END, "§9.1", "before the end of the request", (s) => s.end(), NONE, null, { body: "x".repeat(100_000) });
add(
  END,
  "§9.1",
  "behind the response",
  (s) => {
    s.send(s.ok());
    s.end();
  },
  WHOLE,
  null,
);

// --- floods ---
const FLOOD = "floods";
fatal(FLOOD, "CVE-2019-9515", "SETTINGS", "ENHANCE_YOUR_CALM", () => times(2000, () => settings(3, 100)));
fatal(FLOOD, "CVE-2019-9512", "PING", "ENHANCE_YOUR_CALM", () => times(5000, () => ping()));
fatal(FLOOD, "CVE-2019-9512", "PING acknowledgements", "ENHANCE_YOUR_CALM", () => times(5000, () => ping(true)));
fatal(FLOOD, "CVE-2019-9518, RUSTSEC-2026-0258", "empty DATA", "ENHANCE_YOUR_CALM", (s) => [s.head(), times(5000, () => data(s.id, ""))], {
  outcome: CUT,
});
fatal(
  FLOOD,
  "CVE-2019-9518",
  "padded DATA without content",
  "ENHANCE_YOUR_CALM",
  (s) => [s.head(), times(1900, () => paddedData(s.id, "", 1))],
  { outcome: CUT },
);
fatal(FLOOD, "CVE-2019-9513", "PRIORITY", "ENHANCE_YOUR_CALM", (s) =>
  times(5000, () => frame(FrameType.PRIORITY, 0, s.id, [0, 0, 0, 0, 1])),
);
fatal(FLOOD, "§10.5", "WINDOW_UPDATE", "ENHANCE_YOUR_CALM", () => times(20_000, () => windowUpdate(0, 1)));
fatal(FLOOD, "§10.5", "unknown frames", "ENHANCE_YOUR_CALM", () => times(5000, () => frame(0x77, 0, 0)));
fatal(FLOOD, "CVE-2019-9517, RUSTSEC-2024-0003", "PING from a server that does not read", "ENHANCE_YOUR_CALM", async (s) => {
  s.pause();
  s.send(times(20_000, () => ping()));
  await s.turn();
  // To see what it is told it must read in the end.
  s.resume();
});
fine(
  FLOOD,
  "CVE-2019-9511",
  "content in DATA of a byte each",
  (s) => [s.head(), times(3000, () => data(s.id, "x")), data(s.id, "", true)],
  { outcome: { kind: "whole", status: 200, body: "x".repeat(3000) } },
);
fine(FLOOD, "CVE-2019-9511", "a response in writes of a byte each", async (s) => {
  for (const byte of s.ok()) {
    s.send(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
});
fine(FLOOD, "§6.7", "a few PING beside the response", (s) => [times(50, () => ping()), s.ok(), times(50, () => ping())]);

export const HTTP2_CASES: readonly HostileCase[] = cases;
