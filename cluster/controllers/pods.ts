// Nodes that have fallen silent, pods that nobody will look after any more. Pure.
import { type KubeObject, Resources } from "#kube";
import { nothing, type Outcome, patchStatus } from "./actions.ts";
import { isPodTerminal, timestamp } from "./meta.ts";
import { nodeLeaseNamespace, type World } from "./world.ts";

/** How long a node may be missing before its pods are removed, in ms; Kubernetes's quarantine. */
export const nodeQuarantineMs = 40_000;
/** Ended pods kept at most, Kubernetes's default; the oldest go first. */
export const maxTerminatedPods = 12_500;

/** `missingSince`: when each node was first found missing; the caller keeps it between passes. */
export function collectPods(world: World, missingSince: Map<string, number>): Outcome {
  const now = world.now();
  const actions: Outcome["actions"] = [];
  const remove = (target: KubeObject) => actions.push({ do: "delete", resource: Resources.pods, target, graceSeconds: 0 });
  const missing = new Set<string>();
  const ended: KubeObject[] = [];
  for (const pod of world.pods.values()) {
    const nodeName = pod.spec?.nodeName;
    if (isPodTerminal(pod)) ended.push(pod);
    if (!nodeName) {
      // Never given to a node: there is nobody to end it.
      if (pod.metadata.deletionTimestamp !== undefined) remove(pod);
      continue;
    }
    if (world.nodes.get(nodeName)) continue;
    missing.add(nodeName);
    const since = missingSince.get(nodeName) ?? now;
    missingSince.set(nodeName, since);
    if (now - since >= nodeQuarantineMs) remove(pod);
  }
  for (const name of missingSince.keys()) if (!missing.has(name)) missingSince.delete(name);
  const excess = ended.length - maxTerminatedPods;
  if (excess > 0) {
    ended.sort((a, b) => ((a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? -1 : 1));
    for (const pod of ended.slice(0, excess)) remove(pod);
  }
  return actions.length > 0 ? { actions } : nothing;
}

/** How long a node may be silent before its state counts as unknown, in ms; Kubernetes's grace period. */
export const nodeGraceMs = 50_000;

/** Says that nothing is known of a node whose agent has stopped renewing its lease. Its pods are left alone: they may well be running. */
export function watchNode(world: World, name: string): Outcome {
  const node = world.nodes.get(name);
  const renewed = Date.parse(world.leases.get(name, nodeLeaseNamespace)?.spec?.renewTime ?? "");
  if (!node || Number.isNaN(renewed)) return nothing;
  const left = renewed + nodeGraceMs - world.now();
  if (left > 0) return { actions: [], requeueAfterMs: left };
  const stamp = timestamp(world.now());
  const conditions = (node.status?.conditions ?? []).map((one) =>
    one.status === "Unknown"
      ? one
      : {
          ...one,
          status: "Unknown",
          reason: "NodeStatusUnknown",
          message: "Kubelet stopped posting node status.",
          lastTransitionTime: stamp,
        },
  );
  const actions = patchStatus(Resources.nodes, node, { ...node.status, conditions });
  if (actions.length === 0) return nothing;
  const about = { ...node, apiVersion: "v1", kind: "Node" };
  return {
    actions: [
      ...actions,
      { do: "event", about, type: "Normal", reason: "NodeNotReady", message: `Node ${name} status is now: NodeNotReady` },
    ],
  };
}
