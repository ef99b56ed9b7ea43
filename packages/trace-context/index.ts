// Trace contexts in request fields: grpc-trace-bin, B3 in several fields, and W3C traceparent (spec proxy §11; the last one is
// an addition). Reading finds the first of them that is there, writing gives it a new span id and leaves all other fields as
// they are. Pure. Contract of #trace-context.
import { type Fields, withField } from "#http";
import { readB3, writeB3 } from "./b3.ts";
import { readGrpcTraceBin, writeGrpcTraceBin } from "./grpc-trace-bin.ts";
import { readTraceparent, writeTraceparent } from "./traceparent.ts";

export type TraceContext = {
  readonly format: "grpc-trace-bin" | "b3" | "traceparent";
  /** 16 bytes, unless the sender of B3 wrote more; empty when the sender of grpc-trace-bin left it out. */
  readonly traceId: Uint8Array;
  /** Span of the sender: 8 bytes, with the same exceptions. */
  readonly spanId: Uint8Array;
  /** One byte; bit 0: sampled. */
  readonly flags: number;
};

export const TRACE_ID_BYTES = 16;
export const SPAN_ID_BYTES = 8;
const SAMPLED = 1;

export const isSampled = (context: TraceContext): boolean => (context.flags & SAMPLED) !== 0;

/** The context that request fields carry; null without one, and for one that cannot be read. */
export function readTraceContext(fields: Fields): TraceContext | null {
  // Most requests carry none: one pass over the names finds that out.
  let any = false;
  for (let i = 0; i < fields.length && !any; i += 2) any = isTraceField(fields[i] as string);
  return any ? (readGrpcTraceBin(fields) ?? readB3(fields) ?? readTraceparent(fields)) : null;
}

/** The fields with `spanId` (8 bytes) as the sender's span, in the format the context came in. */
export function writeTraceContext(fields: Fields, context: TraceContext, spanId: Uint8Array): Fields {
  switch (context.format) {
    case "grpc-trace-bin":
      return withField(fields, "grpc-trace-bin", writeGrpcTraceBin({ ...context, spanId }));
    case "b3":
      return withField(fields, "x-b3-spanid", writeB3(spanId));
    case "traceparent":
      return withField(fields, "traceparent", writeTraceparent({ ...context, spanId }));
    default:
      return context.format satisfies never;
  }
}

function isTraceField(name: string): boolean {
  return name === "traceparent" || name === "x-b3-traceid" || name === "grpc-trace-bin";
}
