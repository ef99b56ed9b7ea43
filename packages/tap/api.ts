// The tap service as tables (spec proxy §13.6): what a proxy reads and says. A test holds them against the descriptors of #api.
import type * as types from "#api/http_types_pb";
import type * as net from "#api/net_pb";
import type * as tap from "#api/tap_pb";
import { field, type MessageTable, type Method, map, message, oneof, repeated } from "#grpc";

type Duration = NonNullable<tap.TapEvent_Http_ResponseInit["sinceRequestInit"]>;

const duration = message<Duration>({ seconds: field(1, "int64"), nanos: field(2, "int32") });

// io.linkerd.proxy.net
const ipv6 = message<net.IPv6>({ first: field(1, "fixed64"), last: field(2, "fixed64") });
const ipAddress = message<net.IPAddress>({ ip: oneof({ ipv4: field(1, "fixed32"), ipv6: field(2, () => ipv6) }) });
const tcpAddress = message<net.TcpAddress>({ ip: field(1, () => ipAddress), port: field(2, "uint32") });

// io.linkerd.proxy.http_types
const httpMethod = message<types.HttpMethod>({ type: oneof({ registered: field(1, "int32"), unregistered: field(2, "string") }) });
const scheme = message<types.Scheme>({ type: oneof({ registered: field(1, "int32"), unregistered: field(2, "string") }) });
const header = message<types.Headers_Header>({ name: field(1, "string"), value: field(2, "bytes") });
const headers = message<types.Headers>({ headers: repeated(1, () => header) });

// ObserveRequest
const stringMatch = message<tap.ObserveRequest_Match_Http_StringMatch>({
  match: oneof({ exact: field(1, "string"), prefix: field(2, "string") }),
});
const httpMatch = message<tap.ObserveRequest_Match_Http>({
  match: oneof({
    scheme: field(1, () => scheme),
    authority: field(2, () => stringMatch),
    method: field(3, () => httpMethod),
    path: field(4, () => stringMatch),
  }),
});
const netmask = message<tap.ObserveRequest_Match_Tcp_Netmask>({ ip: field(1, () => ipAddress), mask: field(2, "uint32") });
const portRange = message<tap.ObserveRequest_Match_Tcp_PortRange>({ min: field(1, "uint32"), max: field(2, "uint32") });
const tcpMatch = message<tap.ObserveRequest_Match_Tcp>({
  match: oneof({ netmask: field(1, () => netmask), ports: field(3, () => portRange) }),
});
const label = message<tap.ObserveRequest_Match_Label>({ key: field(1, "string"), value: field(2, "string") });
const seq: MessageTable<tap.ObserveRequest_Match_Seq> = message<tap.ObserveRequest_Match_Seq>({ matches: repeated(1, () => match) });
const match: MessageTable<tap.ObserveRequest_Match> = message<tap.ObserveRequest_Match>({
  match: oneof({
    all: field(1, () => seq),
    any: field(2, () => seq),
    not: field(3, () => match),
    source: field(4, () => tcpMatch),
    destination: field(5, () => tcpMatch),
    http: field(6, () => httpMatch),
    destinationLabel: field(7, () => label),
    routeLabel: field(8, () => label),
  }),
});
const empty = message<tap.ObserveRequest_Extract_Http_Headers>({});
const extractHttp = message<tap.ObserveRequest_Extract_Http>({ extract: oneof({ headers: field(1, () => empty) }) });
const extract = message<tap.ObserveRequest_Extract>({ extract: oneof({ http: field(1, () => extractHttp) }) });
export const observeRequest = message<tap.ObserveRequest>({
  limit: field(1, "uint32"),
  match: field(2, () => match),
  extract: field(3, () => extract),
});

// TapEvent
const eos = message<tap.Eos>({ end: oneof({ grpcStatusCode: field(1, "uint32"), resetErrorCode: field(2, "uint32") }) });
const streamId = message<tap.TapEvent_Http_StreamId>({ base: field(1, "uint32"), stream: field(2, "uint64") });
const requestInit = message<tap.TapEvent_Http_RequestInit>({
  id: field(1, () => streamId),
  method: field(2, () => httpMethod),
  scheme: field(3, () => scheme),
  authority: field(4, "string"),
  path: field(5, "string"),
  headers: field(6, () => headers),
});
const responseInit = message<tap.TapEvent_Http_ResponseInit>({
  id: field(1, () => streamId),
  sinceRequestInit: field(2, () => duration),
  httpStatus: field(3, "uint32"),
  headers: field(4, () => headers),
});
const responseEnd = message<tap.TapEvent_Http_ResponseEnd>({
  id: field(1, () => streamId),
  sinceRequestInit: field(2, () => duration),
  sinceResponseInit: field(3, () => duration),
  responseBytes: field(4, "uint64"),
  eos: field(5, () => eos),
  trailers: field(6, () => headers),
});
const http = message<tap.TapEvent_Http>({
  event: oneof({
    requestInit: field(1, () => requestInit),
    responseInit: field(2, () => responseInit),
    responseEnd: field(3, () => responseEnd),
  }),
});
const endpointMeta = message<tap.TapEvent_EndpointMeta>({ labels: map(1) });
const routeMeta = message<tap.TapEvent_RouteMeta>({ labels: map(1) });
export const tapEvent = message<tap.TapEvent>({
  source: field(1, () => tcpAddress),
  destination: field(2, () => tcpAddress),
  event: oneof({ http: field(3, () => http) }),
  destinationMeta: field(4, () => endpointMeta),
  sourceMeta: field(5, () => endpointMeta),
  proxyDirection: field(6, "int32"),
  routeMeta: field(7, () => routeMeta),
});

export const observe: Method<tap.ObserveRequest, tap.TapEvent> = {
  path: "/io.linkerd.proxy.tap.Tap/Observe",
  request: observeRequest,
  response: tapEvent,
};
