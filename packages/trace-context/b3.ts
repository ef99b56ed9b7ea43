// B3 in several fields: ids in hex, shorter ones padded on the left (spec proxy §11). The single `b3` field is not understood.
import type { Fields } from "#http";
import { fromHex, onlyValue, toHex } from "./fields.ts";
import type { TraceContext } from "./index.ts";

/** Longest id that is looked at, in hex digits. */
const MAX_DIGITS = 128;

export function readB3(fields: Fields): TraceContext | null {
  const spanId = id(onlyValue(fields, "x-b3-spanid"), 8);
  const traceId = id(onlyValue(fields, "x-b3-traceid"), 16);
  if (spanId === null || traceId === null) return null;
  return { format: "b3", traceId, spanId, flags: onlyValue(fields, "x-b3-sampled") === "1" ? 1 : 0 };
}

export function writeB3(spanId: Uint8Array): string {
  return toHex(spanId);
}

function id(text: string | null, bytes: number): Uint8Array | null {
  if (text === null || text === "" || text.length % 2 !== 0 || text.length > MAX_DIGITS) return null;
  return fromHex(text.padStart(bytes * 2, "0"));
}
