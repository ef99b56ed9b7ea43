// Reads a document as a type: unknown and duplicate fields are found and dropped, wrong types refused, as the real server's decoder does.
import type { TypeNode } from "./type-node.ts";

/** A value that cannot be read as its type; the message is the real server's. */
export class DecodeError extends Error {}

export interface Decoded {
  value: unknown;
  /** Paths of fields the type does not have, `spec.template.foo`. */
  unknown: string[];
}

/** Deeper documents are refused. */
export const maxDepth = 200;
/** More unknown fields are counted, not named. */
const maxUnknownNamed = 100;

/**
 * A copy of `value` with only the fields of `type`; nulls are dropped where the type has no use for them.
 * `kind` names the object in errors. `lenient` leaves values of a wrong type outside the metadata as they are, for a schema to judge.
 * @throws {DecodeError}
 */
export function decode(
  value: unknown,
  type: TypeNode,
  kind: string,
  { keepNulls = false, lenient = false }: { keepNulls?: boolean; lenient?: boolean } = {},
): Decoded {
  const unknown: string[] = [];
  const wrong = (one: unknown, wanted: string, path: string): unknown => {
    if (lenient && path !== "" && path !== "metadata" && !path.startsWith("metadata.")) return one;
    throw mismatch(one, wanted, path, kind);
  };
  const read = (one: unknown, node: TypeNode, path: string, depth: number): unknown => {
    if (depth > maxDepth) throw new DecodeError(`${path}: nested deeper than ${maxDepth}`);
    if (one === null) return null;
    switch (node.kind) {
      case "any":
        return one;
      case "scalar":
        return lenient && !path.startsWith("metadata.") ? one : scalarValue(one, node.scalar, path, kind);
      case "list": {
        if (!Array.isArray(one)) return wrong(one, "array", path);
        const element = node.element();
        const list = new Array(one.length);
        for (let i = 0; i < one.length; i++) list[i] = read(one[i], element, `${path}[${i}]`, depth + 1);
        return list;
      }
      case "map": {
        if (!isRecord(one)) return wrong(one, "map", path);
        const element = node.element();
        const map: Record<string, unknown> = {};
        for (const key in one) {
          const child = read(one[key], element, path === "" ? key : `${path}.${key}`, depth + 1);
          if (child !== null || keepNulls) setOwn(map, key, child);
          // A null in a map of strings is the empty string in Go.
          else if (element.kind === "scalar" && element.scalar === "string") setOwn(map, key, "");
        }
        return map;
      }
      case "struct": {
        if (!isRecord(one)) return wrong(one, "object", path);
        const struct: Record<string, unknown> = {};
        for (const key in one) {
          const at = path === "" ? key : `${path}.${key}`;
          const field = node.field(key);
          if (!field) {
            if (node.preserveUnknown || (node.embedded && (key === "apiVersion" || key === "kind" || key === "metadata")))
              setOwn(struct, key, one[key]);
            else if (unknown.length < maxUnknownNamed) unknown.push(at);
            continue;
          }
          const child = read(one[key], field, at, depth + 1);
          if (child !== null || keepNulls || field.schema.nullable === true) struct[key] = child;
        }
        return struct;
      }
      default:
        return node satisfies never;
    }
  };
  return { value: read(value, type, "", 0), unknown };
}

function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

const goTypes = {
  string: "string",
  integer: "int64",
  number: "float64",
  boolean: "bool",
  "int-or-string": "intstr.IntOrString",
  quantity: "resource.Quantity",
  time: "v1.Time",
  bytes: "[]uint8",
} as const;

function scalarValue(value: unknown, type: keyof typeof goTypes, path: string, kind: string): unknown {
  switch (type) {
    case "string":
      if (typeof value === "string") return value;
      break;
    case "time":
      if (typeof value === "string") return value;
      break;
    case "bytes":
      if (typeof value === "string") {
        if (!/^[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*$/.test(value) || value.replace(/[\r\n]/g, "").length % 4 !== 0)
          throw new DecodeError(`${kind} in version could not be read: illegal base64 data in field ${path}`);
        return value;
      }
      break;
    case "integer":
      if (typeof value === "number") {
        if (Number.isInteger(value)) return value;
        throw new DecodeError(`json: cannot unmarshal number ${value} into Go struct field ${kind}.${path} of type ${goTypes[type]}`);
      }
      break;
    case "number":
      if (typeof value === "number") return value;
      break;
    case "boolean":
      if (typeof value === "boolean") return value;
      break;
    case "int-or-string":
      if (typeof value === "string" || (typeof value === "number" && Number.isInteger(value))) return value;
      break;
    case "quantity":
      if (typeof value === "number") return String(value);
      if (typeof value === "string") {
        if (!quantityPattern.test(value))
          throw new DecodeError(
            `quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' (field ${path})`,
          );
        return value;
      }
      break;
    default:
      return type satisfies never;
  }
  throw mismatch(value, goTypes[type], path, kind);
}

const quantityPattern = /^[+-]?(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/;

function mismatch(value: unknown, wanted: string, path: string, kind: string): DecodeError {
  const found = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  return new DecodeError(`json: cannot unmarshal ${found} into Go struct field ${kind}.${path} of type ${wanted}`);
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
