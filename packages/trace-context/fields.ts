// Values and hex digits as trace contexts have them.
import type { Fields } from "#http";

/** The only value of a field; null when there is none, or more than one: then nobody knows which is meant. */
export function onlyValue(fields: Fields, name: string): string | null {
  let found: string | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) continue;
    if (found !== null) return null;
    found = fields[i + 1] as string;
  }
  return found;
}

/** Null when the text is not pairs of hex digits, or empty. */
export function fromHex(text: string): Uint8Array | null {
  return /^(?:[0-9A-Fa-f]{2})+$/.test(text) ? new Uint8Array(Buffer.from(text, "hex")) : null;
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
