// The tables against the descriptors of the published API, and both ways over the wire.
import { expect, test } from "bun:test";
import { create, type DescField, type DescMessage, fromBinary, ScalarType, toBinary } from "@bufbuild/protobuf";
import { ObserveRequestSchema, TapEventSchema } from "#api/tap_pb";
import { decode, encode, type MessageTable } from "#grpc";
import { observeRequest, tapEvent } from "./index.ts";

function kindOf(field: DescField): string {
  if (field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message")) return "message";
  if (field.fieldKind === "map") return "string";
  return field.fieldKind === "enum" ? "int32" : ScalarType[(field as { scalar: ScalarType }).scalar].toLowerCase();
}

function compare(table: MessageTable<unknown>, descriptor: DescMessage, seen = new Set<DescMessage>()): void {
  if (seen.has(descriptor)) return;
  seen.add(descriptor);
  expect([...table.fields.keys()].sort(), descriptor.typeName).toEqual(descriptor.fields.map(({ number }) => number).sort());
  for (const field of descriptor.fields) {
    const mine = table.fields.get(field.number);
    expect(mine, `${descriptor.typeName}.${field.name}`).toMatchObject({
      name: field.localName,
      oneof: field.oneof?.localName ?? null,
      shape: field.fieldKind === "list" ? "repeated" : field.fieldKind === "map" ? "map" : "single",
    });
    expect(typeof mine?.type === "string" ? mine.type : "message", `${descriptor.typeName}.${field.name}`).toBe(kindOf(field));
    const nested = field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message") ? field.message : null;
    if (nested && typeof mine?.type === "function") compare(mine.type(), nested, seen);
  }
}

test("every field of the API, by number, name and kind", () => {
  compare(observeRequest, ObserveRequestSchema);
  compare(tapEvent, TapEventSchema);
});

test("an event is the same to a runtime with descriptors", () => {
  const event = create(TapEventSchema, {
    source: { ip: { ip: { case: "ipv6", value: { first: 1n, last: 2n ** 64n - 1n } } }, port: 65535 },
    destinationMeta: { labels: { pod: "web-0" } },
    proxyDirection: 2,
    event: {
      case: "http",
      value: {
        event: {
          case: "responseEnd",
          value: {
            id: { base: 7, stream: 2n ** 63n },
            responseBytes: 2n ** 60n,
            eos: { end: { case: "grpcStatusCode", value: 0 } },
            trailers: { headers: [{ name: "grpc-status", value: Uint8Array.of(0x30) }] },
          },
        },
      },
    },
  });
  const bytes = toBinary(TapEventSchema, event);
  expect(fromBinary(TapEventSchema, encode(tapEvent, decode(tapEvent, bytes)))).toEqual(event);
});
