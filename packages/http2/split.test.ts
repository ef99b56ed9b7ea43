// However the peer's bytes are cut, the same happens.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type RequestHead, ResponseHead } from "#http";
import { CONNECTION_PREFACE, Http2Server } from "./index.ts";
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
  windowUpdate,
} from "./testing/wire.ts";

type Outcome = { readonly exchanges: unknown[]; readonly said: string[]; readonly calls: string[] };

const OK = new ResponseHead({ version: "HTTP/2", status: 200, reason: null, fields: ["x", "y"] });

/** What comes of these pieces. What is said is read at the end, so that the order of replies does not depend on the cut. */
function run(pieces: readonly Uint8Array[]): Outcome {
  const host = new TestHost();
  const handler = new RecordingHandler();
  handler.answer = ({ stream }) => {
    stream.respond(OK, false);
    stream.write(Uint8Array.of(1, 2, 3), true);
  };
  const peer = new Peer(false);
  const server = new Http2Server({ host, handler });
  for (const piece of pieces) {
    const bytes = piece.slice();
    server.receive(bytes);
    // Valid during the call: whoever has kept a view sees it.
    bytes.fill(0xdb);
  }
  const said: string[] = [];
  for (let bytes = server.output(); bytes !== null; bytes = server.output()) said.push(...peer.read(bytes));
  const exchanges = handler.exchanges.map(({ head, end, in: incoming }) => [fieldsOf(head), end, incoming.events, incoming.content]);
  return { exchanges, said, calls: host.calls };
}

const fieldsOf = (head: RequestHead): unknown[] => [head.method, head.path, head.authority, head.fields];

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const points = [0, ...[...at].sort((a, b) => a - b), bytes.length];
  return points.slice(1).map((end, i) => bytes.subarray(points[i], end));
}

function conversation(): Uint8Array {
  const peer = new Peer(false);
  const block = peer.block([":method", "PUT", ":scheme", "http", ":authority", "a.test", ":path", "/cut", "x-a", "some value"]);
  return concat(
    CONNECTION_PREFACE as Uint8Array,
    settings(4, 100_000, 1, 2048),
    windowUpdate(0, 1000),
    peer.get(1, "/first", "user-agent", "test"),
    peer.post(3, "content-length", "11"),
    data(3, "hello "),
    ping(),
    paddedData(3, "world", 7, true),
    frame(
      FrameType.HEADERS,
      Flag.PADDED | Flag.PRIORITY,
      5,
      concat(Uint8Array.of(4, 0, 0, 0, 1, 9), block.subarray(0, 7), new Uint8Array(4)),
    ),
    frame(FrameType.CONTINUATION, 0, 5),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 5, block.subarray(7)),
    data(5, "x".repeat(300)),
    peer.headers(5, ["x-sum", "1"], true),
    peer.get(7, "/first", "user-agent", "test"),
    peer.post(9),
    rst(9, 8),
    peer.get(11, "/first", "user-agent", "test"),
    frame(0x99, 0, 0, new Uint8Array(40)),
    // At the end an error, so that this is the same too.
    data(13, "x"),
    ping(),
  );
}

describe("split-invariance", () => {
  const bytes = conversation();
  const whole = run([bytes]);

  test("the conversation is what it should be", () => {
    expect(whole.exchanges.map((exchange) => (exchange as unknown[])[2])).toEqual([
      [],
      ["data 11 END"],
      ["data 300", "trailers x-sum 1"],
      [],
      ["reset CANCEL"],
      [],
    ]);
    expect(whole.said.at(-1)).toBe("GOAWAY 11 PROTOCOL_ERROR");
    expect(whole.calls).toEqual(["finish"]);
  });

  test("cut in two, anywhere", () => {
    for (let at = 0; at <= bytes.length; at++) expect(run(cut(bytes, [at]))).toEqual(whole);
  });

  test("byte by byte", () => {
    expect(run(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
  });

  test("cut anyhow", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 40 }), (at) => {
        expect(run(cut(bytes, at))).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  test("any bytes, cut anyhow", () => {
    const frames = fc.array(
      fc.tuple(
        fc.integer({ min: 0, max: 10 }),
        fc.integer({ min: 0, max: 255 }),
        fc.integer({ min: 0, max: 5 }),
        fc.uint8Array({ maxLength: 24 }),
      ),
      { maxLength: 12 },
    );
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
    fc.assert(
      fc.property(frames, cuts, (list, at) => {
        const all = concat(
          CONNECTION_PREFACE as Uint8Array,
          settings(),
          ...list.map(([type, flags, id, payload]) => frame(type, flags, id, payload)),
        );
        expect(
          run(
            cut(
              all,
              at.map((part) => Math.floor(part * all.length)),
            ),
          ),
        ).toEqual(run([all]));
      }),
      { numRuns: 1000 },
    );
  });
});
