// The tables against the descriptors of the published API: same numbers, names and kinds, and the same values for any message.
import { describe, expect, test } from "bun:test";
import { create, type DescField, type DescMessage, fromBinary, type Message, ScalarType, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { DestinationProfileSchema, GetDestinationSchema, UpdateSchema } from "#api/destination_pb";
import { CertifyRequestSchema, CertifyResponseSchema } from "#api/identity_pb";
import { PortSpecSchema, ServerSchema } from "#api/inbound_pb";
import { decode, encode, type Field, MAX_DEPTH, type MessageTable } from "#grpc";
import { methods } from "./api.ts";

const pairs: [string, MessageTable<unknown>, DescMessage][] = [
  ["CertifyRequest", methods.certify.request, CertifyRequestSchema],
  ["CertifyResponse", methods.certify.response, CertifyResponseSchema],
  ["GetDestination", methods.get.request, GetDestinationSchema],
  ["Update", methods.get.response, UpdateSchema],
  ["DestinationProfile", methods.getProfile.response, DestinationProfileSchema],
  ["PortSpec", methods.watchPort.request, PortSpecSchema],
  ["Server", methods.watchPort.response, ServerSchema],
];

/** Fields of the API that the proxy leaves unread, by message and property (spec proxy §8.2, §13.8). */
const UNREAD = new Set([
  "Server.serverIps",
  "Http1.disableInformationalHeaders",
  "Http2.disableInformationalHeaders",
  "Grpc.disableInformationalHeaders",
  "ProtocolHint.opaque",
]);

const nested = (field: Field): MessageTable<unknown> | null => (typeof field.type === "string" ? null : field.type());

function compare(table: MessageTable<unknown>, descriptor: DescMessage, seen: Set<MessageTable<unknown>>): void {
  if (seen.has(table)) return;
  seen.add(table);
  for (const field of descriptor.fields) {
    const mine = table.fields.get(field.number);
    if (UNREAD.has(`${descriptor.name}.${field.localName}`)) {
      expect(mine).toBeUndefined();
      continue;
    }
    expect(mine, `${descriptor.typeName}.${field.name}`).toMatchObject({
      name: field.localName,
      oneof: field.oneof?.localName ?? null,
      shape: shapeOf(field),
    });
    const kind = typeof mine?.type === "string" ? mine.type : "message";
    expect(kind, `${descriptor.typeName}.${field.name}`).toBe(kindOf(field));
    const message = messageOf(field);
    if (mine !== undefined && message !== null) compare(nested(mine) as MessageTable<unknown>, message, seen);
  }
  const numbers = new Set(descriptor.fields.map(({ number }) => number));
  for (const number of table.fields.keys()) expect(numbers.has(number), `${descriptor.typeName}: field ${number}`).toBe(true);
}

const shapeOf = ({ fieldKind }: DescField): string => (fieldKind === "list" ? "repeated" : fieldKind === "map" ? "map" : "single");

function messageOf(field: DescField): DescMessage | null {
  if (field.fieldKind === "message") return field.message;
  return field.fieldKind === "list" && field.listKind === "message" ? field.message : null;
}

function kindOf(field: DescField): string {
  if (messageOf(field) !== null) return "message";
  if (field.fieldKind === "map") return "string";
  if (field.fieldKind === "enum") return "int32";
  return ScalarType[(field as { scalar: ScalarType }).scalar].toLowerCase();
}

/** Any message of a descriptor, a few levels deep, as protobuf-es builds it. */
function anyMessage(descriptor: DescMessage, depth: number): fc.Arbitrary<Message> {
  const parts: Record<string, fc.Arbitrary<unknown>> = {};
  const groups = new Map<string, fc.Arbitrary<unknown>[]>();
  for (const field of descriptor.fields) {
    if (UNREAD.has(`${descriptor.name}.${field.localName}`) || (depth === 0 && messageOf(field) !== null)) continue;
    const value = anyValue(field, depth);
    if (field.oneof === undefined)
      parts[field.localName] = messageOf(field) !== null && field.fieldKind === "message" ? fc.option(value, { nil: undefined }) : value;
    else
      groups.set(field.oneof.localName, [
        ...(groups.get(field.oneof.localName) ?? [fc.constant({ case: undefined })]),
        value.map((of) => ({ case: field.localName, value: of })),
      ]);
  }
  for (const [name, choices] of groups) parts[name] = fc.oneof(...choices);
  return fc.record(parts).map((init) => create(descriptor, init as never));
}

function anyValue(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const message = messageOf(field);
  if (field.fieldKind === "map") return fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 });
  const one = message !== null ? anyMessage(message, depth - 1) : anyScalar(kindOf(field));
  return field.fieldKind === "list" ? fc.array(one, { maxLength: 3 }) : one;
}

function anyScalar(kind: string): fc.Arbitrary<unknown> {
  switch (kind) {
    case "string":
      return fc.string();
    case "bytes":
      return fc.uint8Array({ maxLength: 20 });
    case "bool":
      return fc.boolean();
    case "int32":
      return fc.integer();
    case "uint32":
    case "fixed32":
      return fc.integer({ min: 0, max: 0xffffffff });
    case "int64":
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case "fixed64":
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    case "float":
      return fc.float({ noNaN: true });
    default:
      throw new Error(kind);
  }
}

const OMITTED = new Set([
  "$typeName",
  "$unknown",
  ...[...UNREAD].map((name) => name.split(".")[1] as string).filter((name) => name !== "opaque"),
]);

/** Without what only protobuf-es has, fields that are unread, absent properties and prototypes. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key, of]) => !OMITTED.has(key) && of !== undefined)
        .map(([key, of]) => [key, plain(of)]),
    );
  return value;
}

describe.each(pairs)("%s", (_, table, descriptor) => {
  test("fields are those of the API", () => compare(table, descriptor, new Set()));

  test("decodes what protobuf-es encodes, to the same value", () => {
    fc.assert(
      fc.property(anyMessage(descriptor, 4), (message) => {
        expect(plain(decode(table, toBinary(descriptor, message)))).toEqual(plain(message));
      }),
      { numRuns: 60 },
    );
  });

  test("encodes what protobuf-es decodes, to the same value", () => {
    fc.assert(
      fc.property(anyMessage(descriptor, 4), (message) => {
        expect(plain(fromBinary(descriptor, encode(table, message)))).toEqual(plain(message));
      }),
      { numRuns: 60 },
    );
  });

  test("never anything but a value or an Error, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decode(table, bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
    );
  });
});

describe("bounds and oddities", () => {
  const profile = methods.getProfile.response;
  const nestedNot = (depth: number): Uint8Array => {
    let bytes: Uint8Array = Uint8Array.of();
    const wrap = (field: number, inner: Uint8Array) => Buffer.concat([Buffer.of((field << 3) | 2, ...varint(inner.length)), inner]);
    for (let i = 0; i < depth; i++) bytes = wrap(3, bytes);
    return wrap(1, wrap(1, bytes));
  };
  const varint = (n: number): number[] => (n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...varint(n >> 7)]);

  test("nesting up to the bound is read, one deeper is refused", () => {
    // Profile, route and the first condition are levels too.
    expect(() => decode(profile, nestedNot(MAX_DEPTH - 3))).not.toThrow();
    expect(() => decode(profile, nestedNot(MAX_DEPTH - 2))).toThrow(`deeper than ${MAX_DEPTH}`);
  });

  test("unknown fields and fields of another wire type are passed over", () => {
    // Field 15 varint; field 5 (the name) as a varint; then the name.
    expect(decode(profile, Uint8Array.of(0x78, 0x01, 0x28, 0x07, 0x2a, 0x01, 0x61)).fullyQualifiedName).toBe("a");
  });

  test("a message that comes in two parts is one", () => {
    const parts = [
      toBinary(CertifyResponseSchema, create(CertifyResponseSchema, { validUntil: { seconds: 7n } })),
      toBinary(CertifyResponseSchema, create(CertifyResponseSchema, { validUntil: { nanos: 5 } })),
    ];
    expect(decode(methods.certify.response, Buffer.concat(parts)).validUntil).toEqual({ seconds: 7n, nanos: 5 });
  });

  test("a length beyond the bytes is refused", () => {
    expect(() => decode(profile, Uint8Array.of(0x2a, 0x05, 0x61))).toThrow();
    expect(() => decode(profile, Uint8Array.of(0x32, 0x05, 0x0a))).toThrow();
  });

  test("`__proto__` is a label like any other", () => {
    const bytes = toBinary(ServerSchema, create(ServerSchema, { labels: { name: "a" } }));
    const entry = Buffer.from("\x22\x0e\x0a\x09__proto__\x12\x01x", "latin1");
    const decoded = decode(methods.watchPort.response, Buffer.concat([bytes, entry]));
    expect(Object.keys(decoded.labels)).toEqual(["name", "__proto__"]);
    expect(Object.getPrototypeOf(decoded.labels)).toBe(Object.prototype);
  });
});
