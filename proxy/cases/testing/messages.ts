// The control plane's messages as a test writes them.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { parseIpv6 } from "#addr";
import type { DestinationProfileSchema, RouteSchema, UpdateSchema, WeightedAddrSchema } from "#api/destination_pb";
import type { AuthzSchema, ServerSchema } from "#api/inbound_pb";

type Server = MessageInitShape<typeof ServerSchema>;
type Authz = MessageInitShape<typeof AuthzSchema>;
export type Update = MessageInitShape<typeof UpdateSchema>;
/** Of a shape that may be either, the literal. */
type Literal<T> = Exclude<T, { readonly $typeName: string }>;
export type Profile = Literal<MessageInitShape<typeof DestinationProfileSchema>>;
export type Route = Literal<MessageInitShape<typeof RouteSchema>>;
type Address = MessageInitShape<typeof WeightedAddrSchema>;

export const ipv4 = (ip: string): number => ip.split(".").reduce((n, octet) => n * 256 + Number(octet), 0);
function address(ip: string) {
  const parts = parseIpv6(ip);
  if (parts === null) return { ip: { case: "ipv4", value: ipv4(ip) } } as const;
  const half = (from: number): bigint => parts.slice(from, from + 4).reduce((value, hextet) => (value << 16n) | BigInt(hextet), 0n);
  return { ip: { case: "ipv6", value: { first: half(0), last: half(4) } } } as const;
}
const tcp = (ip: string, port: number) => ({ ip: address(ip), port });

/** `10.0.0.0/8`, `fd00::/8` */
export function network(cidr: string) {
  const [ip = "", length = ""] = cidr.split("/");
  return { ip: address(ip), prefixLen: Number(length) };
}

type Who =
  | "anyone"
  /** Mesh TLS, with or without a client certificate. */
  | "tls"
  /** Any mesh identity. */
  | "meshed"
  | { readonly identities?: readonly string[]; readonly suffixes?: readonly (readonly string[])[] };

export function allow(name: string, who: Who, networks: { net: string; except?: string[] }[] = [{ net: "0.0.0.0/0" }]): Authz {
  const identities = who === "meshed" ? { suffixes: [[]] } : typeof who === "object" ? who : {};
  return {
    labels: { name },
    networks: networks.map(({ net, except = [] }) => ({ net: network(net), except: except.map(network) })),
    authentication: {
      permit:
        who === "anyone"
          ? { case: "unauthenticated", value: {} }
          : {
              case: "meshTLS",
              value: {
                clients:
                  who === "tls"
                    ? { case: "unauthenticated", value: {} }
                    : {
                        case: "identities",
                        value: {
                          identities: (identities.identities ?? []).map((id) => ({ name: id })),
                          suffixes: (identities.suffixes ?? []).map((parts) => ({ parts: [...parts] })),
                        },
                      },
              },
            },
    },
  };
}

type Protocol = "opaque" | "tls" | "http1" | "http2" | "grpc" | { readonly detectMs: number };

/** A server whose own name is `name`. */
export function server(name: string, protocol: Protocol, authorizations: Authz[]): Server {
  return {
    labels: { name },
    authorizations,
    protocol: {
      kind:
        typeof protocol === "object" ? { case: "detect", value: { timeout: duration(protocol.detectMs) } } : { case: protocol, value: {} },
    } as NonNullable<Server["protocol"]>,
  };
}

export const duration = (ms: number) => ({ seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 });

export type EndpointOptions = {
  readonly ip: string;
  readonly port: number;
  readonly identity?: string;
  readonly h2?: boolean;
  /** Inbound port of an opaque transport. */
  readonly transport?: number;
  readonly labels?: Record<string, string>;
  readonly authority?: string;
};

export function endpoint(options: EndpointOptions): Address {
  const { ip, port, identity, h2 = false, transport, labels = {}, authority } = options;
  return {
    addr: tcp(ip, port),
    weight: 10_000,
    metricLabels: labels,
    ...(identity === undefined ? {} : { tlsIdentity: { strategy: { case: "dnsLikeIdentity", value: { name: identity } } } }),
    protocolHint: {
      protocol: h2 ? { case: "h2", value: {} } : { case: undefined },
      ...(transport === undefined ? {} : { opaqueTransport: { inboundPort: transport } }),
    },
    ...(authority === undefined ? {} : { authorityOverride: { authorityOverride: authority } }),
  };
}

export const add = (addrs: EndpointOptions[], metricLabels: Record<string, string> = {}): Update => ({
  update: { case: "add", value: { addrs: addrs.map(endpoint), metricLabels } },
});
export const remove = (addrs: { ip: string; port: number }[]): Update => ({
  update: { case: "remove", value: { addrs: addrs.map(({ ip, port }) => tcp(ip, port)) } },
});
export const noEndpoints = (exists: boolean): Update => ({ update: { case: "noEndpoints", value: { exists } } });

export const BUDGET = { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: duration(10_000) };

/** A route for a path. */
export const route = (name: string, regex: string, rest: Route = {}): Route => ({
  condition: { match: { case: "path", value: { regex } } },
  metricsLabels: { route: name },
  ...rest,
});
