// Every variable of spec proxy §1.4, by name: it is asked for, a value changes the configuration, a bad value is told of by
// variable and value. A variable that the code does not know fails here.
import { beforeAll, expect, test } from "bun:test";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { type Config, type Files, parseConfig } from "./index.ts";

type Row = {
  /** Without `LINKERD2_PROXY_`. */
  readonly name: string;
  /** Something other than the default. */
  readonly good: string;
  /** Null: every text is taken. */
  readonly bad: string | null;
  /** More variables that this one needs. */
  readonly with?: Readonly<Record<string, string>>;
};

const sides = ["INBOUND", "OUTBOUND"] as const;
const policy = { POLICY_SVC_ADDR: "localhost.:8090", POLICY_WORKLOAD: "ns:web" };

/** Copied from the table; `{INBOUND,OUTBOUND}` written out. */
const rows: readonly Row[] = [
  { name: "OUTBOUND_LISTEN_ADDR", good: "[::1]:4140", bad: "localhost:4140" },
  { name: "INBOUND_LISTEN_ADDR", good: "[::]:4143", bad: "0.0.0.0" },
  { name: "CONTROL_LISTEN_ADDR", good: "127.0.0.1:1", bad: "4190", with: { TAP_SVC_NAME: "tap.ns" } },
  { name: "ADMIN_LISTEN_ADDR", good: "0.0.0.0:4191", bad: "0.0.0.0:99999" },
  { name: "LOG", good: "debug", bad: null },
  { name: "LOG_FORMAT", good: "JSON", bad: null },
  // A bad number of cores is ignored with a word: see config.test.ts.
  { name: "CORES", good: "2", bad: null },
  { name: "METRICS_RETAIN_IDLE", good: "1m", bad: "1" },
  { name: "INGRESS_MODE", good: "true", bad: "True" },
  ...sides.flatMap((side): Row[] => [
    { name: `${side}_DISPATCH_TIMEOUT`, good: "7s", bad: "7" },
    { name: `${side}_DETECT_TIMEOUT`, good: "7s", bad: "1.5s" },
    { name: `${side}_CONNECT_TIMEOUT`, good: "7s", bad: "" },
    { name: `${side}_CONNECT_EXP_BACKOFF_MIN`, good: "7ms", bad: "x", with: { [`${side}_CONNECT_EXP_BACKOFF_MAX`]: "1s" } },
    { name: `${side}_CONNECT_EXP_BACKOFF_MAX`, good: "7s", bad: "0", with: { [`${side}_CONNECT_EXP_BACKOFF_MIN`]: "0" } },
    {
      name: `${side}_CONNECT_EXP_BACKOFF_JITTER`,
      good: "0.7",
      bad: "101",
      with: { [`${side}_CONNECT_EXP_BACKOFF_MIN`]: "1s", [`${side}_CONNECT_EXP_BACKOFF_MAX`]: "2s" },
    },
    { name: `${side}_ACCEPT_KEEPALIVE`, good: "10000ms", bad: "ten" },
    { name: `${side}_CONNECT_KEEPALIVE`, good: "10000ms", bad: "10 s" },
    { name: `${side}_ROUTER_MAX_IDLE_AGE`, good: "7s", bad: "-1s" },
    { name: `${side}_MAX_IN_FLIGHT`, good: "7", bad: "many" },
  ]),
  { name: "BUFFER_CAPACITY", good: "7", bad: "7.5" },
  { name: "MAX_IDLE_CONNS_PER_ENDPOINT", good: "7", bad: "-1" },
  { name: "OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT", good: "7", bad: "0x7" },
  { name: "INBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT", good: "7s", bad: "7S" },
  { name: "OUTBOUND_DISABLE_INFORMATIONAL_HEADERS", good: "true", bad: "1" },
  { name: "HTTP2_INITIAL_STREAM_WINDOW_SIZE", good: "1000000", bad: "2147483648" },
  { name: "HTTP2_INITIAL_CONNECTION_WINDOW_SIZE", good: "2000000", bad: "0" },
  { name: "DESTINATION_SVC_ADDR", good: "127.0.0.1:8086", bad: "localhost." },
  { name: "DESTINATION_SVC_NAME", good: "dst.ns", bad: "dst.", with: { DESTINATION_SVC_ADDR: "10.0.0.1:8086" } },
  { name: "DESTINATION_CONTEXT", good: '{"ns":"ns"}\n', bad: null },
  { name: "DESTINATION_PROFILE_NETWORKS", good: "10.0.0.0/8, fd00::/8", bad: "10.0.0.0/33" },
  { name: "DESTINATION_PROFILE_SUFFIXES", good: ".", bad: "svc..local" },
  { name: "DESTINATION_PROFILE_INITIAL_TIMEOUT", good: "7ms", bad: "7us" },
  { name: "POLICY_SVC_ADDR", good: "localhost.:8090", bad: "localhost.:0", with: { POLICY_WORKLOAD: "ns:web" } },
  { name: "POLICY_SVC_NAME", good: "policy.ns", bad: "-", with: { POLICY_SVC_ADDR: "10.0.0.1:8090", POLICY_WORKLOAD: "ns:web" } },
  { name: "POLICY_WORKLOAD", good: "ns:web", bad: "", with: { POLICY_SVC_ADDR: "localhost.:8090" } },
  {
    name: "POLICY_CLUSTER_NETWORKS",
    good: "10.0.0.0/8",
    bad: "ten/8",
    with: { ...policy, INBOUND_DEFAULT_POLICY: "cluster-authenticated" },
  },
  { name: "INBOUND_PORTS", good: "80,80,443", bad: "80, 443", with: policy },
  { name: "INBOUND_DEFAULT_POLICY", good: "all-authenticated", bad: "anyone" },
  { name: "INBOUND_PORTS_REQUIRE_IDENTITY", good: "80", bad: "80," },
  { name: "INBOUND_PORTS_REQUIRE_TLS", good: "80", bad: "http" },
  { name: "INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", good: "80", bad: "4143" },
  { name: "INBOUND_IPS", good: "10.0.0.1,fd00::1", bad: "" },
  { name: "INBOUND_GATEWAY_SUFFIXES", good: "svc.cluster.local.", bad: "*.local" },
  { name: "IDENTITY_DISABLED", good: "1", bad: null },
  { name: "IDENTITY_DIR", good: "/other", bad: "/unreadable" },
  { name: "IDENTITY_TRUST_ANCHORS", good: "other anchors", bad: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
  { name: "IDENTITY_LOCAL_NAME", good: "other.ns", bad: "1.2.3.4" },
  { name: "IDENTITY_TOKEN_FILE", good: "/other-token", bad: "/empty" },
  { name: "IDENTITY_MIN_REFRESH", good: "7s", bad: "soon" },
  { name: "IDENTITY_MAX_REFRESH", good: "7h", bad: "7w" },
  { name: "IDENTITY_SVC_ADDR", good: "127.0.0.1:8080", bad: "::1:8080" },
  { name: "IDENTITY_SVC_NAME", good: "identity.ns", bad: "", with: { IDENTITY_SVC_ADDR: "identity.ns.svc:8080" } },
  { name: "TAP_SVC_NAME", good: "tap.ns", bad: "tap..ns" },
  { name: "TRACE_COLLECTOR_SVC_ADDR", good: "localhost.:55678", bad: "collector" },
  { name: "TRACE_COLLECTOR_SVC_NAME", good: "collector.ns", bad: "collector.ns.", with: { TRACE_COLLECTOR_SVC_ADDR: "10.0.0.1:1" } },
  { name: "TRACE_ATTRIBUTES_PATH", good: "/attributes", bad: null, with: { TRACE_COLLECTOR_SVC_ADDR: "localhost.:1" } },
  { name: "DNS_MIN_TTL", good: "7s", bad: "7" },
  { name: "DNS_MAX_TTL", good: "7s", bad: "99999999999999999d" },
  { name: "RESOLV_CONF", good: "/elsewhere", bad: null },
];

/** Not of the table: what later versions have and this one takes (spec proxy §15). */
const later: readonly Row[] = [
  { name: "SHUTDOWN_GRACE_PERIOD", good: "2m", bad: "2" },
  { name: "SHUTDOWN_ENDPOINT_ENABLED", good: "false", bad: "no" },
  ...sides.flatMap((side): Row[] => [
    { name: `${side}_ACCEPT_USER_TIMEOUT`, good: "30s", bad: "30" },
    { name: `${side}_CONNECT_USER_TIMEOUT`, good: "30s", bad: "x" },
  ]),
];

/** Read and without effect, as in the reference. */
const WITHOUT_EFFECT = new Set(["RESOLV_CONF"]);
/** Not needed when absent with what they go with; then what a value adds is only its name. */
const REQUIRED = new Set(["IDENTITY_DIR", "IDENTITY_TRUST_ANCHORS", "IDENTITY_LOCAL_NAME", "IDENTITY_TOKEN_FILE"]);

let ca: TestCa;
let other: TestCa;
beforeAll(async () => {
  [ca, other] = await Promise.all([createCa(), createCa("other")]);
});

const files: Files = {
  keys({ dir, name }) {
    if (dir === "/unreadable") throw new Error(`${dir}/key.p8: permission denied`);
    return { keyPem: `${dir} ${name}`, csr: new Uint8Array() };
  },
  read: (file) => new Uint8Array(file === "/empty" ? 0 : 1),
};

function environment(overrides: Readonly<Record<string, string | null>>): Record<string, string> {
  const all: Record<string, string | null> = {
    DESTINATION_SVC_ADDR: "localhost.:8086",
    IDENTITY_DIR: "/identity",
    IDENTITY_TRUST_ANCHORS: ca.pem,
    IDENTITY_LOCAL_NAME: "web.ns",
    IDENTITY_TOKEN_FILE: "/token",
    IDENTITY_SVC_ADDR: "localhost.:8080",
    ...overrides,
  };
  const kept = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null);
  return Object.fromEntries(kept.map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
}

function config(overrides: Readonly<Record<string, string | null>>): Config {
  const parsed = parseConfig(environment(overrides), files);
  if ("errors" in parsed) throw new Error(parsed.errors.join("\n"));
  return parsed.config;
}

function errors(overrides: Readonly<Record<string, string>>): readonly string[] {
  const parsed = parseConfig(environment(overrides), files);
  return "errors" in parsed ? parsed.errors : [];
}

const goodValue = ({ name, good }: Row): string => (name === "IDENTITY_TRUST_ANCHORS" ? other.pem : good);

test("the table has all 69 variables, each once", () => {
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  // HOSTNAME has no prefix: see the test below.
  expect(rows).toHaveLength(69);
});

test.each([...rows, ...later].map((row) => [row.name, row] as const))("%s is read, and a value has its effect", (name, row) => {
  const asked = new Set<string>();
  const env = new Proxy(environment({ ...row.with, [name]: goodValue(row) }), {
    get(target, key) {
      asked.add(String(key));
      return target[String(key)];
    },
  });
  parseConfig(env, files);
  expect(asked).toContain(`LINKERD2_PROXY_${name}`);

  if (WITHOUT_EFFECT.has(name)) return;
  const disabled = name === "IDENTITY_DISABLED";
  const identity = Object.fromEntries([...REQUIRED, "IDENTITY_SVC_ADDR"].map((key) => [key, null]));
  const given = config({ ...row.with, ...(disabled ? identity : {}), [name]: goodValue(row) });
  const needed = name === "POLICY_WORKLOAD" ? { [name]: "another" } : name.endsWith("_NAME") && row.with ? { [name]: "another.ns" } : {};
  const backoff = name.endsWith("BACKOFF_MIN") || name.endsWith("BACKOFF_MAX") ? { [name]: "1s" } : {};
  const networks = name === "POLICY_CLUSTER_NETWORKS" ? { [name]: "192.168.0.0/16" } : {};
  const without = config({ ...row.with, ...needed, ...backoff, ...networks });
  expect(given).not.toEqual(without);
});

test.each([...rows, ...later].filter(({ bad }) => bad !== null).map((row) => [row.name, row] as const))(
  "%s: a bad value is told of, by name and value, alone",
  (name, row) => {
    const bad = row.bad as string;
    const found = errors({ ...row.with, [name]: bad });
    // The default policy needs the networks that could not be read.
    const own = found.filter((line) => name === "INBOUND_DEFAULT_POLICY" || !line.startsWith("LINKERD2_PROXY_INBOUND_DEFAULT_POLICY"));
    expect(own).toHaveLength(1);
    expect(own[0]).toStartWith(`LINKERD2_PROXY_${name}: `);
    expect(own[0]).toEndWith(`: ${JSON.stringify(bad)}`);
  },
);

test("all bad values at once: one line each", () => {
  const bad = rows.filter((row) => row.bad !== null && row.name !== "INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION");
  const found = errors(Object.fromEntries(bad.map(({ name, bad }) => [name, bad as string])));
  for (const { name } of bad) expect(found.filter((line) => line.startsWith(`LINKERD2_PROXY_${name}: `))).toHaveLength(1);
});

test("bytes that are no UTF-8 are a mistake, whatever the variable takes", () => {
  for (const { name } of rows) {
    const found = errors({ [name]: "a\ufffdb" });
    expect(found.filter((line) => line.startsWith(`LINKERD2_PROXY_${name}: `))).toHaveLength(1);
  }
});

test("HOSTNAME names the node of traces", () => {
  const parsed = parseConfig({ ...environment({}), HOSTNAME: "web-1" }, files);
  expect("config" in parsed && parsed.config.hostname).toBe("web-1");
});

test("a long value is cut in the message", () => {
  expect(errors({ INBOUND_PORTS_REQUIRE_TLS: "x".repeat(100_000) })[0]?.length).toBeLessThan(500);
});
