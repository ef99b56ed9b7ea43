// Endpoints: for each service with a selector one object of the same name, addresses grouped by the ports they have. Pure.
import { type EndpointAddress, type Endpoints, Resources } from "#kube";
import { deepEqual, type NewObject, nothing, type Outcome } from "./actions.ts";
import { hasSelector, inheritedLabels, podReference, type ServiceTarget, type TargetPort, targetsOf } from "./service-targets.ts";
import type { Service } from "./types.ts";
import type { World } from "./world.ts";

type Subset = NonNullable<Endpoints["subsets"]>[number];

/** Most addresses of one Endpoints object, as in Kubernetes; more are left out and the object says so. */
export const maxAddresses = 1000;
const overCapacity = "endpoints.kubernetes.io/over-capacity";
export const managedByLabel = "endpoints.kubernetes.io/managed-by";
const managedBy = "endpoint-controller";

export function reconcileEndpoints(world: World, namespace: string, name: string): Outcome {
  const service = world.services.get(name, namespace);
  const current = world.endpoints.get(name, namespace);
  if (!service) {
    // Objects that users keep without a service are theirs.
    return current?.metadata.labels?.[managedByLabel] === managedBy
      ? { actions: [{ do: "delete", resource: Resources.endpoints, target: current }] }
      : nothing;
  }
  if (!hasSelector(service) || service.metadata.deletionTimestamp !== undefined) return nothing;
  const all = targetsOf(world, service).filter((target) => !target.terminating || service.spec?.publishNotReadyAddresses);
  const sorted = all.length > maxAddresses ? [...all].sort((a, b) => Number(b.ready) - Number(a.ready)) : all;
  const subsets = subsetsOf(service, sorted.slice(0, maxAddresses));
  const labels = { ...inheritedLabels(service), [managedByLabel]: managedBy };
  const annotations: Record<string, string> = all.length > maxAddresses ? { [overCapacity]: "truncated" } : {};
  if (!current) {
    const object: NewObject = {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name, namespace, labels, ...(all.length > maxAddresses ? { annotations } : {}) },
      ...(subsets.length > 0 ? { subsets } : {}),
    };
    return { actions: [{ do: "create", resource: Resources.endpoints, object }] };
  }
  const isMarked = current.metadata.annotations?.[overCapacity] !== undefined;
  if (
    deepEqual(current.subsets ?? [], subsets) &&
    deepEqual(current.metadata.labels ?? {}, labels) &&
    isMarked === all.length > maxAddresses
  )
    return nothing;
  const gone = Object.fromEntries(
    Object.keys(current.metadata.labels ?? {})
      .filter((key) => !(key in labels))
      .map((key) => [key, null]),
  );
  const patch = {
    metadata: { labels: { ...gone, ...labels }, annotations: { [overCapacity]: annotations[overCapacity] ?? null } },
    subsets: subsets.length > 0 ? subsets : null,
  };
  return { actions: [{ do: "patch", resource: Resources.endpoints, target: current, patch }] };
}

/** Addresses with the same set of ports share a subset; order is that of the text of their ports, then of addresses. */
function subsetsOf(service: Service, targets: readonly ServiceTarget[]): Subset[] {
  const groups = new Map<string, { ports: TargetPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }>();
  const isHeadlessWithoutPorts = service.spec?.clusterIP === "None" && (service.spec.ports ?? []).length === 0;
  for (const target of targets) {
    if (target.ports.length === 0 && !isHeadlessWithoutPorts) continue;
    const ports = [...target.ports].sort((a, b) => (portText(a) < portText(b) ? -1 : 1));
    const key = ports.map(portText).join(",");
    let group = groups.get(key);
    if (!group) groups.set(key, (group = { ports, ready: [], notReady: [] }));
    const { nodeName } = target.pod.spec ?? {};
    const address: EndpointAddress = {
      ip: target.ip,
      ...(target.hostname ? { hostname: target.hostname } : {}),
      ...(nodeName ? { nodeName } : {}),
      targetRef: podReference(target.pod),
    };
    (target.ready || service.spec?.publishNotReadyAddresses ? group.ready : group.notReady).push(address);
  }
  const byIp = (a: EndpointAddress, b: EndpointAddress) => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : 0);
  return [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { ports, ready, notReady }]) => ({
      ...(ready.length > 0 ? { addresses: ready.sort(byIp) } : {}),
      ...(notReady.length > 0 ? { notReadyAddresses: notReady.sort(byIp) } : {}),
      ...(ports.length > 0 ? { ports: ports.map(({ name, ...port }) => ({ ...(name ? { name } : {}), ...port })) } : {}),
    }));
}

const portText = ({ name, port, protocol }: TargetPort) => `${name} ${protocol} ${port}`;
