// Distributed tracing with an OpenCensus collector (spec proxy §11). Without one nothing of this is used and headers pass as
// they are. Contract of tracing.
export { type Span, SpanKind } from "./api.ts";
export {
  type ExportCounts,
  MAX_BATCH_AGE_MS,
  MAX_BATCH_SPANS,
  MAX_QUEUED_SPANS,
  SpanExporter,
  type SpanExporterOptions,
} from "./exporter.ts";
export { describeNode, parseAttributes } from "./node.ts";
export { Tracer, type TracerOptions } from "./tracer.ts";
