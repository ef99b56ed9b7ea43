import { beforeAll, describe, expect, test } from "bun:test";
import { createCa } from "../testing/certificates.ts";
import { type Config, matchesSuffix, parseConfig } from "./index.ts";
import { controlAddr, duration, ipSet, isLocalControl, portSet, suffixes } from "./values.ts";

const minimal = {
  LINKERD2_PROXY_IDENTITY_DISABLED: "1",
  LINKERD2_PROXY_DESTINATION_SVC_ADDR: "localhost.:8086",
};
const identity = {
  LINKERD2_PROXY_DESTINATION_SVC_ADDR: "linkerd-dst-headless.linkerd.svc.cluster.local.:8086",
  LINKERD2_PROXY_DESTINATION_SVC_NAME: "linkerd-destination.linkerd.serviceaccount.identity.linkerd.cluster.local",
  LINKERD2_PROXY_IDENTITY_DIR: "/id",
  LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: "set before all",
  LINKERD2_PROXY_IDENTITY_LOCAL_NAME: "web.ns.serviceaccount.identity.linkerd.cluster.local",
  LINKERD2_PROXY_IDENTITY_TOKEN_FILE: "/token",
  LINKERD2_PROXY_IDENTITY_SVC_ADDR: "linkerd-identity-headless.linkerd.svc.cluster.local.:8080",
  LINKERD2_PROXY_IDENTITY_SVC_NAME: "linkerd-identity.linkerd.serviceaccount.identity.linkerd.cluster.local",
};

beforeAll(async () => {
  identity.LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS = (await createCa()).pem;
});

function config(env: Record<string, string>): Config {
  const parsed = parseConfig(env);
  if ("errors" in parsed) throw new Error(parsed.errors.join("\n"));
  return parsed.config;
}

function errors(env: Record<string, string>): readonly string[] {
  const parsed = parseConfig(env);
  return "errors" in parsed ? parsed.errors : [];
}

test("defaults", () => {
  const { inbound, outbound, admin, policy, http2, destination } = config(minimal);
  expect(outbound).toMatchObject({
    listen: { ip: "127.0.0.1", port: 4140 },
    detectTimeoutMs: 10_000,
    dispatchTimeoutMs: 3000,
    connectTimeoutMs: 1000,
    cacheIdleMs: 5000,
    informational: true,
    backoff: { minMs: 100, maxMs: 500, jitter: 0.1 },
  });
  expect(inbound).toMatchObject({
    listen: { ip: "0.0.0.0", port: 4143 },
    dispatchTimeoutMs: 1000,
    connectTimeoutMs: 300,
    cacheIdleMs: 20_000,
    poolIdleMs: 3000,
    allowedIps: null,
  });
  expect(admin).toEqual({ ip: "127.0.0.1", port: 4191 });
  expect(http2).toEqual({ streamWindow: 65535, connectionWindow: 1048576 });
  expect(policy).toMatchObject({ controller: null, defaultName: "all-unauthenticated" });
  expect(destination).toMatchObject({ profileNetworks: [], profileSuffixes: ["svc.cluster.local"], service: { name: null } });
});

test("an injected proxy", () => {
  const parsed = config({
    ...identity,
    LINKERD2_PROXY_POLICY_SVC_ADDR: "linkerd-policy.linkerd.svc.cluster.local.:8090",
    LINKERD2_PROXY_POLICY_SVC_NAME: identity.LINKERD2_PROXY_DESTINATION_SVC_NAME,
    LINKERD2_PROXY_POLICY_WORKLOAD: "ns:web-1",
    LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS: "10.0.0.0/8, 172.16.0.0/12",
    LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "cluster-authenticated",
    LINKERD2_PROXY_INBOUND_PORTS: "8080,9990",
    LINKERD2_PROXY_INBOUND_IPS: "10.1.2.3",
  });
  expect(parsed.identity?.localName).toBe(identity.LINKERD2_PROXY_IDENTITY_LOCAL_NAME);
  expect(parsed.policy.controller?.ports).toEqual(new Set([8080, 9990, 4191]));
  expect(parsed.policy.default.name).toBe("default:cluster-authenticated");
});

test("all mistakes at once, each by its variable", () => {
  const found = errors({
    ...identity,
    LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR: "nowhere",
    LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT: "10",
    LINKERD2_PROXY_INBOUND_PORTS: "80, 81",
    LINKERD2_PROXY_INBOUND_IPS: "",
    LINKERD2_PROXY_INGRESS_MODE: "yes",
    LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_MIN: "1s",
  });
  expect(found.map((line) => line.split(":")[0])).toEqual([
    "LINKERD2_PROXY_INGRESS_MODE",
    "LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT",
    "LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_MAX",
    "LINKERD2_PROXY_INBOUND_IPS",
    "LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR",
    "LINKERD2_PROXY_INBOUND_PORTS",
  ]);
});

describe("what must go together", () => {
  test.each([
    [{}, "LINKERD2_PROXY_IDENTITY_DIR: not set"],
    [
      { ...minimal, LINKERD2_PROXY_IDENTITY_DIR: "/id" },
      'LINKERD2_PROXY_IDENTITY_DIR: set, though LINKERD2_PROXY_IDENTITY_DISABLED is: "/id"',
    ],
    [
      { ...minimal, LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "deny" },
      'LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: deny needs LINKERD2_PROXY_POLICY_SVC_ADDR: "deny"',
    ],
    [
      { ...minimal, LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "cluster-authenticated" },
      'LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: cluster-authenticated needs LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS: "cluster-authenticated"',
    ],
    [
      { ...minimal, LINKERD2_PROXY_POLICY_SVC_ADDR: "localhost.:8090" },
      "LINKERD2_PROXY_POLICY_WORKLOAD: not set, though LINKERD2_PROXY_POLICY_SVC_ADDR is",
    ],
    [{ LINKERD2_PROXY_IDENTITY_DISABLED: "1" }, "LINKERD2_PROXY_DESTINATION_SVC_ADDR: not set"],
    [
      { ...minimal, LINKERD2_PROXY_DESTINATION_SVC_NAME: "a.b." },
      'LINKERD2_PROXY_DESTINATION_SVC_NAME: not an identity (a DNS name without a dot at its end): "a.b."',
    ],
    [
      { ...minimal, LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: "4143" },
      'LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: must not hold the inbound listener\'s port: "4143"',
    ],
  ])("%#", (env, expected) => {
    expect(errors(env as Record<string, string>)).toContain(expected);
  });
});

test("static policies: identity wins over TLS, opaque ports keep their authorization", () => {
  const { policy } = config({
    ...minimal,
    LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_TLS: "80,81",
    LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY: "81",
    LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: "81,3306",
  });
  expect(policy.ports.get(80)?.name).toBe("default:all-tls-unauthenticated");
  expect(policy.ports.get(81)).toMatchObject({ name: "default:all-authenticated", protocol: { kind: "opaque" } });
  expect(policy.ports.get(3306)).toMatchObject({ name: "default:all-unauthenticated", protocol: { kind: "opaque" } });
});

test.each(["0", "-1", "two", ""])("%p cores: ignored with a word", (text) => {
  const parsed = parseConfig({ ...minimal, LINKERD2_PROXY_CORES: text });
  if ("errors" in parsed) throw new Error(parsed.errors.join("\n"));
  expect(parsed.config.cores).toBe(1);
  const note = { level: "warn", text: `LINKERD2_PROXY_CORES: not a number of cores, ignored: ${JSON.stringify(text)}` } as const;
  expect(parsed.notes).toContainEqual(note);
});

test("a jitter alone has nothing to vary", () => {
  expect(errors({ ...minimal, LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_JITTER: "0.5" })).toEqual([
    "LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_MIN: not set, though LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_JITTER is",
    "LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_MAX: not set, though LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_JITTER is",
  ]);
});

test("what is missing and can be done without is told of at its level", () => {
  const parsed = parseConfig({ ...minimal, LINKERD2_PROXY_POLICY_SVC_ADDR: "localhost.:1", LINKERD2_PROXY_POLICY_WORKLOAD: "ns:web" });
  expect("notes" in parsed && parsed.notes.map(({ level, text }) => `${level} ${text.split(" ")[0]}`)).toEqual([
    "warn LINKERD2_PROXY_INBOUND_DEFAULT_POLICY",
    "error LINKERD2_PROXY_INBOUND_PORTS",
  ]);
});

describe("values", () => {
  test.each([
    ["300ms", 300],
    [" 10s ", 10_000],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["1d", 86_400_000],
    ["0", 0],
  ])("duration %p", (text, ms) => expect(duration(text)).toBe(ms));
  test.each(["10", "1.5s", "10 s", "", "-1s", "99999999999999999d"])("%p is no duration", (text) => expect(() => duration(text)).toThrow());
  test("sets", () => {
    expect(portSet("")).toEqual(new Set());
    expect(() => portSet("80,")).toThrow();
    expect(() => ipSet("")).toThrow();
    expect(suffixes(" svc.cluster.local. ,, .")).toEqual(["svc.cluster.local", ""]);
  });
  test("only the absolute localhost is local", () => {
    expect(
      ["localhost.:80", "127.0.0.9:80", "[::1]:80", "localhost:80", "10.0.0.1:80"].map((text) => isLocalControl(controlAddr(text))),
    ).toEqual([true, true, true, false, false]);
  });
  test("suffixes match on label boundaries", () => {
    expect(matchesSuffix(["svc.cluster.local"], "web.ns.svc.cluster.local.")).toBe(true);
    expect(matchesSuffix(["svc.cluster.local"], "web.xsvc.cluster.local")).toBe(false);
    expect(matchesSuffix([""], "anything")).toBe(true);
  });
});
