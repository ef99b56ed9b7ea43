// Protobuf messages by table: a field number, a name, a kind. Results have the shape @bufbuild/protobuf gives, without its
// descriptors, whose loading costs a process more memory than everything the proxy keeps of them (see the ADR on gRPC). The
// wire itself is read and written by that library. Unknown fields are skipped. Pure.
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** A message without what only a runtime with descriptors needs; messages of #api are assignable to it. */
export type Plain<T> = T extends Uint8Array
  ? Uint8Array
  : T extends readonly (infer U)[]
    ? Plain<U>[]
    : T extends object
      ? { [K in keyof T as Exclude<K, "$typeName" | "$unknown">]: Plain<T[K]> }
      : T;

/** Deepest nesting that is read; deeper input is refused. */
export const MAX_DEPTH = 64;

const SCALARS = {
  string: {
    wire: WireType.LengthDelimited,
    zero: () => "",
    read: (r: BinaryReader) => r.string(),
    write: (w: BinaryWriter, v: string) => w.string(v),
  },
  bytes: {
    wire: WireType.LengthDelimited,
    zero: () => new Uint8Array(0),
    // A copy: the view would keep the whole read alive.
    read: (r: BinaryReader) => r.bytes().slice(),
    write: (w: BinaryWriter, v: Uint8Array) => w.bytes(v),
  },
  bool: {
    wire: WireType.Varint,
    zero: () => false,
    read: (r: BinaryReader) => r.bool(),
    write: (w: BinaryWriter, v: boolean) => w.bool(v),
  },
  uint32: {
    wire: WireType.Varint,
    zero: () => 0,
    read: (r: BinaryReader) => r.uint32(),
    write: (w: BinaryWriter, v: number) => w.uint32(v),
  },
  int32: { wire: WireType.Varint, zero: () => 0, read: (r: BinaryReader) => r.int32(), write: (w: BinaryWriter, v: number) => w.int32(v) },
  int64: {
    wire: WireType.Varint,
    zero: () => 0n,
    read: (r: BinaryReader) => BigInt(r.int64()),
    write: (w: BinaryWriter, v: bigint) => w.int64(v),
  },
  uint64: {
    wire: WireType.Varint,
    zero: () => 0n,
    read: (r: BinaryReader) => BigInt(r.uint64()),
    write: (w: BinaryWriter, v: bigint) => w.uint64(v),
  },
  fixed32: {
    wire: WireType.Bit32,
    zero: () => 0,
    read: (r: BinaryReader) => r.fixed32(),
    write: (w: BinaryWriter, v: number) => w.fixed32(v),
  },
  fixed64: {
    wire: WireType.Bit64,
    zero: () => 0n,
    read: (r: BinaryReader) => BigInt(r.fixed64()),
    write: (w: BinaryWriter, v: bigint) => w.fixed64(v),
  },
  float: { wire: WireType.Bit32, zero: () => 0, read: (r: BinaryReader) => r.float(), write: (w: BinaryWriter, v: number) => w.float(v) },
} as const;

export type Scalar = keyof typeof SCALARS;
type Type = Scalar | (() => MessageTable<unknown>);

export type Field = {
  readonly number: number;
  readonly name: string;
  readonly type: Type;
  readonly shape: "single" | "repeated" | "map";
  /** Name of the property that holds `{case, value}`. */
  readonly oneof: string | null;
};

/** `T`: the message of #api that is described; a test compares table and descriptor. */
export type MessageTable<T> = { readonly fields: ReadonlyMap<number, Field>; readonly of?: T };

type Unnamed = Omit<Field, "name" | "oneof">;

/** A field with one value. Messages are given as functions, for those that hold themselves. */
export const field = (number: number, type: Type): Unnamed => ({ number, type, shape: "single" });
export const repeated = (number: number, type: Type): Unnamed => ({ number, type, shape: "repeated" });
/** Text to text. */
export const map = (number: number): Unnamed => ({ number, type: "string", shape: "map" });
/** Alternatives under one property. */
export const oneof = (cases: Readonly<Record<string, Unnamed>>): { readonly cases: Readonly<Record<string, Unnamed>> } => ({ cases });

/** Describes a message; properties have the names of the generated code. */
export function message<T>(properties: Readonly<Record<string, Unnamed | ReturnType<typeof oneof>>>): MessageTable<T> {
  const fields = new Map<number, Field>();
  for (const [name, property] of Object.entries(properties)) {
    if ("cases" in property)
      for (const [each, unnamed] of Object.entries(property.cases)) fields.set(unnamed.number, { ...unnamed, name: each, oneof: name });
    else fields.set(property.number, { ...property, name, oneof: null });
  }
  return { fields };
}

/** @throws {Error} when the bytes are not a message or nest deeper than {@link MAX_DEPTH}. */
export function decode<T>(table: MessageTable<T>, bytes: Uint8Array): Plain<T> {
  const target = empty(table);
  read(table, new BinaryReader(bytes), bytes.length, target, 1);
  return target as Plain<T>;
}

/** Fields that are absent or have their zero value are not written. */
export function encode<T>(table: MessageTable<T>, value: Partial<Plain<T>>): Uint8Array {
  const writer = new BinaryWriter();
  write(table, writer, value as Record<string, unknown>);
  return writer.finish();
}

type Target = Record<string, unknown>;
type Oneof = { case: string | undefined; value?: unknown };

function empty(table: MessageTable<unknown>): Target {
  const target: Target = {};
  for (const { name, type, shape, oneof: group } of table.fields.values()) {
    if (group !== null) target[group] = { case: undefined };
    else if (shape === "repeated") target[name] = [];
    else if (shape === "map") target[name] = {};
    else if (typeof type === "string") target[name] = SCALARS[type].zero();
  }
  return target;
}

function read(table: MessageTable<unknown>, reader: BinaryReader, end: number, target: Target, depth: number): void {
  if (depth > MAX_DEPTH) throw new Error(`messages nest deeper than ${MAX_DEPTH}`);
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const known = table.fields.get(number);
    if (known === undefined || wire !== wireOf(known)) reader.skip(wire, number);
    else readField(known, reader, target, depth);
  }
  if (reader.pos > end) throw new Error("a field ends beyond its message");
}

function wireOf({ type, shape }: Field): WireType {
  return shape === "map" || typeof type !== "string" ? WireType.LengthDelimited : SCALARS[type].wire;
}

function readField({ name, type, shape, oneof: group }: Field, reader: BinaryReader, target: Target, depth: number): void {
  if (shape === "map") {
    const [key, value] = readEntry(reader);
    // Own data only: `__proto__` is a key like any other.
    if (key === "__proto__")
      Object.defineProperty(target[name] as object, key, { value, enumerable: true, configurable: true, writable: true });
    else (target[name] as Record<string, string>)[key] = value;
    return;
  }
  if (shape === "repeated") {
    (target[name] as unknown[]).push(readValue(type, reader, undefined, depth));
    return;
  }
  if (group === null) {
    target[name] = readValue(type, reader, target[name], depth);
    return;
  }
  const held = target[group] as Oneof;
  target[group] = { case: name, value: readValue(type, reader, held.case === name ? held.value : undefined, depth) };
}

/** A message that comes in parts is merged, as protobuf has it. */
function readValue(type: Type, reader: BinaryReader, before: unknown, depth: number): unknown {
  if (typeof type === "string") return SCALARS[type].read(reader);
  const table = type();
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new Error("a message ends beyond its bytes");
  const target = (before as Target | undefined) ?? empty(table);
  read(table, reader, end, target, depth + 1);
  return target;
}

function readEntry(reader: BinaryReader): [string, string] {
  const length = reader.uint32();
  const end = reader.pos + length;
  let key = "";
  let value = "";
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    if (number === 1 && wire === WireType.LengthDelimited) key = reader.string();
    else if (number === 2 && wire === WireType.LengthDelimited) value = reader.string();
    else reader.skip(wire, number);
  }
  if (reader.pos > end) throw new Error("a map entry ends beyond its bytes");
  return [key, value];
}

function write(table: MessageTable<unknown>, writer: BinaryWriter, value: Record<string, unknown>): void {
  for (const known of table.fields.values()) {
    if (known.oneof !== null) {
      const held = value[known.oneof] as Oneof | undefined;
      if (held?.case === known.name) writeValue(known, writer, held.value);
    } else if (known.shape === "map")
      for (const entry of Object.entries((value[known.name] ?? {}) as Record<string, string>)) writeEntry(known, writer, entry);
    else if (known.shape === "repeated") for (const one of (value[known.name] ?? []) as unknown[]) writeValue(known, writer, one);
    else if (!isZero(value[known.name])) writeValue(known, writer, value[known.name]);
  }
}

const isZero = (value: unknown): boolean =>
  value === undefined ||
  value === "" ||
  Object.is(value, 0) ||
  value === 0n ||
  value === false ||
  (value instanceof Uint8Array && value.length === 0);

function writeValue({ number, type }: Field, writer: BinaryWriter, value: unknown): void {
  if (typeof type === "string") {
    writer.tag(number, SCALARS[type].wire);
    (SCALARS[type].write as (w: BinaryWriter, v: unknown) => void)(writer, value);
    return;
  }
  writer.tag(number, WireType.LengthDelimited).fork();
  write(type(), writer, value as Record<string, unknown>);
  writer.join();
}

function writeEntry({ number }: Field, writer: BinaryWriter, [key, value]: [string, string]): void {
  writer.tag(number, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).string(key).tag(2, WireType.LengthDelimited).string(value);
  writer.join();
}
