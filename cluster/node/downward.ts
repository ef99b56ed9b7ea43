// The downward API: what a container may learn of its own pod (fieldRef, resourceFieldRef).
import { parseQuantity } from "./quantity.ts";
import type { ContainerSpec, NodePod } from "./types.ts";

/** What is known of a pod only on its node. */
export interface PodAddresses {
  podIP: string;
  hostIP: string;
  nodeName: string;
}

export interface NodeCapacity {
  /** Cores. */
  cpu: number;
  /** Bytes. */
  memory: number;
}

/**
 * The value of a field path. In environment variables and volumes.
 * @throws {RangeError} for a path that the downward API does not offer.
 */
export function fieldValue(pod: NodePod, path: string, addresses: PodAddresses): string {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['([^']*)'\]$/.exec(path);
  if (subscript) return metadata[subscript[1] as "labels" | "annotations"]?.[subscript[2]!] ?? "";
  switch (path) {
    case "metadata.name":
      return metadata.name ?? "";
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(metadata.labels);
    case "metadata.annotations":
      return formatMap(metadata.annotations);
    case "spec.nodeName":
      return spec.nodeName ?? addresses.nodeName;
    case "spec.serviceAccountName":
      return spec.serviceAccountName ?? "";
    case "spec.restartPolicy":
      return spec.restartPolicy ?? "Always";
    case "status.hostIP":
    case "status.hostIPs":
      return addresses.hostIP;
    case "status.podIP":
    case "status.podIPs":
      return addresses.podIP;
  }
  throw new RangeError(`fieldRef: unsupported field path ${JSON.stringify(path)}`);
}

/** `key="value"` lines, sorted, values escaped as Go's %q. */
function formatMap(map: Record<string, string> | undefined): string {
  return Object.keys(map ?? {})
    .sort()
    .map((key) => `${key}=${JSON.stringify(map![key])}`)
    .join("\n");
}

/**
 * A limit or request divided by `divisor` and rounded up. An unset limit is the node's capacity; an unset request is 0.
 * @throws {RangeError} for another container's name that is unknown, or a resource that is not offered.
 */
export function resourceValue(
  pod: NodePod,
  own: ContainerSpec | undefined,
  ref: { containerName?: string; resource: string; divisor?: string | number },
  capacity: NodeCapacity,
): string {
  const container = ref.containerName
    ? [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find((one) => one.name === ref.containerName)
    : own;
  if (!container) throw new RangeError(`resourceFieldRef: no container ${JSON.stringify(ref.containerName ?? "")}`);
  const [kind, name] = ref.resource.split(".");
  if ((kind !== "limits" && kind !== "requests") || (name !== "cpu" && name !== "memory" && name !== "ephemeral-storage"))
    throw new RangeError(`resourceFieldRef: unsupported resource ${JSON.stringify(ref.resource)}`);
  const given = container.resources?.[kind]?.[name] ?? (kind === "requests" ? container.resources?.limits?.[name] : undefined);
  const value =
    given !== undefined
      ? parseQuantity(given)
      : kind === "limits"
        ? name === "cpu"
          ? capacity.cpu
          : name === "memory"
            ? capacity.memory
            : 0
        : 0;
  const divisor = parseQuantity(ref.divisor ?? 1) || 1;
  // Guards against 0.1 / 0.001 = 100.00000000000001.
  return String(Math.ceil(Number((value / divisor).toPrecision(12))));
}
