// The metric families of the proxy and the scopes through which the data plane counts (spec proxy §9). Each scope finds its
// series once; per event it is an addition.
import { formatSocketAddr, type SocketAddr } from "#addr";
import {
  type Counter,
  CounterFamily,
  formatLabels,
  GaugeFamily,
  type Histogram,
  HistogramFamily,
  joinLabels,
  LATENCY_BOUNDS_MS,
  type Registry,
} from "#metrics";
import type { ResponseScope } from "../http/meter.ts";
import type {
  ClientTls,
  InboundTarget,
  InboundTelemetry,
  Labels,
  OutboundTarget,
  OutboundTelemetry,
  ServerTls,
  Telemetry,
  TransportScope,
} from "../telemetry.ts";

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

/** Three families that belong together: requests, their latency (absent per attempt), their responses. */
export class ResponseFamilies {
  readonly requests: CounterFamily;
  readonly latency: HistogramFamily | null;
  readonly responses: CounterFamily;

  constructor(prefix: string, what: string, retention: number, { latency = true } = {}) {
    const options = { retention };
    this.requests = new CounterFamily({ name: `${prefix}request_total`, help: `Total count of ${what} requests.`, ...options });
    this.latency = latency
      ? new HistogramFamily({
          name: `${prefix}response_latency_ms`,
          help: `Elapsed times between a request's headers being received and its response stream completing`,
          bounds: LATENCY_BOUNDS_MS,
          ...options,
        })
      : null;
    this.responses = new CounterFamily({ name: `${prefix}response_total`, help: `Total count of ${what} responses.`, ...options });
  }

  group(registry: Registry): void {
    registry.group(this.requests, ...(this.latency ? [this.latency] : []), this.responses);
  }

  scope(labels: string): ResponseScope {
    return new Scope(this, labels);
  }
}

const FIRST_STATUS = 100;
const STATUSES = 500;

class Scope implements ResponseScope {
  readonly #families: ResponseFamilies;
  readonly #labels: string;
  readonly #requests: Counter;
  /** By status − 100; the last place is for no status. */
  readonly #latencies: (Histogram | undefined)[] = [];
  /** Successes and failures by status − 100, without gRPC status and error: what nearly every response is. */
  readonly #plain: (Counter | undefined)[] = [];
  /** The rest, by `status success grpcStatus error`. */
  readonly #others = new Map<string, Counter>();

  constructor(families: ResponseFamilies, labels: string) {
    this.#families = families;
    this.#labels = labels;
    this.#requests = families.requests.get(labels);
  }

  request(): void {
    this.#requests.add();
  }

  latency(status: number, ms: number): void {
    const at = place(status);
    let histogram = this.#latencies[at];
    if (histogram === undefined) {
      if (this.#families.latency === null) return;
      histogram = this.#families.latency.get(joinLabels(this.#labels, statusLabel(status)));
      this.#latencies[at] = histogram;
    }
    // Without a response there was no latency; the series exists all the same (spec proxy §9.1).
    if (status !== 0) histogram.observe(ms);
  }

  response(status: number, success: boolean, grpcStatus: number, error: string | null): void {
    if (grpcStatus < 0 && error === null) {
      const at = place(status) * 2 + (success ? 0 : 1);
      let counter = this.#plain[at];
      if (counter === undefined) {
        counter = this.#find(status, success, grpcStatus, error);
        this.#plain[at] = counter;
      }
      counter.add();
      return;
    }
    const key = `${status} ${success} ${grpcStatus} ${error}`;
    let counter = this.#others.get(key);
    if (counter === undefined) {
      counter = this.#find(status, success, grpcStatus, error);
      this.#others.set(key, counter);
    }
    counter.add();
  }

  #find(status: number, success: boolean, grpcStatus: number, error: string | null): Counter {
    const outcome: [string, string][] = [["classification", success ? "success" : "failure"]];
    if (grpcStatus >= 0) outcome.push(["grpc_status", String(grpcStatus)]);
    if (error !== null) outcome.push(["error", error]);
    return this.#families.responses.get(joinLabels(this.#labels, statusLabel(status), formatLabels(outcome)));
  }
}

const place = (status: number): number => (status >= FIRST_STATUS && status < FIRST_STATUS + STATUSES ? status - FIRST_STATUS : STATUSES);
const statusLabel = (status: number): string => (status === 0 ? "" : `status_code="${status}"`);

/** Open connections and their bytes. */
class TransportFamilies {
  readonly opens: CounterFamily;
  readonly open: GaugeFamily;
  readonly reads: CounterFamily;
  readonly writes: CounterFamily;
  readonly closes: CounterFamily;

  constructor(retention: number) {
    this.opens = new CounterFamily({ name: "tcp_open_total", help: "Total count of opened connections", retention });
    this.open = new GaugeFamily({ name: "tcp_open_connections", help: "Number of currently-open connections", retention });
    this.reads = new CounterFamily({ name: "tcp_read_bytes_total", help: "Total count of bytes read from peers", retention });
    this.writes = new CounterFamily({ name: "tcp_write_bytes_total", help: "Total count of bytes written to peers", retention });
    this.closes = new CounterFamily({ name: "tcp_close_total", help: "Total count of closed connections", retention });
  }

  group(registry: Registry): void {
    registry.group(this.opens, this.open, this.reads, this.writes, this.closes);
  }

  scope(labels: string): TransportScope {
    const opens = this.opens.get(labels);
    const open = this.open.get(labels);
    const reads = this.reads.get(labels);
    const writes = this.writes.get(labels);
    // One object for all connections of a scope: the counters do not tell them apart.
    const counters = {
      read: (bytes: number) => reads.add(bytes),
      wrote: (bytes: number) => writes.add(bytes),
      closed: (errno: string) => {
        open.add(-1);
        this.closes.get(joinLabels(labels, formatLabels([["errno", errno]]))).add();
      },
    };
    return {
      open: () => {
        opens.add();
        open.add(1);
        return counters;
      },
    };
  }
}

/** All families of the data plane, in the order of the page (spec proxy §9.1), and the telemetry that counts in them. */
export function createTelemetry(
  registry: Registry,
  { retainIdleMs }: { retainIdleMs: number },
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
    allow: (protocol, target) => authz[protocol].allow.get(policyLabels(target, target.authorizationName)),
    deny: (protocol, target) => authz[protocol].deny.get(policyLabels(target, null)),
    terminate: (target) => authz.tcp.terminate.get(policyLabels(target, null)),
    httpError: (error, target, serverName) =>
      errors.inboundHttp
        .get(joinLabels(formatLabels([["error", error]]), targetLabels(target), formatLabels([["srv_name", serverName]])))
        .add(),
    tcpError: (error, target) => errors.inboundTcp.get(joinLabels(formatLabels([["error", error]]), targetLabels(target))).add(),
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
      return {
        count: () => retryable.get(text).add(),
        countNoBudget: () => {
          retryable.get(text).add();
          retryable.get(`${text},skipped="no_budget"`).add();
        },
      };
    },
    httpError: (error) => errors.outboundHttp.get(formatLabels([["error", error]])).add(),
    tcpError: (error, target) => errors.outboundTcp.get(joinLabels(targetLabels(target), formatLabels([["error", error]]))).add(),
  };

  return {
    inbound,
    outbound,
    // The page has control between routes and transport; it belongs to the control side, which comes later.
    groupControl: (control) => {
      control.group(registry);
      transport.group(registry);
    },
  };
}
