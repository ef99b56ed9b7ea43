import { expect, test } from "bun:test";
import { maxDepth, openApiProtobuf, wantsOpenApiProtobuf } from "./openapi-protobuf.ts";
import type { JsonSchema } from "./schema/type-node.ts";

const encode = (schema: JsonSchema) =>
  Buffer.from(openApiProtobuf({ info: { title: "t", version: "v" }, definitions: { a: schema } })).toString("latin1");

test("both spellings of the media type", () => {
  expect(wantsOpenApiProtobuf("application/com.github.proto-openapi.spec.v2@v1.0+protobuf")).toBe(true);
  expect(wantsOpenApiProtobuf("application/com.github.proto-openapi.spec.v2.v1.0+protobuf, application/json")).toBe(true);
  for (const other of [undefined, "application/json", "*/*", "application/vnd.kubernetes.protobuf"])
    expect(wantsOpenApiProtobuf(other)).toBe(false);
});

test("a document, byte by byte", () => {
  const schema = "b201" + "08" + "0a06" + Buffer.from("string").toString("hex");
  const expected = "0a03322e30" + "1206" + "0a0174" + "120176" + "4200" + "4a12" + "0a10" + "0a0161" + "120b" + schema;
  expect(Buffer.from(encode({ type: "string" }), "latin1").toString("hex")).toBe(expected);
});

test("what version 2 cannot say is left open", () => {
  expect(encode({ allOf: [{ $ref: "#/definitions/other" }] })).toBe(encode({ $ref: "#/definitions/other" }));
  expect(encode({ type: "object", nullable: true, properties: { a: {} }, required: ["a"] })).toBe(encode({}));
  expect(encode({ properties: { a: { default: 1 }, b: {} }, required: ["a", "b"] })).toBe(
    encode({ properties: { a: { default: 1 }, b: {} }, required: ["b"] }),
  );
});

test("nesting has a bound", () => {
  const nested = (depth: number): JsonSchema => (depth === 0 ? { type: "string" } : { type: "array", items: nested(depth - 1) });
  expect(encode(nested(maxDepth))).toContain("string");
  expect(encode(nested(maxDepth + 1))).not.toContain("string");
});
