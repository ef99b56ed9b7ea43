// The objects discovery is computed from, with the indexes it looks them up by. Changes in, dependencies to recompute out.
import { type Change, type EndpointSlice, type Endpoints, type KubeObject, type LabelSelector, type Pod, type Service, Store } from "#kube";
import type { Dependency } from "../../runtime/index.ts";
import { parseServer } from "../policy/resources.ts";

export type ServiceProfile = KubeObject & { readonly spec?: unknown };
export type TrafficSplit = KubeObject & {
  readonly spec?: {
    readonly service?: string;
    readonly backends?: readonly { readonly service?: string; readonly weight?: number | string }[];
  };
};
/** A Server that makes a port opaque. */
export type OpaqueServer = { readonly podSelector: LabelSelector; readonly port: number | string };

export const serviceNameLabel = "kubernetes.io/service-name";

/** Kinds of objects in the world. */
export type WorldChange =
  | { readonly kind: "service"; readonly change: Change<Service> }
  | { readonly kind: "endpoints"; readonly change: Change<Endpoints> }
  | { readonly kind: "slice"; readonly change: Change<EndpointSlice> }
  | { readonly kind: "pod"; readonly change: Change<Pod> }
  | { readonly kind: "replicaset" | "job" | "node"; readonly change: Change<KubeObject> }
  | { readonly kind: "server"; readonly change: Change<KubeObject> }
  | { readonly kind: "profile"; readonly change: Change<ServiceProfile> }
  | { readonly kind: "split"; readonly change: Change<TrafficSplit> };

/** Everything that is watched. Apply a change, then recompute what depends on the names it returns. */
export class World {
  readonly services = new Store<Service>({
    indexers: { clusterIP: (service) => (isAddress(service.spec?.clusterIP) ? [service.spec?.clusterIP as string] : []) },
  });
  readonly endpoints = new Store<Endpoints>();
  readonly slices = new Store<EndpointSlice>({
    indexers: { service: (slice) => [`${slice.metadata.namespace}/${slice.metadata.labels?.[serviceNameLabel] ?? ""}`] },
  });
  readonly pods = new Store<Pod>({ indexers: { ip: podIps, hostPort: podHostPorts } });
  readonly replicaSets = new Store<KubeObject>();
  readonly jobs = new Store<KubeObject>();
  readonly nodes = new Store<KubeObject>();
  readonly profiles = new Store<ServiceProfile>();
  readonly splits = new Store<TrafficSplit>({
    indexers: { service: (split) => [`${split.metadata.namespace}/${split.spec?.service ?? ""}`] },
  });
  readonly #opaqueServers = new Map<string, Map<string, OpaqueServer>>();

  /** The Servers of a namespace that say `opaque`. */
  opaqueServers(namespace: string): Iterable<OpaqueServer> {
    return this.#opaqueServers.get(namespace)?.values() ?? [];
  }

  apply({ kind, change }: WorldChange): Dependency[] {
    const { name = "", namespace = "" } = change.object.metadata;
    switch (kind) {
      case "service": {
        const before = put(this.services, change);
        return [
          `service/${namespace}/${name}`,
          ...both(before, change, (service) => (isAddress(service.spec?.clusterIP) ? [`clusterIP/${service.spec?.clusterIP}`] : [])),
        ];
      }
      case "endpoints":
        put(this.endpoints, change);
        return [`endpoints/${namespace}/${name}`];
      case "slice": {
        const before = put(this.slices, change);
        return both(before, change, (slice) => [
          `endpoints/${slice.metadata.namespace}/${slice.metadata.labels?.[serviceNameLabel] ?? ""}`,
        ]);
      }
      case "pod": {
        const before = put(this.pods, change);
        return [
          `pod/${namespace}/${name}`,
          ...both(before, change, (pod) => [...podIps(pod).map((ip) => `podIP/${ip}`), ...podHostPorts(pod).map((at) => `hostPort/${at}`)]),
        ];
      }
      case "replicaset":
        put(this.replicaSets, change);
        return [`replicaset/${namespace}/${name}`];
      case "job":
        put(this.jobs, change);
        return [`job/${namespace}/${name}`];
      case "node":
        put(this.nodes, change);
        return [`node/${name}`];
      case "server": {
        // One that cannot be read makes nothing opaque; the policy container reports it.
        const server = change.type === "deleted" ? undefined : parseServer(change.object).value;
        const opaque = server?.protocol === "opaque" ? { podSelector: server.podSelector, port: server.port } : undefined;
        const known = this.#opaqueServers.get(namespace);
        if (JSON.stringify(known?.get(name)) === JSON.stringify(opaque)) return [];
        if (opaque) {
          if (known) known.set(name, opaque);
          else this.#opaqueServers.set(namespace, new Map([[name, opaque]]));
        } else {
          known?.delete(name);
          if (known?.size === 0) this.#opaqueServers.delete(namespace);
        }
        return [`servers/${namespace}`];
      }
      case "profile":
        put(this.profiles, change);
        return [`profile/${namespace}/${name}`];
      case "split": {
        const before = put(this.splits, change);
        return both(before, change, (split) => [`splits/${split.metadata.namespace}/${split.spec?.service ?? ""}`]);
      }
    }
  }
}

function put<T extends KubeObject>(store: Store<T>, change: Change<T>): T | undefined {
  return change.type === "deleted"
    ? store.delete(change.object.metadata.name ?? "", change.object.metadata.namespace)
    : store.set(change.object);
}

/** Names of the object as it was and as it is. */
function both<T extends KubeObject>(before: T | undefined, change: Change<T>, names: (object: T) => Dependency[]): Dependency[] {
  return [...new Set([...(before ? names(before) : []), ...names(change.object)])];
}

function isAddress(ip: string | undefined): boolean {
  return ip !== undefined && ip !== "" && ip !== "None";
}

/** Addresses of pods on the host's network are the node's, and say nothing of the pod. */
function podIps(pod: Pod): string[] {
  return pod.spec?.hostNetwork !== true && pod.status?.podIP ? [pod.status.podIP] : [];
}

function podHostPorts(pod: Pod): string[] {
  const { hostIP } = pod.status ?? {};
  if (!hostIP) return [];
  return (pod.spec?.containers ?? []).flatMap((container) =>
    (container.ports ?? []).filter((port) => port.hostPort).map((port) => `${hostIP}:${port.hostPort}`),
  );
}

/** False once a pod has ended or is on its way out. */
export function isLive(pod: Pod): boolean {
  return pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed" && pod.metadata.deletionTimestamp === undefined;
}
