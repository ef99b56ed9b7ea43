// StatefulSet: pods with stable names, started in order and replaced from the last to the first. Without volume claims. Pure.
import { isEmptySelector, Resources } from "#kube";
import { type Action, nothing, type Outcome, patchStatus } from "./actions.ts";
import { claim, isPodAvailable, isPodReady, isPodTerminal, podAvailableAt, podFromTemplate } from "./meta.ts";
import { revisionHashLabel, syncRevisions } from "./revisions.ts";
import type { Pod, PodTemplate, StatefulSet } from "./types.ts";
import { candidates, type World } from "./world.ts";

export const statefulSetKind = { apiVersion: "apps/v1", kind: "StatefulSet" } as const;
const podNameLabel = "statefulset.kubernetes.io/pod-name";
const podIndexLabel = "apps.kubernetes.io/pod-index";

export function reconcileStatefulSet(world: World, namespace: string, name: string): Outcome {
  const set = world.statefulSets.get(name, namespace);
  const selector = set?.spec?.selector;
  if (!set || !selector || isEmptySelector(selector)) return nothing;
  if ((set.spec?.volumeClaimTemplates ?? []).length > 0) {
    return {
      actions: [
        {
          do: "event",
          about: named(set),
          type: "Warning",
          reason: "FailedCreate",
          message: "spec.volumeClaimTemplates: this cluster has no persistent volumes; use emptyDir or hostPath volumes in spec.template",
        },
      ],
    };
  }
  const now = world.now();
  const minReady = set.spec?.minReadySeconds ?? 0;
  const start = set.spec?.ordinals?.start ?? 0;
  const replicas = set.spec?.replicas ?? 1;
  const { claimed: pods, actions } = claim({
    owner: set,
    ownerKind: statefulSetKind,
    selector,
    candidates: candidates(world.pods, set),
    resource: Resources.pods,
    takes: (pod) => ordinalOf(set, pod) !== undefined,
  });
  if (set.metadata.deletionTimestamp !== undefined) return { actions };
  const revisions = syncRevisions({
    world,
    owner: set,
    ownerKind: statefulSetKind,
    template: set.spec?.template,
    ...(set.spec?.revisionHistoryLimit === undefined ? {} : { limit: set.spec.revisionHistoryLimit }),
    collisions: set.status?.collisionCount ?? 0,
    inUse: new Set([set.status?.currentRevision ?? "", ...pods.map((pod) => pod.metadata.labels?.[revisionHashLabel] ?? "")]),
  });
  actions.push(...revisions.actions);
  const update = revisions.update;
  const current = revisions.all.find((one) => one.metadata.name === set.status?.currentRevision)
    ? (set.status?.currentRevision as string)
    : update;

  const byOrdinal = new Map<number, Pod>();
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal !== undefined) byOrdinal.set(ordinal, pod);
  }
  const isParallel = set.spec?.podManagementPolicy === "Parallel";
  const isRolling = (set.spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  const revisionOf = (pod: Pod) => pod.metadata.labels?.[revisionHashLabel] ?? "";
  const healthy = (pod: Pod) => isPodReady(pod) && pod.metadata.deletionTimestamp === undefined;
  const available = (pod: Pod) => healthy(pod) && isPodAvailable(pod, minReady, now);
  const work: Action[] = [];

  // Up: the first that is missing or not ready holds back the ones after it.
  let isHeldBack = false;
  for (let ordinal = start; ordinal < start + replicas && !isHeldBack; ordinal++) {
    const pod = byOrdinal.get(ordinal);
    if (!pod) {
      // Below the partition pods stay at the old template, if it is still known.
      const template =
        isRolling && ordinal < start + partition && current !== update
          ? (templateOf(revisions.all.find((one) => one.metadata.name === current)?.data) ?? set.spec?.template)
          : set.spec?.template;
      const revision = template === set.spec?.template ? update : current;
      work.push(create(set, ordinal, template, revision));
      isHeldBack = !isParallel;
    } else if (isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined) {
      work.push({
        do: "event",
        about: named(set),
        type: "Warning",
        reason: "RecreatingTerminatedPod",
        message: `StatefulSet ${namespace}/${name} is recreating terminated Pod ${pod.metadata.name}`,
      });
      work.push({ do: "delete", resource: Resources.pods, target: pod });
      isHeldBack = !isParallel;
    } else isHeldBack = !isParallel && !available(pod);
  }
  // Down: from the last, one at a time, when all before are ready.
  const condemned = [...byOrdinal.entries()]
    .filter(([ordinal]) => ordinal < start || ordinal >= start + replicas)
    .sort(([a], [b]) => b - a);
  if (isParallel || (!isHeldBack && work.length === 0)) {
    for (const [, pod] of condemned) {
      if (pod.metadata.deletionTimestamp === undefined) work.push(remove(set, pod));
      if (!isParallel) break;
    }
  }
  // New template: from the last down to the partition, each only when those after it are ready again.
  if (isRolling && work.length === 0 && condemned.length === 0) {
    for (let ordinal = start + replicas - 1; ordinal >= start + partition; ordinal--) {
      const pod = byOrdinal.get(ordinal);
      if (!pod) break;
      if (revisionOf(pod) !== update && pod.metadata.deletionTimestamp === undefined) {
        work.push(remove(set, pod));
        break;
      }
      if (!available(pod)) break;
    }
  }
  actions.push(...work);

  const members = [...byOrdinal.values()];
  const updated = members.filter((pod) => revisionOf(pod) === update);
  const isUpdated = updated.length === replicas && members.length === replicas && members.every(healthy);
  const status: NonNullable<StatefulSet["status"]> = {
    ...set.status,
    observedGeneration: set.metadata.generation ?? 0,
    replicas: members.length,
    availableReplicas: members.filter(available).length,
    updateRevision: update,
    currentRevision: isUpdated && isRolling && partition === 0 ? update : current,
    collisionCount: set.status?.collisionCount ?? 0,
  };
  const counts = {
    readyReplicas: members.filter(healthy).length,
    updatedReplicas: updated.length,
    currentReplicas: members.filter((pod) => revisionOf(pod) === status.currentRevision).length,
  };
  for (const [field, count] of Object.entries(counts)) {
    if (count > 0) status[field as keyof typeof counts] = count;
    else delete status[field as keyof typeof counts];
  }
  actions.push(...patchStatus(Resources.statefulSets, set, status));
  const next = members.map((pod) => podAvailableAt(pod, minReady)).filter((at) => at !== undefined && at > now) as number[];
  return { actions, ...(next.length > 0 ? { requeueAfterMs: Math.min(...next) - now } : {}) };
}

function create(set: StatefulSet, ordinal: number, template: PodTemplate | undefined, revision: string): Action {
  const podName = `${set.metadata.name}-${ordinal}`;
  const pod = podFromTemplate({ template, owner: set, ownerKind: statefulSetKind, name: podName });
  pod.metadata.labels = {
    ...pod.metadata.labels,
    [podNameLabel]: podName,
    [podIndexLabel]: String(ordinal),
    [revisionHashLabel]: revision,
  };
  const spec = pod.spec as { hostname?: string; subdomain?: string };
  spec.hostname = podName;
  if (set.spec?.serviceName) spec.subdomain = set.spec.serviceName;
  return {
    do: "create",
    resource: Resources.pods,
    object: pod,
    done: () => [
      {
        do: "event",
        about: named(set),
        type: "Normal",
        reason: "SuccessfulCreate",
        message: `create Pod ${podName} in StatefulSet ${set.metadata.name} successful`,
      },
    ],
  };
}

function remove(set: StatefulSet, target: Pod): Action {
  return {
    do: "delete",
    resource: Resources.pods,
    target,
    done: () => [
      {
        do: "event",
        about: named(set),
        type: "Normal",
        reason: "SuccessfulDelete",
        message: `delete Pod ${target.metadata.name} in StatefulSet ${set.metadata.name} successful`,
      },
    ],
  };
}

/** The number at the end of a pod's name, when the rest is the set's. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${set.metadata.name}-`;
  const name = pod.metadata.name ?? "";
  const digits = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return /^(0|[1-9]\d*)$/.test(digits) ? Number(digits) : undefined;
}

function templateOf(data: unknown): PodTemplate | undefined {
  const template = (data as { spec?: { template?: Record<string, unknown> } } | undefined)?.spec?.template;
  if (!template) return undefined;
  const { $patch: _, ...rest } = template;
  return rest;
}

const named = (set: StatefulSet): StatefulSet => ({ ...set, ...statefulSetKind });
