// The OpenCensus agent's trace service as tables: what the exporter says (spec proxy §11; opencensus-proto v1). Names and numbers
// are those of the published protocol; fields that are never set are left out.
import { field, type Method, map, message, repeated } from "#grpc";

type Timestamp = { readonly seconds: bigint; readonly nanos: number };
type TruncatableString = { readonly value: string };
type AttributeValue = { readonly stringValue: TruncatableString };

export type Span = {
  /** 16 bytes. */
  readonly traceId: Uint8Array;
  /** 8 bytes. */
  readonly spanId: Uint8Array;
  /** 8 bytes. */
  readonly parentSpanId: Uint8Array;
  readonly name: TruncatableString;
  readonly kind: number;
  readonly startTime: Timestamp;
  readonly endTime: Timestamp;
  readonly attributes: { readonly attributeMap: readonly { readonly key: string; readonly value: AttributeValue }[] };
};

export type Node = {
  readonly identifier: { readonly hostName: string; readonly pid: number; readonly startTimestamp: Timestamp };
  readonly serviceInfo: { readonly name: string };
  readonly attributes: Readonly<Record<string, string>>;
};

export type ExportTraceServiceRequest = { readonly node: Node | undefined; readonly spans: readonly Span[] };

/** `Span.SpanKind`. */
export const SpanKind = { SERVER: 1, CLIENT: 2 } as const;

const timestamp = message<Timestamp>({ seconds: field(1, "int64"), nanos: field(2, "int32") });
const truncatableString = message<TruncatableString>({ value: field(1, "string") });
const attributeValue = message<AttributeValue>({ stringValue: field(1, () => truncatableString) });
// On the wire a map is a list of its entries.
const attributeEntry = message<Span["attributes"]["attributeMap"][number]>({
  key: field(1, "string"),
  value: field(2, () => attributeValue),
});
const attributes = message<Span["attributes"]>({ attributeMap: repeated(1, () => attributeEntry) });
const span = message<Span>({
  traceId: field(1, "bytes"),
  spanId: field(2, "bytes"),
  parentSpanId: field(3, "bytes"),
  name: field(4, () => truncatableString),
  startTime: field(5, () => timestamp),
  endTime: field(6, () => timestamp),
  attributes: field(7, () => attributes),
  kind: field(14, "int32"),
});
const identifier = message<Node["identifier"]>({
  hostName: field(1, "string"),
  pid: field(2, "uint32"),
  startTimestamp: field(3, () => timestamp),
});
const serviceInfo = message<Node["serviceInfo"]>({ name: field(1, "string") });
const node = message<Node>({ identifier: field(1, () => identifier), serviceInfo: field(3, () => serviceInfo), attributes: map(4) });

export const exportSpans: Method<ExportTraceServiceRequest, unknown> = {
  path: "/opencensus.proto.agent.trace.v1.TraceService/Export",
  request: message<ExportTraceServiceRequest>({ node: field(1, () => node), spans: repeated(2, () => span) }),
  response: message<unknown>({}),
};

/** @param ms since the epoch */
export function timestampOf(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}
