// Hostile servers: what the built proxy does with an application that speaks broken or malicious HTTP/2 (spec hardening §3, rows 3,
// 8, 9; the mirror of h2spec). In every case its client gets an answer, and the next request on a good connection is served.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ErrorCode } from "#http";
import {
  data,
  Flag,
  FrameType,
  frame,
  goaway,
  Peer,
  ping,
  rst,
  settings,
  settingsAck,
  uint32,
  windowUpdate,
} from "../../packages/http2/testing/wire.ts";
import { canRunPods, ProcessMesh, until } from "../testing/processes.ts";
import { dialFrom, type PodServer, type PodSocket, serveIn } from "../testing/sockets.ts";
import { opening } from "./attacks.ts";

const it = test.if(canRunPods);
const PORT = 8080;

/** What a server does with a request: sends bytes on its connection. */
type Server = {
  /** On a new connection, before any request. Default: SETTINGS. */
  readonly begin?: (send: Send, peer: Peer) => void;
  readonly request?: (send: Send, stream: number, peer: Peer) => void;
};
type Send = (...frames: Uint8Array[]) => void;

const ok = (peer: Peer, stream: number): Uint8Array => peer.headers(stream, [":status", "200"], true);
const GOOD: Server = { request: (send, stream, peer) => send(ok(peer, stream)) };

let mesh: ProcessMesh;
let server: PodServer;
let behaviour: Server = GOOD;
/** Lines of frames that applications have got. */
const seen: string[] = [];

function application(connection: PodSocket): void {
  const peer = new Peer(true);
  const { begin = (send: Send) => send(settings()), request } = behaviour;
  const send: Send = (...frames) => {
    for (const bytes of frames) void connection.write(bytes);
  };
  begin(send, peer);
  connection.onData = (chunk) => {
    for (const line of peer.read(chunk)) {
      if (line.startsWith("SETTINGS") && line !== "SETTINGS ACK") send(settingsAck());
      const head = /^HEADERS (\d+)/.exec(line);
      if (head) request?.(send, Number(head[1]), peer);
    }
  };
  connections.add(connection);
}
const connections = new Set<PodSocket>();

/** Ends all connections of the application, and waits until the proxy knows. */
async function fresh(): Promise<void> {
  for (const connection of connections) connection.reset();
  connections.clear();
  await until("connections to the application are gone", async () => {
    const metrics = await mesh.b.metrics();
    return metrics.sum("tcp_open_connections", { peer: "dst", direction: "inbound" }) === 0;
  });
}

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({ tag: `${process.pid}u`, ports: { [PORT]: {} } });
  server = serveIn(mesh.pods.b, PORT, application);
}, 30_000);

afterAll(() => {
  server?.stop();
  mesh?.close();
});

/** The first word on a request: `200`, `502`, `RST CANCEL`, `closed`. */
async function ask(): Promise<string> {
  const peer = new Peer(false);
  const connection = await dialFrom(mesh.outsider, { host: mesh.pods.b.ip, port: PORT });
  let word = "";
  connection.onData = (chunk) => {
    for (const line of peer.read(chunk)) {
      const match = /^HEADERS 1 :status=(\d+)|^RST_STREAM 1 (\w+)/.exec(line);
      if (match && word === "" && match[1] !== "103") word = match[1] ?? `RST ${match[2]}`;
    }
  };
  await connection.write(Buffer.concat([opening(), peer.get(1)]));
  await until("an answer", () => {
    if (word === "" && connection.ended) word = "closed";
    return word !== "";
  });
  connection.reset();
  return word;
}

const times = (n: number, make: (i: number) => Uint8Array): Uint8Array[] => Array.from({ length: n }, (_, i) => make(i));
const failed = ["502"];
const refused = ["RST REFUSED_STREAM"];

const cases: readonly (readonly [name: string, server: Server, words: readonly string[]])[] = [
  ["CVE-2021-32780 GOAWAY, then SETTINGS that allow no stream", { request: (send) => send(goaway(0, 0), settings(3, 0)) }, refused],
  [
    "CVE-2021-32780 SETTINGS that allow no stream from the start",
    { begin: (send) => send(settings(3, 0)), request: (send, stream) => send(rst(stream, ErrorCode.REFUSED_STREAM)) },
    // Tried again, which no connection takes.
    ["504"],
  ],
  [
    "CVE-2023-35945 RST_STREAM and GOAWAY in one segment",
    { request: (send, stream) => send(Buffer.concat([rst(stream, 7), goaway(0, 0)])) },
    refused,
  ],
  [
    "CVE-2023-35945 GOAWAY with every answer",
    { request: (send, stream, peer) => send(Buffer.concat([ok(peer, stream), goaway(stream, 0)])) },
    ["200"],
  ],
  [
    "RUSTSEC-2024-0003 DATA on streams that never were, answers not read",
    { request: (send) => send(...times(5000, (i) => data(1001 + 2 * i, "x"))) },
    failed,
  ],
  [
    "CVE-2024-27919 CONTINUATION without END_HEADERS in an answer",
    {
      request: (send, stream, peer) =>
        send(
          frame(FrameType.HEADERS, 0, stream, peer.block([":status", "200"])),
          ...times(5000, () => frame(FrameType.CONTINUATION, 0, stream, peer.block(["x", "y"]))),
        ),
    },
    failed,
  ],
  [
    "CVE-2024-30255 empty CONTINUATION in an answer",
    {
      request: (send, stream) => send(frame(FrameType.HEADERS, 0, stream), ...times(5000, () => frame(FrameType.CONTINUATION, 0, stream))),
    },
    failed,
  ],
  [
    "CVE-2016-1544 HPACK bomb in an answer",
    {
      request: (send, stream, peer) => {
        const block = peer.block([":status", "200", "x", "~".repeat(3000)]);
        send(frame(FrameType.HEADERS, Flag.END_HEADERS, stream, Buffer.concat([block, Buffer.alloc(16_000, 0x80 | 62)])));
      },
    },
    failed,
  ],
  ["CVE-2019-9512 ping flood of a server", { request: (send) => send(...times(5000, () => ping())) }, failed],
  ["CVE-2019-9515 settings flood of a server", { request: (send) => send(...times(5000, () => settings())) }, failed],
  [
    "CVE-2019-9518 empty frames of a server",
    { request: (send, stream, peer) => send(peer.headers(stream, [":status", "200"]), ...times(5000, () => data(stream, ""))) },
    ["200", ...failed],
  ],
  [
    "CVE-2019-9518 informational answers without end",
    { request: (send, stream, peer) => send(...times(5000, () => peer.headers(stream, [":status", "103"]))) },
    failed,
  ],
  [
    "CVE-2025-59465 a malformed header block",
    { request: (send, stream) => send(frame(FrameType.HEADERS, Flag.END_HEADERS, stream, [0xff, 0xff, 0xff, 0xff, 0xff])) },
    failed,
  ],
  ["no status", { request: (send, stream, peer) => send(peer.headers(stream, ["x", "y"], true)) }, failed],
  ["a status that is none", { request: (send, stream, peer) => send(peer.headers(stream, [":status", "2x0"], true)) }, failed],
  [
    "CR and LF in a field",
    { request: (send, stream, peer) => send(peer.headers(stream, [":status", "200", "x", "a\r\nb: c"], true)) },
    failed,
  ],
  ["101 over HTTP/2", { request: (send, stream, peer) => send(peer.headers(stream, [":status", "101"], true)) }, failed],
  [
    "transfer-encoding",
    { request: (send, stream, peer) => send(peer.headers(stream, [":status", "200", "transfer-encoding", "chunked"], true)) },
    failed,
  ],
  ["DATA before the head", { request: (send, stream) => send(data(stream, "x")) }, failed],
  ["DATA on stream 0", { request: (send) => send(data(0, "x")) }, failed],
  ["a pushed stream", { request: (send, stream) => send(frame(5, Flag.END_HEADERS, stream, [0, 0, 0, 2, 0x82])) }, failed],
  ["headers on a stream of its own", { request: (send, _stream, peer) => send(peer.headers(2, [":status", "200"], true)) }, failed],
  ["a window beyond its maximum", { request: (send) => send(windowUpdate(0, 0x7fffffff), windowUpdate(0, 0x7fffffff)) }, failed],
  ["WINDOW_UPDATE of zero on the connection", { request: (send) => send(windowUpdate(0, 0)) }, failed],
  [
    "a frame beyond the maximum size",
    { request: (send, stream) => send(frame(FrameType.DATA, 0, stream, new Uint8Array(16_385))) },
    failed,
  ],
  ["SETTINGS of a wrong length", { begin: (send) => send(frame(FrameType.SETTINGS, 0, 0, [1])) }, failed],
  ["a first window beyond its maximum", { begin: (send) => send(settings(4, 0x80000000)) }, failed],
  ["a frame size below the minimum", { begin: (send) => send(settings(5, 1)) }, failed],
  [
    "HTTP/1.1 in answer to the preface",
    { begin: (send) => send(Buffer.from("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")) },
    failed,
  ],
  ["noise", { begin: (send) => send(Buffer.alloc(10_000, 0xff)) }, failed],
  ["RST_STREAM before the answer", { request: (send, stream) => send(rst(stream, 2)) }, ["RST INTERNAL_ERROR", ...failed]],
  ["RST_STREAM REFUSED_STREAM", { request: (send, stream) => send(rst(stream, 7)) }, ["RST REFUSED_STREAM", ...failed]],
  ["GOAWAY with an error", { request: (send) => send(goaway(0, ErrorCode.INTERNAL_ERROR)) }, refused],
  [
    "the connection is reset with the request",
    {
      request: () => {
        for (const connection of connections) connection.reset();
      },
    },
    failed,
  ],
  [
    "the connection is reset in the middle of a frame",
    {
      request: (send, stream, peer) => {
        send(peer.headers(stream, [":status", "200"]).subarray(0, 5));
        for (const connection of connections) connection.close();
      },
    },
    failed,
  ],
  [
    "every connection is closed when it has come",
    {
      begin: () => {
        for (const connection of connections) connection.close();
        queueMicrotask(() => {
          for (const connection of connections) connection.close();
        });
      },
    },
    ["502", "503", "504"],
  ],
];

for (const [name, hostile, words] of cases)
  it(name, async () => {
    await fresh();
    const accepted = server.accepted;
    behaviour = hostile;
    try {
      const word = await ask();
      if (process.env["SHOW"]) console.log("==", name, word, server.accepted - accepted, seen.slice(-3));
      expect(words).toContain(word);
      // One request makes no storm of connections.
      expect(server.accepted - accepted).toBeLessThan(10);
    } finally {
      behaviour = GOOD;
      await fresh();
    }
    await until("a good server is asked again", async () => (await ask()) === "200");
    expect(mesh.b.alive).toBe(true);
    expect(mesh.b.internalErrors).toEqual([]);
  }, 20_000);

it("nothing is left", async () => {
  await fresh();
  await until("connections are gone", async () => (await mesh.b.openConnections()) === 0);
  expect(mesh.b.internalErrors).toEqual([]);
});
