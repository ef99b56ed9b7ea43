// Traces from end to end: requests with a context through two proxies to a collector nobody here wrote (spec proxy §11, §17.60).
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type IncomingHttpHeaders, request } from "node:http";
import type { AddressInfo } from "node:net";
import { Log } from "#log";
import { parseConfig } from "../config/index.ts";
import { type Control, createControl } from "../control/index.ts";
import { createEngines } from "../http/engines.ts";
import { ResponseFamilies } from "../metrics/scopes.ts";
import { createObservation } from "../observe.ts";
import { createRuntime } from "../runtime.ts";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { http2App, http2Client, http2Request } from "../testing/http2.ts";
import { type Mesh, mesh } from "../testing/mesh.ts";
import { allowAll } from "../testing/policies.ts";
import { type Span, SpanKind } from "./api.ts";
import { describeNode, MAX_BATCH_AGE_MS, MAX_BATCH_SPANS, MAX_QUEUED_SPANS, parseAttributes, SpanExporter, Tracer } from "./index.ts";
import { Collector, type ReceivedSpan } from "./testing/collector.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

let ca: TestCa;
beforeAll(async () => {
  ca = await createCa();
});
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0).reverse()) undo();
});

async function collectorIn(): Promise<Collector> {
  const collector = new Collector();
  await collector.listen();
  cleanup.push(() => collector.stop());
  return collector;
}

/** The control side of a proxy whose collector listens on a port of this machine. */
function controlOf(port: number): Control {
  const parsed = parseConfig({
    LINKERD2_PROXY_IDENTITY_DISABLED: "true",
    LINKERD2_PROXY_DESTINATION_SVC_ADDR: "localhost.:1",
    LINKERD2_PROXY_TRACE_COLLECTOR_SVC_ADDR: `localhost.:${port}`,
    LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_MIN: "1ms",
    LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_MAX: "5ms",
  });
  if ("errors" in parsed) throw new Error(parsed.errors.join("\n"));
  const control = createControl({
    config: parsed.config,
    runtime: createRuntime((error) => {
      throw error;
    }),
    engines: createEngines({ streamWindow: 65535, connectionWindow: 1048576, now: () => performance.now(), wallMs: () => Date.now() }),
    tls: null,
    families: new ResponseFamilies("control_", "control plane", 1000),
    log: new Log({ filter: "off", format: "plain", write() {}, uptimeMs: () => 0 }),
  });
  cleanup.push(() => control.stop());
  return control;
}

/** Timers that a test fires. */
class Timers {
  readonly pending: { run: () => void; ms: number }[] = [];
  readonly schedule = (run: () => void, ms: number): (() => void) => {
    const timer = { run, ms };
    this.pending.push(timer);
    return () => void this.#take(timer);
  };

  fire(ms: number): void {
    const timer = this.pending.find((one) => one.ms === ms);
    if (timer === undefined) throw new Error(`no timer of ${ms} ms`);
    this.#take(timer);
    timer.run();
  }

  #take(timer: { run: () => void; ms: number }): void {
    const at = this.pending.indexOf(timer);
    if (at >= 0) this.pending.splice(at, 1);
  }
}

function exporterTo(port: number): { readonly exporter: SpanExporter; readonly timers: Timers; readonly control: Control } {
  const control = controlOf(port);
  const timers = new Timers();
  const exporter = new SpanExporter({
    acquire: (use) => control.collector?.acquire(use) ?? (() => {}),
    node: describeNode({
      hostname: "web-0",
      pid: 42,
      startMs: 1_700_000_000_250,
      attributes: parseAttributes('app="web"\ntier="front"\n'),
    }),
    backoff: { minMs: 1, maxMs: 1, jitter: 0 },
    random: () => 0.5,
    schedule: timers.schedule,
    onProblem() {},
  });
  cleanup.push(() => exporter.close());
  return { exporter, timers, control };
}

type Scene = Mesh & { readonly collector: Collector; readonly flush: () => void; readonly exporters: readonly SpanExporter[] };

/** A mesh whose two proxies send their spans to one collector. */
async function scene(): Promise<Scene> {
  const collector = await collectorIn();
  const sides = [exporterTo(collector.port), exporterTo(collector.port)];
  const observers = sides.map(({ exporter }) => {
    const tracer = new Tracer({
      sink: (span) => exporter.add(span),
      wallMs: () => performance.timeOrigin + performance.now(),
      random: (bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
    });
    return createObservation({ tracer, now: () => performance.now() }).observers;
  });
  const [a, b] = observers;
  if (a === undefined || b === undefined) throw new Error("two sides");
  const it = await mesh({ ca, a: { observers: a }, b: { observers: b } });
  cleanup.push(() => it.stop());
  return {
    ...it,
    collector,
    exporters: sides.map(({ exporter }) => exporter),
    flush: () => {
      for (const { timers } of sides) if (timers.pending.some(({ ms }) => ms === MAX_BATCH_AGE_MS)) timers.fire(MAX_BATCH_AGE_MS);
    },
  };
}

/** An HTTP/1 server behind B that remembers the headers it got. */
async function app(it: Mesh): Promise<IncomingHttpHeaders[]> {
  const seen: IncomingHttpHeaders[] = [];
  const server = createServer((incoming, response) => {
    seen.push(incoming.headers);
    response.writeHead(201, { "content-length": "2" }).end("ok");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  it.b.inboundDst = { ip: "127.0.0.1", port };
  it.b.policy(port, allowAll());
  return seen;
}

function get(it: Mesh, path: string, headers: Record<string, string>): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  request({ host: "127.0.0.1", port: it.port, path, headers: { host: "web.ns", ...headers }, agent: false }, (response) => {
    response.resume();
    response.on("end", () => resolve(response.statusCode as number));
  })
    .on("error", reject)
    .end();
  return promise;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const attributes = (span: ReceivedSpan | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(span?.attributes.attributeMap ?? {}).map(([key, { stringValue }]) => [key, stringValue.value]));

async function spansOf(it: Scene, count: number): Promise<ReceivedSpan[]> {
  await it.collector.until(() => it.collector.streams >= 2);
  it.flush();
  await it.collector.until(() => it.collector.spans.length >= count);
  return it.collector.spans;
}

describe("through two proxies", () => {
  test("B3 on HTTP/1: four spans, each the parent of the next; trace id and flag stay", async () => {
    const it = await scene();
    const seen = await app(it);
    const b3 = { "x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1", "x-b3-parentspanid": "ff00" };
    expect(await get(it, "/books?page=2", b3)).toBe(201);
    const spans = await spansOf(it, 4);
    expect(spans.length).toBe(4);
    // The order of the hops is that of the parents.
    const chain: ReceivedSpan[] = [];
    for (let parent = SPAN; chain.length < 4; ) {
      const next = spans.find(({ parentSpanId }) => hex(parentSpanId) === parent) as ReceivedSpan;
      chain.push(next);
      parent = hex(next.spanId);
    }
    expect(chain.map((span) => `${attributes(span)["direction"]} ${span.kind}`)).toEqual([
      "outbound SERVER",
      "outbound CLIENT",
      "inbound SERVER",
      "inbound CLIENT",
    ]);
    for (const span of chain) {
      expect(hex(span.traceId)).toBe(TRACE);
      expect(span.name.value).toBe("/books");
      expect(attributes(span)).toMatchObject({
        "http.method": "GET",
        "http.path": "/books?page=2",
        "http.status_code": "201",
      });
      const time = ({ seconds, nanos }: { seconds: string; nanos: number }) => Number(seconds) * 1000 + nanos / 1e6;
      expect(time(span.endTime)).toBeGreaterThanOrEqual(time(span.startTime));
      expect(Math.abs(time(span.endTime) - Date.now())).toBeLessThan(60_000);
    }
    // Between the proxies the host is HTTP/2's `:authority`.
    expect(chain.map((span) => attributes(span)["http.host"])).toEqual(["web.ns", "web.ns", undefined, "web.ns"]);
    expect(chain.map((span) => attributes(span)["http.authority"])).toEqual([undefined, "web.ns", "web.ns", "web.ns"]);
    expect(seen[0]).toMatchObject({ ...b3, "x-b3-spanid": hex((chain[3] as ReceivedSpan).spanId) });
    const [first] = it.collector.requests;
    expect(first?.node).toMatchObject({
      identifier: { hostName: "web-0", pid: 42, startTimestamp: { seconds: "1700000000" } },
      serviceInfo: { name: "linkerd-proxy" },
      attributes: { app: "web", tier: "front" },
    });
  });

  test("traceparent on HTTP/2, tracestate untouched", async () => {
    const it = await scene();
    let headers: IncomingHttpHeaders = {};
    const server = await http2App((stream, received) => {
      headers = received;
      stream.respond({ ":status": 200 }, { endStream: true });
    });
    cleanup.push(() => server.stop());
    it.b.inboundDst = { ip: "127.0.0.1", port: server.port };
    it.b.policy(server.port, allowAll());
    const session = http2Client(it.port);
    cleanup.push(() => session.destroy());
    await http2Request(session, { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: "a=1,b=2" });
    const spans = await spansOf(it, 4);
    expect(spans.map(({ traceId }) => hex(traceId))).toEqual(Array(4).fill(TRACE));
    expect(headers["tracestate"]).toBe("a=1,b=2");
    const last = spans.find((span) => `${attributes(span)["direction"]} ${span.kind}` === "inbound CLIENT") as ReceivedSpan;
    expect(headers["traceparent"]).toBe(`00-${TRACE}-${hex(last.spanId)}-01`);
    expect(attributes(last)["http.authority"]).toBe("web.ns");
  });

  test("grpc-trace-bin", async () => {
    const it = await scene();
    const seen = await app(it);
    const value = Buffer.from(`0000${TRACE}01${SPAN}0201`, "hex").toString("base64");
    await get(it, "/", { "grpc-trace-bin": value });
    const spans = await spansOf(it, 4);
    const last = spans.find((span) => `${attributes(span)["direction"]} ${span.kind}` === "inbound CLIENT") as ReceivedSpan;
    expect(seen[0]?.["grpc-trace-bin"]).toBe(Buffer.from(`0000${TRACE}01${hex(last.spanId)}0201`, "hex").toString("base64"));
  });

  test("not sampled: a new span id, no span; without a context nothing is made up", async () => {
    const it = await scene();
    const seen = await app(it);
    await get(it, "/", { traceparent: `00-${TRACE}-${SPAN}-00` });
    await get(it, "/", {});
    expect(seen[0]?.["traceparent"]).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    expect(seen[0]?.["traceparent"]).not.toContain(SPAN);
    expect(Object.keys(seen[1] ?? {}).filter((name) => /trace|b3/.test(name))).toEqual([]);
    expect(it.exporters.map(({ counts }) => counts.streams)).toEqual([0, 0]);
  });

  test("a request that the proxy answers itself has its span", async () => {
    const it = await scene();
    it.app.stop();
    expect(await get(it, "/", { "x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1" })).toBe(502);
    const spans = await spansOf(it, 4);
    expect(spans.map((span) => attributes(span)["http.status_code"])).toEqual(Array(4).fill("502"));
  });
});

test("without a collector headers pass byte for byte", async () => {
  const it = await mesh({ ca });
  cleanup.push(() => it.stop());
  const seen = await app(it);
  const headers = {
    "x-b3-traceid": TRACE,
    "x-b3-spanid": SPAN,
    "x-b3-sampled": "1",
    traceparent: `00-${TRACE}-${SPAN}-01`,
    "grpc-trace-bin": Buffer.from(`0000${TRACE}01${SPAN}0201`, "hex").toString("base64"),
  };
  await get(it, "/", headers);
  expect(seen[0]).toMatchObject(headers);
});

describe("the exporter", () => {
  const span = (n: number): Span => ({
    traceId: new Uint8Array(16).fill(1),
    spanId: new Uint8Array(8).fill(2),
    parentSpanId: new Uint8Array(8).fill(3),
    name: { value: `/${n}` },
    kind: SpanKind.SERVER,
    startTime: { seconds: 1n, nanos: 0 },
    endTime: { seconds: 2n, nanos: 0 },
    attributes: { attributeMap: [] },
  });
  const names = (collector: Collector) => collector.spans.map(({ name }) => name.value);

  test("a batch of its bound goes at once, one less waits for its time; the node is said once a stream", async () => {
    const collector = await collectorIn();
    const { exporter, timers } = exporterTo(collector.port);
    exporter.add(span(0));
    await collector.until(() => collector.streams === 1);
    for (let i = 1; i < MAX_BATCH_SPANS; i++) exporter.add(span(i));
    await collector.until(() => collector.requests.length === 1);
    expect(collector.requests[0]?.spans.length).toBe(MAX_BATCH_SPANS);
    for (let i = 0; i < MAX_BATCH_SPANS - 1; i++) {
      exporter.add(span(i));
      // What is passed on within a turn is taken within it.
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(exporter.counts).toEqual({ streams: 1, requests: 1, spans: MAX_BATCH_SPANS });
    timers.fire(MAX_BATCH_AGE_MS);
    await collector.until(() => collector.requests.length === 2);
    expect(collector.requests[1]?.spans.length).toBe(MAX_BATCH_SPANS - 1);
    expect(collector.requests.map(({ node }) => node !== null)).toEqual([true, false]);
    expect(exporter.counts).toEqual({ streams: 1, requests: 2, spans: 2 * MAX_BATCH_SPANS - 1 });
  });

  test("no collector: as many wait as the bound, one more is dropped; when it comes they are sent", async () => {
    const collector = await collectorIn();
    const { port } = collector;
    collector.stop();
    const { exporter, timers } = exporterTo(port);
    for (let i = 0; i < MAX_QUEUED_SPANS; i++) exporter.add(span(i));
    expect(exporter.dropped).toBe(0);
    exporter.add(span(100));
    expect(exporter.dropped).toBe(1);
    const second = new Collector();
    await second.listen(port);
    cleanup.push(() => second.stop());
    await second.until(() => second.streams === 1);
    timers.fire(MAX_BATCH_AGE_MS);
    await second.until(() => second.spans.length === MAX_QUEUED_SPANS);
    expect(names(second)).toEqual(Array.from({ length: MAX_QUEUED_SPANS }, (_, i) => `/${i}`));
  });

  test("a stream that fails is opened again after a back-off, and what was not sent is kept", async () => {
    const collector = await collectorIn();
    collector.failing = true;
    const { exporter, timers } = exporterTo(collector.port);
    exporter.add(span(1));
    await collector.until(() => collector.streams === 1);
    await until(() => timers.pending.some(({ ms }) => ms === 1));
    collector.failing = false;
    timers.fire(1);
    await collector.until(() => collector.streams === 2);
    timers.fire(MAX_BATCH_AGE_MS);
    await collector.until(() => collector.spans.length === 1);
    expect(names(collector)).toEqual(["/1"]);
    expect(exporter.counts.streams).toBe(2);
  });

  test("closing sends what there is and ends the stream", async () => {
    const collector = await collectorIn();
    const { exporter } = exporterTo(collector.port);
    exporter.add(span(1));
    await collector.until(() => collector.streams === 1);
    exporter.close();
    await collector.until(() => collector.ended === 1);
    expect(names(collector)).toEqual(["/1"]);
    exporter.add(span(2));
    expect(exporter.counts).toEqual({ streams: 1, requests: 1, spans: 1 });
  });
});

test("node attributes: key=value lines, quotes trimmed, other lines passed over", () => {
  expect(parseAttributes('a="1"\nb=2\n\nnothing\n="x"\nc="x=y"\r\n')).toEqual({ a: "1", b: "2", c: "x=y" });
});

/** Looks again each turn of the event loop. */
async function until(is: () => boolean): Promise<void> {
  while (!is()) await new Promise((resolve) => setImmediate(resolve));
}
