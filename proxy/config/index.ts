// The proxy's whole configuration, read once from the environment and the files it names (spec proxy §1.3–1.4). Every mistake is
// reported by its variable and value, then the process ends.
import type { SocketAddr } from "#addr";
import { DEFAULT_POLICIES, type DefaultPolicyName, defaultPolicy, type Network, type ServerPolicy } from "#policy";
import type { Backoff } from "#stack";
import { parseAnchors } from "../identity/chain.ts";
import type { KeyMaterial } from "../identity/key.ts";
import {
  bool,
  type ControlAddr,
  controlAddr,
  decimal,
  duration,
  identityName,
  ipSet,
  isLocalControl,
  networks,
  portSet,
  socketAddr,
  suffixes,
  whole,
} from "./values.ts";

export { type ControlAddr, formatControlAddr, isLocalControl, matchesSuffix } from "./values.ts";

/** A control-plane service. `name`: identity to expect; null = plain text (a local address, or identity is disabled). */
export type ControlService = { readonly addr: ControlAddr; readonly name: string | null };

export type Side = {
  readonly listen: SocketAddr;
  readonly detectTimeoutMs: number;
  readonly dispatchTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly backoff: Backoff;
  /** TCP keepalive idle time; null = the kernel's. */
  readonly acceptKeepaliveMs: number | null;
  readonly connectKeepaliveMs: number | null;
  /** How long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT); null = the kernel's, some 15 minutes. */
  readonly acceptUserTimeoutMs: number | null;
  readonly connectUserTimeoutMs: number | null;
  readonly cacheIdleMs: number;
  readonly maxIdleConnections: number;
  readonly maxInFlight: number;
};

export type IdentityConfig = {
  /** Null: the files were not asked for. */
  readonly keys: KeyMaterial | null;
  readonly trustAnchorsPem: string;
  readonly localName: string;
  readonly tokenFile: string;
  readonly minRefreshMs: number;
  readonly maxRefreshMs: number;
  readonly service: ControlService;
};

export type PolicyConfig = {
  /** Null: static policies only. */
  readonly controller: { readonly service: ControlService; readonly workload: string; readonly ports: ReadonlySet<number> } | null;
  /** Of ports nobody has said anything about; `deny` closes them at accept. */
  readonly default: ServerPolicy;
  readonly defaultName: DefaultPolicyName;
  /** Policies of single ports, without a controller. */
  readonly ports: ReadonlyMap<number, ServerPolicy>;
};

export type Config = {
  readonly log: { readonly filter: string; readonly format: "plain" | "json" };
  /** As asked for, at least 1; the machine may have fewer. */
  readonly cores: number;
  readonly metricsRetainIdleMs: number;
  readonly ingress: boolean;
  readonly outbound: Side & { readonly informational: boolean };
  readonly inbound: Side & { readonly poolIdleMs: number; readonly allowedIps: ReadonlySet<string> | null };
  readonly admin: SocketAddr;
  readonly tap: { readonly listen: SocketAddr; readonly service: string } | null;
  readonly bufferCapacity: number;
  readonly http2: { readonly streamWindow: number; readonly connectionWindow: number };
  readonly destination: {
    readonly service: ControlService;
    readonly context: string;
    readonly profileNetworks: readonly Network[];
    readonly profileSuffixes: readonly string[];
    readonly profileTimeoutMs: number;
  };
  readonly policy: PolicyConfig;
  readonly gatewaySuffixes: readonly string[];
  readonly identity: IdentityConfig | null;
  readonly trace: { readonly service: ControlService; readonly attributesPath: string | null } | null;
  readonly dns: { readonly minTtlMs: number | null; readonly maxTtlMs: number | null };
  readonly shutdown: {
    /** What is still open this long after the drain began is cut; null = never (spec proxy §1.8). */
    readonly graceMs: number | null;
    /** `POST /shutdown` is answered. */
    readonly endpoint: boolean;
  };
  readonly hostname: string;
};

/** The files that the environment names. Each throws with what is wrong. */
export type Files = {
  /** Key and certificate request of a folder, made there when absent. Without a name nothing is made: null then. */
  readonly keys: (options: { dir: string; name: string | null }) => KeyMaterial | null;
  readonly read: (file: string) => Uint8Array;
};

export type Env = Readonly<Record<string, string | undefined>>;
/** What the log is to say of a configuration that can be used. */
export type Note = { readonly level: "warn" | "error"; readonly text: string };
export type Parsed = { readonly config: Config; readonly notes: readonly Note[] } | { readonly errors: readonly string[] };

const PREFIX = "LINKERD2_PROXY_";
/** The stream window of HTTP/2, RFC 9113 §6.9.2. */
const STREAM_WINDOW = 65535;
const CONNECTION_WINDOW = 1048576;
/** Characters of a value that a message shows. */
const SHOWN_CHARS = 200;

const cut = (text: string): string => (text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text);

class Reader {
  readonly errors: string[] = [];
  readonly notes: Note[] = [];
  readonly #env: Env;

  constructor(env: Env) {
    this.#env = env;
  }

  raw(name: string): string | undefined {
    const value = this.#env[PREFIX + name];
    // The runtime replaces bytes that are no UTF-8 by this character.
    if (value?.includes("�")) {
      this.fail(name, "not UTF-8");
      return undefined;
    }
    return value;
  }

  has(name: string): boolean {
    return this.#env[PREFIX + name] !== undefined;
  }

  /** The value is shown with it, if there is one. */
  fail(name: string, problem: string): void {
    const value = this.#env[PREFIX + name];
    this.errors.push(`${PREFIX}${name}: ${cut(problem)}${value === undefined ? "" : `: ${JSON.stringify(cut(value))}`}`);
  }

  note(level: Note["level"], text: string): void {
    this.notes.push({ level, text });
  }

  optional<T>(name: string, parse: (text: string) => T): T | null {
    const text = this.raw(name);
    if (text === undefined) return null;
    try {
      return parse(text);
    } catch (error) {
      this.fail(name, (error as Error).message);
      return null;
    }
  }

  get<T>(name: string, parse: (text: string) => T, fallback: T): T {
    return this.optional(name, parse) ?? fallback;
  }

  /** `X_SVC_ADDR` with `X_SVC_NAME`; null when absent or wrong. */
  service(prefix: string, { required, identity }: { required: boolean; identity: boolean }): ControlService | null {
    const addr = this.optional(`${prefix}_ADDR`, controlAddr);
    const name = this.optional(`${prefix}_NAME`, identityName);
    if (addr === null) {
      if (this.has(`${prefix}_ADDR`)) return null;
      if (required) this.fail(`${prefix}_ADDR`, "not set");
      else if (name !== null) this.fail(`${prefix}_ADDR`, `not set, though ${PREFIX}${prefix}_NAME is`);
      return null;
    }
    if (isLocalControl(addr)) return { addr, name: null };
    if (name === null && identity && !this.has(`${prefix}_NAME`)) {
      this.fail(`${prefix}_NAME`, `not set, though ${PREFIX}${prefix}_ADDR is and is not a local address`);
      return null;
    }
    return { addr, name: identity ? name : null };
  }
}

/** The environment in, the configuration or all mistakes out. Without `files`, what they hold is not looked at. */
export function parseConfig(env: Env, files: Files | null = null): Parsed {
  const reader = new Reader(env);
  const identityDisabled = (reader.raw("IDENTITY_DISABLED") ?? "") !== "";
  const identity = parseIdentity(reader, identityDisabled, files);
  const withIdentity = !identityDisabled;
  const ingress = reader.get("INGRESS_MODE", bool, false);
  const inbound = {
    ...side(reader, "INBOUND", { listen: "0.0.0.0:4143", dispatch: 1000, connect: 300, idle: 20_000 }),
    maxIdleConnections: reader.get("MAX_IDLE_CONNS_PER_ENDPOINT", whole, Number.POSITIVE_INFINITY),
    poolIdleMs: reader.get("INBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT", duration, 3000),
    allowedIps: reader.optional("INBOUND_IPS", ipSet),
  };
  const outbound = {
    ...side(reader, "OUTBOUND", { listen: "127.0.0.1:4140", dispatch: 3000, connect: 1000, idle: 5000 }),
    maxIdleConnections: reader.get("OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT", whole, Number.POSITIVE_INFINITY),
    informational: !reader.get("OUTBOUND_DISABLE_INFORMATIONAL_HEADERS", bool, ingress),
  };
  const admin = reader.get("ADMIN_LISTEN_ADDR", socketAddr, { ip: "127.0.0.1", port: 4191 });
  const tapListen = reader.get("CONTROL_LISTEN_ADDR", socketAddr, { ip: "0.0.0.0", port: 4190 });
  const tapService = reader.optional("TAP_SVC_NAME", identityName);
  if (tapService !== null && !withIdentity)
    reader.note("warn", `${PREFIX}TAP_SVC_NAME: there is no tap without identity: ${JSON.stringify(tapService)}`);
  const destination = reader.service("DESTINATION_SVC", { required: true, identity: withIdentity });
  const gatewaySuffixes = reader.get("INBOUND_GATEWAY_SUFFIXES", suffixes, []);
  const policy = parsePolicy(reader, { withIdentity, inbound, admin, gateway: gatewaySuffixes.length > 0 });
  const trace = reader.service("TRACE_COLLECTOR_SVC", { required: false, identity: withIdentity });
  const format = (reader.raw("LOG_FORMAT") ?? "plain").toLowerCase() === "json" ? "json" : "plain";
  const attributesPath = reader.raw("TRACE_ATTRIBUTES_PATH") ?? null;
  // Asked for and not used, as in the reference: names are always looked up as the system does.
  reader.raw("RESOLV_CONF");

  const parts = {
    log: { filter: reader.raw("LOG") ?? "warn,linkerd=info", format } as const,
    cores: parseCores(reader),
    metricsRetainIdleMs: reader.get("METRICS_RETAIN_IDLE", duration, 600_000),
    ingress,
    outbound,
    inbound,
    admin,
    tap: withIdentity && tapService !== null ? { listen: tapListen, service: tapService } : null,
    bufferCapacity: reader.get("BUFFER_CAPACITY", whole, 10_000),
    http2: {
      streamWindow: reader.get("HTTP2_INITIAL_STREAM_WINDOW_SIZE", window, STREAM_WINDOW),
      connectionWindow: reader.get("HTTP2_INITIAL_CONNECTION_WINDOW_SIZE", window, CONNECTION_WINDOW),
    },
    gatewaySuffixes,
    identity,
    trace: trace === null ? null : { service: trace, attributesPath },
    dns: { minTtlMs: reader.optional("DNS_MIN_TTL", duration), maxTtlMs: reader.optional("DNS_MAX_TTL", duration) },
    shutdown: {
      graceMs: reader.optional("SHUTDOWN_GRACE_PERIOD", duration),
      endpoint: reader.get("SHUTDOWN_ENDPOINT_ENABLED", bool, true),
    },
    hostname: env["HOSTNAME"] ?? "",
  };
  const rest = {
    context: reader.raw("DESTINATION_CONTEXT") ?? "",
    profileNetworks: reader.get("DESTINATION_PROFILE_NETWORKS", networks, []),
    profileSuffixes: reader.get("DESTINATION_PROFILE_SUFFIXES", suffixes, ["svc.cluster.local"]),
    profileTimeoutMs: reader.get("DESTINATION_PROFILE_INITIAL_TIMEOUT", duration, 500),
  };
  if (reader.errors.length > 0 || destination === null || policy === null) return { errors: reader.errors };
  return { config: { ...parts, destination: { service: destination, ...rest }, policy }, notes: reader.notes };
}

function side(
  reader: Reader,
  name: "INBOUND" | "OUTBOUND",
  defaults: { listen: string; dispatch: number; connect: number; idle: number },
): Side {
  return {
    listen: reader.get(`${name}_LISTEN_ADDR`, socketAddr, socketAddr(defaults.listen)),
    detectTimeoutMs: reader.get(`${name}_DETECT_TIMEOUT`, duration, 10_000),
    dispatchTimeoutMs: reader.get(`${name}_DISPATCH_TIMEOUT`, duration, defaults.dispatch),
    connectTimeoutMs: reader.get(`${name}_CONNECT_TIMEOUT`, duration, defaults.connect),
    backoff: parseBackoff(reader, name),
    acceptKeepaliveMs: reader.optional(`${name}_ACCEPT_KEEPALIVE`, duration),
    connectKeepaliveMs: reader.optional(`${name}_CONNECT_KEEPALIVE`, duration),
    acceptUserTimeoutMs: reader.optional(`${name}_ACCEPT_USER_TIMEOUT`, duration),
    connectUserTimeoutMs: reader.optional(`${name}_CONNECT_USER_TIMEOUT`, duration),
    cacheIdleMs: reader.get(`${name}_ROUTER_MAX_IDLE_AGE`, duration, defaults.idle),
    maxIdleConnections: Number.POSITIVE_INFINITY,
    maxInFlight: reader.get(`${name}_MAX_IN_FLIGHT`, whole, 100_000),
  };
}

/** MIN and MAX go together; with them the jitter is 0 unless given. No jitter without them. */
function parseBackoff(reader: Reader, name: string): Backoff {
  const at = `${name}_CONNECT_EXP_BACKOFF`;
  const minMs = reader.optional(`${at}_MIN`, duration);
  const maxMs = reader.optional(`${at}_MAX`, (text) => {
    const ms = duration(text);
    if (ms === 0) throw new Error("must be more than 0");
    return ms;
  });
  const jitter = reader.optional(`${at}_JITTER`, (text) => {
    const value = decimal(text);
    if (value > 100) throw new Error("must be at most 100");
    return value;
  });
  if (minMs === null || maxMs === null) {
    const given = ["MIN", "MAX", "JITTER"].find((part) => reader.has(`${at}_${part}`));
    for (const part of ["MIN", "MAX"])
      if (given !== undefined && !reader.has(`${at}_${part}`)) reader.fail(`${at}_${part}`, `not set, though ${PREFIX}${at}_${given} is`);
    return { minMs: 100, maxMs: 500, jitter: 0.1 };
  }
  if (minMs > maxMs) reader.fail(`${at}_MIN`, `must not be more than ${PREFIX}${at}_MAX`);
  return { minMs, maxMs, jitter: jitter ?? 0 };
}

function window(text: string): number {
  const value = whole(text);
  if (value < 1 || value > 0x7fffffff) throw new Error("not a window size (1 to 2147483647)");
  return value;
}

function parseCores(reader: Reader): number {
  const text = reader.raw("CORES");
  if (text === undefined) return 1;
  if (!/^\d+$/.test(text) || Number(text) === 0) {
    reader.note("warn", `${PREFIX}CORES: not a number of cores, ignored: ${JSON.stringify(text)}`);
    return 1;
  }
  return Number(text);
}

const IDENTITY_VARIABLES = [
  "IDENTITY_DIR",
  "IDENTITY_TRUST_ANCHORS",
  "IDENTITY_LOCAL_NAME",
  "IDENTITY_TOKEN_FILE",
  "IDENTITY_MIN_REFRESH",
  "IDENTITY_MAX_REFRESH",
  "IDENTITY_SVC_ADDR",
  "IDENTITY_SVC_NAME",
];

function parseIdentity(reader: Reader, disabled: boolean, files: Files | null): IdentityConfig | null {
  if (disabled) {
    for (const name of IDENTITY_VARIABLES) if (reader.has(name)) reader.fail(name, `set, though ${PREFIX}IDENTITY_DISABLED is`);
    return null;
  }
  const required = <T>(name: string, parse: (text: string) => T): T | null => {
    if (!reader.has(name)) reader.fail(name, "not set");
    return reader.optional(name, parse);
  };
  const localName = required("IDENTITY_LOCAL_NAME", identityName);
  const keys = required("IDENTITY_DIR", (dir) => {
    if (dir.trim() === "") throw new Error("empty");
    return files?.keys({ dir, name: localName }) ?? null;
  });
  const trustAnchorsPem = required("IDENTITY_TRUST_ANCHORS", anchors);
  const tokenFile = required("IDENTITY_TOKEN_FILE", (file) => {
    if (file.trim() === "") throw new Error("empty");
    if (files !== null && files.read(file).length === 0) throw new Error("the file is empty");
    return file;
  });
  const minRefreshMs = reader.get("IDENTITY_MIN_REFRESH", duration, 10_000);
  const maxRefreshMs = reader.get("IDENTITY_MAX_REFRESH", duration, 86_400_000);
  const service = reader.service("IDENTITY_SVC", { required: true, identity: true });
  if (trustAnchorsPem === null || localName === null || tokenFile === null || service === null) return null;
  return { keys, trustAnchorsPem, localName, tokenFile, minRefreshMs, maxRefreshMs, service };
}

/** What is no certificate is told when the anchors are used. */
function anchors(text: string): string {
  if (parseAnchors(text, () => {}).length === 0) throw new Error("holds no usable PEM certificate");
  return text;
}

function parsePolicy(
  reader: Reader,
  { withIdentity, inbound, admin, gateway }: { withIdentity: boolean; inbound: Side; admin: SocketAddr; gateway: boolean },
): PolicyConfig | null {
  const service = reader.service("POLICY_SVC", { required: false, identity: withIdentity });
  const controlled = reader.has("POLICY_SVC_ADDR");
  const clusterNetworks = reader.get("POLICY_CLUSTER_NETWORKS", networks, []);
  const options = { clusterNetworks, detectTimeoutMs: inbound.detectTimeoutMs };
  const defaultName = reader.get("INBOUND_DEFAULT_POLICY", defaultPolicyName, "all-unauthenticated" as DefaultPolicyName);
  if (!reader.has("INBOUND_DEFAULT_POLICY")) reader.note("warn", `${PREFIX}INBOUND_DEFAULT_POLICY is not set; using all-unauthenticated`);
  if (defaultName.startsWith("cluster-") && clusterNetworks.length === 0)
    reader.fail("INBOUND_DEFAULT_POLICY", `${defaultName} needs ${PREFIX}POLICY_CLUSTER_NETWORKS`);
  if (defaultName === "deny" && !controlled) reader.fail("INBOUND_DEFAULT_POLICY", `deny needs ${PREFIX}POLICY_SVC_ADDR`);
  const fallback = defaultPolicy(defaultName, options);

  const requireIdentity = reader.get("INBOUND_PORTS_REQUIRE_IDENTITY", portSet, new Set<number>());
  const requireTls = reader.get("INBOUND_PORTS_REQUIRE_TLS", portSet, new Set<number>());
  const opaque = reader.get("INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", portSet, new Set<number>());
  const declared = reader.get("INBOUND_PORTS", portSet, new Set<number>());
  const workload = reader.raw("POLICY_WORKLOAD");
  if (controlled) {
    if (!workload) reader.fail("POLICY_WORKLOAD", `not set, though ${PREFIX}POLICY_SVC_ADDR is`);
    if (!reader.has("INBOUND_PORTS")) reader.note("error", `${PREFIX}INBOUND_PORTS is not set; no port but the proxy's own is watched`);
    if (service === null || !workload) return null;
    const ports = new Set([...declared, admin.port, ...(gateway ? [inbound.listen.port] : [])]);
    return { controller: { service, workload, ports }, default: fallback, defaultName, ports: new Map() };
  }
  if (opaque.has(inbound.listen.port)) reader.fail("INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", "must not hold the inbound listener's port");
  const ports = new Map<number, ServerPolicy>();
  for (const port of requireTls) ports.set(port, defaultPolicy("all-tls-unauthenticated", options));
  for (const port of requireIdentity) ports.set(port, defaultPolicy("all-authenticated", options));
  for (const port of opaque) ports.set(port, { ...(ports.get(port) ?? fallback), protocol: { kind: "opaque" } });
  return { controller: null, default: fallback, defaultName, ports };
}

function defaultPolicyName(text: string): DefaultPolicyName {
  const found = DEFAULT_POLICIES.find((name) => name === text);
  if (!found) throw new Error(`not a default policy (${DEFAULT_POLICIES.join(", ")})`);
  return found;
}
