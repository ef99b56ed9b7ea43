import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Fields } from "#http";
import { isSampled, readTraceContext, type TraceContext, writeTraceContext } from "./index.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
const bin = (hex: string): string => Buffer.from(hex, "hex").toString("base64");
const NEXT = bytes("00f067aa0ba902b7");
const onlyValue = (fields: Fields, name: string): string | undefined => fields[fields.indexOf(name) + 1];

describe("grpc-trace-bin", () => {
  const whole = `0000${TRACE}01${SPAN}0201`;

  test.each([
    ["whole", bin(whole), TRACE, SPAN, 1],
    ["without padding", bin(whole).replace(/=+$/, ""), TRACE, SPAN, 1],
    ["in another order", bin(`000200`.concat(`01${SPAN}`, `00${TRACE}`)), TRACE, SPAN, 0],
    ["a field of a later version ends it", bin(`0000${TRACE}09ffff01${SPAN}`), TRACE, "", 0],
    ["a version alone", bin("00"), "", "", 0],
  ])("%s", (_, value, traceId, spanId, flags) => {
    const context = readTraceContext(["grpc-trace-bin", value]);
    expect(context).toEqual({ format: "grpc-trace-bin", traceId: bytes(traceId), spanId: bytes(spanId), flags });
  });

  test.each([
    ["another version", bin(`0100${TRACE}`)],
    ["a field that is cut off", bin(`0000${TRACE}01b7`)],
    ["no base64", "!!!"],
    ["nothing", ""],
  ])("not read: %s", (_, value) => expect(readTraceContext(["grpc-trace-bin", value])).toBeNull());

  test("written again with another span", () => {
    const fields = ["te", "trailers", "grpc-trace-bin", bin(whole)];
    const written = writeTraceContext(fields, readTraceContext(fields) as TraceContext, NEXT);
    expect(written).toEqual(["te", "trailers", "grpc-trace-bin", bin(`0000${TRACE}0100f067aa0ba902b70201`)]);
  });
});

describe("B3", () => {
  test.each([
    [TRACE, SPAN, "1", TRACE, SPAN, 1],
    ["8448eb211c80319c", "a1", "0", "00000000000000008448eb211c80319c", "00000000000000a1", 0],
    [TRACE.toUpperCase(), SPAN, "true", TRACE, SPAN, 0],
    [`${TRACE}aa`, SPAN, "1", `${TRACE}aa`, SPAN, 1],
  ])("%s %s %s", (traceId, spanId, sampled, trace, span, flags) => {
    const fields = ["x-b3-traceid", traceId, "x-b3-spanid", spanId, "x-b3-sampled", sampled];
    expect(readTraceContext(fields)).toEqual({ format: "b3", traceId: bytes(trace), spanId: bytes(span), flags });
  });

  test.each([
    ["no span", ["x-b3-traceid", TRACE]],
    ["no hex", ["x-b3-traceid", "xyz0", "x-b3-spanid", SPAN]],
    ["half a byte", ["x-b3-traceid", TRACE, "x-b3-spanid", "abc"]],
    ["empty", ["x-b3-traceid", "", "x-b3-spanid", SPAN]],
    ["endless", ["x-b3-traceid", "ab".repeat(65), "x-b3-spanid", SPAN]],
    ["twice", ["x-b3-traceid", TRACE, "x-b3-spanid", SPAN, "x-b3-spanid", SPAN]],
    ["single-field form", ["b3", `${TRACE}-${SPAN}-1`]],
  ])("not read: %s", (_, fields) => expect(readTraceContext(fields)).toBeNull());

  test("only the span id is written; the flag and the parent stay", () => {
    const fields = ["x-b3-traceid", TRACE, "x-b3-spanid", SPAN, "x-b3-parentspanid", "aa", "x-b3-sampled", "1"];
    const written = writeTraceContext(fields, readTraceContext(fields) as TraceContext, NEXT);
    expect(written).toEqual(["x-b3-traceid", TRACE, "x-b3-parentspanid", "aa", "x-b3-sampled", "1", "x-b3-spanid", "00f067aa0ba902b7"]);
  });
});

describe("traceparent", () => {
  test.each([
    [`00-${TRACE}-${SPAN}-01`, 1],
    [`00-${TRACE}-${SPAN}-00`, 0],
    [`cc-${TRACE}-${SPAN}-03-what-the-future-brings`, 3],
  ])("%s", (value, flags) => {
    expect(readTraceContext(["traceparent", value])).toEqual({
      format: "traceparent",
      traceId: bytes(TRACE),
      spanId: bytes(SPAN),
      flags,
    });
  });

  test.each([
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-1`,
    `cc-${TRACE}-${SPAN}-01more`,
    "",
  ])("not read: %s", (value) => expect(readTraceContext(["traceparent", value])).toBeNull());

  test("written in the version that is known, tracestate as it was", () => {
    const fields = ["traceparent", `cc-${TRACE}-${SPAN}-01-more`, "tracestate", "congo=t61rcWkgMzE"];
    const written = writeTraceContext(fields, readTraceContext(fields) as TraceContext, NEXT);
    expect(onlyValue(written, "traceparent")).toBe(`00-${TRACE}-00f067aa0ba902b7-01`);
    expect(onlyValue(written, "tracestate")).toBe("congo=t61rcWkgMzE");
  });
});

test("the first format that can be read is the one, the others stay as they are", () => {
  const b3 = ["x-b3-traceid", TRACE, "x-b3-spanid", SPAN, "x-b3-sampled", "1"];
  const w3c = ["traceparent", `00-${TRACE}-${SPAN}-01`];
  expect(readTraceContext([...w3c, ...b3, "grpc-trace-bin", bin(`0000${TRACE}`)])?.format).toBe("grpc-trace-bin");
  const broken = ["grpc-trace-bin", "?", ...w3c, ...b3];
  const context = readTraceContext(broken) as TraceContext;
  expect(context.format).toBe("b3");
  expect(isSampled(context)).toBe(true);
  expect(writeTraceContext(broken, context, NEXT).slice(0, 4)).toEqual(broken.slice(0, 4) as string[]);
  expect(readTraceContext(["host", "a", "tracestate", "x=1"])).toBeNull();
});

test("what is written is read back, whatever the ids", () => {
  const id = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).filter((of) => of.some((byte) => byte !== 0));
  fc.assert(
    fc.property(
      id(16),
      id(8),
      id(8),
      fc.nat(255),
      fc.constantFrom("grpc-trace-bin", "b3", "traceparent"),
      (trace, span, next, flags, format) => {
        const hex = (of: Uint8Array) => Buffer.from(of).toString("hex");
        const fields =
          format === "b3"
            ? ["x-b3-traceid", hex(trace), "x-b3-spanid", hex(span), "x-b3-sampled", String(flags & 1)]
            : format === "traceparent"
              ? ["traceparent", `00-${hex(trace)}-${hex(span)}-${flags.toString(16).padStart(2, "0")}`]
              : ["grpc-trace-bin", bin(`0000${hex(trace)}01${hex(span)}02${flags.toString(16).padStart(2, "0")}`)];
        const context = readTraceContext(fields) as TraceContext;
        const again = readTraceContext(writeTraceContext(fields, context, next)) as TraceContext;
        expect(again).toEqual({ ...context, spanId: next });
        expect(isSampled(again)).toBe((flags & 1) === 1);
      },
    ),
  );
});

test("any text of a trace field is read or not, and never throws", () => {
  fc.assert(
    fc.property(fc.constantFrom("grpc-trace-bin", "x-b3-traceid", "traceparent"), fc.string(), (name, value) => {
      readTraceContext([name, value, "x-b3-spanid", value]);
    }),
  );
});
