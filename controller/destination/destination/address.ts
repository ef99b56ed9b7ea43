// One endpoint with all that a client must know of it (spec control-plane §3.2, table of WeightedAddr).
import { identityName } from "#identity";
import {
  containerPortNames,
  controlPlaneNsLabel,
  identityModeAnnotation,
  opaquePortsAnnotation,
  type PortSet,
  parsePortList,
  proxyContainerName,
  skipInboundPortsAnnotation,
} from "#inject";
import { matchesSelector, type Pod } from "#kube";
import type { Track } from "../../runtime/index.ts";
import type { World } from "./world.ts";

export type Address = {
  readonly ip: string;
  readonly port: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly identity: string | null;
  /** Null: no hint at all; else the hint, which may say nothing. */
  readonly hint: { readonly h2: boolean; readonly opaqueTransportPort: number | null } | null;
  readonly authorityOverride: string | null;
};

export type DiscoveryConfig = {
  readonly controlNamespace: string;
  readonly clusterDomain: string;
  /** Null: identities are off. */
  readonly trustDomain: string | null;
  readonly enableH2Upgrade: boolean;
  readonly enableEndpointSlices: boolean;
  readonly defaultOpaquePorts: PortSet;
};

/** Weight of every endpoint. */
export const endpointWeight = 10_000;

/** The address of a pod's port. */
export function podAddress({
  pod,
  ip,
  port,
  world,
  config,
  track,
}: {
  pod: Pod;
  ip: string;
  port: number;
  world: World;
  config: DiscoveryConfig;
  track: Track;
}): Address {
  const { labels = {}, annotations = {}, namespace = "" } = pod.metadata;
  const controlNs = labels[controlPlaneNsLabel] ?? "";
  const serviceAccount = pod.spec?.serviceAccountName || "default";
  const names = containerPortNames(pod.spec?.containers);
  const skip = annotations[skipInboundPortsAnnotation];
  const isSkipped = skip !== undefined && parsePortList(skip, names).ports.has(port);
  const isMeshed = controlNs !== "" && !isSkipped;
  const hasIdentity =
    config.trustDomain !== null && controlNs === config.controlNamespace && annotations[identityModeAnnotation] === "default" && !isSkipped;
  return {
    ip,
    port,
    labels: podLabels(pod, serviceAccount, controlNs, world, track),
    identity: hasIdentity
      ? identityName({ name: serviceAccount, namespace, controlNamespace: controlNs, trustDomain: config.trustDomain as string })
      : null,
    hint: {
      h2: isMeshed && config.enableH2Upgrade,
      opaqueTransportPort: isMeshed && isOpaquePort({ pod, port, world, config, track }) ? inboundPort(pod) : null,
    },
    authorityOverride: null,
  };
}

/** True by the pod's annotation (else the cluster's default list), or by a Server of its namespace. */
export function isOpaquePort({
  pod,
  port,
  world,
  config,
  track,
}: {
  pod: Pod;
  port: number;
  world: World;
  config: DiscoveryConfig;
  track: Track;
}): boolean {
  const { annotations = {}, labels = {}, namespace = "" } = pod.metadata;
  const names = containerPortNames(pod.spec?.containers);
  const annotation = annotations[opaquePortsAnnotation];
  const ports = annotation === undefined ? config.defaultOpaquePorts : parsePortList(annotation, names).ports;
  if (ports.has(port)) return true;
  track(`servers/${namespace}`);
  for (const server of world.opaqueServers(namespace)) {
    const matches = typeof server.port === "number" ? server.port === port : names(server.port).includes(port);
    if (matches && matchesSelector(server.podSelector, labels)) return true;
  }
  return false;
}

/** Where the pod's proxy takes connections with a transport header; null when its environment does not say. */
function inboundPort(pod: Pod): number | null {
  const proxy = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find(
    (container) => container.name === proxyContainerName,
  );
  const listen = proxy?.env?.find((variable) => variable.name === "LINKERD2_PROXY_INBOUND_LISTEN_ADDR")?.value;
  const port = Number(listen?.slice(listen.lastIndexOf(":") + 1));
  return Number.isInteger(port) && port > 0 && port <= 65535 ? port : null;
}

function podLabels(pod: Pod, serviceAccount: string, controlNs: string, world: World, track: Track): Record<string, string> {
  const { name = "", labels = {} } = pod.metadata;
  const owner = ownerOf(pod, world, track);
  const out: Record<string, string> = { pod: name };
  if (owner.kind !== "pod") out[owner.kind === "job" ? "k8s_job" : owner.kind] = owner.name;
  out["serviceaccount"] = serviceAccount;
  if (controlNs !== "") out["control_plane_ns"] = controlNs;
  const hash = labels["pod-template-hash"];
  if (hash) out["pod_template_hash"] = hash;
  return out;
}

/** Kinds that may own a ReplicaSet and are told in its place. */
const replicaSetOwners = ["job", "statefulset", "daemonset", "deployment"];

/** The workload a pod belongs to; kind in lower case. */
export function ownerOf(pod: Pod, world: World, track: Track): { kind: string; name: string } {
  const { name = "", namespace = "", ownerReferences = [] } = pod.metadata;
  const [owner] = ownerReferences;
  if (!owner || ownerReferences.length > 1) return { kind: "pod", name };
  const single = (object: { metadata: { ownerReferences?: { kind: string; name: string }[] } } | undefined) =>
    object?.metadata.ownerReferences?.length === 1 ? object.metadata.ownerReferences[0] : undefined;
  if (owner.kind === "Job") {
    track(`job/${namespace}/${owner.name}`);
    const above = single(world.jobs.get(owner.name, namespace));
    return above ? { kind: above.kind.toLowerCase(), name: above.name } : { kind: "job", name: owner.name };
  }
  if (owner.kind === "ReplicaSet") {
    track(`replicaset/${namespace}/${owner.name}`);
    const above = single(world.replicaSets.get(owner.name, namespace));
    return above && replicaSetOwners.includes(above.kind.toLowerCase())
      ? { kind: above.kind.toLowerCase(), name: above.name }
      : { kind: "replicaset", name: owner.name };
  }
  return { kind: owner.kind.toLowerCase(), name: owner.name };
}
