// Wire form of the transport header (spec proxy §3.4, §17 cases 13 and 15).
import { expect, test } from "bun:test";
import { decodeTransportHeader, encodeTransportHeader, MAX_HEADER_BYTES, type TransportHeader } from "./index.ts";

const PREFACE = "7472616e73706f72742e6c35642e696f2f76310d0a0d0a";
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("the examples of the specification", () => {
  expect(hex(encodeTransportHeader({ port: 8080, name: null, protocol: null }))).toBe(`${PREFACE}0000000308903f`);
  expect(hex(encodeTransportHeader({ port: 8080, name: null, protocol: "http2" }))).toBe(`${PREFACE}0000000708903f1a021200`);
  expect(hex(encodeTransportHeader({ port: 8080, name: null, protocol: "http1" }))).toBe(`${PREFACE}0000000708903f1a020a00`);
});

test("what is written is read, with the stream behind it left over, in every split", () => {
  const headers: TransportHeader[] = [
    { port: 1, name: null, protocol: null },
    { port: 65535, name: "web.ns.svc.cluster.local", protocol: "http1" },
    { port: 80, name: "a.b", protocol: "http2" },
  ];
  for (const header of headers) {
    const encoded = encodeTransportHeader(header);
    const bytes = Buffer.concat([encoded, Buffer.from("ping")]);
    for (let n = 0; n <= bytes.length; n++) {
      const decoded = decodeTransportHeader(bytes.subarray(0, n));
      if (n < encoded.length) expect(decoded.kind).toBe("need-more");
      else expect(decoded).toEqual({ kind: "header", header, consumed: encoded.length });
    }
  }
});

test("what is refused", () => {
  const raw = (message: string, length = message.length / 2) =>
    Buffer.from(PREFACE + length.toString(16).padStart(8, "0") + message, "hex");
  for (const [bytes, reason] of [
    [Buffer.from("GET / HTTP/1.1"), "no transport header"],
    [raw(""), "port 0"],
    [raw("08f0a204"), "port 70000"],
    [raw("08ffffffffffffffffff01"), "port -1"],
    [raw("08903f12032e2e2e"), "name is not a DNS name"],
    [raw("ff"), "not a valid message"],
    [raw("", MAX_HEADER_BYTES + 1), "exceeds"],
  ] as const) {
    const decoded = decodeTransportHeader(bytes);
    expect(decoded).toMatchObject({ kind: "invalid", reason: expect.stringContaining(reason) });
  }
  expect(decodeTransportHeader(raw("", MAX_HEADER_BYTES)).kind).toBe("need-more");
  expect(() => encodeTransportHeader({ port: 0, name: null, protocol: null })).toThrow(RangeError);
});
