// Stand-ins for the control side, moved by hand: discovery, policy, identity, and telemetry that writes down what it is told.
import { formatSocketAddr } from "#addr";
import type { ServerPolicy } from "#policy";
import type { Credentials, Discovery, Endpoint, EndpointUpdate, Identity, PolicyHandle, PolicyStore, Profile } from "../contracts.ts";
import type { ResponseScope } from "../http/meter.ts";
import type {
  ClientTls,
  InboundTarget,
  InboundTelemetry,
  Labels,
  OutboundTarget,
  OutboundTelemetry,
  ServerTls,
  StackScope,
  TransportScope,
} from "../telemetry.ts";

export const endpoint = (init: Partial<Endpoint> & Pick<Endpoint, "addr">): Endpoint => ({
  labels: [],
  identity: null,
  h2: false,
  opaqueTransportPort: null,
  authorityOverride: null,
  ...init,
});

export const profile = (init: Partial<Profile>): Profile => ({
  fqn: null,
  endpoint: null,
  opaque: false,
  targets: [],
  routes: [],
  retryBudget: null,
  ...init,
});

export class FakeDiscovery implements Discovery {
  /** By path; absent = discovery does not answer. */
  readonly profiles = new Map<string, Profile | null>();
  readonly #profileWatches = new Map<string, Set<(profile: Profile | null) => void>>();
  readonly #endpointWatches = new Map<string, Set<(update: EndpointUpdate) => void>>();
  readonly #endpoints = new Map<string, Endpoint[]>();
  networks = (_ip: string): boolean => true;
  /** Paths of `endpoints` calls in progress. */
  get resolving(): string[] {
    return [...this.#endpointWatches].filter(([, watches]) => watches.size > 0).map(([path]) => path);
  }

  inProfileNetworks(ip: string): boolean {
    return this.networks(ip);
  }

  matchesProfileSuffix(name: string): boolean {
    return name.endsWith("svc.cluster.local");
  }

  profile(path: string, cb: (profile: Profile | null) => void) {
    const watches = this.#profileWatches.get(path) ?? new Set();
    this.#profileWatches.set(path, watches);
    watches.add(cb);
    const known = this.profiles.get(path);
    if (known !== undefined) queueMicrotask(() => watches.has(cb) && cb(known));
    return () => void watches.delete(cb);
  }

  endpoints(path: string, cb: (update: EndpointUpdate) => void) {
    const watches = this.#endpointWatches.get(path) ?? new Set();
    this.#endpointWatches.set(path, watches);
    watches.add(cb);
    const known = this.#endpoints.get(path);
    if (known !== undefined) queueMicrotask(() => watches.has(cb) && cb({ kind: "add", endpoints: known }));
    return () => void watches.delete(cb);
  }

  setProfile(path: string, value: Profile | null): void {
    this.profiles.set(path, value);
    for (const cb of this.#profileWatches.get(path) ?? []) cb(value);
  }

  setEndpoints(path: string, endpoints: Endpoint[]): void {
    this.#endpoints.set(path, endpoints);
    this.send(path, { kind: "replace", endpoints, exists: true });
  }

  send(path: string, update: EndpointUpdate): void {
    for (const cb of this.#endpointWatches.get(path) ?? []) cb(update);
  }
}

export class FakePolicy implements PolicyHandle {
  readonly #watches = new Set<(policy: ServerPolicy) => void>();
  #policy: ServerPolicy;

  constructor(policy: ServerPolicy) {
    this.#policy = policy;
  }

  current(): ServerPolicy {
    return this.#policy;
  }

  onChange(cb: (policy: ServerPolicy) => void) {
    this.#watches.add(cb);
    return () => void this.#watches.delete(cb);
  }

  set(policy: ServerPolicy): void {
    this.#policy = policy;
    for (const cb of [...this.#watches]) cb(policy);
  }
}

export class FakePolicies implements PolicyStore {
  readonly ports = new Map<number, FakePolicy>();
  fallback: FakePolicy | "deny" = "deny";

  lookup(port: number): PolicyHandle | "deny" {
    return this.ports.get(port) ?? this.fallback;
  }
}

export class FakeIdentity implements Identity {
  readonly localName: string;
  readonly trustAnchorsPem: string;
  readonly ready = Promise.resolve();
  readonly #watches = new Set<(credentials: Credentials) => void>();
  #credentials: Credentials;

  constructor(localName: string, credentials: Credentials) {
    this.localName = localName;
    this.#credentials = credentials;
    this.trustAnchorsPem = credentials.trustAnchorsPem;
  }

  current(): Credentials {
    return this.#credentials;
  }

  onChange(cb: (credentials: Credentials) => void) {
    this.#watches.add(cb);
    return () => void this.#watches.delete(cb);
  }

  rotate(credentials: Credentials): void {
    this.#credentials = credentials;
    for (const cb of this.#watches) cb(credentials);
  }
}

/** Counts by a text of family and labels, such as `http_allow 10.0.0.1:80 web saz none`. */
export class Ledger {
  readonly counts = new Map<string, number>();

  add(key: string, n = 1): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + n);
  }

  /** The sum over keys that hold all the words. */
  sum(...words: string[]): number {
    let total = 0;
    for (const [key, n] of this.counts) if (words.every((word) => key.split(" ").includes(word))) total += n;
    return total;
  }
}

const tlsText = (tls: ServerTls | ClientTls): string => {
  switch (tls.kind) {
    case "disabled":
      return "disabled";
    case "none":
      return tls.reason;
    case "opaque":
      return `sni=${tls.sni}`;
    case "established":
      return "serverId" in tls ? `server_id=${tls.serverId}` : `client_id=${tls.clientId ?? ""}`;
    default:
      return tls satisfies never;
  }
};

function scope(ledger: Ledger, prefix: string): ResponseScope {
  return {
    request: () => ledger.add(`${prefix} request`),
    latency: (status) => ledger.add(`${prefix} latency ${status}`),
    response: (status, success, grpcStatus, error) =>
      ledger.add(`${prefix} response ${status} ${success ? "success" : "failure"} grpc=${grpcStatus} error=${error}`),
    release() {},
  };
}

function transport(ledger: Ledger, prefix: string): TransportScope {
  return {
    open() {
      ledger.add(`${prefix} open`);
      return {
        read: (n) => ledger.add(`${prefix} read`, n),
        wrote: (n) => ledger.add(`${prefix} wrote`, n),
        closed: (errno) => ledger.add(`${prefix} close errno=${errno}`),
      };
    },
  };
}

function stack(ledger: Ledger, which: string): StackScope {
  ledger.add(`stack ${which} create`);
  return { poll: (readiness) => ledger.add(`stack ${which} ${readiness}`), drop: () => ledger.add(`stack ${which} drop`) };
}

const labelText = (labels: Labels): string => labels.map(([key, value]) => `${key}=${value}`).join(" ");

export function fakeInboundTelemetry(ledger: Ledger): InboundTelemetry {
  const target = (labels: InboundTarget): string => `${formatSocketAddr(labels.target)} ${tlsText(labels.tls)} srv=${labels.serverName}`;
  return {
    accept: (labels) => transport(ledger, `inbound src ${target(labels)}`),
    connect: () => transport(ledger, "inbound dst"),
    endpoint: (labels) => scope(ledger, `inbound authority=${labels.authority} ${target(labels)} saz=${labels.authorizationName}`),
    route: (dst, labels) => scope(ledger, `inbound route ${dst} ${labelText(labels)}`),
    allow: (protocol, labels) => ({ add: () => ledger.add(`inbound ${protocol}_allow ${target(labels)} saz=${labels.authorizationName}`) }),
    deny: (protocol, labels) => ({ add: () => ledger.add(`inbound ${protocol}_deny ${target(labels)}`) }),
    terminate: (labels) => ({ add: () => ledger.add(`inbound tcp_terminate ${target(labels)}`) }),
    httpError: (error, addr, serverName) =>
      ledger.add(`inbound http_error ${error.replaceAll(" ", "_")} ${formatSocketAddr(addr)} srv=${serverName}`),
    tcpError: (error, addr) => ledger.add(`inbound tcp_error ${error.replaceAll(" ", "_")} ${formatSocketAddr(addr)}`),
    stack: (protocol, name) => stack(ledger, `inbound ${protocol} ${name}`),
  };
}

export function fakeOutboundTelemetry(ledger: Ledger): OutboundTelemetry {
  const target = (labels: OutboundTarget): string =>
    `authority=${labels.authority} ${formatSocketAddr(labels.target)} ${tlsText(labels.tls)} ${labelText(labels.labels)}`;
  return {
    accept: (addr) => transport(ledger, `outbound src ${formatSocketAddr(addr)}`),
    connect: (labels) => transport(ledger, `outbound dst ${target(labels)}`),
    endpoint: (labels) => scope(ledger, `outbound ${target(labels)}`),
    route: (dst, labels) => scope(ledger, `outbound route ${dst} ${labelText(labels)}`),
    routeActual: (dst, labels) => scope(ledger, `outbound actual ${dst} ${labelText(labels)}`),
    retryable: (dst, labels) => ({
      count: () => ledger.add(`outbound retryable ${dst} ${labelText(labels)}`),
      countNoBudget: () => ledger.add(`outbound no_budget ${dst} ${labelText(labels)}`),
      release() {},
    }),
    httpError: (error) => ledger.add(`outbound http_error ${error.replaceAll(" ", "_")}`),
    tcpError: (error, addr) => ledger.add(`outbound tcp_error ${error.replaceAll(" ", "_")} ${formatSocketAddr(addr)}`),
    stack: (protocol, name) => stack(ledger, `outbound ${protocol} ${name}`),
  };
}
