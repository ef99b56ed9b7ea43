// Messages of the control plane as the data plane takes them (spec proxy §4.6, §5, §8.2). Pure. What is wrong in a message is
// named; a message that cannot be used as a whole throws.

import { formatIpv4, formatIpv6, parseDnsName, parseNameAddr, splitAuthority } from "#addr";
import type * as destination from "#api/destination_pb";
import type * as types from "#api/http_types_pb";
import type * as inbound from "#api/inbound_pb";
import type * as net from "#api/net_pb";
import type { Plain } from "#grpc";
import {
  type Authentication,
  type Authorization,
  LOCALHOST,
  type Network,
  network4,
  network6,
  type Protocol,
  type ServerPolicy,
} from "#policy";
import {
  compilePath,
  MAX_MATCH_DEPTH,
  type RegexEngine,
  type RequestMatch,
  type ResponseClass,
  ResponseClasses,
  type ResponseMatch,
  type Route,
  type RouteBudget,
} from "#profiles";
import type { Endpoint, NameAddr, Profile, SocketAddr } from "../contracts.ts";

/** Told of what was left out. */
export type Warn = (problem: string) => void;

type Ip = Plain<net.IPAddress>;

/** Null for an address without IP. */
export function socketAddr(addr: Plain<net.TcpAddress> | undefined): SocketAddr | null {
  const ip = addr?.ip === undefined ? null : ipText(addr.ip);
  return ip === null || addr === undefined || addr.port > 65535 ? null : { ip, port: addr.port };
}

function ipText({ ip }: Ip): string | null {
  switch (ip.case) {
    case "ipv4":
      return formatIpv4(ip.value);
    case "ipv6":
      return formatIpv6(hextets(ip.value));
    default:
      return null;
  }
}

/** Two 64-bit numbers of four 16-bit groups each. */
function hextets({ first, last }: Plain<net.IPv6>): number[] {
  const parts = (value: bigint) => [48n, 32n, 16n, 0n].map((shift) => Number((value >> shift) & 0xffffn));
  return [...parts(first), ...parts(last)];
}

/** Null for an address without IP. `setLabels` are overridden by the address's own. */
export function endpointOf(
  weighted: Plain<destination.WeightedAddr>,
  setLabels: Readonly<Record<string, string>>,
  warn: Warn,
): Endpoint | null {
  const addr = socketAddr(weighted.addr);
  if (addr === null) return null;
  const strategy = weighted.tlsIdentity?.strategy;
  let identity: string | null = null;
  if (strategy?.case === "dnsLikeIdentity") {
    const name = (strategy.value as { name: string }).name;
    identity = name.endsWith(".") ? null : parseDnsName(name);
    if (identity === null) warn(`endpoint ${addr.ip}:${addr.port}: "${name}" is not an identity`);
  }
  const opaquePort = weighted.protocolHint?.opaqueTransport?.inboundPort ?? 0;
  const override = weighted.authorityOverride?.authorityOverride ?? "";
  return {
    addr,
    labels: Object.entries({ ...setLabels, ...weighted.metricLabels }).sort(([a], [b]) => (a < b ? -1 : 1)),
    identity,
    h2: weighted.protocolHint?.protocol.case === "h2",
    opaqueTransportPort: opaquePort > 0 && opaquePort < 65535 ? opaquePort : null,
    authorityOverride: override !== "" && splitAuthority(override) !== null ? override : null,
  };
}

/** `regex` is asked for when a route has a path. */
export async function profileOf(
  message: Plain<destination.DestinationProfile>,
  regex: () => Promise<RegexEngine>,
  warn: Warn,
): Promise<Profile> {
  const engine = message.routes.length > 0 ? await regex() : null;
  const endpoint = message.endpoint === undefined ? null : endpointOf(message.endpoint, {}, warn);
  return {
    fqn: message.fullyQualifiedName === "" ? null : parseDnsName(message.fullyQualifiedName),
    endpoint,
    opaque: message.opaqueProtocol,
    targets: message.dstOverrides.flatMap(({ authority, weight }) => {
      const addr: NameAddr | null = parseNameAddr(authority, null);
      return addr === null || weight === 0 ? [] : [{ addr, weight }];
    }),
    routes: engine === null ? [] : message.routes.flatMap((route) => routeOf(route, engine, warn) ?? []),
    retryBudget: budgetOf(message, warn),
  };
}

function budgetOf({ retryBudget: budget, routes }: Plain<destination.DestinationProfile>, warn: Warn): RouteBudget | null {
  if (budget === undefined) {
    if (routes.some(({ isRetryable }) => isRetryable)) warn("a route is retryable, but the profile has no retry budget");
    return null;
  }
  const ttlMs = budget.ttl === undefined ? Number.NaN : durationMs(budget.ttl);
  const { retryRatio: ratio, minRetriesPerSecond } = budget;
  if (!(ratio >= 0 && ratio <= 1000 && minRetriesPerSecond <= 0x7fffffff && ttlMs >= 1000 && ttlMs <= 60_000)) {
    warn("the retry budget is invalid (ratio 0 to 1000, ttl 1s to 60s): nothing is retried");
    return null;
  }
  // The wire carries 32 bits: 0.2 would come as 0.20000000298.
  return { ratio: Number(ratio.toPrecision(7)), minRetriesPerSecond, ttlMs };
}

export function durationMs({ seconds, nanos }: { seconds: bigint; nanos: number }): number {
  return Number(seconds) * 1000 + nanos / 1e6;
}

/** Null when the condition cannot be converted: the route is dropped (spec proxy §5.1). */
function routeOf(route: Plain<destination.Route>, engine: RegexEngine, warn: Warn): Route | null {
  const match = route.condition === undefined ? null : requestMatchOf(route.condition, engine, warn, 1);
  if (match === null) return null;
  const classes = route.responseClasses.flatMap(({ condition, isFailure }): ResponseClass[] => {
    const converted = condition === undefined ? null : responseMatchOf(condition, 1);
    return converted === null ? [] : [{ match: converted, isFailure }];
  });
  let timeoutMs = route.timeout === undefined ? null : durationMs(route.timeout);
  if (timeoutMs !== null && timeoutMs < 0) {
    warn("a route's timeout is negative and ignored");
    timeoutMs = null;
  }
  return {
    match,
    labels: Object.entries(route.metricsLabels).sort(([a], [b]) => (a < b ? -1 : 1)),
    classes: classes.length > 0 ? new ResponseClasses(classes) : null,
    timeoutMs: timeoutMs === 0 ? null : timeoutMs,
    retryable: route.isRetryable,
  };
}

const METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "HEAD", "TRACE"];

function requestMatchOf({ match }: Plain<destination.RequestMatch>, engine: RegexEngine, warn: Warn, depth: number): RequestMatch | null {
  if (depth > MAX_MATCH_DEPTH) {
    warn(`a condition nests deeper than ${MAX_MATCH_DEPTH}`);
    return null;
  }
  switch (match.case) {
    case "all":
    case "any":
      return { kind: match.case, of: match.value.matches.flatMap((one) => requestMatchOf(one, engine, warn, depth + 1) ?? []) };
    case "not": {
      const of = requestMatchOf(match.value, engine, warn, depth + 1);
      return of === null ? null : { kind: "not", of };
    }
    case "path":
      try {
        return { kind: "path", regex: compilePath(engine, match.value.regex) };
      } catch (error) {
        warn(`path regex ${JSON.stringify(match.value.regex)}: ${(error as Error).message}`);
        return null;
      }
    case "method": {
      const method = methodOf(match.value);
      return method === null ? null : { kind: "method", method };
    }
    default:
      return null;
  }
}

function methodOf({ type }: Plain<types.HttpMethod>): string | null {
  if (type.case === "unregistered") return type.value;
  return type.case === "registered" ? (METHODS[type.value] ?? null) : null;
}

/** `all` and `any` without a valid part, and a range with an end that is no status, are dropped (spec proxy §5.2). */
function responseMatchOf({ match }: Plain<destination.ResponseMatch>, depth: number): ResponseMatch | null {
  if (depth > MAX_MATCH_DEPTH) return null;
  switch (match.case) {
    case "all":
    case "any": {
      const of = match.value.matches.flatMap((one) => responseMatchOf(one, depth + 1) ?? []);
      return of.length === 0 ? null : { kind: match.case, of };
    }
    case "not": {
      const of = responseMatchOf(match.value, depth + 1);
      return of === null ? null : { kind: "not", of };
    }
    case "status": {
      const { min, max } = match.value;
      const isStatus = (status: number) => status >= 100 && status <= 999;
      return isStatus(min) && isStatus(max) ? { kind: "status", min, max } : null;
    }
    default:
      return null;
  }
}

/** @throws {Error} naming the field that is missing or wrong. */
export function policyOf(server: Plain<inbound.Server>): ServerPolicy {
  const name = server.labels["name"];
  if (name === undefined) throw new Error("labels.name is missing");
  return { name, protocol: protocolOf(server), authorizations: [...server.authorizations.map(authorizationOf), LOCALHOST] };
}

function protocolOf({ protocol }: Plain<inbound.Server>): Protocol {
  const kind = protocol?.kind;
  switch (kind?.case) {
    case "detect": {
      const timeout = (kind.value as Plain<inbound.ProxyProtocol_Detect>).timeout;
      if (timeout === undefined || durationMs(timeout) < 0) throw new Error("protocol.detect.timeout is missing or negative");
      return { kind: "detect", timeoutMs: durationMs(timeout) };
    }
    case "opaque":
    case "tls":
    case "http1":
    case "http2":
    case "grpc":
      return { kind: kind.case };
    default:
      throw new Error("protocol.kind is missing");
  }
}

function authorizationOf(authz: Plain<Omit<inbound.Authz, "metadata">>, index: number): Authorization {
  const at = `authorizations[${index}]`;
  const name = authz.labels["name"];
  if (name === undefined) throw new Error(`${at}.labels.name is missing`);
  if (authz.networks.length === 0) throw new Error(`${at}.networks is empty`);
  return {
    name,
    networks: authz.networks.map(({ net: block, except }) => {
      if (block === undefined) throw new Error(`${at}.networks: net is missing`);
      return { net: networkOf(block, at), except: except.map((hole) => networkOf(hole, at)) };
    }),
    authentication: authenticationOf(authz, at),
  };
}

function networkOf({ ip, prefixLen }: Plain<net.IPNetwork>, at: string): Network {
  const value = ip?.ip;
  const network =
    value?.case === "ipv4" ? network4(value.value, prefixLen) : value?.case === "ipv6" ? network6(hextets(value.value), prefixLen) : null;
  if (network === null) throw new Error(`${at}.networks: not a network`);
  return network;
}

function authenticationOf({ authentication }: Plain<Omit<inbound.Authz, "metadata">>, at: string): Authentication {
  const permit = authentication?.permit;
  if (permit?.case === "unauthenticated") return { kind: "none" };
  if (permit?.case !== "meshTLS") throw new Error(`${at}.authentication.permit is missing`);
  const { clients } = permit.value as Plain<inbound.Authn_PermitMeshTLS>;
  switch (clients.case) {
    case "unauthenticated":
      return { kind: "tls" };
    case "identities": {
      const { identities, suffixes } = clients.value as Plain<inbound.Authn_PermitMeshTLS_PermitClientIdentities>;
      return {
        kind: "identities",
        exact: new Set(identities.map((identity) => identity.name)),
        // No parts: any identity. Else the identity ends in a dot and the parts.
        suffixes: suffixes.map(({ parts }) => (parts.length === 0 ? "" : `.${parts.join(".")}`)),
      };
    }
    default:
      throw new Error(`${at}.authentication.meshTLS.clients is missing`);
  }
}
