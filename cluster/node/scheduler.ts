// The scheduler of a cluster with one node: binds pods without a node to this one when their nodeSelector allows it.
import { type KubeClient, KubeError, Resources } from "#kube";
import type { NodePod } from "./types.ts";

export const defaultSchedulerName = "default-scheduler";
/** Pods per node, as in Kubernetes. */
export const maxPods = 110;

/** Why a pod cannot run on the node; `undefined` when it can. */
export function unschedulableReason(
  pod: NodePod,
  { labels, podCount, isUnschedulable }: { labels: Record<string, string>; podCount: number; isUnschedulable: boolean },
): string | undefined {
  if (isUnschedulable) return "0/1 nodes are available: 1 node(s) were unschedulable.";
  const mismatch = Object.entries(pod.spec.nodeSelector ?? {}).find(([name, value]) => labels[name] !== value);
  if (mismatch) return "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
  if (podCount >= maxPods) return "0/1 nodes are available: 1 Too many pods.";
  return undefined;
}

/** True for a pod that waits for this scheduler. */
export function isUnscheduled(pod: NodePod): boolean {
  const phase = pod.status?.phase ?? "Pending";
  return (
    !pod.spec.nodeName &&
    !pod.metadata.deletionTimestamp &&
    phase === "Pending" &&
    (pod.spec.schedulerName ?? defaultSchedulerName) === defaultSchedulerName
  );
}

/**
 * Gives the pod its node, by the binding subresource or, where the server has none, by a patch.
 * @throws {KubeError}
 */
export async function bindPod(client: KubeClient, pod: NodePod, nodeName: string): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  try {
    await client.create(
      { ...Resources.pods, namespace, name, subresource: "binding" },
      {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name, namespace, ...(uid ? { uid } : {}) },
        target: { apiVersion: "v1", kind: "Node", name: nodeName },
      },
    );
  } catch (error) {
    if (!(error instanceof KubeError) || (error.code !== 404 && error.code !== 405)) throw error;
    await client.patch({ ...Resources.pods, namespace, name }, { metadata: { uid }, spec: { nodeName } });
  }
}

/** Tells why the pod still waits. */
export async function reportUnschedulable(client: KubeClient, pod: NodePod, message: string, now: number): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  const known = pod.status?.conditions ?? [];
  const before = known.find((one) => one.type === "PodScheduled");
  if (before?.status === "False" && before.message === message) return;
  const condition = {
    type: "PodScheduled",
    status: "False",
    reason: "Unschedulable",
    message,
    lastProbeTime: null,
    lastTransitionTime: new Date(now).toISOString().replace(/\.\d+Z$/, "Z"),
  };
  await client.patch(
    { ...Resources.pods, namespace, name, subresource: "status" },
    { metadata: { uid }, status: { phase: "Pending", conditions: [...known.filter((one) => one.type !== "PodScheduled"), condition] } },
  );
}
