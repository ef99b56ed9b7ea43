// `grpc-trace-bin`: a version, then numbered fields of fixed lengths, in base64 (spec proxy §11; OpenCensus BinaryEncoding).
import type { Fields } from "#http";
import { onlyValue } from "./fields.ts";
import type { TraceContext } from "./index.ts";

const NAME = "grpc-trace-bin";
const VERSION = 0;
const TRACE_ID = 0;
const SPAN_ID = 1;
const OPTIONS = 2;
const LENGTHS = [16, 8, 1] as const;
// Padding may be left out, as gRPC does in its `-bin` fields.
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export function readGrpcTraceBin(fields: Fields): TraceContext | null {
  const text = onlyValue(fields, NAME);
  if (text === null || !BASE64.test(text)) return null;
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  if (bytes[0] !== VERSION) return null;
  let traceId: Uint8Array = new Uint8Array(0);
  let spanId: Uint8Array = new Uint8Array(0);
  let flags = 0;
  for (let at = 1; at < bytes.length; ) {
    const field = bytes[at++] as number;
    const length = LENGTHS[field];
    // A field of a later version: what comes after it cannot be found.
    if (length === undefined) break;
    if (at + length > bytes.length) return null;
    const value = bytes.subarray(at, at + length);
    if (field === TRACE_ID) traceId = value;
    else if (field === SPAN_ID) spanId = value;
    else flags = value[0] as number;
    at += length;
  }
  return { format: NAME, traceId, spanId, flags };
}

export function writeGrpcTraceBin({ traceId, spanId, flags }: TraceContext): string {
  const bytes = [VERSION];
  if (traceId.length > 0) bytes.push(TRACE_ID, ...traceId);
  bytes.push(SPAN_ID, ...spanId, OPTIONS, flags);
  return Buffer.from(bytes).toString("base64");
}
