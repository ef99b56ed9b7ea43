// W3C Trace Context, level 1: `traceparent: 00-{trace id}-{parent id}-{flags}`. `tracestate` belongs to others and is left alone.
import type { Fields } from "#http";
import { fromHex, onlyValue, toHex } from "./fields.ts";
import type { TraceContext } from "./index.ts";

// Lower case only; what a later version appends after a dash is not understood (§3.2.4 of the recommendation).
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

export function readTraceparent(fields: Fields): TraceContext | null {
  const text = onlyValue(fields, "traceparent");
  const parts = text === null ? null : FORM.exec(text);
  if (parts === null) return null;
  const [, version, traceId = "", spanId = "", flags = "", rest] = parts;
  if (version === "ff" || (version === "00" && rest !== undefined)) return null;
  // All zeros are invalid.
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return {
    format: "traceparent",
    traceId: fromHex(traceId) as Uint8Array,
    spanId: fromHex(spanId) as Uint8Array,
    flags: Number.parseInt(flags, 16),
  };
}

/** Version 00, whatever came: that is the one whose meaning is known here. */
export function writeTraceparent({ traceId, spanId, flags }: TraceContext): string {
  return `00-${toHex(traceId)}-${toHex(spanId)}-${flags.toString(16).padStart(2, "0")}`;
}
