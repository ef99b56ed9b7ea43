// Messages of the control plane by our tables, beside the library with descriptors.
import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { DestinationProfileSchema, GetDestinationSchema, UpdateSchema } from "#api/destination_pb";
import { CertifyRequestSchema, CertifyResponseSchema } from "#api/identity_pb";
import { PortSpecSchema, ServerSchema } from "#api/inbound_pb";
import { decode, encode, type MessageTable } from "#grpc";
import { certifyRequest, certifyResponse, destinationProfile, getDestination, portSpec, server, update } from "../../proxy/control/api.ts";
import { check, same, type Target } from "../target.ts";

const PAIRS: readonly (readonly [MessageTable<unknown>, DescMessage])[] = [
  [update, UpdateSchema],
  [destinationProfile, DestinationProfileSchema],
  [server, ServerSchema],
  [certifyResponse, CertifyResponseSchema],
  [certifyRequest, CertifyRequestSchema],
  [getDestination, GetDestinationSchema],
  [portSpec, PortSpecSchema],
] as readonly (readonly [MessageTable<unknown>, DescMessage])[];

const target: Target = {
  name: "protobuf",
  what: "protobuf by tables: what is read is what the library with descriptors reads; written and read again it is the same",
  maxBytes: 512,
  seeds: [
    "\x00\x0a\x21\x0a\x0c\x0a\x08\x0a\x06\x0d\x01\x00\x00\x0a\x10\x50\x22\x06\x0a\x01a\x12\x01b\x2a\x05\x0a\x03\x0a\x01x\x32\x02\x0a\x00\x3a\x00",
    "\x01\x0a\x12\x0a\x08\x22\x06\x0a\x04/a/b\x12\x04\x0a\x02\x22\x00\x20\x01\x12\x05\x0d\xcd\xcc\x4c\x3e\x2a\x03a.b",
    "\x02\x0a\x04\x0a\x02\x0a\x00\x1a\x10\x0a\x0a\x0a\x08\x0a\x04\x0d\x00\x00\x00\x0a\x10\x08\x12\x02\x0a\x00\x22\x0a\x0a\x04name\x12\x02s1",
    "\x03\x0a\x03abc\x12\x01d\x12\x01e\x1a\x04\x08\x05\x10\x06",
    "\x01\x0a\x06\x0a\x04\x1a\x02\x1a\x00",
  ],
  dictionary: [
    "\x0a\x02",
    "\x12\x02",
    "\x1a\x00",
    "\x22\x06\x0a\x01a\x12\x01b",
    "__proto__",
    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "\x0b\x0c",
  ],
  run(input) {
    if (input.length === 0) return;
    const [table, schema] = PAIRS[(input[0] as number) % PAIRS.length] as (typeof PAIRS)[number];
    const bytes = input.slice(1);
    const ours = read(() => decode(table, bytes));
    const theirs = read(() => fromBinary(schema, bytes));
    // Both refuse what is broken, in their own ways.
    if (ours === null || theirs === null) return;
    // The library takes a known field of another wire type for one of the right type; we skip it, as proto3 has it.
    if (oddWireTypes(table, schema, bytes)) return;
    same(pick(ours, table), pick(theirs, table), "as the library reads it");
    same(pick(decode(table, encode(table, ours as never)) as never, table), pick(ours, table), "written and read again");
  },
};
export default target;

function read(f: () => unknown): Record<string, unknown> | null {
  try {
    return f() as Record<string, unknown>;
  } catch (error) {
    // A text that is no UTF-8 is a TypeError of the platform.
    check(error instanceof Error && !/undefined|not a function|null/.test(error.message), () => `${(error as Error).stack}`);
    return null;
  }
}

/** What the table knows of a message, from either. */
function pick(message: Record<string, unknown>, table: MessageTable<unknown>): unknown {
  const shown: Record<string, unknown> = {};
  for (const { name, type, shape, oneof } of table.fields.values()) {
    const nested = (value: unknown): unknown =>
      typeof type === "string" || value === undefined ? value : pick(value as Record<string, unknown>, type());
    if (oneof !== null) {
      const held = message[oneof] as { case?: string; value?: unknown } | undefined;
      if (held?.case === name) shown[oneof] = [name, nested(held.value)];
    } else if (shape === "repeated") shown[name] = (message[name] as unknown[]).map(nested);
    // The library loses this key: it makes it the map's prototype.
    else if (shape === "map") shown[name] = Object.entries(message[name] as object).filter(([key]) => key !== "__proto__");
    else shown[name] = nested(message[name]);
  }
  return shown;
}

/** Some field is not of the wire type it should have, or is a case of a oneof that only the library knows. */
function oddWireTypes(table: MessageTable<unknown>, schema: DescMessage, bytes: Uint8Array): boolean {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const known = table.fields.get(number);
    const described = schema.fields.find((one) => one.number === number);
    if (known === undefined) {
      if (described !== undefined) return true;
      reader.skip(wire, number);
      continue;
    }
    if (wire !== WIRE[typeof known.type === "string" && known.shape !== "map" ? known.type : "bytes"]) return true;
    if (typeof known.type === "string") {
      if (known.shape === "map" && oddEntry(reader.bytes())) return true;
      if (known.shape !== "map") reader.skip(wire, number);
    } else if (oddWireTypes(known.type(), described?.message as DescMessage, reader.bytes())) return true;
  }
  return false;
}

function oddEntry(bytes: Uint8Array): boolean {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number <= 2 && wire !== WireType.LengthDelimited) return true;
    reader.skip(wire, number);
  }
  return false;
}

const WIRE = {
  string: WireType.LengthDelimited,
  bytes: WireType.LengthDelimited,
  bool: WireType.Varint,
  uint32: WireType.Varint,
  int32: WireType.Varint,
  int64: WireType.Varint,
  uint64: WireType.Varint,
  fixed32: WireType.Bit32,
  fixed64: WireType.Bit64,
  float: WireType.Bit32,
} as const;
