// The connection's window while streams that nobody reads hold a part of it: those who are read go on.
import { expect, test } from "bun:test";
import { CONNECTION_PREFACE, Http2Server } from "./index.ts";
import { concat, data, Peer, RecordingHandler, settings, TestHost } from "./testing/wire.ts";

const WINDOW = 100_000;

function begun() {
  const handler = new RecordingHandler();
  const peer = new Peer(false);
  const server = new Http2Server({ host: new TestHost(), handler, options: { initialConnectionWindow: WINDOW } });
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
