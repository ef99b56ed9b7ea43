// The metric families of the proxy and the scopes through which the data plane counts (spec proxy §9). Each scope finds its
// series once; per event it is an addition.
import { formatSocketAddr, type SocketAddr } from "#addr";
import { CounterFamily, formatLabels, joinLabels, type Registry } from "#metrics";
import type {
  ClientTls,
  Counter,
  InboundTarget,
  InboundTelemetry,
  Labels,
  OutboundTarget,
  OutboundTelemetry,
  ServerTls,
  Telemetry,
} from "../telemetry.ts";
import { StackHolder } from "./holder.ts";
import { ResponseFamilies } from "./response.ts";
import { StackFamilies } from "./stack.ts";
import { TransportFamilies } from "./transport.ts";

export { ResponseFamilies } from "./response.ts";

const PORT_HTTP = ":80";

/** `name:port` as the `authority` label shows it: `:80` is left out. */
const shownAuthority = (authority: string): string => (authority.endsWith(PORT_HTTP) ? authority.slice(0, -PORT_HTTP.length) : authority);

function targetLabels({ ip, port }: SocketAddr): string {
  return formatLabels([
    ["target_addr", formatSocketAddr({ ip, port })],
    ["target_ip", ip],
    ["target_port", String(port)],
  ]);
}

function serverTlsLabels(tls: ServerTls): string {
  switch (tls.kind) {
    case "disabled":
      return 'tls="disabled"';
    case "none":
      return formatLabels([
        ["tls", "no_identity"],
        ["no_tls_reason", tls.reason],
      ]);
    case "established":
      return formatLabels([
        ["tls", "true"],
        ["client_id", tls.clientId ?? ""],
      ]);
    case "opaque":
      return formatLabels([
        ["tls", "opaque"],
        ["sni", tls.sni],
      ]);
    default:
      return tls satisfies never;
  }
}

export function clientTlsLabels(tls: ClientTls): string {
  switch (tls.kind) {
    case "disabled":
      return 'tls="disabled"';
    case "none":
      return formatLabels([
        ["tls", "no_identity"],
        ["no_tls_reason", tls.reason],
      ]);
    case "established":
      return formatLabels([
        ["tls", "true"],
        ["server_id", tls.serverId],
      ]);
    default:
      return tls satisfies never;
  }
}

const prefixed = (prefix: string, labels: Labels): string => formatLabels(labels.map(([key, value]) => [`${prefix}_${key}`, value]));

/** All families of the data plane, in the order of the page (spec proxy §9.1), and the telemetry that counts in them. */
export function createTelemetry(
  registry: Registry,
  { retainIdleMs, now }: { retainIdleMs: number; now: () => number },
): Telemetry & { readonly groupControl: (control: ResponseFamilies) => void } {
  const forever = (name: string, help: string) => new CounterFamily({ name, help });
  const authz = {
    http: {
      allow: forever("inbound_http_authz_allow_total", "The total number of inbound HTTP requests that were authorized"),
      deny: forever(
        "inbound_http_authz_deny_total",
        "The total number of inbound HTTP requests that could not be processed due to being unauthorized",
      ),
    },
    tcp: {
      allow: forever("inbound_tcp_authz_allow_total", "The total number of inbound TCP connections that were authorized"),
      deny: forever("inbound_tcp_authz_deny_total", "The total number of inbound TCP connections that were denied"),
      terminate: forever(
        "inbound_tcp_authz_terminate_total",
        "The total number of inbound TCP connections that were terminated due to an authorization change",
      ),
    },
  };
  const errors = {
    inboundHttp: forever(
      "inbound_http_errors_total",
      "The total number of inbound HTTP requests that could not be processed due to a proxy error.",
    ),
    inboundTcp: forever(
      "inbound_tcp_errors_total",
      "The total number of inbound TCP connections that could not be processed due to a proxy error.",
    ),
    outboundHttp: forever(
      "outbound_http_errors_total",
      "The total number of outbound HTTP requests that could not be processed due to a proxy error.",
    ),
    outboundTcp: forever(
      "outbound_tcp_errors_total",
      "The total number of outbound TCP connections that could not be processed due to a proxy error.",
    ),
  };
  const endpoint = new ResponseFamilies("", "HTTP", retainIdleMs);
  const route = new ResponseFamilies("route_", "HTTP", retainIdleMs);
  const actual = new ResponseFamilies("route_actual_", "HTTP", retainIdleMs, { latency: false });
  const retryable = new CounterFamily({
    name: "route_retryable_total",
    help: "Total count of retryable HTTP responses.",
    retention: retainIdleMs,
  });
  const transport = new TransportFamilies(retainIdleMs);
  const stacks = new StackFamilies(now);

  registry.group(authz.http.allow);
  registry.group(authz.http.deny);
  registry.group(authz.tcp.allow);
  registry.group(authz.tcp.deny);
  registry.group(authz.tcp.terminate);
  for (const family of Object.values(errors)) registry.group(family);
  registry.slot("identity");
  endpoint.group(registry);
  route.group(registry);
  registry.group(retryable);
  actual.group(registry);

  const policyLabels = (target: InboundTarget, authorization: string | null): string =>
    joinLabels(
      targetLabels(target.target),
      formatLabels([["srv_name", target.serverName], ...(authorization === null ? [] : [["saz_name", authorization] as const])]),
      serverTlsLabels(target.tls),
    );

  const inbound: InboundTelemetry = {
    accept: ({ target, tls, serverName }) =>
      transport.scope(
        joinLabels('direction="inbound",peer="src"', targetLabels(target), serverTlsLabels(tls), formatLabels([["srv_name", serverName]])),
      ),
    connect: () => transport.scope('direction="inbound",peer="dst",tls="no_identity",no_tls_reason="loopback"'),
    endpoint: ({ authority, target, tls, serverName, authorizationName }) =>
      endpoint.scope(
        joinLabels(
          'direction="inbound"',
          authority === null ? "" : formatLabels([["authority", shownAuthority(authority)]]),
          targetLabels(target),
          serverTlsLabels(tls),
          formatLabels([
            ["srv_name", serverName],
            ["saz_name", authorizationName],
          ]),
        ),
      ),
    route: (dst, labels) => route.scope(joinLabels('direction="inbound"', formatLabels([["dst", dst]]), prefixed("rt", labels))),
    allow: (protocol, target) => fromFirstUse(authz[protocol].allow, policyLabels(target, target.authorizationName)),
    deny: (protocol, target) => fromFirstUse(authz[protocol].deny, policyLabels(target, null)),
    terminate: (target) => fromFirstUse(authz.tcp.terminate, policyLabels(target, null)),
    httpError: (error, target, serverName) =>
      errors.inboundHttp
        .get(joinLabels(formatLabels([["error", error]]), targetLabels(target), formatLabels([["srv_name", serverName]])))
        .add(),
    tcpError: (error, target) => errors.inboundTcp.get(joinLabels(formatLabels([["error", error]]), targetLabels(target))).add(),
    stack: (protocol, name) => stacks.scope("inbound", protocol, name),
  };

  const outboundLabels = ({ authority, target, tls, labels }: OutboundTarget): string =>
    joinLabels(
      authority === null ? "" : formatLabels([["authority", shownAuthority(authority)]]),
      targetLabels(target),
      clientTlsLabels(tls),
      prefixed("dst", labels),
    );
  const routeLabels = (dst: string, labels: Labels): string =>
    joinLabels('direction="outbound"', formatLabels([["dst", dst]]), prefixed("rt", labels));

  const outbound: OutboundTelemetry = {
    accept: (target) =>
      transport.scope(joinLabels('direction="outbound",peer="src"', targetLabels(target), 'tls="no_identity",no_tls_reason="loopback"')),
    connect: (target) => transport.scope(joinLabels('direction="outbound",peer="dst"', outboundLabels(target))),
    endpoint: (target) => endpoint.scope(joinLabels('direction="outbound"', outboundLabels(target))),
    route: (dst, labels) => route.scope(routeLabels(dst, labels)),
    routeActual: (dst, labels) => actual.scope(routeLabels(dst, labels)),
    retryable: (dst, labels) => {
      const text = routeLabels(dst, labels);
      const holder = new StackHolder();
      return {
        count: () => retryable.get(text, holder).add(),
        countNoBudget: () => {
          retryable.get(text, holder).add();
          retryable.get(`${text},skipped="no_budget"`, holder).add();
        },
        release: () => {
          holder.held = false;
        },
      };
    },
    httpError: (error) => errors.outboundHttp.get(formatLabels([["error", error]])).add(),
    tcpError: (error, target) => errors.outboundTcp.get(joinLabels(targetLabels(target), formatLabels([["error", error]]))).add(),
    stack: (protocol, name) => stacks.scope("outbound", protocol, name),
  };

  return {
    inbound,
    outbound,
    // The page has control between routes and transport; it belongs to the control side, which comes later.
    groupControl: (control) => {
      control.group(registry);
      transport.group(registry);
      registry.slot("opencensus");
      stacks.group(registry);
    },
  };
}

/** A series that does not expire and is there when it is first counted in. */
function fromFirstUse(family: CounterFamily, labels: string): Counter {
  let counter: Counter | null = null;
  return {
    add() {
      counter ??= family.get(labels);
      counter.add();
    },
  };
}
