// What a reconcile function may look at: copies of the cluster's objects, and the time. The runtime fills it from informers, tests by hand.

import type { EndpointSlice, Endpoints } from "#kube";
import { type Indexers, type KubeObject, Resources, type ResourceType, Store } from "#kube";
import { controllerOf } from "./meta.ts";
import type {
  ConfigMap,
  ControllerRevision,
  CronJob,
  DaemonSet,
  Deployment,
  Job,
  Lease,
  Namespace,
  Node,
  Pod,
  ReplicaSet,
  Secret,
  Service,
  StatefulSet,
} from "./types.ts";

export const controllerRevisions: ResourceType = { group: "apps", version: "v1", resource: "controllerrevisions" };
export const leases: ResourceType = { group: "coordination.k8s.io", version: "v1", resource: "leases" };
/** Where each node renews a lease of its own name to show that it lives. */
export const nodeLeaseNamespace = "kube-node-lease";

/** Resources that controllers watch, with what narrows the watch. Names are those of {@link Stores}. */
export const watched = {
  pods: { resource: Resources.pods },
  services: { resource: Resources.services },
  endpoints: { resource: Resources.endpoints },
  endpointSlices: { resource: Resources.endpointSlices },
  namespaces: { resource: Resources.namespaces },
  nodes: { resource: Resources.nodes },
  serviceAccounts: { resource: Resources.serviceAccounts },
  rootCas: { resource: Resources.configMaps, fieldSelector: "metadata.name=kube-root-ca.crt" },
  tokenSecrets: { resource: Resources.secrets, fieldSelector: "type=kubernetes.io/service-account-token" },
  deployments: { resource: Resources.deployments },
  replicaSets: { resource: Resources.replicaSets },
  statefulSets: { resource: Resources.statefulSets },
  daemonSets: { resource: Resources.daemonSets },
  controllerRevisions: { resource: controllerRevisions },
  jobs: { resource: Resources.jobs },
  cronJobs: { resource: Resources.cronJobs },
  leases: { resource: leases },
} as const satisfies Record<string, { resource: ResourceType; fieldSelector?: string }>;

export interface Stores {
  pods: Store<Pod>;
  services: Store<Service>;
  endpoints: Store<Endpoints>;
  endpointSlices: Store<EndpointSlice>;
  namespaces: Store<Namespace>;
  nodes: Store<Node>;
  serviceAccounts: Store<KubeObject>;
  rootCas: Store<ConfigMap>;
  tokenSecrets: Store<Secret>;
  deployments: Store<Deployment>;
  replicaSets: Store<ReplicaSet>;
  statefulSets: Store<StatefulSet>;
  daemonSets: Store<DaemonSet>;
  controllerRevisions: Store<ControllerRevision>;
  jobs: Store<Job>;
  cronJobs: Store<CronJob>;
  leases: Store<Lease>;
}

export type StoreName = keyof Stores;

export interface World extends Stores {
  /** Milliseconds since 1970. */
  now(): number;
}

/** Index of every store: objects by the uid of their controller, `none/NAMESPACE` for those without one. */
export const ownerIndex = "owner";
export const ownerIndexers: Indexers<KubeObject> = {
  [ownerIndex]: (object) => [controllerOf(object)?.uid ?? `none/${object.metadata.namespace ?? ""}`],
};

/** The objects that `owner` controls, and those of its namespace that nobody controls: what it may claim. */
export function candidates<T extends KubeObject>(store: Store<T>, owner: KubeObject): T[] {
  return [...store.byIndex(ownerIndex, owner.metadata.uid ?? ""), ...store.byIndex(ownerIndex, `none/${owner.metadata.namespace ?? ""}`)];
}

/** A world without informers; objects are put in by `set`. */
export function emptyWorld({ now }: { now: () => number }): World {
  const world: Record<string, unknown> = { now };
  for (const name of Object.keys(watched)) world[name] = new Store<KubeObject>({ indexers: ownerIndexers });
  return world as unknown as World;
}
