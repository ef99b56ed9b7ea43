// The endpoints of a service's port: the whole set from the world as it is, and the difference between two sets (spec control-plane §3.2).
import { parseIpv4 } from "#addr";
import type { EndpointAddress, Service } from "#kube";
import type { Track } from "../../runtime/index.ts";
import { type Address, type DiscoveryConfig, podAddress } from "./address.ts";
import type { World } from "./world.ts";

export type EndpointsQuery = {
  readonly name: string;
  readonly namespace: string;
  readonly port: number;
  readonly hostname: string | null /** The client's node, for topology; empty: unknown. */;
  readonly nodeName: string;
};

/** An immutable set of endpoints. `addresses` is by `ip:port`; `prints` tells whether one has changed. */
export type Snapshot = {
  readonly exists: boolean;
  readonly addresses: ReadonlyMap<string, Address>;
  readonly prints: ReadonlyMap<string, string>;
  /** Labels of the whole set. */
  readonly labels: Readonly<Record<string, string>>;
};

export type Delta =
  | { readonly kind: "add"; readonly addresses: readonly Address[] }
  | { readonly kind: "remove"; readonly addresses: readonly Address[] }
  | { readonly kind: "none"; readonly exists: boolean };

const remoteIdentityAnnotation = "mirror.linkerd.io/remote-gateway-identity";
const remoteNameAnnotation = "mirror.linkerd.io/remote-svc-fq-name";
const clusterNameLabel = "mirror.linkerd.io/cluster-name";

type Source = {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ports: readonly {
    readonly name?: string | undefined;
    readonly port?: number | undefined;
    readonly protocol?: string | undefined;
  }[];
  readonly addresses: readonly (EndpointAddress & { readonly topology?: Readonly<Record<string, string>> })[];
};

export function computeEndpoints({
  query,
  world,
  config,
  track,
  previous,
  onDropped,
}: {
  query: EndpointsQuery;
  world: World;
  config: DiscoveryConfig;
  track: Track;
  previous: Snapshot | undefined;
  onDropped?: (reason: string, address: string) => void;
}): Snapshot {
  const { name, namespace, port, hostname } = query;
  track(`service/${namespace}/${name}`);
  track(`endpoints/${namespace}/${name}`);
  const service = world.services.get(name, namespace);
  const sources = endpointSources({ name, namespace, world, config });
  const portName = servicePortName(service, port);
  let found: { address: Address; topology: Readonly<Record<string, string>> }[] = [];
  for (const source of sources) {
    const target =
      portName === undefined ? port : source.ports.find((one) => (one.name ?? "") === portName && (one.protocol ?? "TCP") === "TCP")?.port;
    if (target === undefined) continue;
    for (const address of source.addresses) {
      if (hostname !== null && address.hostname !== hostname) continue;
      const made = makeAddress({ address, target, source, query, world, config, track, onDropped });
      if (made) found.push({ address: made, topology: address.topology ?? {} });
    }
  }
  const keys = service?.spec?.topologyKeys;
  if (config.enableEndpointSlices && keys && keys.length > 0) found = filterTopology(found, keys, query.nodeName, world, track);
  const addresses = new Map<string, Address>();
  const prints = new Map<string, string>();
  for (const { address } of found) {
    const id = `${address.ip}:${address.port}`;
    const print = JSON.stringify(address);
    // The same object as before lets unchanged entries share memory and messages.
    addresses.set(id, previous?.prints.get(id) === print ? (previous.addresses.get(id) as Address) : address);
    prints.set(id, print);
  }
  return { exists: service !== undefined || sources.length > 0, addresses, prints, labels: setLabels(name, namespace, sources[0]) };
}

export function sameSnapshot(a: Snapshot, b: Snapshot): boolean {
  if (a.exists !== b.exists || a.prints.size !== b.prints.size || JSON.stringify(a.labels) !== JSON.stringify(b.labels)) return false;
  for (const [id, print] of a.prints) if (b.prints.get(id) !== print) return false;
  return true;
}

/** What to tell a client that has `before` (undefined: nothing yet) so that it has `after`; in the order to send. Never "none" before an "add" of a service with endpoints. */
export function diff(before: Snapshot | undefined, after: Snapshot): Delta[] {
  if (after.addresses.size === 0) {
    if (before && before.addresses.size === 0 && before.exists === after.exists) return [];
    return [{ kind: "none", exists: after.exists }];
  }
  const labelsChanged = before !== undefined && JSON.stringify(before.labels) !== JSON.stringify(after.labels);
  const add: Address[] = [];
  for (const [id, address] of after.addresses) if (labelsChanged || before?.prints.get(id) !== after.prints.get(id)) add.push(address);
  const remove: Address[] = [];
  for (const [id, address] of before?.addresses ?? []) if (!after.addresses.has(id)) remove.push(address);
  const deltas: Delta[] = [];
  if (add.length > 0) deltas.push({ kind: "add", addresses: add });
  if (remove.length > 0) deltas.push({ kind: "remove", addresses: remove });
  return deltas;
}

/** The name of the service's port with this number; undefined when it has none such: then the number itself is meant. */
function servicePortName(service: Service | undefined, port: number): string | undefined {
  const ports = (service?.spec?.ports ?? []).filter((one) => one.port === port);
  const chosen = ports.find((one) => (one.protocol ?? "TCP") === "TCP") ?? ports[0];
  return chosen ? (chosen.name ?? "") : undefined;
}

/** Endpoints objects or slices, never both. */
export function endpointSources({
  name,
  namespace,
  world,
  config,
}: {
  name: string;
  namespace: string;
  world: World;
  config: DiscoveryConfig;
}): Source[] {
  if (!config.enableEndpointSlices) {
    const object = world.endpoints.get(name, namespace);
    if (!object) return [];
    const { labels = {}, annotations = {} } = object.metadata;
    const subsets = object.subsets ?? [];
    // An object without subsets still says that the service exists.
    if (subsets.length === 0) return [{ labels, annotations, ports: [], addresses: [] }];
    return subsets.map((subset) => ({ labels, annotations, ports: subset.ports ?? [], addresses: subset.addresses ?? [] }));
  }
  return world.slices
    .byIndex("service", `${namespace}/${name}`)
    .filter((slice) => (slice.addressType ?? "IPv4") === "IPv4")
    .map((slice) => ({
      labels: slice.metadata.labels ?? {},
      annotations: slice.metadata.annotations ?? {},
      ports: slice.ports ?? [],
      addresses: (slice.endpoints ?? [])
        .filter((endpoint) => endpoint.conditions?.ready !== false)
        .flatMap((endpoint) =>
          endpoint.addresses.map((ip) => ({
            ip,
            ...(endpoint.hostname === undefined ? {} : { hostname: endpoint.hostname }),
            ...(endpoint.targetRef ? { targetRef: endpoint.targetRef } : {}),
            topology: {
              ...endpoint.topology,
              ...endpoint.deprecatedTopology,
              ...(endpoint.zone ? { "topology.kubernetes.io/zone": endpoint.zone } : {}),
              ...(endpoint.nodeName ? { "kubernetes.io/hostname": endpoint.nodeName } : {}),
            },
          })),
        ),
    }));
}

function makeAddress({
  address,
  target,
  source,
  query,
  world,
  config,
  track,
  onDropped,
}: {
  address: EndpointAddress;
  target: number;
  source: Source;
  query: EndpointsQuery;
  world: World;
  config: DiscoveryConfig;
  track: Track;
  onDropped: ((reason: string, address: string) => void) | undefined;
}): Address | undefined {
  const { ip, targetRef } = address;
  if (parseIpv4(ip) === null) {
    onDropped?.("not an IPv4 address", ip);
    return undefined;
  }
  if (!targetRef) return serviceRefAddress(ip, target, source, query, config);
  if (targetRef.kind !== "Pod") return undefined;
  const podNamespace = targetRef.namespace || query.namespace;
  track(`pod/${podNamespace}/${targetRef.name}`);
  const pod = world.pods.get(targetRef.name ?? "", podNamespace);
  if (!pod) {
    onDropped?.("its pod is not known", `${ip} of ${podNamespace}/${targetRef.name}`);
    return undefined;
  }
  return podAddress({ pod, ip, port: target, world, config, track });
}

/** An address without a pod: a mirrored service's gateway, or somebody's own entry. */
function serviceRefAddress(ip: string, port: number, { annotations }: Source, query: EndpointsQuery, config: DiscoveryConfig): Address {
  const identity = annotations[remoteIdentityAnnotation] || null;
  const remoteName = annotations[remoteNameAnnotation];
  return {
    ip,
    port,
    labels: {},
    identity,
    hint: identity && config.enableH2Upgrade ? { h2: true, opaqueTransportPort: null } : null,
    authorityOverride: remoteName ? `${remoteName}:${query.port}` : null,
  };
}

function setLabels(name: string, namespace: string, source: Source | undefined): Record<string, string> {
  const labels: Record<string, string> = { service: name, namespace };
  const cluster = source?.labels[clusterNameLabel];
  const remote = source?.annotations[remoteNameAnnotation]?.split(".");
  if (cluster && remote && remote.length >= 2) {
    labels["target_cluster"] = cluster;
    labels["target_service"] = remote[0] as string;
    labels["target_service_namespace"] = remote[1] as string;
  }
  return labels;
}

const topologyLabels = ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/** The endpoints nearest to the client by the service's preferences; all of them when none is near. */
function filterTopology<T extends { topology: Readonly<Record<string, string>> }>(
  found: T[],
  keys: readonly string[],
  nodeName: string,
  world: World,
  track: Track,
): T[] {
  track(`node/${nodeName}`);
  const labels = world.nodes.get(nodeName)?.metadata.labels ?? {};
  for (const key of keys) {
    if (key === "*") return found;
    const own = topologyLabels.includes(key) ? labels[key] : undefined;
    const near = own === undefined ? [] : found.filter(({ topology }) => topology[key] === own);
    if (near.length > 0) return near;
  }
  return found;
}
