// Trace contexts: fields of a request, in any of the formats.
import { readTraceContext, SPAN_ID_BYTES, TRACE_ID_BYTES, writeTraceContext } from "#trace-context";
import { Choices } from "../input.ts";
import { check, same, type Target } from "../target.ts";

const NAMES = ["traceparent", "tracestate", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "grpc-trace-bin", "b3", "host"];
const field = (name: string, value: string): string => String.fromCharCode(NAMES.indexOf(name), value.length) + value;

const target: Target = {
  name: "trace-context",
  what: "trace contexts: read or not, never thrown; what is written with a new span is read back with it, all other fields untouched",
  maxBytes: 512,
  seeds: [
    field("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") + field("tracestate", "a=b"),
    field("x-b3-traceid", "0af7651916cd43dd8448eb211c80319c") + field("x-b3-spanid", "b7ad6b7169203331") + field("x-b3-sampled", "1"),
    field("grpc-trace-bin", "AAAK92UZFs1D3YRI6yEcgDGcAbeta3FpIDMxAgE="),
    field("grpc-trace-bin", "AA") + field("traceparent", "ff-"),
  ],
  dictionary: ["00-", "-01", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "AAAK92UZ", "AgE="],
  run(input) {
    const choices = new Choices(input);
    const fields: string[] = [];
    while (!choices.done && fields.length < 20) fields.push(choices.of(NAMES), choices.text());
    const before = [...fields];
    const context = readTraceContext(fields);
    if (context === null) return;
    const { format, traceId, spanId, flags } = context;
    check(Number.isInteger(flags) && flags >= 0 && flags <= 255, () => `flags ${flags}`);
    check(traceId.length <= 64 && spanId.length <= 64, "ids without a bound");
    if (format === "traceparent") check(traceId.length === TRACE_ID_BYTES && spanId.length === SPAN_ID_BYTES, "ids of traceparent");
    const span = Uint8Array.from({ length: SPAN_ID_BYTES }, (_, i) => i + 1);
    const written = writeTraceContext(fields, context, span);
    same(fields, before, "the fields that were read");
    const again = readTraceContext(written);
    check(again !== null, "what is written cannot be read");
    same([again.format, again.traceId, again.spanId], [format, traceId, span], "what is written");
    same(again.flags & 1, flags & 1, "sampled");
    const own = { traceparent: "traceparent", b3: "x-b3-spanid", "grpc-trace-bin": "grpc-trace-bin" }[format];
    const others = (list: readonly string[]): string[] => list.filter((_, i) => list[i - (i % 2)] !== own);
    same(others(written), others(fields), "other fields");
  },
};
export default target;
