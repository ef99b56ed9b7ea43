// Kubernetes's protobuf bodies into the JSON form of the same objects. Typed Go clients (kubectl create, auth, helm) send them;
// answers are JSON, which all of them take.
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { FieldRow, MessageTable } from "./messages.ts";

/** `k8s` and a zero byte, then a runtime.Unknown. */
const magic = [0x6b, 0x38, 0x73, 0x00];
/** Deeper messages are refused. */
export const maxDepth = 100;

export class ProtobufError extends Error {}

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
const extensions = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

export class ProtobufDecoder {
  readonly #messages: MessageTable;
  readonly #byNumber = new Map<string, Map<number, FieldRow>>();

  constructor(messages: MessageTable) {
    this.#messages = messages;
  }

  /**
   * The object with its apiVersion and kind. `definitionOf` gives the message of a kind.
   * @throws {ProtobufError}
   */
  decode(body: Uint8Array, definitionOf: (apiVersion: string, kind: string) => string | undefined): Record<string, unknown> {
    if (!magic.every((byte, index) => body[index] === byte)) throw new ProtobufError("the body does not begin with the protobuf prefix");
    try {
      const { apiVersion, kind, raw } = readUnknown(body.subarray(magic.length));
      const name = definitionOf(apiVersion, kind);
      if (name === undefined || !this.#messages[name])
        throw new ProtobufError(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
      return { apiVersion, kind, ...(this.#message(new BinaryReader(raw), name, 0) as object) };
    } catch (error) {
      if (error instanceof ProtobufError) throw error;
      throw new ProtobufError(`malformed protobuf: ${(error as Error).message}`);
    }
  }

  #fields(name: string): Map<number, FieldRow> {
    let fields = this.#byNumber.get(name);
    if (!fields) {
      const rows = this.#messages[name];
      if (!rows) throw new ProtobufError(`unknown message ${name}`);
      fields = new Map(rows.map((row) => [row[0], row]));
      this.#byNumber.set(name, fields);
    }
    return fields;
  }

  #message(reader: BinaryReader, name: string, depth: number): unknown {
    if (depth > maxDepth) throw new ProtobufError(`nested deeper than ${maxDepth}`);
    const result: Record<string, unknown> = {};
    const fields = this.#fields(name);
    while (reader.pos < reader.len) {
      const [number, wire] = reader.tag();
      const row = fields.get(number);
      if (!row) {
        reader.skip(wire, number);
        continue;
      }
      const [, field, type, flags] = row;
      if (flags.includes("m")) {
        const map = (result[field] ??= {}) as Record<string, unknown>;
        const [key, value] = this.#entry(new BinaryReader(reader.bytes()), type, depth);
        Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
      } else if (flags.includes("r")) {
        const list = (result[field] ??= []) as unknown[];
        if (wire === WireType.LengthDelimited && (type === "int" || type === "bool")) {
          const packed = new BinaryReader(reader.bytes());
          while (packed.pos < packed.len) list.push(this.#value(packed, type, depth));
        } else list.push(this.#value(reader, type, depth));
      } else {
        const value = this.#value(reader, type, depth);
        if (flags.includes("i")) Object.assign(result, value);
        // Go writes the zero of every plain field; JSON leaves it out unless the field is required.
        else if (flags.includes("p") || flags.includes("q") || !isZero(value)) result[field] = value;
      }
    }
    return special[name]?.(result) ?? result;
  }

  #entry(reader: BinaryReader, type: string, depth: number): [string, unknown] {
    let key = "";
    let value: unknown = type === "string" || type === "bytes" ? "" : type === "int" ? 0 : type === "bool" ? false : undefined;
    while (reader.pos < reader.len) {
      const [number, wire] = reader.tag();
      if (number === 1) key = reader.string();
      else if (number === 2) value = this.#value(reader, type, depth);
      else reader.skip(wire, number);
    }
    return [key, value];
  }

  #value(reader: BinaryReader, type: string, depth: number): unknown {
    switch (type) {
      case "string":
        return reader.string();
      case "int":
        return Number(reader.int64());
      case "bool":
        return reader.bool();
      case "double":
        return reader.double();
      case "bytes":
        return Buffer.from(reader.bytes()).toString("base64");
      default:
        return this.#message(new BinaryReader(reader.bytes()), type, depth + 1);
    }
  }
}

function isZero(value: unknown): boolean {
  return (
    value === undefined ||
    value === null ||
    value === "" ||
    value === 0 ||
    value === false ||
    (typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 0)
  );
}

function readUnknown(bytes: Uint8Array): { apiVersion: string; kind: string; raw: Uint8Array } {
  const reader = new BinaryReader(bytes);
  let apiVersion = "";
  let kind = "";
  let raw: Uint8Array = new Uint8Array(0);
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number === 1) {
      const type = new BinaryReader(reader.bytes());
      while (type.pos < type.len) {
        const [inner, innerWire] = type.tag();
        if (inner === 1) apiVersion = type.string();
        else if (inner === 2) kind = type.string();
        else type.skip(innerWire, inner);
      }
    } else if (number === 2) raw = reader.bytes();
    else reader.skip(wire, number);
  }
  return { apiVersion, kind, raw };
}

type Raw = Record<string, unknown>;
const parseRaw = (base64: unknown): unknown =>
  typeof base64 === "string" && base64 !== "" ? JSON.parse(Buffer.from(base64, "base64").toString()) : null;
const time =
  (digits: number) =>
  ({ seconds = 0, nanos = 0 }: Raw) => {
    const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
    if (Number(seconds) === 0 && Number(nanos) === 0) return null;
    return digits === 0 ? `${whole}Z` : `${whole}.${String(Math.floor(Number(nanos) / 1000)).padStart(6, "0")}Z`;
  };

/** Messages whose JSON form is no object with their fields. `null` stands for absent. */
const special: Record<string, (fields: Raw) => unknown> = {
  [`${meta}.Time`]: (fields) => time(0)(fields) ?? "",
  [`${meta}.MicroTime`]: (fields) => time(6)(fields) ?? "",
  [`${meta}.Duration`]: ({ duration = 0 }) => `${Number(duration) / 1e9}s`,
  [`${meta}.FieldsV1`]: (fields) => parseRaw(fields["Raw"]) ?? {},
  [`${meta}.Verbs`]: ({ items = [] }) => items,
  "io.k8s.apimachinery.pkg.api.resource.Quantity": (fields) => fields["string"] ?? "0",
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ({ type = 0, intVal = 0, strVal = "" }) => (type === 1 ? strVal : intVal),
  "io.k8s.apimachinery.pkg.runtime.RawExtension": ({ raw }) => parseRaw(raw) ?? {},
  [`${extensions}.JSON`]: ({ raw }) => parseRaw(raw),
  [`${extensions}.JSONSchemaPropsOrBool`]: ({ schema, allows = false }) => schema ?? allows,
  [`${extensions}.JSONSchemaPropsOrArray`]: ({ schema, jSONSchemas }) => schema ?? jSONSchemas,
  [`${extensions}.JSONSchemaPropsOrStringArray`]: ({ schema, property }) => schema ?? property,
  "io.k8s.api.authentication.v1.ExtraValue": ({ items = [] }) => items,
  "io.k8s.api.authorization.v1.ExtraValue": ({ items = [] }) => items,
};
