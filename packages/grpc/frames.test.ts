import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeFrame, FrameReader } from "./index.ts";

const drain = (reader: FrameReader): Uint8Array[] => {
  const messages: Uint8Array[] = [];
  for (let next = reader.next(); next instanceof Uint8Array; next = reader.next()) messages.push(next.slice());
  return messages;
};

test("messages come whole however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), fc.array(fc.nat(12), { maxLength: 60 }), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(encodeFrame));
      const reader = new FrameReader(40);
      const read: Uint8Array[] = [];
      let at = 0;
      for (const size of [...cuts, stream.length]) {
        reader.push(stream.subarray(at, at + size));
        at += size;
        read.push(...drain(reader));
      }
      expect(read.map((bytes) => [...bytes])).toEqual(messages.map((bytes) => [...bytes]));
      expect(reader.partial).toBe(false);
    }),
  );
});

describe("faults", () => {
  test("a length at the bound is read, one above never is, before its bytes have come", () => {
    const reader = new FrameReader(3);
    reader.push(encodeFrame(Uint8Array.of(1, 2, 3)));
    expect(reader.next()).toEqual(Uint8Array.of(1, 2, 3));
    reader.push(Uint8Array.of(0, 0, 0, 0, 4));
    expect(reader.next()).toEqual({ kind: "too long", bytes: 4 });
  });

  test("a compressed message is a fault", () => {
    const reader = new FrameReader(3);
    reader.push(Uint8Array.of(1, 0, 0, 0, 0));
    expect(reader.next()).toEqual({ kind: "compressed" });
  });

  test("a part of a message is told", () => {
    const reader = new FrameReader(3);
    reader.push(Uint8Array.of(0, 0));
    expect(reader.next()).toBeNull();
    expect(reader.partial).toBe(true);
  });
});
