import { expect, test } from "bun:test";
import type { Segment } from "./capture.ts";
import { clearTextAt, streams } from "./streams.ts";

const client = { from: "10.0.0.1", fromPort: 4000, to: "10.0.0.2", toPort: 80 };
const text = (value: string) => new TextEncoder().encode(value);
const data = (seq: number, payload: string): Segment => ({ ...client, seq: seq >>> 0, syn: false, payload: text(payload) });
const open = (seq: number): Segment => ({ ...client, seq: seq >>> 0, syn: true, payload: new Uint8Array() });
const said = (segments: Segment[]) => streams(segments).map(({ bytes, hasGap }) => [new TextDecoder().decode(bytes), hasGap]);

test("a stream is its segments in the order of their sequence numbers, each byte once", () => {
  expect(said([open(99), data(100, "he"), data(104, "o!"), data(102, "llo")])).toEqual([["hello!", false]]);
  expect(said([open(99), open(99), data(100, "hello"), data(100, "hello"), data(104, "o!")])).toEqual([["hello!", false]]);
});

test("sequence numbers wrap", () => {
  expect(said([open(0xffff_fffc), data(0xffff_fffd, "hello"), data(2, "!")])).toEqual([["hello!", false]]);
});

test("a gap ends what is known; a connection of before the capture is not", () => {
  expect(said([open(99), data(100, "he"), data(104, "o!")])).toEqual([["he", true]]);
  expect(said([data(100, "hello")])).toEqual([]);
});

test("the same ports again are another connection; a keep-alive probe is no data", () => {
  expect(said([open(99), data(100, "one"), open(5000), data(5001, "two"), data(5000, "x")])).toEqual([
    ["one", false],
    ["two", false],
  ]);
});

const record = (type: number, length: number, minor = 3) =>
  Buffer.concat([Buffer.from([type, 3, minor, length >> 8, length & 255]), Buffer.alloc(length, 7)]);

test("TLS is records and nothing else", () => {
  expect(clearTextAt(new Uint8Array())).toBeNull();
  const whole = Buffer.concat([record(22, 300, 1), record(20, 1), record(23, 16_640)]);
  expect(clearTextAt(whole)).toBeNull();
  for (const cut of [1, 2, 3, 4, 5, 200]) expect(clearTextAt(whole.subarray(0, cut))).toBeNull();
  expect(clearTextAt(Buffer.concat([whole, text("POST /")]))).toBe(whole.length);
  expect(clearTextAt(record(23, 16_641))).toBe(0);
  expect(clearTextAt(record(24, 1))).toBe(0);
  expect(clearTextAt(record(22, 1, 5))).toBe(0);
  expect(clearTextAt(text("PRI * HTTP/2.0"))).toBe(0);
});
