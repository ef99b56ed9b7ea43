// Endpoints as messages of io.linkerd.proxy.destination (spec proxy §13.4).
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { parseIpv4 } from "#addr";
import { type Update, UpdateSchema, type WeightedAddrSchema } from "#api/destination_pb";
import type { TcpAddressSchema } from "#api/net_pb";
import { type Address, endpointWeight } from "./address.ts";
import type { Delta } from "./endpoints.ts";

export function updateMessage(delta: Delta, labels: Readonly<Record<string, string>>): Update {
  switch (delta.kind) {
    case "add":
      return create(UpdateSchema, {
        update: { case: "add", value: { addrs: delta.addresses.map(weightedAddr), metricLabels: { ...labels } } },
      });
    case "remove":
      return create(UpdateSchema, { update: { case: "remove", value: { addrs: delta.addresses.map(tcpAddress) } } });
    case "none":
      return create(UpdateSchema, { update: { case: "noEndpoints", value: { exists: delta.exists } } });
  }
}

export function weightedAddr(address: Address): MessageInitShape<typeof WeightedAddrSchema> {
  const { hint, identity, authorityOverride } = address;
  return {
    addr: tcpAddress(address),
    weight: endpointWeight,
    metricLabels: { ...address.labels },
    ...(identity ? { tlsIdentity: { strategy: { case: "dnsLikeIdentity" as const, value: { name: identity } } } } : {}),
    ...(hint
      ? {
          protocolHint: {
            ...(hint.h2 ? { protocol: { case: "h2" as const, value: {} } } : {}),
            ...(hint.opaqueTransportPort === null ? {} : { opaqueTransport: { inboundPort: hint.opaqueTransportPort } }),
          },
        }
      : {}),
    ...(authorityOverride ? { authorityOverride: { authorityOverride } } : {}),
  };
}

function tcpAddress({ ip, port }: { ip: string; port: number }): MessageInitShape<typeof TcpAddressSchema> {
  return { ip: { ip: { case: "ipv4", value: parseIpv4(ip) ?? 0 } }, port };
}
