// ReplicaSet: as many pods as asked for, claimed by selector; made in growing batches, the least valuable deleted first. Pure.
import { isEmptySelector, type KubeError, matchesSelector, Resources } from "#kube";
import { type Action, nothing, type Outcome, patchStatus } from "./actions.ts";
import {
  claim,
  isPodActive,
  isPodAvailable,
  isPodReady,
  podAvailableAt,
  podFromTemplate,
  timestamp,
  withCondition,
  withoutCondition,
} from "./meta.ts";
import type { Pod, ReplicaSet } from "./types.ts";
import { candidates, type World } from "./world.ts";

export const replicaSetKind = { apiVersion: "apps/v1", kind: "ReplicaSet" } as const;

/** Most pods made or deleted in one pass. */
export const maxBurst = 500;

export function reconcileReplicaSet(world: World, namespace: string, name: string): Outcome {
  const set = world.replicaSets.get(name, namespace);
  const selector = set?.spec?.selector;
  // An empty selector would claim every pod of the namespace.
  if (!set || !selector || isEmptySelector(selector)) return nothing;
  const now = world.now();
  const wanted = set.spec?.replicas ?? 1;
  const minReady = set.spec?.minReadySeconds ?? 0;
  const { claimed: pods, actions } = claim({
    owner: set,
    ownerKind: replicaSetKind,
    selector,
    candidates: candidates(world.pods, set).filter(isPodActive),
    resource: Resources.pods,
  });

  let failureGone = true;
  const manage: Action[] = [];
  if (set.metadata.deletionTimestamp === undefined) {
    const missing = wanted - pods.length;
    if (missing > 0) {
      const creates: Action[] = Array.from({ length: Math.min(missing, maxBurst) }, () => ({
        do: "create",
        resource: Resources.pods,
        object: podFromTemplate({ template: set.spec?.template, owner: set, ownerKind: replicaSetKind }),
        done: (pod) => [
          { do: "event", about: named(set), type: "Normal", reason: "SuccessfulCreate", message: `Created pod: ${pod.metadata.name}` },
        ],
      }));
      failureGone = false;
      manage.push({ do: "slow-start", actions: creates, failed: (error) => failure(set, "FailedCreate", "creating", error, now) });
    } else if (missing < 0) {
      const ranked = rankForDeletion(pods, now).slice(0, Math.min(-missing, maxBurst));
      const deletes: Action[] = ranked.map((pod) => ({
        do: "delete",
        resource: Resources.pods,
        target: pod,
        done: () => [
          { do: "event", about: named(set), type: "Normal", reason: "SuccessfulDelete", message: `Deleted pod: ${pod.metadata.name}` },
        ],
      }));
      failureGone = false;
      manage.push({ do: "slow-start", actions: deletes, failed: (error) => failure(set, "FailedDelete", "deleting", error, now) });
    }
  }

  const labels = set.spec?.template?.metadata?.labels ?? {};
  const available = pods.filter((pod) => isPodAvailable(pod, minReady, now)).length;
  const ready = pods.filter(isPodReady).length;
  const conditions = failureGone ? withoutCondition(set.status?.conditions, "ReplicaFailure") : set.status?.conditions;
  const status: NonNullable<ReplicaSet["status"]> = {
    ...set.status,
    replicas: pods.length,
    fullyLabeledReplicas: pods.filter((pod) => matchesSelector({ matchLabels: labels }, pod.metadata.labels)).length,
    readyReplicas: ready,
    availableReplicas: available,
    observedGeneration: set.metadata.generation ?? 0,
  };
  if (conditions && conditions.length > 0) status.conditions = conditions;
  else delete status.conditions;
  actions.push(...manage, ...patchStatus(Resources.replicaSets, set, dropZeros(status, set.status)));

  const next = pods.map((pod) => podAvailableAt(pod, minReady)).filter((at) => at !== undefined && at > now) as number[];
  return { actions, ...(next.length > 0 ? { requeueAfterMs: Math.min(...next) - now } : {}) };
}

/** Counters other than `replicas` are left out while zero, as the API does; one that the server shows as 0 stays. */
function dropZeros<T extends object>(status: T, before: T | undefined): T {
  const kept = { ...status } as Record<string, unknown>;
  for (const name of ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]) {
    if (kept[name] === 0 && (before as Record<string, unknown> | undefined)?.[name] === undefined) delete kept[name];
  }
  return kept as T;
}

/** Pods in the order in which they are to go. */
export function rankForDeletion(pods: readonly Pod[], now: number): Pod[] {
  const byNode = new Map<string, number>();
  for (const pod of pods) byNode.set(pod.spec?.nodeName ?? "", (byNode.get(pod.spec?.nodeName ?? "") ?? 0) + 1);
  const phases = ["Pending", "Unknown", "Running"];
  const cost = (pod: Pod) => Number.parseInt(pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? "0", 10) || 0;
  const restarts = (pod: Pod) => (pod.status?.containerStatuses ?? []).reduce((most, one) => Math.max(most, one.restartCount ?? 0), 0);
  const readySince = (pod: Pod) => podAvailableAt(pod, 1) ?? now;
  const bornAt = (pod: Pod) => Date.parse(pod.metadata.creationTimestamp ?? "") || now;
  const keys: ((pod: Pod) => number)[] = [
    (pod) => (pod.spec?.nodeName ? 1 : 0),
    (pod) => phases.indexOf(pod.status?.phase ?? "Pending"),
    (pod) => (isPodReady(pod) ? 1 : 0),
    cost,
    // Where many run already, one is missed least.
    (pod) => -(byNode.get(pod.spec?.nodeName ?? "") ?? 0),
    (pod) => (isPodReady(pod) ? -readySince(pod) : 0),
    (pod) => -restarts(pod),
    (pod) => -bornAt(pod),
  ];
  return [...pods].sort((a, b) => {
    for (const key of keys) {
      const difference = key(a) - key(b);
      if (difference !== 0) return difference;
    }
    return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
  });
}

function failure(set: ReplicaSet, reason: string, doing: string, error: unknown, now: number): Action[] {
  const message = (error as KubeError).message ?? String(error);
  const condition = { type: "ReplicaFailure", status: "True", reason, message, lastTransitionTime: timestamp(now) };
  const conditions = withCondition(set.status?.conditions, condition);
  return [
    { do: "event", about: named(set), type: "Warning", reason, message: `Error ${doing}: ${message}` },
    {
      do: "patch",
      resource: Resources.replicaSets,
      target: set,
      subresource: "status",
      anyVersion: true,
      patch: { status: { conditions } },
    },
  ];
}

const named = (set: ReplicaSet): ReplicaSet => ({ ...set, ...replicaSetKind });
