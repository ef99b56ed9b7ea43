// The control plane's services as tables of what the proxy reads and says (spec proxy §13). A test holds them against the
// descriptors of #api; more than these fields is skipped on the wire.
import type * as destination from "#api/destination_pb";
import type * as types from "#api/http_types_pb";
import type * as identity from "#api/identity_pb";
import type * as inbound from "#api/inbound_pb";
import type * as net from "#api/net_pb";
import { field, type MessageTable, type Method, map, message, oneof, repeated } from "#grpc";

type Duration = NonNullable<destination.Route["timeout"]>;
type Timestamp = NonNullable<identity.CertifyResponse["validUntil"]>;

const empty = message<unknown>({});
export const duration = message<Duration>({ seconds: field(1, "int64"), nanos: field(2, "int32") });
export const timestamp = message<Timestamp>({ seconds: field(1, "int64"), nanos: field(2, "int32") });

// io.linkerd.proxy.net
const ipv6 = message<net.IPv6>({ first: field(1, "fixed64"), last: field(2, "fixed64") });
const ipAddress = message<net.IPAddress>({ ip: oneof({ ipv4: field(1, "fixed32"), ipv6: field(2, () => ipv6) }) });
const ipNetwork = message<net.IPNetwork>({ ip: field(1, () => ipAddress), prefixLen: field(2, "uint32") });
const tcpAddress = message<net.TcpAddress>({ ip: field(1, () => ipAddress), port: field(2, "uint32") });

// io.linkerd.proxy.identity
export const certifyRequest = message<identity.CertifyRequest>({
  identity: field(1, "string"),
  token: field(2, "bytes"),
  certificateSigningRequest: field(3, "bytes"),
});
export const certifyResponse = message<identity.CertifyResponse>({
  leafCertificate: field(1, "bytes"),
  intermediateCertificates: repeated(2, "bytes"),
  validUntil: field(3, () => timestamp),
});

// io.linkerd.proxy.destination
export const getDestination = message<destination.GetDestination>({
  scheme: field(1, "string"),
  path: field(2, "string"),
  contextToken: field(3, "string"),
});
const dnsLikeIdentity = message<destination.TlsIdentity_DnsLikeIdentity>({ name: field(1, "string") });
const tlsIdentity = message<Pick<destination.TlsIdentity, "strategy">>({
  strategy: oneof({ dnsLikeIdentity: field(1, () => dnsLikeIdentity) }),
});
const opaqueTransport = message<destination.ProtocolHint_OpaqueTransport>({ inboundPort: field(1, "uint32") });
const protocolHint = message<destination.ProtocolHint>({
  protocol: oneof({ h2: field(1, () => empty) }),
  opaqueTransport: field(2, () => opaqueTransport),
});
const authorityOverride = message<destination.AuthorityOverride>({ authorityOverride: field(1, "string") });
const weightedAddr = message<destination.WeightedAddr>({
  addr: field(1, () => tcpAddress),
  weight: field(3, "uint32"),
  metricLabels: map(4),
  tlsIdentity: field(5, () => tlsIdentity),
  protocolHint: field(6, () => protocolHint),
  authorityOverride: field(7, () => authorityOverride),
});
const weightedAddrSet = message<destination.WeightedAddrSet>({ addrs: repeated(1, () => weightedAddr), metricLabels: map(2) });
const addrSet = message<destination.AddrSet>({ addrs: repeated(1, () => tcpAddress) });
const noEndpoints = message<destination.NoEndpoints>({ exists: field(1, "bool") });
export const update = message<destination.Update>({
  update: oneof({ add: field(1, () => weightedAddrSet), remove: field(2, () => addrSet), noEndpoints: field(3, () => noEndpoints) }),
});

const httpMethod = message<types.HttpMethod>({ type: oneof({ registered: field(1, "int32"), unregistered: field(2, "string") }) });
const pathMatch = message<destination.PathMatch>({ regex: field(1, "string") });
const requestSeq: MessageTable<destination.RequestMatch_Seq> = message<destination.RequestMatch_Seq>({
  matches: repeated(1, () => requestMatch),
});
const requestMatch: MessageTable<destination.RequestMatch> = message<destination.RequestMatch>({
  match: oneof({
    all: field(1, () => requestSeq),
    any: field(2, () => requestSeq),
    not: field(3, () => requestMatch),
    path: field(4, () => pathMatch),
    method: field(5, () => httpMethod),
  }),
});
const responseSeq: MessageTable<destination.ResponseMatch_Seq> = message<destination.ResponseMatch_Seq>({
  matches: repeated(1, () => responseMatch),
});
const statusRange = message<destination.HttpStatusRange>({ min: field(1, "uint32"), max: field(2, "uint32") });
const responseMatch: MessageTable<destination.ResponseMatch> = message<destination.ResponseMatch>({
  match: oneof({
    all: field(1, () => responseSeq),
    any: field(2, () => responseSeq),
    not: field(3, () => responseMatch),
    status: field(4, () => statusRange),
  }),
});
const responseClass = message<destination.ResponseClass>({ condition: field(1, () => responseMatch), isFailure: field(2, "bool") });
const route = message<destination.Route>({
  condition: field(1, () => requestMatch),
  responseClasses: repeated(2, () => responseClass),
  metricsLabels: map(3),
  isRetryable: field(4, "bool"),
  timeout: field(5, () => duration),
});
const retryBudget = message<destination.RetryBudget>({
  retryRatio: field(1, "float"),
  minRetriesPerSecond: field(2, "uint32"),
  ttl: field(3, () => duration),
});
const weightedDst = message<destination.WeightedDst>({ authority: field(1, "string"), weight: field(2, "uint32") });
export const destinationProfile = message<destination.DestinationProfile>({
  routes: repeated(1, () => route),
  retryBudget: field(2, () => retryBudget),
  dstOverrides: repeated(3, () => weightedDst),
  opaqueProtocol: field(4, "bool"),
  fullyQualifiedName: field(5, "string"),
  endpoint: field(6, () => weightedAddr),
});

// io.linkerd.proxy.inbound
export const portSpec = message<inbound.PortSpec>({ workload: field(1, "string"), port: field(2, "uint32") });
const detect = message<Pick<inbound.ProxyProtocol_Detect, "timeout">>({ timeout: field(1, () => duration) });
const proxyProtocol = message<inbound.ProxyProtocol>({
  kind: oneof({
    detect: field(1, () => detect),
    opaque: field(2, () => empty),
    tls: field(3, () => empty),
    http1: field(4, () => empty),
    http2: field(5, () => empty),
    grpc: field(6, () => empty),
  }),
});
const network = message<inbound.Network>({ net: field(1, () => ipNetwork), except: repeated(2, () => ipNetwork) });
const clientIdentity = message<inbound.Identity>({ name: field(1, "string") });
const identitySuffix = message<inbound.IdentitySuffix>({ parts: repeated(1, "string") });
const clientIdentities = message<inbound.Authn_PermitMeshTLS_PermitClientIdentities>({
  identities: repeated(1, () => clientIdentity),
  suffixes: repeated(2, () => identitySuffix),
});
const meshTls = message<inbound.Authn_PermitMeshTLS>({
  clients: oneof({ unauthenticated: field(1, () => empty), identities: field(2, () => clientIdentities) }),
});
const authn = message<inbound.Authn>({ permit: oneof({ unauthenticated: field(1, () => empty), meshTLS: field(2, () => meshTls) }) });
const authz = message<Omit<inbound.Authz, "metadata">>({
  networks: repeated(1, () => network),
  authentication: field(2, () => authn),
  labels: map(3),
});
export const server = message<inbound.Server>({
  protocol: field(1, () => proxyProtocol),
  authorizations: repeated(3, () => authz),
  labels: map(4),
});

export const methods = {
  certify: { path: "/io.linkerd.proxy.identity.Identity/Certify", request: certifyRequest, response: certifyResponse },
  get: { path: "/io.linkerd.proxy.destination.Destination/Get", request: getDestination, response: update },
  getProfile: { path: "/io.linkerd.proxy.destination.Destination/GetProfile", request: getDestination, response: destinationProfile },
  watchPort: { path: "/io.linkerd.proxy.inbound.InboundServerPolicies/WatchPort", request: portSpec, response: server },
} as const satisfies Record<string, Method<unknown, unknown>>;
