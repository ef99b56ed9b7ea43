// Helpers of the tests: blocks as hexadecimal text, lists of fields as pairs.
import type { Decoder } from "./decoder.ts";
import type { Encoder } from "./encoder.ts";

export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.replace(/\s/g, "").match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** "name: value" of each field; "!" before those never indexed. */
export function decodeAll(decoder: Decoder, block: Uint8Array): string[] {
  decoder.decode(block, 0, block.length);
  return decoder.fields.slice(0, decoder.count).map((field) => `${field.sensitive ? "!" : ""}${field.name}: ${field.value}`);
}

export class List {
  encoded: unknown = null;
  readonly fields: readonly string[];

  constructor(...fields: string[]) {
    this.fields = fields;
  }
}

export function writeList(encoder: Encoder, list: List): void {
  for (let i = 0; i < list.fields.length; i += 2) encoder.field(list.fields[i] as string, list.fields[i + 1] as string);
}
