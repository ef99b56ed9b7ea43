// The pure parts of the HTTP stack: answers to errors, classification, changes of heads.
import { expect, test } from "bun:test";
import { RequestHead, type RequestInit, ResponseHead } from "#http";
import { pickWeighted } from "../outbound/split.ts";
import * as errors from "./errors.ts";
import { Meter, type ResponseScope } from "./meter.ts";
import { responsePlans } from "./plans.ts";
import { type DerivedRequest, type DeriveOptions, deriveRequest, redirect } from "./request.ts";
import { errorResponse, errorTrailers } from "./respond.ts";
import { deriveResponse } from "./response.ts";
import { sentHead } from "./sent.ts";

const request = (init: Partial<RequestInit> = {}): RequestHead =>
  new RequestHead({
    version: "HTTP/1.1",
    method: "GET",
    form: "origin",
    scheme: null,
    authority: null,
    path: "/",
    fields: ["host", "a"],
    ...init,
  });
const response = (status: number, fields: string[] = [], version: "HTTP/1.1" | "HTTP/2" = "HTTP/1.1"): ResponseHead =>
  new ResponseHead({ version, status, reason: null, fields });
const get = (fields: readonly string[], name: string): string | undefined => {
  const at = fields.findIndex((field, i) => i % 2 === 0 && field === name);
  return at < 0 ? undefined : fields[at + 1];
};

test("the table of errors", () => {
  const io = { kind: "io", message: "refused" } as const;
  const table: [errors.ProxyError, number, number, errors.ErrorLabel | null, boolean][] = [
    [errors.unauthorized("web"), 403, 7, null, false],
    [errors.connectError(io), 502, 14, "i/o", true],
    [errors.connectError({ ...io, kind: "timeout" }), 504, 14, "i/o", true],
    [errors.connectError({ ...io, kind: "loop" }), 500, 13, "unexpected", true],
    [errors.failFastError("HTTP Balancer"), 504, 14, "failfast", true],
    [errors.responseTimeout("1s"), 504, 14, "response timeout", true],
    [errors.identityRequired("x", null), 502, 14, "identity required", true],
    [errors.NO_IDENTITY, 403, 16, "gateway identity required", false],
    [errors.BAD_GATEWAY_DOMAIN, 404, 5, "gateway domain invalid", false],
    [errors.GATEWAY_LOOP, 508, 10, "gateway loop", true],
    [errors.UNEXPECTED, 500, 13, "unexpected", true],
  ];
  for (const [error, ...rest] of table) expect([error.status, error.grpcStatus, error.label, error.closes]).toEqual(rest);
});

test("an error's answer: plain, with informational headers, as gRPC", () => {
  const error = errors.failFastError("HTTP Logical");
  const plain = errorResponse(error, { version: "HTTP/1.1", grpc: false, informational: false });
  expect([plain.status, plain.fields]).toEqual([504, ["content-length", "0", "connection", "close"]]);
  const told = errorResponse(error, { version: "HTTP/2", grpc: false, informational: true });
  expect(told.fields).toEqual([
    "content-length",
    "0",
    "l5d-proxy-error",
    "HTTP Logical service in fail-fast",
    "l5d-proxy-connection",
    "close",
  ]);
  const grpc = errorResponse(error, { version: "HTTP/2", grpc: true, informational: true });
  expect([grpc.status, get(grpc.fields, "grpc-status"), get(grpc.fields, "grpc-message")]).toEqual([
    200,
    "14",
    "HTTP Logical service in fail-fast",
  ]);
  const odd = errorResponse({ ...error, message: "bad\nvalue" }, { version: "HTTP/1.1", grpc: false, informational: true });
  expect(get(odd.fields, "l5d-proxy-error")).toBe("unexpected error");
  expect(errorTrailers(error, { version: "HTTP/2", grpc: true, informational: false })).toEqual(["grpc-status", "14"]);
});

function measure(options: { grpc?: boolean; classes?: (status: number) => boolean | null } = {}) {
  const told: unknown[] = [];
  const scope: ResponseScope = { request() {}, latency() {}, release() {}, response: (...args) => void told.push(args) };
  const { classes } = options;
  return { told, meter: new Meter(scope, 0, options.grpc ?? false, classes ? { classify: classes } : null) };
}

test("classification", () => {
  const rows: [
    string,
    { grpc?: boolean; status: number; header?: number; trailers?: string[]; classes?: (s: number) => boolean | null },
    unknown[],
  ][] = [
    ["200", { status: 200 }, [200, true, -1, null]],
    ["404 is a success", { status: 404 }, [404, true, -1, null]],
    ["503", { status: 503 }, [503, false, -1, null]],
    ["a header decides over a 5xx", { status: 503, header: 0 }, [503, true, 0, null]],
    ["permission denied in headers", { status: 200, header: 7 }, [200, false, 7, null]],
    ["unauthenticated is a success", { status: 200, trailers: ["grpc-status", "16"] }, [200, true, 16, null]],
    ["internal in trailers", { status: 200, trailers: ["x", "y", "grpc-status", "13"] }, [200, false, 13, null]],
    ["an unknown code counts as UNKNOWN", { status: 200, trailers: ["grpc-status", "99"] }, [200, false, 2, null]],
    ["not a number is ignored", { status: 200, trailers: ["grpc-status", "x"] }, [200, true, -1, null]],
    ["gRPC mode ignores the status", { grpc: true, status: 503 }, [503, true, 0, null]],
    ["gRPC mode, trailers", { grpc: true, status: 200, trailers: ["grpc-status", "14"] }, [200, false, 14, null]],
    ["a class decides", { status: 404, classes: (s) => (s === 404 ? false : null) }, [404, false, -1, null]],
    ["a class that does not match", { status: 500, classes: () => null }, [500, false, -1, null]],
    [
      "a class of success, trailers not asked",
      { status: 200, classes: () => true, trailers: ["grpc-status", "13"] },
      [200, true, -1, null],
    ],
  ];
  for (const [name, row, expected] of rows) {
    const { told, meter } = measure(row);
    meter.head(row.status, row.header ?? -1);
    meter.end(row.trailers ?? null);
    meter.end(null);
    expect([name, told]).toEqual([name, [expected]]);
  }
});

test("a failure without response, and one that nobody waits for", () => {
  const failed = measure();
  failed.meter.fail("timeout");
  expect(failed.told).toEqual([[0, false, -1, "timeout"]]);
  const cancelled = measure();
  cancelled.meter.cancel();
  cancelled.meter.end(null);
  expect(cancelled.told).toEqual([]);
});

const derive = (head: RequestHead, options: Partial<DeriveOptions> = {}): DerivedRequest =>
  deriveRequest(head, { context: {}, informational: true, downgrade: true, ...options });

test("inbound: hop-by-hop fields go, the client's identity is ours to say", () => {
  const head = request({
    fields: ["host", "a", "connection", "x-foo", "x-foo", "1", "keep-alive", "5", "l5d-client-id", "spoof", "x-bar", "2"],
  });
  expect(derive(head, { clientId: "me" }).head.fields).toEqual(["host", "a", "x-bar", "2", "l5d-client-id", "me"]);
  expect(derive(head, { clientId: null }).head.fields).toEqual(["host", "a", "x-bar", "2"]);
  expect(get(derive(head).head.fields, "l5d-client-id")).toBe("spoof");
});

test("an upgraded request becomes what it was; a malformed one says so", () => {
  const init = { version: "HTTP/2", scheme: "http", authority: "a" } as const;
  const was = derive(request({ ...init, fields: ["host", "a", "l5d-orig-proto", "HTTP/1.1"] }));
  expect([was.downgraded, was.head.version, was.style.version, was.head.fields]).toEqual([true, "HTTP/1.1", "HTTP/2", ["host", "a"]]);
  const absolute = derive(request({ ...init, fields: ["l5d-orig-proto", "HTTP/1.0; absolute-form"] }));
  expect([absolute.head.version, absolute.head.form, absolute.poolKey]).toEqual(["HTTP/1.0", "absolute", null]);
  expect(derive(request({ ...init, fields: ["l5d-orig-proto", "HTTP/1.1", "transfer-encoding", "chunked"] })).malformed).not.toBeNull();
  expect(derive(request(init)).downgraded).toBe(false);
});

test("what shares connections, what wants one of its own", () => {
  expect(derive(request()).poolKey).toBe("a");
  expect(derive(request({ fields: [] })).poolKey).toBeNull();
  expect(derive(request({ version: "HTTP/1.0" })).poolKey).toBeNull();
  const upgrade = derive(request({ fields: ["host", "a", "connection", "upgrade", "upgrade", "websocket"] }));
  expect([upgrade.upgrade, upgrade.poolKey, get(upgrade.head.fields, "upgrade")]).toEqual([true, null, "websocket"]);
  expect(derive(request({ fields: ["host", "a", "connection", "upgrade", "upgrade", "h2c"] })).upgrade).toBe(false);
});

test("a head sent upgraded, made once; an authority override takes host and canonical name away", () => {
  const { head } = derive(request({ fields: ["host", "a:8080", "transfer-encoding", "chunked", "te", "trailers"] }));
  const options = { carriage: "upgraded", authorityOverride: null, defaultAuthority: "10.0.0.1:80" } as const;
  const sent = sentHead(head, options);
  expect([sent.version, sent.authority, sent.scheme]).toEqual(["HTTP/2", "a:8080", "http"]);
  expect(sent.fields).toEqual(["host", "a:8080", "te", "trailers", "l5d-orig-proto", "HTTP/1.1"]);
  expect(sentHead(head, options)).toBe(sent);
  expect(sentHead(request({ fields: [] }), options).authority).toBe("10.0.0.1:80");
  const overridden = sentHead(request({ fields: ["host", "a", "l5d-dst-canonical", "a:80", "x", "1"] }), {
    ...options,
    carriage: "native",
    authorityOverride: "b:81",
  });
  expect([overridden.authority, overridden.fields]).toEqual(["b:81", ["x", "1"]]);
});

test("responses: what each plan takes and adds, made once", () => {
  const meshed = responsePlans({ peerClose: "obey", stripProxyError: false });
  const head = response(200, ["l5d-orig-proto", "HTTP/1.1", "l5d-proxy-connection", "close", "x", "1"], "HTTP/2");
  const upgraded = deriveResponse(head, meshed.upgraded, false);
  expect([upgraded.head.version, upgraded.close, upgraded.head.fields]).toEqual(["HTTP/1.1", true, ["x", "1", "connection", "close"]]);
  expect(deriveResponse(head, meshed.upgraded, false)).toBe(upgraded);
  const plain = responsePlans({ peerClose: "strip", stripProxyError: true });
  const stripped = deriveResponse(
    response(200, ["l5d-proxy-connection", "close", "l5d-proxy-error", "x", "connection", "y", "y", "1"]),
    plain.http1,
    false,
  );
  expect([stripped.close, stripped.head.fields]).toEqual([false, []]);
  const inbound = responsePlans({ peerClose: "ignore", stripProxyError: false });
  const marked = deriveResponse(response(200, ["transfer-encoding", "chunked", "x", "1"]), inbound.downgraded, false);
  expect([marked.head.version, marked.head.fields]).toEqual(["HTTP/2", ["x", "1", "l5d-orig-proto", "HTTP/1.1"]]);
  const tunnel = deriveResponse(response(101, ["connection", "upgrade", "upgrade", "websocket"]), inbound.http1, true);
  expect(tunnel.head.fields).toEqual(["connection", "upgrade", "upgrade", "websocket"]);
});

test("a request sent elsewhere keeps what was worked out for the place", () => {
  const derived = derive(request());
  let made = 0;
  const change = (head: RequestHead): RequestHead => {
    made++;
    return head.with({ path: "/elsewhere" });
  };
  const first = redirect(derived, "b", change);
  expect(redirect(derived, "b", change)).toBe(first);
  expect(redirect(derived, "c", change)).not.toBe(first);
  expect([made, first.head.path, derived.head.path]).toEqual([2, "/elsewhere", "/"]);
});

test("weights", () => {
  const items = [{ weight: 1 }, { weight: 3 }];
  expect([0, 0.24, 0.25, 0.99].map((at) => items.indexOf(pickWeighted(items, () => at) as never))).toEqual([0, 0, 1, 1]);
  expect(pickWeighted([], Math.random)).toBeNull();
});
