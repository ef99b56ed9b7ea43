// Policies as messages of io.linkerd.proxy.inbound (spec proxy §13.5).
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type AuthnSchema, type NetworkSchema, type ProxyProtocolSchema, type Server, ServerSchema } from "#api/inbound_pb";
import type { IPAddressSchema, IPNetworkSchema } from "#api/net_pb";
import { type Network, parseNetwork } from "#policy";
import type { Authentication, InboundServer } from "./policy-index.ts";
import type { NetworkMatch, Protocol } from "./resources.ts";

/** How long a proxy may look for the protocol of a connection (spec control-plane §0). */
const detectTimeoutSeconds = 10n;

export function serverMessage({ name, protocol, authorizations }: InboundServer): Server {
  return create(ServerSchema, {
    protocol: protocolMessage(protocol),
    serverIps: [],
    authorizations: authorizations.map((authorization) => ({
      networks: authorization.networks.map(networkMessage),
      authentication: authenticationMessage(authorization.authentication),
      labels: { name: authorization.name },
    })),
    labels: { name },
  });
}

function protocolMessage(protocol: Protocol): MessageInitShape<typeof ProxyProtocolSchema> {
  switch (protocol) {
    case "unknown":
      return { kind: { case: "detect", value: { timeout: { seconds: detectTimeoutSeconds, nanos: 0 } } } };
    case "HTTP/1":
      return { kind: { case: "http1", value: {} } };
    case "HTTP/2":
      return { kind: { case: "http2", value: {} } };
    case "gRPC":
      return { kind: { case: "grpc", value: {} } };
    case "opaque":
      return { kind: { case: "opaque", value: {} } };
    case "TLS":
      return { kind: { case: "tls", value: {} } };
  }
}

function authenticationMessage(authentication: Authentication): MessageInitShape<typeof AuthnSchema> {
  switch (authentication.kind) {
    case "unauthenticated":
      return { permit: { case: "unauthenticated", value: {} } };
    case "tls":
      return { permit: { case: "meshTLS", value: { clients: { case: "unauthenticated", value: {} } } } };
    case "identities":
      return {
        permit: {
          case: "meshTLS",
          value: {
            clients: {
              case: "identities",
              value: {
                identities: authentication.names.map((name) => ({ name })),
                suffixes: authentication.suffixes.map((parts) => ({ parts: [...parts] })),
              },
            },
          },
        },
      };
  }
}

function networkMessage({ net, except }: NetworkMatch): MessageInitShape<typeof NetworkSchema> {
  return { net: ipNetwork(net), except: except.map(ipNetwork) };
}

function ipNetwork(text: string): MessageInitShape<typeof IPNetworkSchema> {
  const network = parseNetwork(text);
  if (!network) throw new RangeError(`${JSON.stringify(text)} is not a network`);
  return { ip: ipAddress(network), prefixLen: network.prefix };
}

function ipAddress(network: Network): MessageInitShape<typeof IPAddressSchema> {
  if (network.family === 4) return { ip: { case: "ipv4", value: network.base } };
  const half = (from: number) => network.base.slice(from, from + 4).reduce((sum, hextet) => (sum << 16n) | BigInt(hextet), 0n);
  return { ip: { case: "ipv6", value: { first: half(0), last: half(4) } } };
}
