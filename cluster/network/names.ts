// The names of everything a cluster makes in the kernel, derived from the cluster's name alone, so that they can be found again after a crash.
import { createHash } from "node:crypto";
import { isDnsLabel } from "#kube";

/** A pod as far as names go. */
export interface PodIdentity {
  namespace: string;
  name: string;
  uid: string;
}

export interface ClusterNames {
  /** Network namespace that plays the node: bridge, pod links, service rules. Deleting it deletes all of them. */
  nodeNamespace: string;
  /** Prefix of the network namespaces of pods. */
  podNamespacePrefix: string;
  /** Interface of the machine that leads to the node (≤ 15 characters). */
  hostLink: string;
}

/** Bridge inside the node's network namespace; each pod has a port on it. */
export const bridgeName = "flbr0";
/** The node's end of the link to the machine. */
export const nodeLink = "host0";
/** Directory where iproute2 keeps named network namespaces. */
export const netnsDirectory = "/run/netns";

/** Longest part of a pod's name that goes into its namespace's file name. */
const maxPodNameInFile = 100;

/** @throws {RangeError} unless `cluster` is a DNS label. */
export function clusterNames(cluster: string): ClusterNames {
  if (!isDnsLabel(cluster))
    throw new RangeError(`cluster name ${JSON.stringify(cluster)}: must be a DNS label (lower-case letters, digits, "-")`);
  return {
    nodeNamespace: `fl-${cluster}`,
    // A label has no dot, so no cluster's prefix is the beginning of another's.
    podNamespacePrefix: `fl-${cluster}.`,
    hostLink: `fl${shortHash(cluster, 8)}`,
  };
}

/** Name of the pod's network namespace, for `ip netns exec NAME …`. */
export function podNamespace(cluster: string, { namespace, name, uid }: PodIdentity): string {
  return `${clusterNames(cluster).podNamespacePrefix}${namespace}.${name.slice(0, maxPodNameInFile)}.${uid.slice(0, 8)}`;
}

/** The pod's port on the bridge, inside the node's namespace. */
export function podLink(uid: string): string {
  return `veth${shortHash(uid, 10)}`;
}

/** `length` hexadecimal digits of SHA-256. */
export function shortHash(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}
