import { describe, expect, test } from "bun:test";
import { Log } from "#log";
import { CounterFamily, Registry } from "#metrics";
import type { AdminHandler } from "../contracts.ts";
import { createTelemetry, ResponseFamilies } from "../metrics/scopes.ts";
import { createAdminHandler, registerProcessMetrics } from "./index.ts";

type Request = Parameters<AdminHandler["handle"]>[0];

function world({ filter = "warn,linkerd=info", ready = true } = {}) {
  const registry = new Registry();
  const family = new CounterFamily({ name: "request_total", help: "Requests." });
  family.get('direction="inbound"').add(3);
  registry.group(family);
  const log = new Log({ filter, format: "plain", write() {}, uptimeMs: () => 0 });
  const calls: string[] = [];
  const handler = createAdminHandler({ page: () => registry.print(0), log, ready: () => ready, shutdown: () => calls.push("shutdown") });
  const ask = (
    method: string,
    path: string,
    options: { headers?: Record<string, string>; body?: string | Uint8Array; clientIp?: string } = {},
  ) => {
    const { headers = {}, body = "", clientIp = "127.0.0.1" } = options;
    const request: Request = {
      method,
      path,
      headers: { get: (name) => headers[name]?.split("\n")[0], all: (name) => headers[name]?.split("\n") ?? [] },
      body: typeof body === "string" ? Buffer.from(body) : body,
      clientIp,
      clientId: null,
    };
    return handler.handle(request) as Exclude<ReturnType<AdminHandler["handle"]>, Promise<unknown>>;
  };
  return { ask, log, calls };
}

describe("health", () => {
  test.each([
    [true, "GET", "/ready", 200, "ready\n"],
    [false, "GET", "/ready", 503, "not ready\n"],
    [false, "POST", "/live", 200, "live\n"],
    [true, "GET", "/", 404, ""],
    [true, "GET", "/tasks", 404, ""],
    [true, "GET", "/ready/", 404, ""],
  ])("ready %p: %s %s → %d", (ready, method, path, status, body) => {
    expect(world({ ready }).ask(method, path, { clientIp: "10.0.0.9" })).toMatchObject({ status, body });
  });
});

describe("/metrics", () => {
  const page = '# HELP request_total Requests.\n# TYPE request_total counter\nrequest_total{direction="inbound"} 3\n';

  test("text", () => {
    expect(world().ask("GET", "/metrics", { clientIp: "10.0.0.9" })).toEqual({
      status: 200,
      headers: [["content-type", "text/plain"]],
      body: page,
    });
  });

  test.each(["deflate, gzip;q=1.0", "br\ngzip"])("gzip when any field accepts it: %j", (accepted) => {
    const { headers, body } = world().ask("GET", "/metrics", { headers: { "accept-encoding": accepted } });
    expect(headers).toContainEqual(["content-encoding", "gzip"]);
    expect(Buffer.from(Bun.gunzipSync(body as Uint8Array<ArrayBuffer>)).toString()).toBe(page);
  });
});

describe("/proxy-log-level", () => {
  test("read, changed, and what is wrong named", () => {
    const { ask, log } = world();
    expect(ask("GET", "/proxy-log-level")).toMatchObject({ status: 200, body: "warn,linkerd=info" });
    expect(ask("PUT", "/proxy-log-level", { body: "debug\n" })).toMatchObject({ status: 204, body: "" });
    expect(log.logger("linkerd::app").enabled("debug")).toBe(true);
    expect(ask("PUT", "/proxy-log-level", { body: "linkerd=loud" })).toMatchObject({
      status: 400,
      body: expect.stringContaining("linkerd=loud"),
    });
    expect(ask("PUT", "/proxy-log-level", { body: Uint8Array.of(0xff) })).toMatchObject({ status: 400, body: "the filter is not UTF-8" });
    expect(ask("GET", "/proxy-log-level")).toMatchObject({ body: "debug" });
    expect(ask("DELETE", "/proxy-log-level")).toMatchObject({
      status: 405,
      headers: [
        ["allow", "GET"],
        ["allow", "PUT"],
      ],
    });
  });

  test("absent when the log is off for good", () => {
    expect(world({ filter: " OFF " }).ask("GET", "/proxy-log-level").status).toBe(404);
  });
});

describe("who may", () => {
  test.each([
    ["GET", "/proxy-log-level", "10.0.0.9", {}, 403],
    ["PUT", "/proxy-log-level", "fd00::1", {}, 403],
    ["POST", "/shutdown", "10.0.0.9", {}, 403],
    ["GET", "/shutdown", "10.0.0.9", {}, 405],
    ["GET", "/shutdown", "127.0.0.1", {}, 405],
    ["POST", "/shutdown", "127.0.0.1", { origin: "http://evil.example" }, 403],
    ["POST", "/shutdown", "127.0.0.1", { host: "evil.example:4191" }, 403],
    ["PUT", "/proxy-log-level", "127.0.0.1", { host: "localhost.evil.example" }, 403],
    ["POST", "/shutdown", "127.0.0.1", { host: "LOCALHOST:4191" }, 200],
    ["POST", "/shutdown", "127.0.0.1", { host: "127.0.0.1:4191" }, 200],
    ["POST", "/shutdown", "127.0.0.1", { host: "[::1]:4191" }, 200],
    ["POST", "/shutdown", "127.0.0.9", {}, 200],
    ["POST", "/shutdown", "::1", {}, 200],
  ])("%s %s from %s %p → %d", (method, path, clientIp, headers, status) => {
    const { ask, calls } = world();
    expect(ask(method, path, { clientIp, headers: headers as Record<string, string> }).status).toBe(status);
    expect(calls).toEqual(status === 200 ? ["shutdown"] : []);
  });
});

describe("process and certificate", () => {
  const families = (page: string) => [...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name]) => name as string);

  test("families stand in the order of the reference, the certificate before endpoints", () => {
    const registry = new Registry();
    const telemetry = createTelemetry(registry, { retainIdleMs: 1000, now: () => 0 });
    telemetry.groupControl(new ResponseFamilies("control_", "control plane", 1000));
    registerProcessMetrics(registry, {
      identity: { refreshes: 2, current: () => ({ validUntilMs: 1_700_000_000_500, keyPem: "", certChainPem: "", trustAnchorsPem: "" }) },
    });
    telemetry.outbound.httpError("unexpected");
    telemetry.outbound.endpoint({ authority: null, target: { ip: "10.0.0.1", port: 80 }, tls: { kind: "disabled" }, labels: [] }).request();
    const page = registry.print(0);
    const names = families(page);
    const order = [
      "outbound_http_errors_total",
      "identity_cert_expiration_timestamp_seconds",
      "identity_cert_refresh_count",
      "request_total",
      "opencensus_span_exports",
      "process_start_time_seconds",
      "process_resident_memory_bytes",
      "proxy_build_info",
    ];
    expect(names.filter((name) => order.includes(name))).toEqual(order);
    expect(page).toContain("\nidentity_cert_expiration_timestamp_seconds 1700000000\n");
    expect(page).toContain("\nidentity_cert_refresh_count 2\n");
  });

  test("no expiry before the first certificate, nothing of it without identity", () => {
    const print = (identity: Parameters<typeof registerProcessMetrics>[1]["identity"]) => {
      const registry = new Registry();
      registry.slot("identity");
      registerProcessMetrics(registry, { identity });
      return registry.print(0);
    };
    expect(families(print({ refreshes: 0, current: () => null }))).not.toContain("identity_cert_expiration_timestamp_seconds");
    expect(print({ refreshes: 0, current: () => null })).toContain("identity_cert_refresh_count 0");
    expect(print(null)).not.toContain("identity_");
  });

  test("the kernel's numbers are those of this process", () => {
    const registry = new Registry();
    registerProcessMetrics(registry, { identity: null });
    const page = registry.print(0);
    const value = (name: string) => Number(new RegExp(`^${name} (.+)$`, "m").exec(page)?.[1]);
    expect(value("process_resident_memory_bytes")).toBeGreaterThan(10e6);
    expect(value("process_virtual_memory_bytes")).toBeGreaterThan(value("process_resident_memory_bytes"));
    expect(value("process_open_fds")).toBeGreaterThan(2);
    expect(value("process_max_fds")).toBeGreaterThan(value("process_open_fds"));
    expect(value("process_cpu_seconds_total")).toBeGreaterThan(0);
    expect(Math.abs(value("process_start_time_seconds") - Date.now() / 1000)).toBeLessThan(3600);
  });
});
