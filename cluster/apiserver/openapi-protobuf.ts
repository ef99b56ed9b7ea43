// /openapi/v2 in the form that kubectl asks for where it validates by itself (kind List, client-side dry runs): a `openapi.v2.Document` of
// gnostic's OpenAPIv2.proto. Pure.
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Definitions, JsonSchema } from "./schema/type-node.ts";

/** Of answers; clients ask with `@` (the older spelling, no valid media type) or `.`. */
export const openApiProtobufType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const asked = /application\/com\.github\.proto-openapi\.spec\.v2[@.]v1\.0\+protobuf/;

export const wantsOpenApiProtobuf = (accept: string | undefined): boolean => accept !== undefined && asked.test(accept);

// Field numbers of OpenAPIv2.proto.
const document = { swagger: 1, info: 2, paths: 8, definitions: 9 } as const;
const infoField = { title: 1, version: 2 } as const;
const named = { name: 1, value: 2 } as const;
const anyYaml = 2;
const schemaField = {
  $ref: 1,
  format: 2,
  description: 4,
  default: 5,
  required: 19,
  enum: 20,
  additionalProperties: 21,
  type: 22,
  items: 23,
  allOf: 24,
  properties: 25,
  vendorExtension: 31,
} as const;

export function openApiProtobuf({ info, definitions }: { info: { title: string; version: string }; definitions: Definitions }): Uint8Array {
  const out = new BinaryWriter();
  text(out, document.swagger, "2.0");
  message(out, document.info, (one) => {
    text(one, infoField.title, info.title);
    text(one, infoField.version, info.version);
  });
  message(out, document.paths, () => {});
  message(out, document.definitions, (all) => namedSchemas(all, definitions, 0));
  return out.finish();
}

/** Schemas in schemas; published ones have a tenth of it. Below, a schema is left open. */
export const maxDepth = 100;

function writeSchema(out: BinaryWriter, given: JsonSchema, depth: number): void {
  if (depth > maxDepth) return;
  const schema = asVersion2(given);
  text(out, schemaField.$ref, schema.$ref);
  text(out, schemaField.format, schema.format);
  text(out, schemaField.description, schema.description);
  if (schema.default !== undefined) message(out, schemaField.default, (any) => text(any, anyYaml, JSON.stringify(schema.default)));
  for (const name of schema.required ?? []) text(out, schemaField.required, name);
  for (const value of schema.enum ?? []) message(out, schemaField.enum, (any) => text(any, anyYaml, JSON.stringify(value)));
  const { additionalProperties, type, items, allOf, properties } = schema;
  if (additionalProperties !== undefined)
    message(out, schemaField.additionalProperties, (item) => {
      if (typeof additionalProperties === "boolean") item.tag(2, WireType.Varint).bool(additionalProperties);
      else message(item, 1, (one) => writeSchema(one, additionalProperties, depth + 1));
    });
  if (type) message(out, schemaField.type, (item) => text(item, 1, type));
  if (items) message(out, schemaField.items, (item) => message(item, 1, (one) => writeSchema(one, items, depth + 1)));
  for (const part of allOf ?? []) message(out, schemaField.allOf, (one) => writeSchema(one, part, depth + 1));
  if (properties) message(out, schemaField.properties, (all) => namedSchemas(all, properties, depth + 1));
  for (const [name, value] of Object.entries(schema)) {
    if (!name.startsWith("x-")) continue;
    message(out, schemaField.vendorExtension, (entry) => {
      text(entry, named.name, name);
      message(entry, named.value, (any) => text(any, anyYaml, JSON.stringify(value)));
    });
  }
}

/**
 * What version 2 cannot say is left open rather than said wrongly, as Kubernetes publishes schemas of CustomResourceDefinitions: any value
 * where null or unknown fields are allowed, no requirement where a default stands in.
 */
function asVersion2(schema: JsonSchema): JsonSchema {
  const [only] = schema.allOf ?? [];
  if (schema.allOf?.length === 1 && only?.$ref) {
    const { allOf: _, ...rest } = schema;
    return { ...rest, $ref: only.$ref };
  }
  if (schema.nullable || schema["x-kubernetes-preserve-unknown-fields"]) {
    const { type: _, items: __, properties: ___, additionalProperties: ____, required: _____, ...rest } = schema;
    return rest;
  }
  const required = schema.required?.filter((name) => schema.properties?.[name]?.default === undefined);
  return required ? { ...schema, required } : schema;
}

function namedSchemas(out: BinaryWriter, schemas: Readonly<Record<string, JsonSchema>>, depth: number): void {
  for (const [name, schema] of Object.entries(schemas))
    message(out, 1, (entry) => {
      text(entry, named.name, name);
      message(entry, named.value, (one) => writeSchema(one, schema, depth));
    });
}

function text(out: BinaryWriter, field: number, value: string | undefined): void {
  if (value) out.tag(field, WireType.LengthDelimited).string(value);
}

function message(out: BinaryWriter, field: number, write: (out: BinaryWriter) => void): void {
  out.tag(field, WireType.LengthDelimited).fork();
  write(out);
  out.join();
}
