// The environment: values by their grammar, and the whole of it.
import { parseIp } from "#addr";
import { type Config, parseConfig } from "../../proxy/config/index.ts";
import {
  bool,
  controlAddr,
  decimal,
  duration,
  identityName,
  ipSet,
  matchesSuffix,
  networks,
  portSet,
  socketAddr,
  suffixes,
  whole,
} from "../../proxy/config/values.ts";
import { Choices } from "../input.ts";
import { check, same, type Target, utf8 } from "../target.ts";

const target: Target = {
  name: "env-value",
  what: "environment: each value is read as a naive grammar reads it, or refused in words; every mistake of the whole is told, none thrown",
  maxBytes: 400,
  seeds: [
    "\x0010s",
    "\x001h",
    "\x00 300ms ",
    "\x000",
    "\x0099999999999d",
    "\x0125,443",
    "\x02127.0.0.1,::1",
    "\x0310.0.0.0/8, fd00::/8,",
    "\x04svc.cluster.local., .",
    "\x05web.ns.serviceaccount.identity.linkerd.cluster.local",
    "\x06localhost.:8080",
    "\x07[::1]:80",
    "\x08true",
    "\x0910",
    "\x0a0.5",
    "\x0b\x05\x0310s\x06\x02xx",
    "\x0b\x00\x040.0.",
  ],
  dictionary: [
    "ms",
    "65535",
    "localhost.",
    "::1",
    "/32",
    "true",
    "false",
    "deny",
    "all-authenticated",
    ".svc",
    "-----BEGIN CERTIFICATE-----",
  ],
  run(input) {
    if (input.length === 0) return;
    const which = (input[0] as number) % 12;
    if (which === 11) whole_(new Choices(input.subarray(1)));
    else value(which, utf8(input.subarray(1)));
  },
};
export default target;

/** The value, or null when it is refused with an error of its own making. */
function read<T>(parse: (text: string) => T, text: string): T | null {
  try {
    return parse(text);
  } catch (error) {
    check((error as Error).constructor === Error && (error as Error).message !== "", () => `${(error as Error).stack}`);
    return null;
  }
}

function value(which: number, text: string): void {
  switch (which) {
    case 0: {
      const match = /^\s*(\d+)(ms|s|m|h|d)?\s*$/.exec(text);
      const unit = { ms: 1n, s: 1000n, m: 60_000n, h: 3_600_000n, d: 86_400_000n }[(match?.[2] ?? "ms") as "ms"];
      const ms = match === null || (match[2] === undefined && !/^0+$/.test(match[1] as string)) ? null : BigInt(match[1] as string) * unit;
      same(read(duration, text), ms === null || ms > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(ms), "duration");
      return;
    }
    case 1: {
      const parts = text.split(",");
      const valid = text === "" || parts.every((part) => /^(0|[1-9]\d{0,4})$/.test(part) && Number(part) <= 65_535);
      const expected = !valid ? null : text === "" ? new Set<number>() : new Set(parts.map(Number));
      same(read(portSet, text), expected, "port set");
      return;
    }
    case 2: {
      const ips = text.split(",").map(parseIp);
      same(read(ipSet, text), ips.includes(null) ? null : new Set(ips), "IP set");
      return;
    }
    case 3: {
      const list = read(networks, text);
      const items = text.split(",").filter((part) => part.trim() !== "");
      if (list !== null)
        check(
          list.length === items.length && list.every(({ family, prefix }) => prefix >= 0 && prefix <= (family === 4 ? 32 : 128)),
          "networks",
        );
      return;
    }
    case 4: {
      const list = read(suffixes, text);
      if (list === null) return;
      for (const name of [
        "svc.cluster.local",
        "a.svc.cluster.local.",
        "xsvc.cluster.local",
        ...list.map((suffix) => `a.${suffix}`),
        ...list,
        ...list.map((suffix) => `a${suffix}`),
      ])
        same(
          matchesSuffix(list, name),
          list.some((suffix) => below(name, suffix)),
          `${name} below ${list.join(", ")}`,
        );
      return;
    }
    case 5: {
      const name = read(identityName, text);
      if (name !== null) check(name === text.toLowerCase() && !name.endsWith(".") && name.length <= 253, "identity");
      return;
    }
    case 6: {
      const addr = read(controlAddr, text);
      if (addr !== null)
        check(addr.port > 0 && addr.port <= 65_535 && (text.startsWith(addr.host) || text.startsWith(`[${addr.host}]`)), "control address");
      return;
    }
    case 7: {
      const addr = read(socketAddr, text);
      if (addr !== null) check(parseIp(addr.ip) === addr.ip && addr.port <= 65_535, "socket address");
      return;
    }
    case 8:
      same(read(bool, text), text === "true" ? true : text === "false" ? false : null, "bool");
      return;
    case 9:
      same(read(whole, text), /^\d+$/.test(text) && BigInt(text) <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(text) : null, "number");
      return;
    default:
      same(read(decimal, text), /^\d+(\.\d+)?$/.test(text) ? Number(text) : null, "decimal");
  }
}

/** On label boundaries, by labels. */
function below(name: string, suffix: string): boolean {
  if (suffix === "") return true;
  const labels = name.replace(/\.$/, "").split(".");
  const tail = suffix.split(".");
  return labels.length >= tail.length && labels.slice(labels.length - tail.length).join(".") === suffix;
}

const NAMES = [
  "LOG",
  "LOG_FORMAT",
  "CORES",
  "METRICS_RETAIN_IDLE",
  "INGRESS_MODE",
  "OUTBOUND_LISTEN_ADDR",
  "INBOUND_LISTEN_ADDR",
  "ADMIN_LISTEN_ADDR",
  "CONTROL_LISTEN_ADDR",
  "TAP_SVC_NAME",
  "DESTINATION_SVC_ADDR",
  "DESTINATION_SVC_NAME",
  "DESTINATION_CONTEXT",
  "DESTINATION_PROFILE_NETWORKS",
  "DESTINATION_PROFILE_SUFFIXES",
  "INBOUND_GATEWAY_SUFFIXES",
  "POLICY_SVC_ADDR",
  "POLICY_SVC_NAME",
  "POLICY_WORKLOAD",
  "POLICY_CLUSTER_NETWORKS",
  "INBOUND_DEFAULT_POLICY",
  "INBOUND_PORTS",
  "INBOUND_PORTS_REQUIRE_IDENTITY",
  "INBOUND_PORTS_REQUIRE_TLS",
  "INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION",
  "INBOUND_IPS",
  "IDENTITY_DISABLED",
  "IDENTITY_DIR",
  "IDENTITY_TRUST_ANCHORS",
  "IDENTITY_LOCAL_NAME",
  "IDENTITY_TOKEN_FILE",
  "IDENTITY_SVC_ADDR",
  "IDENTITY_SVC_NAME",
  "TRACE_COLLECTOR_SVC_ADDR",
  "TRACE_COLLECTOR_SVC_NAME",
  "OUTBOUND_CONNECT_EXP_BACKOFF_MIN",
  "OUTBOUND_CONNECT_EXP_BACKOFF_MAX",
  "OUTBOUND_CONNECT_EXP_BACKOFF_JITTER",
  "HTTP2_INITIAL_STREAM_WINDOW_SIZE",
  "HTTP2_INITIAL_CONNECTION_WINDOW_SIZE",
  "BUFFER_CAPACITY",
  "DNS_MIN_TTL",
];

const GOOD: Readonly<Record<string, string>> = {
  LINKERD2_PROXY_DESTINATION_SVC_ADDR: "dst.linkerd:8086",
  LINKERD2_PROXY_DESTINATION_SVC_NAME: "dst.linkerd",
  LINKERD2_PROXY_IDENTITY_DIR: "/x",
  LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: "-----BEGIN CERTIFICATE-----",
  LINKERD2_PROXY_IDENTITY_LOCAL_NAME: "a.b",
  LINKERD2_PROXY_IDENTITY_TOKEN_FILE: "/t",
  LINKERD2_PROXY_IDENTITY_SVC_ADDR: "localhost.:8080",
  LINKERD2_PROXY_IDENTITY_SVC_NAME: "id.linkerd",
};

function whole_(choices: Choices): void {
  const env: Record<string, string> = choices.byte() % 4 === 3 ? {} : { ...GOOD };
  while (!choices.done) {
    const name = `LINKERD2_PROXY_${choices.of(NAMES)}`;
    if (choices.byte() % 8 === 0) delete env[name];
    else env[name] = Buffer.from(choices.bytes(40)).toString();
  }
  const parsed = parseConfig(env);
  if ("errors" in parsed) {
    check(parsed.errors.length > 0, "refused without a reason");
    for (const error of parsed.errors) check(/^LINKERD2_PROXY_[A-Z0-9_]+: ./.test(error), () => `no variable is named: ${error}`);
    return;
  }
  sane(parsed.config);
  // Reading is a function of the environment alone.
  same(parseConfig({ ...env }), parsed, "read again");
}

function sane({ inbound, outbound, http2, destination, policy, identity, admin }: Config): void {
  for (const side of [inbound, outbound]) {
    for (const ms of [side.detectTimeoutMs, side.dispatchTimeoutMs, side.connectTimeoutMs, side.cacheIdleMs])
      check(Number.isSafeInteger(ms) && ms >= 0, () => `${ms} ms`);
    check(side.backoff.minMs <= side.backoff.maxMs && side.backoff.maxMs > 0, "backoff");
    check(parseIp(side.listen.ip) === side.listen.ip, "listen address");
  }
  check(http2.streamWindow >= 1 && http2.connectionWindow <= 0x7fffffff, "windows");
  check(destination.service.addr.port > 0 && admin.port <= 65_535, "ports");
  if (identity !== null) check(identity.localName !== "" && identity.trustAnchorsPem.includes("BEGIN CERTIFICATE"), "identity");
  for (const port of policy.ports.keys()) check(Number.isInteger(port) && port <= 65_535, "ports of policies");
}
