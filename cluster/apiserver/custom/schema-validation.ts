// Structural schemas of custom resources: defaults and validation, with the real server's messages. CEL rules
// (x-kubernetes-validations) are stored and not evaluated.
import { RE2JS } from "re2js";
import { cloneJson, equalJson } from "../../store/index.ts";
import { isRecord } from "../schema/decode.ts";
import type { JsonSchema } from "../schema/type-node.ts";
import { type FieldError, field } from "../status.ts";

/** Errors beyond this number are left out: the first ones tell what is wrong. */
const maxErrors = 50;

/** Fills in defaults, in place. */
export function applyDefaults(value: unknown, schema: JsonSchema): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) applyDefaults(item, schema.items);
    return;
  }
  if (!isRecord(value)) return;
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const present = value[name];
    if (property.default !== undefined && (present === undefined || (present === null && !property.nullable)))
      value[name] = cloneJson(property.default);
    if (value[name] !== undefined) applyDefaults(value[name], property);
  }
  if (isRecord(schema.additionalProperties))
    for (const [name, child] of Object.entries(value))
      if (!schema.properties?.[name]) applyDefaults(child, schema.additionalProperties as JsonSchema);
}

const typeName = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "array"
      : typeof value === "number"
        ? Number.isInteger(value)
          ? "integer"
          : "number"
        : typeof value;

function fits(value: unknown, type: string): boolean {
  const name = typeName(value);
  return name === type || (type === "number" && name === "integer");
}

const patterns = new Map<string, RE2JS | undefined>();
/** Compiled patterns kept; more are compiled anew each time. */
const maxPatterns = 500;

/** @throws when the pattern is no RE2 expression. */
export function compilePattern(pattern: string): RE2JS {
  return RE2JS.compile(pattern);
}

function matches(pattern: string, text: string): boolean {
  let compiled = patterns.get(pattern);
  if (!patterns.has(pattern)) {
    try {
      compiled = compilePattern(pattern);
    } catch {
      compiled = undefined;
    }
    if (patterns.size < maxPatterns) patterns.set(pattern, compiled);
  }
  return compiled === undefined || compiled.matcher(text).find();
}

/** Adds what is wrong with `value`; `path` is "" at the root. */
export function validateSchema(value: unknown, schema: JsonSchema, path: string, errors: FieldError[]): void {
  if (errors.length >= maxErrors) return;
  if (value === null) {
    if (schema.nullable || schema["x-kubernetes-preserve-unknown-fields"] || !schema.type) return;
  }
  const body = `${path} in body`;
  if (schema["x-kubernetes-int-or-string"]) {
    if (typeof value !== "string" && !Number.isInteger(value)) {
      errors.push(field.typeInvalid(path, typeName(value), `${body} must be of type integer,string: ${JSON.stringify(typeName(value))}`));
      return;
    }
  } else if (schema.type && !fits(value, schema.type)) {
    errors.push(field.typeInvalid(path, typeName(value), `${body} must be of type ${schema.type}: ${JSON.stringify(typeName(value))}`));
    return;
  }
  if (schema.enum && !schema.enum.some((one) => equalJson(one, value))) errors.push(field.notSupported(path, value, schema.enum));
  if (typeof value === "string") validateString(value, schema, path, errors);
  else if (typeof value === "number") validateNumber(value, schema, path, errors);
  else if (Array.isArray(value)) validateArray(value, schema, path, errors);
  else if (isRecord(value)) validateObject(value, schema, path, errors);
  const passes = (one: JsonSchema) => {
    const found: FieldError[] = [];
    validateSchema(value, one, path, found);
    return found;
  };
  for (const one of schema.allOf ?? []) validateSchema(value, one, path, errors);
  const name = JSON.stringify(path);
  if (schema.anyOf) {
    const results = schema.anyOf.map(passes);
    if (results.every((found) => found.length > 0)) {
      errors.push(field.invalid(path, "", `${name} must validate at least one schema (anyOf)`));
      errors.push(...(results[0] ?? []));
    }
  }
  if (schema.oneOf) {
    const results = schema.oneOf.map(passes);
    const valid = results.filter((found) => found.length === 0).length;
    if (valid !== 1) {
      errors.push(
        field.invalid(path, "", `${name} must validate one and only one schema (oneOf). Found ${valid === 0 ? "none" : valid} valid`),
      );
      if (valid === 0) errors.push(...(results[0] ?? []));
    }
  }
  if (schema.not && passes(schema.not).length === 0) errors.push(field.invalid(path, "", `${name} must not validate the schema (not)`));
}

function validateString(value: string, schema: JsonSchema, path: string, errors: FieldError[]): void {
  const body = `${path} in body`;
  const length = schema.minLength !== undefined || schema.maxLength !== undefined ? [...value].length : 0;
  if (schema.minLength !== undefined && length < schema.minLength)
    errors.push(field.invalid(path, value, `${body} should be at least ${schema.minLength} chars long`));
  if (schema.maxLength !== undefined && length > schema.maxLength) errors.push(field.tooLong(path, schema.maxLength));
  if (schema.pattern !== undefined && !matches(schema.pattern, value))
    errors.push(field.invalid(path, value, `${body} should match '${schema.pattern}'`));
  const format = formats[schema.format ?? ""];
  if (format && !format(value))
    errors.push(field.invalid(path, value, `${body} must be of type ${schema.format}: ${JSON.stringify(value)}`));
}

const formats: Record<string, (value: string) => boolean> = {
  "date-time": (value) =>
    /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(value) && !Number.isNaN(Date.parse(value)),
  date: (value) => /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value)),
  duration: (value) =>
    /^\s*(\d+\s*(ns|us|µs|ms|s|m|h|d|w|nanoseconds?|microseconds?|milliseconds?|seconds?|minutes?|hours?|days?|weeks?)\s*)+$/.test(value) ||
    /^(-?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+$/.test(value) ||
    value === "0",
  ipv4: (value) => /^(\d{1,3}\.){3}\d{1,3}$/.test(value) && value.split(".").every((part) => Number(part) < 256),
  cidr: (value) => /^[0-9a-fA-F:.]+\/\d{1,3}$/.test(value),
  uuid: (value) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(value),
  byte: (value) => /^[A-Za-z0-9+/]*={0,2}$/.test(value) && value.length % 4 === 0,
  email: (value) => /^[^@\s]+@[^@\s]+$/.test(value),
  uri: (value) => URL.canParse(value),
};

function validateNumber(value: number, schema: JsonSchema, path: string, errors: FieldError[]): void {
  const body = `${path} in body`;
  if (schema.minimum !== undefined && (schema.exclusiveMinimum ? value <= schema.minimum : value < schema.minimum)) {
    errors.push(
      field.invalid(path, value, `${body} should be greater than${schema.exclusiveMinimum ? "" : " or equal to"} ${schema.minimum}`),
    );
  }
  if (schema.maximum !== undefined && (schema.exclusiveMaximum ? value >= schema.maximum : value > schema.maximum)) {
    errors.push(
      field.invalid(path, value, `${body} should be less than${schema.exclusiveMaximum ? "" : " or equal to"} ${schema.maximum}`),
    );
  }
  if (schema.multipleOf !== undefined && Math.abs(value / schema.multipleOf - Math.round(value / schema.multipleOf)) > 1e-9)
    errors.push(field.invalid(path, value, `${body} should be a multiple of ${schema.multipleOf}`));
  if (schema.format === "int32" && (value < -2147483648 || value > 2147483647))
    errors.push(field.invalid(path, value, `${body} must be of type int32: ${value}`));
}

function validateArray(value: unknown[], schema: JsonSchema, path: string, errors: FieldError[]): void {
  if (schema.minItems !== undefined && value.length < schema.minItems)
    errors.push(field.invalid(path, value.length, `${path} in body should have at least ${schema.minItems} items`));
  if (schema.maxItems !== undefined && value.length > schema.maxItems) errors.push(field.tooMany(path, value.length, schema.maxItems));
  const unique = schema.uniqueItems || schema["x-kubernetes-list-type"] === "set";
  const keys = schema["x-kubernetes-list-type"] === "map" ? (schema["x-kubernetes-list-map-keys"] ?? []) : [];
  if (unique || keys.length > 0) {
    const seen = new Set<string>();
    for (const [index, item] of value.entries()) {
      const id =
        keys.length > 0 && isRecord(item)
          ? Object.fromEntries(keys.map((key) => [key, item[key] ?? schema.items?.properties?.[key]?.default]))
          : item;
      const text = JSON.stringify(id);
      if (seen.has(text)) errors.push(field.duplicate(`${path}[${index}]`, id));
      seen.add(text);
    }
  }
  if (schema.items) for (const [index, item] of value.entries()) validateSchema(item, schema.items, `${path}[${index}]`, errors);
}

function validateObject(value: Record<string, unknown>, schema: JsonSchema, path: string, errors: FieldError[]): void {
  const at = (name: string) => (path === "" ? name : `${path}.${name}`);
  for (const name of schema.required ?? []) if (value[name] === undefined) errors.push(field.required(at(name)));
  const count = Object.keys(value).length;
  if (schema.minProperties !== undefined && count < schema.minProperties)
    errors.push(field.invalid(path, count, `${path} in body should have at least ${schema.minProperties} properties`));
  if (schema.maxProperties !== undefined && count > schema.maxProperties) errors.push(field.tooMany(path, count, schema.maxProperties));
  for (const [name, child] of Object.entries(value)) {
    const property = schema.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    // The server's own rules cover the metadata.
    if (path === "" && name === "metadata") continue;
    if (property) validateSchema(child, property, at(name), errors);
    else if (typeof schema.additionalProperties === "object") validateSchema(child, schema.additionalProperties, at(name), errors);
  }
}
