// EndpointSlices: at most 100 endpoints each, one set per port combination; of selecting services from pods, of others from their Endpoints. Pure.
import { type EndpointSlice, type Endpoints, Resources } from "#kube";
import { type Action, deepEqual, type NewObject, nothing, type Outcome } from "./actions.ts";
import { byAge, ownedBy } from "./meta.ts";
import { hasSelector, inheritedLabels, podReference, type TargetPort, targetsOf } from "./service-targets.ts";
import type { Service } from "./types.ts";
import type { World } from "./world.ts";

type Endpoint = NonNullable<EndpointSlice["endpoints"]>[number];
type Desired = { ports: TargetPort[]; endpoints: Endpoint[] };

export const serviceNameLabel = "kubernetes.io/service-name";
export const managedByLabel = "endpointslice.kubernetes.io/managed-by";
export const skipMirrorLabel = "endpointslice.kubernetes.io/skip-mirror";
const byPods = "endpointslice-controller.k8s.io";
const byMirror = "endpointslicemirroring-controller.k8s.io";
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";

/** Most endpoints of one slice, Kubernetes's default. */
export const maxEndpointsPerSlice = 100;
/** Most addresses mirrored of one subset of an Endpoints object, Kubernetes's default. */
export const maxMirroredPerSubset = 1000;

/** Slices of a service with a selector. */
export function reconcileEndpointSlices(world: World, namespace: string, name: string): Outcome {
  const service = world.services.get(name, namespace);
  const mine = slicesOf(world, namespace, name, byPods);
  if (!service || service.metadata.deletionTimestamp !== undefined)
    return { actions: mine.map((target) => ({ do: "delete", resource: Resources.endpointSlices, target })) };
  if (!hasSelector(service)) return nothing;
  const groups = new Map<string, Desired>();
  for (const target of targetsOf(world, service)) {
    const key = portsKey(target.ports);
    let group = groups.get(key);
    if (!group) groups.set(key, (group = { ports: target.ports, endpoints: [] }));
    const { nodeName } = target.pod.spec ?? {};
    group.endpoints.push({
      addresses: [target.ip],
      conditions: {
        ready: service.spec?.publishNotReadyAddresses === true || (target.ready && !target.terminating),
        serving: target.ready,
        terminating: target.terminating,
      },
      ...(target.hostname ? { hostname: target.hostname } : {}),
      ...(nodeName ? { nodeName } : {}),
      targetRef: podReference(target.pod),
    });
  }
  return {
    actions: arrange({
      desired: [...groups.values()],
      current: mine,
      name,
      labels: { ...inheritedLabels(service), [serviceNameLabel]: name, [managedByLabel]: byPods },
      owner: service,
      ownerKind: { apiVersion: "v1", kind: "Service" },
    }),
  };
}

/** Slices that repeat the Endpoints a user keeps for a service without a selector. */
export function mirrorEndpoints(world: World, namespace: string, name: string): Outcome {
  const endpoints = world.endpoints.get(name, namespace);
  const service = world.services.get(name, namespace);
  const mine = slicesOf(world, namespace, name, byMirror);
  const mirrored = endpoints && service && !hasSelector(service) && service.spec?.type !== "ExternalName" && isMirrorable(endpoints);
  if (!mirrored) return { actions: mine.map((target) => ({ do: "delete", resource: Resources.endpointSlices, target })) };
  const desired = (endpoints.subsets ?? []).map((subset): Desired => {
    const ports = (subset.ports ?? []).map((port) => ({
      name: port.name ?? "",
      port: port.port,
      protocol: port.protocol ?? "TCP",
      ...(appProtocolOf(port) ? { appProtocol: appProtocolOf(port) as string } : {}),
    }));
    const all = [
      ...(subset.addresses ?? []).map((address) => ({ address, ready: true })),
      ...(subset.notReadyAddresses ?? []).map((address) => ({ address, ready: false })),
    ];
    return {
      ports,
      endpoints: all.slice(0, maxMirroredPerSubset).map(({ address, ready }) => ({
        addresses: [address.ip],
        conditions: { ready },
        ...(address.hostname ? { hostname: address.hostname } : {}),
        ...(address.nodeName ? { nodeName: address.nodeName } : {}),
        ...(address.targetRef ? { targetRef: address.targetRef } : {}),
      })),
    };
  });
  const { [skipMirrorLabel]: _, ...labels } = endpoints.metadata.labels ?? {};
  return {
    actions: arrange({
      desired: mergeEqualPorts(desired),
      current: mine,
      name,
      labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: byMirror },
      owner: endpoints,
      ownerKind: { apiVersion: "v1", kind: "Endpoints" },
    }),
  };
}

function isMirrorable({ metadata }: Endpoints): boolean {
  return (
    metadata.labels?.[skipMirrorLabel] !== "true" &&
    metadata.annotations?.[leaderAnnotation] === undefined &&
    metadata.deletionTimestamp === undefined
  );
}

function appProtocolOf(port: object): string | undefined {
  const { appProtocol } = port as { appProtocol?: unknown };
  return typeof appProtocol === "string" ? appProtocol : undefined;
}

function mergeEqualPorts(all: readonly Desired[]): Desired[] {
  const groups = new Map<string, Desired>();
  for (const { ports, endpoints } of all) {
    const group = groups.get(portsKey(ports));
    if (group) group.endpoints.push(...endpoints);
    else groups.set(portsKey(ports), { ports, endpoints: [...endpoints] });
  }
  return [...groups.values()];
}

/**
 * The fewest writes that bring slices to `desired`: endpoints stay in the slice where they are, new ones fill free places, then new slices.
 * Without endpoints one empty slice stays, so that watchers know that the service was looked at.
 */
function arrange({
  desired,
  current,
  name,
  labels,
  owner,
  ownerKind,
}: {
  desired: readonly Desired[];
  current: readonly EndpointSlice[];
  name: string;
  labels: Record<string, string>;
  owner: Service | Endpoints;
  ownerKind: { apiVersion: string; kind: string };
}): Action[] {
  const actions: Action[] = [];
  const byPorts = new Map<string, EndpointSlice[]>();
  const surplus: EndpointSlice[] = [];
  for (const slice of [...current].sort(byAge)) {
    const key = portsKey((slice.ports ?? []) as TargetPort[]);
    if (slice.addressType !== "IPv4" || slice.metadata.deletionTimestamp !== undefined) surplus.push(slice);
    else byPorts.set(key, [...(byPorts.get(key) ?? []), slice]);
  }
  const groups = desired.length > 0 ? desired : [{ ports: [], endpoints: [] }];
  const wantedKeys = new Set(groups.map((group) => portsKey(group.ports)));
  // A slice whose ports nobody has any more is given to a group that needs a new one.
  const reusable = [...byPorts.entries()].filter(([key]) => !wantedKeys.has(key)).flatMap(([, slices]) => slices);
  for (const group of groups) {
    const slices = byPorts.get(portsKey(group.ports)) ?? [];
    const left = new Map(group.endpoints.map((endpoint) => [identity(endpoint), endpoint]));
    const contents = slices.map((slice) => {
      const kept: Endpoint[] = [];
      for (const endpoint of slice.endpoints ?? []) {
        const id = identity(endpoint);
        const wanted = left.get(id);
        if (!wanted || kept.length >= maxEndpointsPerSlice) continue;
        left.delete(id);
        kept.push(wanted);
      }
      return { slice, endpoints: kept };
    });
    const rest = [...left.values()];
    // The fullest first: slices fill up instead of all staying half empty.
    for (const content of [...contents].sort((a, b) => b.endpoints.length - a.endpoints.length))
      content.endpoints.push(...rest.splice(0, maxEndpointsPerSlice - content.endpoints.length));
    const mustKeepOne = group.endpoints.length === 0;
    contents.forEach(({ slice, endpoints }, index) => {
      if (endpoints.length === 0 && !(mustKeepOne && index === 0)) surplus.push(slice);
      else actions.push(...update({ slice, ports: group.ports, endpoints, labels }));
    });
    let isFirst = contents.length === 0;
    while (rest.length > 0 || (mustKeepOne && isFirst)) {
      isFirst = false;
      const endpoints = rest.splice(0, maxEndpointsPerSlice);
      const used = reusable.shift();
      if (used) actions.push(...update({ slice: used, ports: group.ports, endpoints, labels }));
      else {
        const object: NewObject = {
          apiVersion: "discovery.k8s.io/v1",
          kind: "EndpointSlice",
          metadata: {
            generateName: `${name}-`,
            namespace: owner.metadata.namespace ?? "",
            labels,
            ownerReferences: [ownedBy(owner, ownerKind)],
          },
          addressType: "IPv4",
          endpoints,
          ports: group.ports,
        };
        actions.push({ do: "create", resource: Resources.endpointSlices, object });
      }
    }
  }
  for (const target of [...surplus, ...reusable]) actions.push({ do: "delete", resource: Resources.endpointSlices, target });
  return actions;
}

function update({
  slice,
  ports,
  endpoints,
  labels,
}: {
  slice: EndpointSlice;
  ports: TargetPort[];
  endpoints: Endpoint[];
  labels: Record<string, string>;
}): Action[] {
  const samePorts = portsKey((slice.ports ?? []) as TargetPort[]) === portsKey(ports);
  if (samePorts && deepEqual(slice.endpoints ?? [], endpoints) && deepEqual(slice.metadata.labels ?? {}, labels)) return [];
  const gone = Object.fromEntries(
    Object.keys(slice.metadata.labels ?? {})
      .filter((key) => !(key in labels))
      .map((key) => [key, null]),
  );
  return [
    {
      do: "patch",
      resource: Resources.endpointSlices,
      target: slice,
      patch: { metadata: { labels: { ...gone, ...labels } }, endpoints, ports },
    },
  ];
}

function slicesOf(world: World, namespace: string, service: string, manager: string): EndpointSlice[] {
  return world.endpointSlices
    .list(namespace)
    .filter(({ metadata }) => metadata.labels?.[serviceNameLabel] === service && metadata.labels[managedByLabel] === manager);
}

/** What makes an endpoint the same one, whatever its conditions: its pod, else its address. */
function identity(endpoint: Endpoint): string {
  return endpoint.targetRef?.uid
    ? `uid ${endpoint.targetRef.uid} ${endpoint.addresses.join(" ")}`
    : `${endpoint.addresses.join(" ")} ${endpoint.hostname ?? ""}`;
}

function portsKey(ports: readonly TargetPort[]): string {
  return ports
    .map(({ name, port, protocol, appProtocol }) => `${name ?? ""}|${port}|${protocol ?? "TCP"}|${appProtocol ?? ""}`)
    .sort()
    .join(",");
}
