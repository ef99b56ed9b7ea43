// The transport header: arbitrary bytes, and headers made of them.
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { parseDnsName } from "#addr";
import { type Header, HeaderSchema } from "#api/transport_pb";
import { decodeTransportHeader, encodeTransportHeader, MAX_HEADER_BYTES, type TransportHeader } from "#transport-header";
import { Choices } from "../input.ts";
import { bytesOf, check, same, type Target } from "../target.ts";

const PREFACE = "transport.l5d.io/v1\r\n\r\n";

const target: Target = {
  name: "transport-header",
  what: "transport header: every prefix agrees with the whole; messages as protobuf reads them; what is written is read",
  maxBytes: 512,
  seeds: [
    `\0${PREFACE}\0\0\0\x03\x08\x90\x3f`,
    `\0${PREFACE}\0\0\0\x07\x08\x90\x3f\x1a\x02\x0a\0rest`,
    `\0${PREFACE}\0\0\0\x0e\x08\x50\x12\x0aweb.ns.svc`,
    "\x01\x1f\x90\x01\x03a.b\x02rest",
  ],
  dictionary: [PREFACE, "\x1a\x02\x12\x00", "\x1a\x02\x0a\x00", "\x08\x90\x3f", "\x12\x03a.b"],
  run(input) {
    if (input.length === 0) return;
    if ((input[0] as number) % 2 === 1) structured(new Choices(input.subarray(1)));
    else raw(input.slice(1));
    // A message behind the right preface, whatever it is.
    raw(concat(bytesOf(`${PREFACE}\0\0${String.fromCharCode(input.length >> 8, input.length & 255)}`), input));
  },
};
export default target;

function raw(bytes: Uint8Array): void {
  const whole = decodeTransportHeader(bytes);
  for (let n = 0; n < bytes.length; n++) {
    const early = decodeTransportHeader(bytes.slice(0, n));
    if (early.kind !== "need-more") same(early, whole, `its first ${n} bytes`);
  }
  if (whole.kind !== "header") return;
  const { header, consumed } = whole;
  check(consumed >= 27 && consumed <= Math.min(bytes.length, 27 + MAX_HEADER_BYTES), () => `consumed ${consumed} of ${bytes.length}`);
  check(
    header.port >= 1 && header.port <= 65535 && (header.name === null || parseDnsName(header.name) === header.name),
    "a header out of its range",
  );
  const again = decodeTransportHeader(encodeTransportHeader(header));
  same(again.kind === "header" ? again.header : again, header, "written and read again");
  let message: Header;
  try {
    message = fromBinary(HeaderSchema, bytes.slice(27, consumed));
  } catch (error) {
    check(hasOddWireType(bytes.slice(27, consumed)), () => `accepted, though protobuf refuses it: ${(error as Error).message}`);
    return;
  }
  same(
    [message.port, message.name === "" ? null : parseDnsName(message.name), message.sessionProtocol?.kind.case ?? null],
    [header.port, header.name, header.protocol],
    "as protobuf reads it",
  );
}

/** A known field number with another wire type: an unknown field to us, as proto3 has it; the library takes it for the known one. */
function hasOddWireType(bytes: Uint8Array, known: readonly number[] = [0, 2, 2]): boolean {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number <= known.length && wire !== known[number - 1]) return true;
    if (number !== 3) reader.skip(wire, number);
    else if (hasOddWireType(reader.bytes(), [2, 2])) return true;
  }
  return false;
}

function structured(choices: Choices): void {
  const header: TransportHeader = {
    port: Math.max(1, choices.uint16()),
    name: choices.bool() ? parseDnsName(choices.text(60)) : null,
    protocol: choices.of([null, "http1", "http2"] as const),
  };
  const encoded = encodeTransportHeader(header);
  const rest = choices.rest();
  same(decodeTransportHeader(concat(encoded, rest)), { kind: "header", header, consumed: encoded.length }, "written and read");
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
