// The parts of a soak that are no processes: slopes, metrics, payloads, lines, and what its control plane says.
import "reflect-metadata";
import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { Destination, type Update } from "#api/destination_pb";
import { InboundServerPolicies } from "#api/inbound_pb";
import { TapEventSchema } from "#api/tap_pb";
import { Authority } from "../bench/certificates.ts";
import { routes, Source } from "./control-plane.ts";
import { Lines } from "./lines.ts";
import { samplesOf, sum } from "./metrics.ts";
import { Payloads, skewed } from "./payload.ts";
import { slopeOf } from "./slope.ts";
import { PORTS, SERVICES, type State } from "./state.ts";
import { tapped } from "./tap.ts";

test("a line through samples", () => {
  const line = slopeOf([
    [0, 10],
    [1, 12],
    [2, 14],
    [3, 16],
  ]);
  expect(line).toEqual({ slope: 2, margin: 0, mean: 13 });
  // Noise of ±1 without a trend: zero lies within the margin.
  const flat = slopeOf(Array.from({ length: 60 }, (_, i) => [i, 100 + ((i * 7919) % 3) - 1] as const));
  expect(Math.abs(flat.slope)).toBeLessThan(flat.margin);
  expect(flat.margin).toBeLessThan(0.02);
  // A slow wave is no evidence either, though a plain interval would take it for a trend.
  const wave = slopeOf(Array.from({ length: 60 }, (_, i) => [i, 100 + 5 * Math.sin(i / 15)] as const));
  expect(Math.abs(wave.slope)).toBeLessThan(wave.margin);
  expect(slopeOf([[0, 1]]).slope).toBeNaN();
});

test("metrics add up by labels", () => {
  const samples = samplesOf('# HELP x\nx_total{a="1",b="p q"} 3\nx_total{a="2"} 4\ny 1.5\n');
  expect(samples[0]).toEqual({ name: "x_total", labels: { a: "1", b: "p q" }, value: 3 });
  expect([sum(samples, "x_total"), sum(samples, "x_total", { a: "2" }), sum(samples, "y"), sum(samples, "z")]).toEqual([7, 4, 1.5, 0]);
});

test("payloads: the same everywhere, another for each seed", () => {
  const [one, other] = [new Payloads(), new Payloads()];
  expect(one.of(7, 5000).equals(other.of(7, 5000))).toBe(true);
  expect(one.of(7, 100).equals(one.of(8, 100))).toBe(false);
  expect(one.of(123_456, 2 * 1024 * 1024).length).toBe(2 * 1024 * 1024);
  const sizes = Array.from({ length: 1000 }, (_, i) => skewed(i, 16_384));
  expect(Math.max(...sizes)).toBeGreaterThan(12_000);
  expect(Math.max(...sizes)).toBeLessThan(16_384);
  expect(sizes.sort((a, b) => a - b)[500]).toBeLessThan(2000);
});

test("lines, whatever they arrive in", async () => {
  const lines = new Lines(
    new ReadableStream({
      start(controller) {
        for (const part of ["on", "e\ntwo\nthr", "ee\nrest"]) controller.enqueue(new TextEncoder().encode(part));
        controller.close();
      },
    }),
  );
  const others: string[] = [];
  await lines.until("two", (line) => others.push(line));
  expect(others).toEqual(["one"]);
  expect([await lines.next(), await lines.next()]).toEqual(["three", null]);
  await expect(lines.until("four")).rejects.toThrow('without "four"');
});

const STATE: State = {
  serviceAddress: "10.213.1.100",
  podAddress: "10.213.1.2",
  services: SERVICES,
  instances: ["10.213.1.110", "10.213.1.111"],
  serverIdentity: "server.id",
  servers: { [PORTS.http]: { name: "web", opaque: false, clients: ["client.id"] } },
  certificateLifetimeMs: 1000,
};

test("the control plane: all there is, then differences", async () => {
  const source = new Source(STATE);
  const transport = createRouterTransport(routes(source, await Authority.create()));
  const discovery = createClient(Destination, transport);
  const abort = new AbortController();
  const watch = discovery.get({ path: `web.soak.svc.cluster.local:${PORTS.http}` }, { signal: abort.signal })[Symbol.asyncIterator]();
  const next = async (): Promise<Update["update"]> => ((await watch.next()).value as Update).update;
  const first = await next();
  expect(first.case === "add" && first.value.addrs.map(({ addr }) => addr?.port)).toEqual([PORTS.http, PORTS.http]);
  source.replace({ ...STATE, instances: ["10.213.1.111", "10.213.1.112"] });
  const [second, third] = [await next(), await next()];
  expect(second.case === "add" && second.value.addrs[0]?.addr?.ip?.ip.value).toBe(0x0ad50170);
  expect(third.case === "remove" && third.value.addrs[0]?.ip?.ip.value).toBe(0x0ad5016e);

  const policies = createClient(InboundServerPolicies, transport);
  const ports = policies.watchPort({ port: PORTS.http, workload: "w" }, { signal: abort.signal })[Symbol.asyncIterator]();
  expect((await ports.next()).value?.authorizations.length).toBe(1);
  source.replace({ ...STATE, servers: { [PORTS.http]: { name: "web", opaque: false, clients: [] } } });
  expect((await ports.next()).value?.authorizations.length).toBe(0);
  abort.abort();

  const profile = discovery.getProfile({ path: `10.213.1.100:${PORTS.tcp}` })[Symbol.asyncIterator]();
  expect((await profile.next()).value).toMatchObject({ fullyQualifiedName: "tcp.soak.svc.cluster.local", opaqueProtocol: true });
  await profile.return?.();
  await expect(discovery.getProfile({ path: "10.9.9.9:1" })[Symbol.asyncIterator]().next()).rejects.toThrow("no service at 10.9.9.9:1");
});

test("tap events in short", () => {
  const id = { base: 1, stream: 2n };
  const event = (http: object) => create(TapEventSchema, { proxyDirection: 1, event: { case: "http", value: { event: http as never } } });
  expect(
    tapped(event({ case: "requestInit", value: { id, method: { type: { case: "registered", value: 1 } }, path: "/a", authority: "web" } })),
  ).toEqual({
    event: "request",
    id: "1:2",
    direction: "inbound",
    method: "POST",
    path: "/a",
    authority: "web",
    sourceTls: "",
    destinationTls: "",
  });
  expect(tapped(event({ case: "responseInit", value: { id, httpStatus: 503 } }))).toEqual({
    event: "response",
    id: "1:2",
    direction: "inbound",
    status: 503,
  });
  expect(
    tapped(event({ case: "responseEnd", value: { id, responseBytes: 9n, eos: { end: { case: "grpcStatusCode", value: 14 } } } })),
  ).toEqual({
    event: "end",
    id: "1:2",
    direction: "inbound",
    responseBytes: 9,
    grpcStatus: 14,
  });
  expect(tapped(create(TapEventSchema))).toBeNull();
});
