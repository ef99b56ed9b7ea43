// The connection's window while streams that nobody reads hold a part of it: those who are read go on.
import { expect, test } from "bun:test";
import { CONNECTION_PREFACE, Http2Server } from "./index.ts";
import { concat, data, Peer, RecordingHandler, settings, TestHost } from "./testing/wire.ts";

const WINDOW = 100_000;

/** @param lent beyond the window, bytes */
function begun(lent = 0) {
  const handler = new RecordingHandler();
  const peer = new Peer(false);
  const server = new Http2Server({
    host: new TestHost(),
    handler,
    options: { initialConnectionWindow: WINDOW, limits: { lentWindowBytes: lent } },
  });
  const read = (): string[] => {
    const lines: string[] = [];
    for (let bytes = server.output(); bytes !== null; bytes = server.output()) lines.push(...peer.read(bytes));
    return lines;
  };
  const send = (...frames: Uint8Array[]): string[] => {
    server.receive(concat(...frames));
    return read();
  };
  send(CONNECTION_PREFACE as Uint8Array, settings());
  const post = (id: number) => {
    send(peer.post(id));
    return handler.last.stream;
  };
  return { send, read, post };
}

test("what others gave back is told although it is less than half of the window", () => {
  const { send, read, post } = begun();
  post(1);
  const stream = post(3);
  expect(send(...Array.from({ length: 4 }, () => data(1, new Uint8Array(15_000))))).toEqual([]);
  expect(send(data(3, new Uint8Array(16_000)))).toEqual([]);
  // The peer has 24 000 left.
  stream.consume(16_000);
  expect(read()).toEqual([]);
  expect(send(data(3, new Uint8Array(7999)))).toEqual([]);
  expect(send(data(3, new Uint8Array(1)))).toEqual(["WINDOW_UPDATE 0 16000"]);
  stream.consume(8000);
  expect(read()).toEqual([]);
});

test("the last of the window goes to a stream that nobody reads: a single byte given back is told", () => {
  const { send, read, post } = begun();
  const held = [1, 3].map(post);
  const stream = post(5);
  expect(send(data(5, new Uint8Array(1)))).toEqual([]);
  stream.consume(1);
  const sizes = Array.from({ length: 9 }, () => 11_111);
  expect(send(...sizes.map((size, i) => data(i % 2 === 0 ? 1 : 3, new Uint8Array(size))))).toEqual(["WINDOW_UPDATE 0 1"]);
  // Nothing to give, nothing is told.
  expect(send(data(5, new Uint8Array(1)))).toEqual([]);
  held[0]?.consume(5);
  expect(read()).toEqual(["WINDOW_UPDATE 0 5"]);
});

test("three quarters with streams that nobody reads: as much again is lent, up to the bound, and taken back", () => {
  const { send, read, post } = begun(150_000);
  const streams = [1, 3, 5, 7, 9].map(post);
  const fill = (id: number, bytes: number): string[] => send(...Array.from({ length: 5 }, () => data(id, new Uint8Array(bytes / 5))));
  expect(fill(1, 60_000)).toEqual([]);
  expect(fill(3, 15_000)).toEqual([]);
  expect(send(data(3, new Uint8Array(1)))).toEqual([`WINDOW_UPDATE 0 ${WINDOW}`]);
  // 124 999 left. What is left of the bound is lent next, and then nothing.
  expect(fill(3, 44_995)).toEqual([]);
  expect(fill(5, 55_000)).toEqual([]);
  expect(send(data(7, new Uint8Array(5)))).toEqual(["WINDOW_UPDATE 0 50000"]);
  expect(fill(7, 60_000)).toEqual([]);
  expect(send(data(9, new Uint8Array(14_999)))).toEqual([]);
  expect(send(data(9, new Uint8Array(2)))).toEqual(["GOAWAY 9 FLOW_CONTROL_ERROR"]);
  streams[0]?.consume(1);
  expect(read()).toEqual([]);
});

test("what was lent is taken back out of what is consumed, once the peer has half a window", () => {
  const { send, read, post } = begun(150_000);
  const [first, second] = [post(1), post(3)];
  send(...Array.from({ length: 5 }, () => data(1, new Uint8Array(12_000))));
  expect(send(data(3, new Uint8Array(15_001)))).toEqual([`WINDOW_UPDATE 0 ${WINDOW}`]);
  // The peer has 124 999: all of this pays back, and 75 001 more would be left to pay back.
  first?.consume(60_000);
  second?.consume(15_001);
  expect(read().filter((line) => line.startsWith("WINDOW_UPDATE 0"))).toEqual([]);
  // It sends on, and gets back what it consumes when it has half of the window.
  let told = 0;
  for (let round = 0; round < 20; round++) {
    const lines = send(data(3, new Uint8Array(10_000)));
    second?.consume(10_000);
    for (const line of [...lines, ...read()]) told += Number(/^WINDOW_UPDATE 0 (\d+)/.exec(line)?.[1] ?? 0);
  }
  // 75 001 + 200 000 were sent: the window is what it was in the beginning, less than half of it not told yet.
  expect(WINDOW + WINDOW + told - 275_001).toBeGreaterThanOrEqual(WINDOW / 2);
  expect(WINDOW + WINDOW + told - 275_001).toBeLessThanOrEqual(WINDOW);
});
