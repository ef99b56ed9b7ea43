// Wire form of the transport header (spec proxy §3.4, §17 cases 13 and 15).
import { expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type Header, HeaderSchema } from "#api/transport_pb";
import { decodeTransportHeader, encodeTransportHeader, MAX_HEADER_BYTES, type TransportHeader } from "./index.ts";
import { decodeMessage, encodeMessage } from "./message.ts";

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

test("the message is the one the schema describes", () => {
  const protocols = [null, "http1", "http2"] as const;
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 65535 }),
      fc.constantFrom("", "a", "web.ns.svc.cluster.local"),
      fc.constantFrom(...protocols),
      (port, name, protocol) => {
        const schema: Header = create(HeaderSchema, {
          port,
          name,
          ...(protocol === null ? {} : { sessionProtocol: { kind: { case: protocol, value: {} } } }),
        });
        expect(encodeMessage({ port, name, protocol })).toEqual(toBinary(HeaderSchema, schema));
      },
    ),
  );
});

test("any bytes are answered: a message or a refusal, cut anywhere too", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 24 }),
    fc.array(fc.constantFrom(0, 1, 2, 8, 10, 18, 26, 128, 255), { maxLength: 12 }).map((a) => Uint8Array.from(a)),
  );
  fc.assert(
    fc.property(bytes, (input) => {
      const read = decodeMessage(input);
      if (read === null) return;
      expect(Number.isInteger(read.port)).toBe(true);
      expect([null, "http1", "http2"]).toContain(read.protocol);
    }),
    { numRuns: 2000 },
  );
});

test("unknown fields are skipped, the last of repeated ones wins", () => {
  const unknown = [0x20, 7, 0x29, 1, 2, 3, 4, 5, 6, 7, 8, 0x32, 2, 9, 9, 0x3d, 1, 2, 3, 4];
  const bytes = Uint8Array.from([...unknown, 0x08, 1, 0x1a, 2, 0x0a, 0, 0x08, 80, 0x1a, 2, 0x12, 0]);
  expect(decodeMessage(bytes)).toEqual({ port: 80, name: "", protocol: "http2" });
  const schema = fromBinary(HeaderSchema, bytes);
  expect([schema.port, schema.sessionProtocol?.kind.case]).toEqual([80, "http2"]);
  for (const bad of [[0x00, 1], [0x0b], [0x08], [0x12, 5, 1], [0x1a, 2, 0x0a, 5], [0x29, 1]])
    expect(decodeMessage(Uint8Array.from(bad))).toBeNull();
});
