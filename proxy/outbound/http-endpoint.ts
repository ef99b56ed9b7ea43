// Makes the HTTP client of an endpoint from its metadata (spec proxy §4.7, §4.8).
import { formatSocketAddr } from "#addr";
import type { Endpoint } from "../contracts.ts";
import type { HttpEndpointOptions } from "../http/endpoint.ts";
import { dial, targetOf } from "../tcp/dial.ts";
import type { ClientTls } from "../telemetry.ts";
import type { OutboundContext } from "./context.ts";

export type EndpointRole = {
  /** Authority label: the logical name; null for a bare endpoint. */
  readonly authority: string | null;
  /** Reason shown instead of the usual one when the connection is plain. */
  readonly plainReason?: Extract<ClientTls, { kind: "none" }>["reason"];
};

/** Clients of the outbound side are on this machine. */
const LOOPBACK = { kind: "none", reason: "loopback" } as const;

/** A bare address: no metadata. */
export function bareEndpoint(addr: Endpoint["addr"]): Endpoint {
  return { addr, labels: [], identity: null, h2: false, opaqueTransportPort: null, authorityOverride: null };
}

export function httpEndpointOptions(
  context: OutboundContext,
  endpoint: Endpoint,
  role: EndpointRole,
): Omit<HttpEndpointOptions, "onChange" | "onLinkError"> {
  const { settings, telemetry, runtime, engines } = context;
  const local = settings.localIps.has(endpoint.addr.ip);
  let target = targetOf(endpoint, { local, identityEnabled: context.dial.tls !== null });
  if (role.plainReason !== undefined && target.tls.kind === "none") target = { ...target, tls: { kind: "none", reason: role.plainReason } };
  const labels = { authority: role.authority, target: endpoint.addr, tls: target.tls, labels: endpoint.labels };
  const transport = telemetry.connect(labels);
  return {
    runtime,
    engines,
    dial: (protocol, onConnect, onError) => dial(context.dial, target, protocol, transport, onConnect, onError),
    backoff: settings.backoff,
    upgrade: endpoint.h2 && !local,
    identity: target.serverName,
    authorityOverride: local ? null : endpoint.authorityOverride,
    defaultAuthority: role.authority ?? formatSocketAddr(endpoint.addr),
    plans: target.serverName === null ? context.plans.plain : context.plans.meshed,
    scope: telemetry.endpoint(labels),
    observed: {
      observers: context.observers,
      direction: "outbound",
      addr: endpoint.addr,
      labels: endpoint.labels,
      authorityOverride: local ? null : endpoint.authorityOverride,
      tls: target.tls,
      clientTls: LOOPBACK,
    },
    stack: telemetry.stack("http", "endpoint"),
    poolIdleMs: settings.cacheIdleMs,
    maxIdle: settings.maxIdleConnections,
  };
}
