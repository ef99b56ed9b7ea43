import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { RE2JS } from "re2js";
import { DestinationProfileSchema, WeightedAddrSchema } from "#api/destination_pb";
import { ServerSchema } from "#api/inbound_pb";
import { authorize } from "#policy";
import { MAX_MATCH_DEPTH, matchRoute } from "#profiles";
import { endpointOf, policyOf, profileOf } from "./convert.ts";

const v4 = (a: number, b: number, c: number, d: number) => ({ ip: { case: "ipv4" as const, value: ((a * 256 + b) * 256 + c) * 256 + d } });
const noWarning = (problem: string): void => {
  throw new Error(problem);
};

describe("endpointOf", () => {
  type Init = Parameters<typeof create<typeof WeightedAddrSchema>>[1];
  const convert = (init: Init, setLabels: Record<string, string> = {}, warn: (problem: string) => void = noWarning) =>
    endpointOf(create(WeightedAddrSchema, init), setLabels, warn);
  const addr = { ip: v4(10, 0, 0, 1), port: 8080 };

  test("labels: the address's own win, sorted by key", () => {
    expect(convert({ addr, metricLabels: { pod: "a", service: "own" } }, { service: "set", namespace: "ns" })?.labels).toEqual([
      ["namespace", "ns"],
      ["pod", "a"],
      ["service", "own"],
    ]);
  });

  test.each<[string, Init, object]>([
    ["plain", {}, { identity: null, h2: false, opaqueTransportPort: null, authorityOverride: null }],
    ["h2", { protocolHint: { protocol: { case: "h2", value: {} } } }, { h2: true }],
    ["opaque port", { protocolHint: { opaqueTransport: { inboundPort: 4143 } } }, { h2: false, opaqueTransportPort: 4143 }],
    ["opaque port 0", { protocolHint: { opaqueTransport: { inboundPort: 0 } } }, { opaqueTransportPort: null }],
    ["opaque port 65534", { protocolHint: { opaqueTransport: { inboundPort: 65534 } } }, { opaqueTransportPort: 65534 }],
    ["opaque port 65535", { protocolHint: { opaqueTransport: { inboundPort: 65535 } } }, { opaqueTransportPort: null }],
    [
      "identity",
      { tlsIdentity: { strategy: { case: "dnsLikeIdentity", value: { name: "Web.ns.example" } } } },
      { identity: "web.ns.example" },
    ],
    ["no strategy", { tlsIdentity: {} }, { identity: null }],
    ["override", { authorityOverride: { authorityOverride: "a.b:80" } }, { authorityOverride: "a.b:80" }],
    ["bad override", { authorityOverride: { authorityOverride: "a b:x" } }, { authorityOverride: null }],
    ["empty override", { authorityOverride: { authorityOverride: "" } }, { authorityOverride: null }],
  ])("%s", (_, init, expected) => {
    expect(convert({ addr, ...(init as object) })).toMatchObject({ addr: { ip: "10.0.0.1", port: 8080 }, ...expected });
  });

  test.each(["web.ns.example.", "10.0.0.1", "-", ""])("identity %p is left out with a warning", (name) => {
    const warnings: string[] = [];
    expect(
      convert({ addr, tlsIdentity: { strategy: { case: "dnsLikeIdentity", value: { name } } } }, {}, (problem) => warnings.push(problem))
        ?.identity,
    ).toBeNull();
    expect(warnings).toEqual([`endpoint 10.0.0.1:8080: "${name}" is not an identity`]);
  });

  test.each<[string, Init]>([
    ["no addr", {}],
    ["no ip", { addr: { port: 80 } }],
    ["empty ip", { addr: { ip: {}, port: 80 } }],
    ["port too large", { addr: { ip: v4(10, 0, 0, 1), port: 65536 } }],
  ])("%s: none", (_, init) => {
    expect(convert(init)).toBeNull();
  });

  test("IPv6", () => {
    const ip = { ip: { case: "ipv6" as const, value: { first: 0xfd00_0000_0000_0000n, last: 0x0001_0002n } } };
    expect(convert({ addr: { ip, port: 80 } })?.addr.ip).toBe("fd00::1:2");
  });
});

describe("profileOf", () => {
  type Init = Parameters<typeof create<typeof DestinationProfileSchema>>[1];
  const convert = async (init: Init) => {
    const warnings: string[] = [];
    const profile = await profileOf(
      create(DestinationProfileSchema, init),
      async () => RE2JS,
      (problem) => warnings.push(problem),
    );
    return { profile, warnings };
  };
  const path = (regex: string) => ({ match: { case: "path" as const, value: { regex } } });
  const method = (registered: number) => ({
    match: { case: "method" as const, value: { type: { case: "registered" as const, value: registered } } },
  });

  test.each([
    ["web.ns.svc.cluster.local", "web.ns.svc.cluster.local"],
    ["", null],
    ["not a name", null],
  ])("name %p → %p", async (fullyQualifiedName, fqn) => {
    expect((await convert({ fullyQualifiedName })).profile.fqn).toBe(fqn);
  });

  test("targets: no weight, no port or no name, no target", async () => {
    const { profile } = await convert({
      dstOverrides: [
        { authority: "a.ns:80", weight: 900 },
        { authority: "b.ns:81", weight: 0 },
        { authority: "c.ns", weight: 1 },
        { authority: "10.0.0.1:80", weight: 1 },
      ],
    });
    expect(profile.targets).toEqual([{ addr: { name: "a.ns", port: 80 }, weight: 900 }]);
  });

  test.each([
    [
      "as the control plane sends it",
      { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: { seconds: 10n } },
      { ratio: 0.2, minRetriesPerSecond: 10, ttlMs: 10_000 },
    ],
    [
      "at the bounds",
      { retryRatio: 1000, minRetriesPerSecond: 0x7fffffff, ttl: { seconds: 60n } },
      { ratio: 1000, minRetriesPerSecond: 0x7fffffff, ttlMs: 60_000 },
    ],
    ["ttl too short", { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: { nanos: 999_000_000 } }, null],
    ["ttl too long", { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: { seconds: 60n, nanos: 1_000_000 } }, null],
    ["no ttl", { retryRatio: 0.2, minRetriesPerSecond: 10 }, null],
    ["ratio too large", { retryRatio: 1001, minRetriesPerSecond: 0, ttl: { seconds: 1n } }, null],
    ["ratio negative", { retryRatio: -0.1, minRetriesPerSecond: 0, ttl: { seconds: 1n } }, null],
    ["ratio no number", { retryRatio: Number.NaN, minRetriesPerSecond: 0, ttl: { seconds: 1n } }, null],
    ["too many a second", { retryRatio: 0.2, minRetriesPerSecond: 0x80000000, ttl: { seconds: 1n } }, null],
  ])("budget %s", async (_, retryBudget, expected) => {
    const { profile, warnings } = await convert({ retryBudget });
    expect(profile.retryBudget).toEqual(expected);
    expect(warnings.length).toBe(expected === null ? 1 : 0);
  });

  test("a route that may be retried without a budget is warned of", async () => {
    expect((await convert({ routes: [{ condition: path("/"), isRetryable: true }] })).warnings).toEqual([
      "a route is retryable, but the profile has no retry budget",
    ]);
  });

  test("routes: what cannot be converted goes, the rest stays in order", async () => {
    const { profile, warnings } = await convert({
      routes: [
        { metricsLabels: { route: "none" } },
        { condition: path("("), metricsLabels: { route: "bad" } },
        {
          condition: { match: { case: "all", value: { matches: [path("/a/.*"), path("(?=x)"), method(0)] } } },
          metricsLabels: { z: "1", route: "get a" },
          isRetryable: true,
          timeout: { nanos: 300_000_000 },
        },
        { condition: { match: { case: "any", value: { matches: [] } } }, metricsLabels: { route: "never" } },
        { condition: { match: { case: "not", value: method(1) } }, metricsLabels: { route: "no post" }, timeout: {} },
        { condition: { match: { case: "all", value: { matches: [] } } }, metricsLabels: { route: "all" }, timeout: { seconds: -1n } },
      ],
    });
    const found = (verb: string, at: string) => matchRoute(profile.routes, verb, at)?.labels.find(([key]) => key === "route")?.[1];
    expect([found("GET", "/a/1"), found("POST", "/a/1"), found("GET", "/b/a/1")]).toEqual(["get a", "all", "no post"]);
    expect(profile.routes[0]).toMatchObject({
      labels: [
        ["route", "get a"],
        ["z", "1"],
      ],
      retryable: true,
      timeoutMs: 300,
      classes: null,
    });
    expect(profile.routes.map(({ timeoutMs }) => timeoutMs)).toEqual([300, null, null, null]);
    expect(warnings).toHaveLength(4);
  });

  test.each([
    [{ min: 404, max: 404 }, 404, false],
    [{ min: 404, max: 404 }, 405, null],
    [{ min: 404, max: 0 }, 404, null],
    [{ min: 0, max: 404 }, 404, null],
    [{ min: 100, max: 999 }, 999, false],
    [{ min: 100, max: 1000 }, 200, null],
  ])("class %p: status %d → %p", async (range, status, verdict) => {
    const { profile } = await convert({
      routes: [{ condition: path("/"), responseClasses: [{ condition: { match: { case: "status", value: range } }, isFailure: true }] }],
    });
    expect(profile.routes[0]?.classes?.classify(status) ?? null).toBe(verdict);
  });

  test("conditions nest up to the bound", async () => {
    const nested = (depth: number): ReturnType<typeof path> =>
      depth === 1 ? path("/") : ({ match: { case: "not", value: nested(depth - 1) } } as never);
    expect((await convert({ routes: [{ condition: nested(MAX_MATCH_DEPTH) }] })).profile.routes).toHaveLength(1);
    const { profile, warnings } = await convert({ routes: [{ condition: nested(MAX_MATCH_DEPTH + 1) }] });
    expect([profile.routes.length, warnings]).toEqual([0, [`a condition nests deeper than ${MAX_MATCH_DEPTH}`]]);
  });

  test("the regex engine is loaded for routes alone", async () => {
    let loaded = 0;
    const engine = async () => {
      loaded++;
      return RE2JS;
    };
    await profileOf(create(DestinationProfileSchema, { fullyQualifiedName: "a.b" }), engine, noWarning);
    expect(loaded).toBe(0);
    await profileOf(create(DestinationProfileSchema, { routes: [{ condition: path("/") }] }), engine, noWarning);
    expect(loaded).toBe(1);
  });
});

describe("policyOf", () => {
  type Init = NonNullable<Parameters<typeof create<typeof ServerSchema>>[1]>;
  const net = (ip: ReturnType<typeof v4>, prefixLen: number) => ({ ip, prefixLen });
  const open = { permit: { case: "unauthenticated" as const, value: {} } };
  const authz = (init: object = {}) => ({
    labels: { name: "saz" },
    networks: [{ net: net(v4(0, 0, 0, 0), 0), except: [] }],
    authentication: open,
    ...init,
  });
  const detect = { kind: { case: "detect" as const, value: { timeout: { seconds: 10n } } } };
  const convert = (init: object = {}) =>
    policyOf(create(ServerSchema, { labels: { name: "srv" }, protocol: detect, authorizations: [authz()], ...init } as Init));

  test.each(["opaque", "tls", "http1", "http2", "grpc"] as const)("protocol %s", (kind) => {
    expect(convert({ protocol: { kind: { case: kind, value: {} } } }).protocol).toEqual({ kind });
  });

  test("protocol detect with its timeout", () => {
    expect(convert().protocol).toEqual({ kind: "detect", timeoutMs: 10_000 });
  });

  const meshed = (clients: object) => [authz({ authentication: { permit: { case: "meshTLS", value: { clients } } } })];
  const identities = (value: object) => meshed({ case: "identities", value });
  test.each<[string, object[], { ip?: string; tls?: boolean; id?: string | null }, string | null]>([
    ["network", [authz({ networks: [{ net: net(v4(10, 0, 0, 0), 8), except: [net(v4(10, 1, 0, 0), 16)] }] })], { ip: "10.2.2.3" }, "saz"],
    ["exception", [authz({ networks: [{ net: net(v4(10, 0, 0, 0), 8), except: [net(v4(10, 1, 0, 0), 16)] }] })], { ip: "10.1.2.3" }, null],
    ["tls wanted", meshed({ case: "unauthenticated", value: {} }), { tls: true }, "saz"],
    ["tls missing", meshed({ case: "unauthenticated", value: {} }), { tls: false }, null],
    ["exact", identities({ identities: [{ name: "x.a.b" }] }), { tls: true, id: "x.a.b" }, "saz"],
    ["suffix", identities({ suffixes: [{ parts: ["a", "b"] }] }), { tls: true, id: "x.a.b" }, "saz"],
    ["suffix itself", identities({ suffixes: [{ parts: ["a", "b"] }] }), { tls: true, id: "a.b" }, null],
    ["suffix, no dot", identities({ suffixes: [{ parts: ["a", "b"] }] }), { tls: true, id: "xa.b" }, null],
    ["any identity", identities({ suffixes: [{ parts: [] }] }), { tls: true, id: "whoever.x" }, "saz"],
    ["any identity, none shown", identities({ suffixes: [{ parts: [] }] }), { tls: true, id: null }, null],
    ["nobody named", identities({}), { tls: true, id: "x" }, null],
    ["localhost", [], { ip: "127.0.0.1" }, "default:localhost"],
    ["localhost IPv6", [], { ip: "::1" }, "default:localhost"],
    ["elsewhere", [], {}, null],
  ])("%s", (_, authorizations, client, name) => {
    expect(authorize(convert({ authorizations }), { ip: "10.9.9.9", tls: false, id: null, ...client })?.name ?? null).toBe(name);
  });

  test.each<[string, object, string]>([
    ["no name", { labels: { other: "x" } }, "labels.name is missing"],
    ["no protocol", { protocol: undefined }, "protocol.kind is missing"],
    ["no kind", { protocol: {} }, "protocol.kind is missing"],
    ["no timeout", { protocol: { kind: { case: "detect", value: {} } } }, "protocol.detect.timeout"],
    ["negative timeout", { protocol: { kind: { case: "detect", value: { timeout: { seconds: -1n } } } } }, "protocol.detect.timeout"],
    ["no networks", { authorizations: [authz(), authz({ networks: [] })] }, "authorizations[1].networks is empty"],
    ["network without net", { authorizations: [authz({ networks: [{}] })] }, "authorizations[0].networks: net is missing"],
    [
      "prefix of IPv4",
      { authorizations: [authz({ networks: [{ net: net(v4(10, 0, 0, 0), 33) }] })] },
      "authorizations[0].networks: not a network",
    ],
    ["network without ip", { authorizations: [authz({ networks: [{ net: {} }] })] }, "authorizations[0].networks: not a network"],
    ["authorization without name", { authorizations: [authz({ labels: {} })] }, "authorizations[0].labels.name is missing"],
    ["no authentication", { authorizations: [authz({ authentication: undefined })] }, "authorizations[0].authentication.permit is missing"],
    ["no permit", { authorizations: [authz({ authentication: {} })] }, "authorizations[0].authentication.permit is missing"],
    [
      "no clients",
      { authorizations: [authz({ authentication: { permit: { case: "meshTLS", value: {} } } })] },
      "authorizations[0].authentication.meshTLS.clients is missing",
    ],
  ])("%s: refused, naming the field", (_, init, problem) => {
    expect(() => convert(init)).toThrow(problem);
  });
});
