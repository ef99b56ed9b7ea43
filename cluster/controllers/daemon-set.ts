// DaemonSet: one pod on each node that can take it; replaced node by node when the template changes. Pure.
import { isEmptySelector, Resources } from "#kube";
import { type Action, nothing, type Outcome, patchStatus } from "./actions.ts";
import { byAge, claim, isPodAvailable, isPodReady, isPodTerminal, podAvailableAt, podFromTemplate, scaled } from "./meta.ts";
import { revisionHashLabel, syncRevisions } from "./revisions.ts";
import type { DaemonSet, Node, Pod, PodSpec } from "./types.ts";
import { candidates, type World } from "./world.ts";

export const daemonSetKind = { apiVersion: "apps/v1", kind: "DaemonSet" } as const;

/** Conditions of a node that its daemons bear. */
const tolerations: NonNullable<PodSpec["tolerations"]> = ["not-ready", "unreachable"]
  .map((name) => ({ key: `node.kubernetes.io/${name}`, operator: "Exists", effect: "NoExecute" }))
  .concat(
    ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"].map((name) => ({
      key: `node.kubernetes.io/${name}`,
      operator: "Exists",
      effect: "NoSchedule",
    })),
  );

export function reconcileDaemonSet(world: World, namespace: string, name: string): Outcome {
  const set = world.daemonSets.get(name, namespace);
  const selector = set?.spec?.selector;
  if (!set || !selector || isEmptySelector(selector)) return nothing;
  const now = world.now();
  const minReady = set.spec?.minReadySeconds ?? 0;
  const { claimed: pods, actions } = claim({
    owner: set,
    ownerKind: daemonSetKind,
    selector,
    candidates: candidates(world.pods, set),
    resource: Resources.pods,
  });
  if (set.metadata.deletionTimestamp !== undefined) return { actions };
  const running = new Set(pods.map((pod) => `${set.metadata.name}-${pod.metadata.labels?.[revisionHashLabel]}`));
  const revisions = syncRevisions({
    world,
    owner: set,
    ownerKind: daemonSetKind,
    template: set.spec?.template,
    ...(set.spec?.revisionHistoryLimit === undefined ? {} : { limit: set.spec.revisionHistoryLimit }),
    collisions: set.status?.collisionCount ?? 0,
    inUse: running,
  });
  actions.push(...revisions.actions);

  const nodes = world.nodes.list().sort(byAge);
  const wanted = nodes.filter((node) => shouldRun(set, node));
  const byNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    const node = nodeOf(pod);
    byNode.set(node, [...(byNode.get(node) ?? []), pod]);
  }
  const isCurrent = (pod: Pod) => pod.metadata.labels?.[revisionHashLabel] === revisions.updateHash;
  const creates: Action[] = [];
  const doomed = new Set<Pod>();
  for (const node of wanted) {
    const here = (byNode.get(node.metadata.name ?? "") ?? []).sort(byAge);
    const living = here.filter((pod) => pod.metadata.deletionTimestamp === undefined);
    for (const pod of living.filter((one) => one.status?.phase === "Failed" || one.status?.phase === "Succeeded")) {
      doomed.add(pod);
      actions.push({
        do: "event",
        about: named(set),
        type: "Warning",
        reason: "FailedDaemonPod",
        message: `Found failed daemon pod ${namespace}/${pod.metadata.name} on node ${node.metadata.name}, will try to kill it`,
      });
    }
    for (const pod of living.filter((one) => !isPodTerminal(one)).slice(1)) doomed.add(pod);
    if (here.length === 0) creates.push(create(set, node, revisions.updateHash));
  }
  const wantedNames = new Set(wanted.map((node) => node.metadata.name));
  for (const pod of pods) if (!wantedNames.has(nodeOf(pod)) && pod.metadata.deletionTimestamp === undefined) doomed.add(pod);

  if ((set.spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate") {
    const { maxUnavailable = 1 } = set.spec?.updateStrategy?.rollingUpdate ?? {};
    const limit = Math.max(1, scaled(maxUnavailable, wanted.length, "up"));
    let unavailable = wanted.filter(
      (node) =>
        !(byNode.get(node.metadata.name ?? "") ?? []).some(
          (pod) => pod.metadata.deletionTimestamp === undefined && isPodAvailable(pod, minReady, now),
        ),
    ).length;
    for (const pod of pods) {
      if (isCurrent(pod) || pod.metadata.deletionTimestamp !== undefined || doomed.has(pod)) continue;
      const isAvailable = isPodAvailable(pod, minReady, now);
      // One that does not serve anyway costs nothing.
      if (isAvailable && unavailable >= limit) continue;
      if (isAvailable) unavailable++;
      doomed.add(pod);
    }
  }
  if (creates.length > 0)
    actions.push({
      do: "slow-start",
      actions: creates,
      failed: (error) => [
        { do: "event", about: named(set), type: "Warning", reason: "FailedCreate", message: `Error creating: ${(error as Error).message}` },
      ],
    });
  for (const target of doomed) {
    actions.push({
      do: "delete",
      resource: Resources.pods,
      target,
      done: () => [
        { do: "event", about: named(set), type: "Normal", reason: "SuccessfulDelete", message: `Deleted pod: ${target.metadata.name}` },
      ],
    });
  }

  const first = (node: Node) => (byNode.get(node.metadata.name ?? "") ?? []).find((pod) => pod.metadata.deletionTimestamp === undefined);
  const scheduled = wanted.map(first).filter((pod) => pod !== undefined);
  const available = scheduled.filter((pod) => isPodAvailable(pod, minReady, now)).length;
  const status: NonNullable<DaemonSet["status"]> = {
    ...set.status,
    observedGeneration: set.metadata.generation ?? 0,
    currentNumberScheduled: scheduled.length,
    desiredNumberScheduled: wanted.length,
    numberMisscheduled: nodes.filter((node) => !wantedNames.has(node.metadata.name) && byNode.has(node.metadata.name ?? "")).length,
    numberReady: scheduled.filter(isPodReady).length,
  };
  for (const [field, count] of [
    ["updatedNumberScheduled", scheduled.filter(isCurrent).length],
    ["numberAvailable", available],
    ["numberUnavailable", wanted.length - available],
  ] as const) {
    if (count > 0) status[field] = count;
    else delete status[field];
  }
  actions.push(...patchStatus(Resources.daemonSets, set, status));
  const next = scheduled.map((pod) => podAvailableAt(pod, minReady)).filter((at) => at !== undefined && at > now) as number[];
  return { actions, ...(next.length > 0 ? { requeueAfterMs: Math.min(...next) - now } : {}) };
}

function create(set: DaemonSet, node: Node, hash: string): Action {
  const pod = podFromTemplate({ template: set.spec?.template, owner: set, ownerKind: daemonSetKind });
  pod.metadata.labels = { ...pod.metadata.labels, [revisionHashLabel]: hash };
  const spec = pod.spec as PodSpec;
  // By affinity and not by nodeName, as Kubernetes does: the scheduler places it.
  spec.affinity = {
    ...(spec.affinity as object | undefined),
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [node.metadata.name] }] }],
      },
    },
  };
  spec.tolerations = [...(spec.tolerations ?? []), ...tolerations];
  return {
    do: "create",
    resource: Resources.pods,
    object: pod,
    done: (made) => [
      { do: "event", about: named(set), type: "Normal", reason: "SuccessfulCreate", message: `Created pod: ${made.metadata.name}` },
    ],
  };
}

/** Where the pod runs, or is meant to. */
function nodeOf(pod: Pod): string {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  const affinity = pod.spec?.affinity as
    | {
        nodeAffinity?: {
          requiredDuringSchedulingIgnoredDuringExecution?: { nodeSelectorTerms?: { matchFields?: { key: string; values?: string[] }[] }[] };
        };
      }
    | undefined;
  const terms = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  return terms.flatMap((term) => term.matchFields ?? []).find((field) => field.key === "metadata.name")?.values?.[0] ?? "";
}

function shouldRun(set: DaemonSet, node: Node): boolean {
  const spec = set.spec?.template?.spec;
  if (spec?.nodeName && spec.nodeName !== node.metadata.name) return false;
  const labels = node.metadata.labels ?? {};
  if (!Object.entries(spec?.nodeSelector ?? {}).every(([key, value]) => labels[key] === value)) return false;
  const accepted = [...(spec?.tolerations ?? []), ...tolerations];
  return (node.spec?.taints ?? [])
    .filter((taint) => taint.effect !== "PreferNoSchedule")
    .every((taint) =>
      accepted.some(
        (one) =>
          (!one.effect || one.effect === taint.effect) &&
          (!one.key
            ? one.operator === "Exists"
            : one.key === taint.key && (one.operator === "Exists" || (one.value ?? "") === (taint.value ?? ""))),
      ),
    );
}

const named = (set: DaemonSet): DaemonSet => ({ ...set, ...daemonSetKind });
