// The whole page of /metrics: every family, the order of families, series and labels (spec proxy §9).
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Registry } from "#metrics";
import { registerProcessMetrics } from "../admin/index.ts";
import type { ClientTls, InboundTarget, ServerTls } from "../telemetry.ts";
import { createTelemetry, ResponseFamilies } from "./scopes.ts";

const RETAIN_MS = 600_000;

function page() {
  const registry = new Registry();
  let now = 0;
  const telemetry = createTelemetry(registry, { retainIdleMs: RETAIN_MS, now: () => now });
  const control = new ResponseFamilies("control_", "control plane", RETAIN_MS);
  telemetry.groupControl(control);
  registerProcessMetrics(registry, {
    identity: { refreshes: 3, current: () => ({ validUntilMs: 1_700_000_000_900, keyPem: "", certChainPem: "", trustAnchorsPem: "" }) },
    exports: { streams: 1, requests: 2, spans: 3 },
  });
  return { registry, telemetry, control, at: (ms: number) => void (now = ms) };
}

/** Numbers of this process, which differ from run to run. */
function masked(text: string): string {
  return text
    .replace(/^(process_\w+) .+$/gm, "$1 N")
    .replace(/git_version="[^"]*"/, 'git_version="V"')
    .replace(/rust_version="[^"]*"/, 'rust_version="R"');
}

const app = { ip: "10.0.0.2", port: 8080 };
const meshed: ServerTls = { kind: "established", clientId: "web.ns.serviceaccount.identity.linkerd.cluster.local" };
const inbound = (tls: ServerTls): InboundTarget => ({ target: app, tls, serverName: "web" });

test("every family in its place, every label in its order", () => {
  const { registry, telemetry, control, at } = page();
  const { inbound: into, outbound: out } = telemetry;

  // §9.7
  into.allow("http", { ...inbound(meshed), authorizationName: "friends" }).add();
  into.deny("http", inbound({ kind: "none", reason: "no_tls_from_remote" })).add();
  into.allow("tcp", { ...inbound({ kind: "none", reason: "port_skipped" }), authorizationName: "everyone" }).add();
  into.deny("tcp", inbound({ kind: "opaque", sni: "example.com" })).add();
  into.terminate(inbound({ kind: "disabled" })).add();
  into.httpError("failfast", app, "web");
  into.tcpError("tls detection timeout", { ip: "fd00::2", port: 8080 });
  out.httpError("identity required");
  out.tcpError("i/o", { ip: "10.96.0.1", port: 80 });

  // §9.3
  const served = into.endpoint({
    ...inbound({ kind: "established", clientId: null }),
    authority: "web.ns:80",
    authorizationName: "friends",
  });
  served.request();
  served.latency(200, 4.9);
  served.response(200, true, -1, null);
  served.request();
  served.latency(200, 2500);
  served.response(200, false, 13, null);
  const tls: ClientTls = { kind: "established", serverId: "api.ns.serviceaccount.identity.linkerd.cluster.local" };
  const labels = [
    ["pod", "api-0"],
    ["service", "api"],
  ] as const;
  const sent = out.endpoint({ authority: "api.ns:8080", target: { ip: "10.0.0.3", port: 8080 }, tls, labels });
  sent.request();
  sent.response(0, false, -1, "timeout");
  sent.request();
  sent.latency(503, 60_000);
  sent.response(503, false, -1, null);
  const bare = out.endpoint({
    authority: null,
    target: { ip: "fd00::3", port: 80 },
    tls: { kind: "none", reason: "ingress_without_override" },
    labels: [],
  });
  bare.request();
  bare.response(200, false, -1, "h2(CANCEL)");

  // §9.4
  const route = into.route("web.ns:80", [["route", "GET /"]]);
  route.request();
  route.latency(200, 1);
  route.response(200, true, -1, null);
  const actual = out.routeActual("api.ns:8080", [["route", "GET /"]]);
  actual.request();
  actual.latency(200, 1);
  actual.response(200, true, -1, null);
  const retryable = out.retryable("api.ns:8080", [["route", "GET /"]]);
  retryable.count();
  retryable.countNoBudget();

  // §9.5
  const controller = control.scope('addr="linkerd-dst.linkerd.svc.cluster.local:8086",tls="true",server_id="dst"');
  controller.request();
  controller.latency(200, 2);
  controller.response(200, true, -1, null);

  // §9.6
  const accepted = into.accept(inbound(meshed)).open();
  accepted.read(10);
  accepted.wrote(20);
  into.connect().open().closed("");
  out.accept({ ip: "10.96.0.1", port: 80 }).open().closed("ECONNRESET");
  out.connect({ authority: "api.ns:8080", target: { ip: "10.0.0.3", port: 8080 }, tls, labels }).open();

  // §9.8
  const stack = out.stack("http", "concrete");
  stack.poll("pending");
  at(250);
  stack.poll("error");
  stack.poll("ready");
  stack.drop();
  stack.drop();

  const golden = join(import.meta.dir, "testdata", "exposition.txt");
  expect(masked(registry.print(0))).toBe(readFileSync(golden, "utf8"));
});

test("before anything has happened there is only the process, its certificate and its exports", () => {
  const { registry } = page();
  const families = [...registry.print(0).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string);
  expect(families.map((name) => name.split("_")[0] as string).filter((word, i, all) => word !== all[i - 1])).toEqual([
    "identity",
    "opencensus",
    "process",
    "proxy",
  ]);
});

test("a stack that is made but not used has no series but its own", () => {
  const { registry, telemetry } = page();
  telemetry.inbound.endpoint({ ...inbound(meshed), authority: null, authorizationName: "friends" });
  telemetry.inbound.allow("http", { ...inbound(meshed), authorizationName: "friends" });
  telemetry.outbound.connect({ authority: null, target: app, tls: { kind: "disabled" }, labels: [] });
  telemetry.outbound.route("web.ns:80", []);
  const text = registry.print(0);
  for (const name of ["request_total", "inbound_http_authz_allow_total", "tcp_open_total", "route_request_total"])
    expect(text).not.toContain(name);
});

test("a series whose stack is gone is printed once more after ten minutes, then absent; others never expire", () => {
  const { registry, telemetry } = page();
  const stackOf = (name: string) =>
    telemetry.outbound.endpoint({ authority: `${name}.ns:80`, target: app, tls: { kind: "disabled" }, labels: [] });
  const [gone, kept] = [stackOf("gone"), stackOf("kept")];
  for (const scope of [gone, kept]) {
    scope.request();
    scope.latency(200, 1);
    scope.response(200, true, -1, null);
  }
  telemetry.outbound.httpError("failfast");
  registry.print(0);
  gone.release();
  expect(registry.print(RETAIN_MS)).toContain("gone.ns");
  expect(registry.print(RETAIN_MS + 1)).toContain("gone.ns");
  const later = registry.print(RETAIN_MS + 2);
  expect(later).not.toContain("gone.ns");
  expect(later).toContain('request_total{direction="outbound",authority="kept.ns"');
  expect(later).toContain('outbound_http_errors_total{error="failfast"} 1');
});

test("what is still in progress when its stack is dropped is counted", () => {
  const { registry, telemetry } = page();
  const scope = telemetry.outbound.endpoint({ authority: "a.ns:80", target: app, tls: { kind: "disabled" }, labels: [] });
  scope.request();
  registry.print(0);
  scope.release();
  registry.print(RETAIN_MS + 1);
  scope.response(200, true, -1, null);
  expect(registry.print(RETAIN_MS + 2)).toMatch(/^response_total\{.*a\.ns.*\} 1$/m);
});

test("series of an open connection stay, however quiet it is", () => {
  const { registry, telemetry } = page();
  const connection = telemetry.inbound.connect().open();
  connection.read(5);
  for (let ms = 0; ms < 5; ms++) registry.print(ms * 2 * RETAIN_MS);
  expect(registry.print(10 * RETAIN_MS)).toMatch(/^tcp_read_bytes_total\{.*\} 5$/m);
  connection.closed("");
  registry.print(11 * RETAIN_MS);
  registry.print(13 * RETAIN_MS);
  expect(registry.print(13 * RETAIN_MS)).not.toContain("tcp_");
});

test("values a peer chooses make neither lines nor series without end", () => {
  const { registry, telemetry } = page();
  const count = 40_000;
  let before = 0;
  for (let i = 0; i < count; i++) {
    if (i === count / 2) {
      Bun.gc(true);
      before = process.memoryUsage().heapUsed;
    }
    const scope = telemetry.inbound.endpoint({
      ...inbound({ kind: "opaque", sni: `${i}.example` }),
      authority: `host-${i}.example:8080`,
      authorizationName: "everyone",
    });
    scope.request();
    scope.latency(200, 1);
    scope.response(200, true, -1, null);
  }
  telemetry.inbound.httpError("failfast", app, 'x",forged="y\n');
  Bun.gc(true);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(16 * 1024 * 1024);
  const lines = registry.print(0).split("\n");
  expect(lines.filter((line) => line.startsWith("request_total{")).length).toBe(10_001);
  expect(lines).toContain(`request_total{overflow="true"} ${count - 10_000}`);
  expect(lines.filter((line) => line.startsWith("response_latency_ms_count{")).length).toBe(5_001);
  expect(lines).toContain(`response_latency_ms_count{overflow="true"} ${count - 5_000}`);
  expect(lines).toContain(
    'inbound_http_errors_total{error="failfast",target_addr="10.0.0.2:8080",target_ip="10.0.0.2",target_port="8080",srv_name="x_,forged=_y_"} 1',
  );
}, 20_000);
