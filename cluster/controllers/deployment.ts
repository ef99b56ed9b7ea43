// Deployment: one ReplicaSet per template, replaced by steps that keep maxUnavailable and maxSurge; revisions for `kubectl rollout`. Pure.
import { isEmptySelector, type KubeError, Resources } from "#kube";
import { type Action, mergePatch, type NewObject, nothing, type Outcome, patchStatus } from "./actions.ts";
import {
  byAge,
  canonical,
  claim,
  conditionOf,
  isPodTerminal,
  ownedBy,
  scaled,
  shortHash,
  sum,
  timestamp,
  withCondition,
  withoutCondition,
} from "./meta.ts";
import { replicaSetKind } from "./replica-set.ts";
import type { Condition, Deployment, DeploymentStatus, PodTemplate, ReplicaSet } from "./types.ts";
import { candidates, ownerIndex, type World } from "./world.ts";

export const deploymentKind = { apiVersion: "apps/v1", kind: "Deployment" } as const;

const hashLabel = "pod-template-hash";
const revisionAnnotation = "deployment.kubernetes.io/revision";
const historyAnnotation = "deployment.kubernetes.io/revision-history";
const desiredAnnotation = "deployment.kubernetes.io/desired-replicas";
const maxAnnotation = "deployment.kubernetes.io/max-replicas";
/** Annotations of the Deployment that its ReplicaSets do not inherit. */
const notInherited = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  revisionAnnotation,
  historyAnnotation,
  desiredAnnotation,
  maxAnnotation,
  "deprecated.deployment.rollback.to",
]);
/** `progressDeadlineSeconds` of this value means none. */
const noDeadline = 0x7fffffff;
/** A revision history longer than this is cut at its old end, in characters. */
const maxHistoryChars = 2_000;
const reasons = {
  timedOut: "ProgressDeadlineExceeded",
  available: "NewReplicaSetAvailable",
  updated: "ReplicaSetUpdated",
  created: "NewReplicaSetCreated",
  found: "FoundNewReplicaSet",
  paused: "DeploymentPaused",
  resumed: "DeploymentResumed",
} as const;

export function reconcileDeployment(world: World, namespace: string, name: string): Outcome {
  const deployment = world.deployments.get(name, namespace);
  const selector = deployment?.spec?.selector;
  if (!deployment || !selector) return nothing;
  if (isEmptySelector(selector)) {
    return {
      actions: [
        {
          do: "event",
          about: named(deployment),
          type: "Warning",
          reason: "SelectingAll",
          message: "This deployment is selecting all pods. A non-empty selector is required.",
        },
      ],
    };
  }
  const { claimed, actions } = claim({
    owner: deployment,
    ownerKind: deploymentKind,
    selector,
    candidates: candidates(world.replicaSets, deployment),
    resource: Resources.replicaSets,
  });
  const rollout = new Rollout({ deployment, sets: claimed, world, actions });
  return rollout.run();
}

/** One pass over one Deployment. */
class Rollout {
  readonly #deployment: Deployment;
  readonly #world: World;
  readonly #actions: Action[];
  readonly #now: number;
  readonly #old: ReplicaSet[];
  #new: ReplicaSet | undefined;
  /** Of the status, changed in the course of the pass. */
  #conditions: Condition[];

  constructor({ deployment, sets, world, actions }: { deployment: Deployment; sets: ReplicaSet[]; world: World; actions: Action[] }) {
    this.#deployment = deployment;
    this.#world = world;
    this.#actions = actions;
    this.#now = world.now();
    const wanted = templateText(deployment.spec?.template);
    // Two sets of one template can exist after a lost race: the oldest is the one.
    this.#new = sets.filter((set) => templateText(set.spec?.template) === wanted).sort(byAge)[0];
    this.#old = sets.filter((set) => set !== this.#new).sort(byAge);
    this.#conditions = [...(deployment.status?.conditions ?? [])];
  }

  run(): Outcome {
    const { spec } = this.#deployment;
    if (this.#deployment.metadata.deletionTimestamp !== undefined) return this.#finish();
    this.#markPause();
    if (spec?.paused || this.#isScaled()) {
      if (this.#new) this.#syncRevision();
      this.#scaleAll();
      if (spec?.paused) this.#cleanUp();
      return this.#finish();
    }
    return spec?.strategy?.type === "Recreate" ? this.#recreate() : this.#rollingUpdate();
  }

  get #all(): ReplicaSet[] {
    return this.#new ? [...this.#old, this.#new] : this.#old;
  }

  get #replicas(): number {
    return this.#deployment.spec?.replicas ?? 1;
  }

  get #maxSurge(): number {
    return isRolling(this.#deployment) ? fenceposts(this.#deployment).surge : 0;
  }

  get #maxUnavailable(): number {
    return maxUnavailable(this.#deployment);
  }

  #recreate(): Outcome {
    const active = this.#old.filter(isActive);
    if (this.#new) this.#syncRevision();
    if (active.length > 0) {
      for (const set of active) this.#scale(set, 0);
      return this.#finish();
    }
    // The old pods must be gone, not only unwanted.
    for (const set of this.#old) {
      if (this.#world.pods.byIndex(ownerIndex, set.metadata.uid ?? "").some((pod) => !isPodTerminal(pod))) return this.#finish();
    }
    if (!this.#new) this.#createNew();
    else if (!this.#scale(this.#new, this.#replicas)) this.#cleanUpWhenComplete();
    return this.#finish();
  }

  #rollingUpdate(): Outcome {
    if (!this.#new) {
      this.#createNew();
      return this.#finish();
    }
    this.#syncRevision();
    if (!this.#scale(this.#new, newReplicas(this.#deployment, this.#all, this.#new)) && !this.#shrinkOld(this.#new))
      this.#cleanUpWhenComplete();
    return this.#finish();
  }

  /** Scales old sets down as far as availability allows: first pods that do not serve anyway, then healthy ones. */
  #shrinkOld(newest: ReplicaSet): boolean {
    const old = this.#old.filter(isActive);
    if (sum(old, specReplicas) === 0) return false;
    const minAvailable = this.#replicas - this.#maxUnavailable;
    const newUnavailable = specReplicas(newest) - (newest.status?.availableReplicas ?? 0);
    const mostDown = sum(this.#all, specReplicas) - minAvailable - newUnavailable;
    if (mostDown <= 0) return false;
    const target = new Map(old.map((set) => [set, specReplicas(set)]));
    let unhealthy = 0;
    for (const set of old) {
      if (unhealthy >= mostDown) break;
      const down = Math.min(mostDown - unhealthy, specReplicas(set) - (set.status?.availableReplicas ?? 0));
      if (down <= 0) continue;
      target.set(set, specReplicas(set) - down);
      unhealthy += down;
    }
    let healthy = sum(this.#all, (set) => set.status?.availableReplicas) - minAvailable;
    for (const set of old) {
      if (healthy <= 0) break;
      const down = Math.min(target.get(set) ?? 0, healthy);
      target.set(set, (target.get(set) ?? 0) - down);
      healthy -= down;
    }
    let changed = false;
    for (const [set, replicas] of target) changed = this.#scale(set, replicas) || changed;
    return changed;
  }

  /** The user changed `replicas`: keeps the sets' shares of a rollout under way. */
  #scaleAll(): void {
    const active = this.#all.filter(isActive).sort(byAge);
    if (active.length <= 1) {
      const one = active[0] ?? this.#new ?? this.#old.at(-1);
      if (one) this.#scale(one, this.#replicas);
      return;
    }
    if (this.#new && isSaturated(this.#deployment, this.#new)) {
      for (const set of this.#old.filter(isActive)) this.#scale(set, 0);
      return;
    }
    if (!isRolling(this.#deployment)) return;
    const allowed = this.#replicas > 0 ? this.#replicas + this.#maxSurge : 0;
    const toAdd = allowed - sum(active, specReplicas);
    // Growing helps the newest first, shrinking takes from the oldest first.
    const sorted = [...active].sort((a, b) => specReplicas(b) - specReplicas(a) || (toAdd > 0 ? byAge(b, a) : byAge(a, b)));
    const sizes = new Map<ReplicaSet, number>();
    let added = 0;
    for (const set of sorted) {
      const share = toAdd === 0 ? 0 : proportion(set, this.#deployment, this.#maxSurge, toAdd, added);
      sizes.set(set, specReplicas(set) + share);
      added += share;
    }
    const [first] = sorted;
    if (first && toAdd !== 0) sizes.set(first, Math.max(0, (sizes.get(first) ?? 0) + toAdd - added));
    for (const [set, size] of sizes) this.#scale(set, size);
  }

  /** True when an active set was sized for another number of replicas. */
  #isScaled(): boolean {
    return this.#all.filter(isActive).some((set) => {
      const desired = Number(set.metadata.annotations?.[desiredAnnotation] ?? Number.NaN);
      return !Number.isNaN(desired) && desired !== this.#replicas;
    });
  }

  /** True when the set's size changes. */
  #scale(set: ReplicaSet, replicas: number): boolean {
    const from = specReplicas(set);
    const annotations = this.#sizeAnnotations();
    const known = set.metadata.annotations ?? {};
    const sameSize = from === replicas;
    if (sameSize && Object.entries(annotations).every(([key, value]) => known[key] === value)) return false;
    const verb = replicas > from ? "up" : "down";
    this.#actions.push({
      do: "patch",
      resource: Resources.replicaSets,
      target: set,
      patch: { metadata: { annotations }, ...(sameSize ? {} : { spec: { replicas } }) },
      ...(sameSize
        ? {}
        : {
            done: () => [this.#event("ScalingReplicaSet", `Scaled ${verb} replica set ${set.metadata.name} from ${from} to ${replicas}`)],
          }),
    });
    return !sameSize;
  }

  #sizeAnnotations(): Record<string, string> {
    return { [desiredAnnotation]: String(this.#replicas), [maxAnnotation]: String(this.#replicas + this.#maxSurge) };
  }

  /** The newest revision is the template in force, also after a rollback to an older one. */
  #syncRevision(): void {
    const set = this.#new as ReplicaSet;
    const known = set.metadata.annotations ?? {};
    const annotations = { ...known, ...inherited(this.#deployment) };
    for (const key of Object.keys(known)) {
      // What the user took from the Deployment goes from the set in force too; the controller's own stay.
      if (!notInherited.has(key) && this.#deployment.metadata.annotations?.[key] === undefined) delete annotations[key];
    }
    const before = Number(known[revisionAnnotation] ?? 0) || 0;
    const revision = Math.max(before, Math.max(0, ...this.#old.map(revisionOf)) + 1);
    annotations[revisionAnnotation] = String(revision);
    if (before > 0 && before < revision) {
      const history = [...(known[historyAnnotation] ?? "").split(",").filter(Boolean), String(before)];
      while (history.join(",").length > maxHistoryChars) history.shift();
      annotations[historyAnnotation] = history.join(",");
    }
    const minReadySeconds = this.#deployment.spec?.minReadySeconds ?? 0;
    const patch = mergePatch(
      { metadata: { annotations: known }, spec: { minReadySeconds: set.spec?.minReadySeconds ?? 0 } },
      { metadata: { annotations }, spec: { minReadySeconds } },
    );
    if (patch) this.#actions.push({ do: "patch", resource: Resources.replicaSets, target: set, anyVersion: true, patch });
    this.#noteRevision(revision);
    if (hasDeadline(this.#deployment) && !conditionOf(this.#conditions, "Progressing")) {
      this.#setCondition("Progressing", "True", reasons.found, `Found new replica set "${set.metadata.name}"`);
    }
  }

  #noteRevision(revision: number): void {
    if (this.#deployment.metadata.annotations?.[revisionAnnotation] === String(revision)) return;
    const patch = { metadata: { annotations: { [revisionAnnotation]: String(revision) } } };
    this.#actions.push({ do: "patch", resource: Resources.deployments, target: this.#deployment, anyVersion: true, patch });
  }

  #createNew(): void {
    const { metadata, spec, status } = this.#deployment;
    const hash = shortHash(templateText(spec?.template), status?.collisionCount ?? 0);
    const template = structuredClone(spec?.template ?? {});
    template.metadata = { ...template.metadata, labels: { ...template.metadata?.labels, [hashLabel]: hash } };
    const revision = Math.max(0, ...this.#old.map(revisionOf)) + 1;
    const replicas = newReplicas(this.#deployment, this.#old, undefined);
    const object: NewObject = {
      ...replicaSetKind,
      metadata: {
        name: `${metadata.name}-${hash}`,
        namespace: metadata.namespace ?? "",
        labels: { ...template.metadata.labels },
        annotations: { ...inherited(this.#deployment), [revisionAnnotation]: String(revision), ...this.#sizeAnnotations() },
        ownerReferences: [ownedBy(this.#deployment, deploymentKind)],
      },
      spec: {
        replicas,
        ...(spec?.minReadySeconds ? { minReadySeconds: spec.minReadySeconds } : {}),
        selector: { ...spec?.selector, matchLabels: { ...spec?.selector?.matchLabels, [hashLabel]: hash } },
        template,
      },
    };
    this.#actions.push({
      do: "create",
      resource: Resources.replicaSets,
      object,
      done: () =>
        replicas > 0 ? [this.#event("ScalingReplicaSet", `Scaled up replica set ${object.metadata.name} from 0 to ${replicas}`)] : [],
      refused: (error) => this.#creationRefused(error, object.metadata.name ?? ""),
    });
    this.#noteRevision(revision);
    if (hasDeadline(this.#deployment))
      this.#setCondition("Progressing", "True", reasons.created, `Created new replica set "${object.metadata.name}"`);
  }

  #creationRefused(error: KubeError, name: string): Action[] {
    if (error.reason === "AlreadyExists") {
      const other = this.#world.replicaSets.get(name, this.#deployment.metadata.namespace);
      // Our own, made a moment ago and not seen yet: the next pass finds it.
      if (!other || other.metadata.ownerReferences?.some((owner) => owner.uid === this.#deployment.metadata.uid)) return [];
      const collisionCount = (this.#deployment.status?.collisionCount ?? 0) + 1;
      return [
        {
          do: "patch",
          resource: Resources.deployments,
          target: this.#deployment,
          subresource: "status",
          anyVersion: true,
          patch: { status: { collisionCount } },
        },
      ];
    }
    const message = `Failed to create new replica set "${name}": ${error.message}`;
    const conditions = withCondition(this.#conditions, {
      type: "Progressing",
      status: "False",
      reason: "ReplicaSetCreateError",
      message,
      lastTransitionTime: timestamp(this.#now),
      lastUpdateTime: timestamp(this.#now),
    });
    return [
      { do: "event", about: named(this.#deployment), type: "Warning", reason: "ReplicaSetCreateError", message },
      {
        do: "patch",
        resource: Resources.deployments,
        target: this.#deployment,
        subresource: "status",
        anyVersion: true,
        patch: { status: { conditions } },
      },
    ];
  }

  #markPause(): void {
    if (!hasDeadline(this.#deployment)) return;
    const current = conditionOf(this.#conditions, "Progressing");
    if (current?.reason === reasons.timedOut) return;
    const paused = this.#deployment.spec?.paused === true;
    if (paused && current?.reason !== reasons.paused) this.#setCondition("Progressing", "Unknown", reasons.paused, "Deployment is paused");
    if (!paused && current?.reason === reasons.paused)
      this.#setCondition("Progressing", "Unknown", reasons.resumed, "Deployment is resumed");
  }

  #cleanUpWhenComplete(): void {
    if (isComplete(this.#deployment, this.#deployment.status ?? {})) this.#cleanUp();
  }

  /** Old sets beyond revisionHistoryLimit go, the oldest revision first. */
  #cleanUp(): void {
    const limit = this.#deployment.spec?.revisionHistoryLimit;
    if (limit === undefined || limit === noDeadline) return;
    const cleanable = this.#old.filter((set) => set.metadata.deletionTimestamp === undefined);
    const excess = cleanable.length - limit;
    if (excess <= 0) return;
    for (const set of cleanable.sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, excess)) {
      const isBusy =
        (set.status?.replicas ?? 0) !== 0 ||
        specReplicas(set) !== 0 ||
        (set.metadata.generation ?? 0) > (set.status?.observedGeneration ?? 0);
      if (!isBusy) this.#actions.push({ do: "delete", resource: Resources.replicaSets, target: set });
    }
  }

  #finish(): Outcome {
    const deployment = this.#deployment;
    const status = this.#status();
    let requeueAfterMs: number | undefined;
    if (!hasDeadline(deployment)) status.conditions = withoutCondition(status.conditions, "Progressing");
    else if (deployment.metadata.deletionTimestamp === undefined && !deployment.spec?.paused) requeueAfterMs = this.#progress(status);
    const failure = [this.#new, ...this.#old]
      .map((set) => conditionOf(set?.status?.conditions, "ReplicaFailure"))
      .find((one) => one !== undefined);
    status.conditions = failure
      ? withCondition(status.conditions, { ...failure, type: "ReplicaFailure", lastUpdateTime: timestamp(this.#now) })
      : withoutCondition(status.conditions, "ReplicaFailure");
    this.#actions.push(...patchStatus(Resources.deployments, deployment, status));
    return { actions: this.#actions, ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }) };
  }

  /** Sets the Progressing condition; returns when a stuck rollout has to be looked at again. */
  #progress(status: DeploymentStatus): number | undefined {
    const deployment = this.#deployment;
    const current = conditionOf(status.conditions, "Progressing");
    const what = this.#new ? `ReplicaSet "${this.#new.metadata.name}"` : `Deployment "${deployment.metadata.name}"`;
    const isDone = (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === reasons.available;
    const stamp = timestamp(this.#now);
    if (!isDone) {
      if (isComplete(deployment, status)) {
        status.conditions = withCondition(status.conditions, {
          type: "Progressing",
          status: "True",
          reason: reasons.available,
          message: `${what} has successfully progressed.`,
          lastTransitionTime: stamp,
          lastUpdateTime: stamp,
        });
      } else if (isProgressing(deployment.status ?? {}, status)) {
        const next: Condition = {
          type: "Progressing",
          status: "True",
          reason: reasons.updated,
          message: `${what} is progressing.`,
          lastTransitionTime: stamp,
          lastUpdateTime: stamp,
        };
        if (current?.status === "True" && current.lastTransitionTime) next.lastTransitionTime = current.lastTransitionTime;
        status.conditions = [...withoutCondition(status.conditions, "Progressing"), next];
      } else if (this.#deadlineLeft(current) <= 0) {
        status.conditions = withCondition(status.conditions, {
          type: "Progressing",
          status: "False",
          reason: reasons.timedOut,
          message: `${what} has timed out progressing.`,
          lastTransitionTime: stamp,
          lastUpdateTime: stamp,
        });
      }
    }
    const after = conditionOf(status.conditions, "Progressing");
    if (!after || after.reason === reasons.available || after.reason === reasons.timedOut || isComplete(deployment, status))
      return undefined;
    // One second later than the deadline, as times have whole seconds.
    return Math.max(0, this.#deadlineLeft(after)) + 1_000;
  }

  /** Milliseconds until the progress deadline; infinite when it cannot pass. */
  #deadlineLeft(condition: Condition | undefined): number {
    if (!condition || condition.reason === reasons.available) return Number.POSITIVE_INFINITY;
    if (condition.reason === reasons.timedOut) return 0;
    const from = Date.parse(condition.lastUpdateTime ?? condition.lastTransitionTime ?? "");
    const deadline = (this.#deployment.spec?.progressDeadlineSeconds ?? 600) * 1000;
    return Number.isNaN(from) ? Number.POSITIVE_INFINITY : from + deadline - this.#now;
  }

  #status(): DeploymentStatus {
    const all = this.#all;
    const available = sum(all, (set) => set.status?.availableReplicas);
    const unavailable = Math.max(0, sum(all, specReplicas) - available);
    const counters = {
      replicas: sum(all, (set) => set.status?.replicas),
      updatedReplicas: this.#new?.status?.replicas ?? 0,
      readyReplicas: sum(all, (set) => set.status?.readyReplicas),
      availableReplicas: available,
      unavailableReplicas: unavailable,
    };
    const { collisionCount } = this.#deployment.status ?? {};
    const status: DeploymentStatus = {
      observedGeneration: this.#deployment.metadata.generation ?? 0,
      ...(collisionCount === undefined ? {} : { collisionCount }),
    };
    // Zero counters are left out, as the API does.
    for (const [name, count] of Object.entries(counters)) if (count !== 0) status[name as keyof typeof counters] = count;
    const isAvailable = available >= this.#replicas - this.#maxUnavailable;
    this.#setCondition(
      "Available",
      isAvailable ? "True" : "False",
      isAvailable ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
      isAvailable ? "Deployment has minimum availability." : "Deployment does not have minimum availability.",
    );
    status.conditions = this.#conditions;
    return status;
  }

  #setCondition(type: string, status: string, reason: string, message: string): void {
    const stamp = timestamp(this.#now);
    this.#conditions = withCondition(this.#conditions, { type, status, reason, message, lastTransitionTime: stamp, lastUpdateTime: stamp });
  }

  #event(reason: string, message: string): Action {
    return { do: "event", about: named(this.#deployment), type: "Normal", reason, message };
  }
}

/** maxSurge rounds up, maxUnavailable down; both zero would never get on. */
export function fenceposts(deployment: Deployment): { surge: number; unavailable: number } {
  const { maxSurge = "25%", maxUnavailable: most = "25%" } = deployment.spec?.strategy?.rollingUpdate ?? {};
  const replicas = deployment.spec?.replicas ?? 1;
  const surge = scaled(maxSurge, replicas, "up");
  const unavailable = scaled(most, replicas, "down");
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

function maxUnavailable(deployment: Deployment): number {
  const replicas = deployment.spec?.replicas ?? 1;
  return isRolling(deployment) && replicas > 0 ? Math.min(fenceposts(deployment).unavailable, replicas) : 0;
}

/** How many replicas the new set may have now. */
export function newReplicas(deployment: Deployment, all: readonly ReplicaSet[], newest: ReplicaSet | undefined): number {
  const replicas = deployment.spec?.replicas ?? 1;
  if (!isRolling(deployment)) return replicas;
  const current = newest ? specReplicas(newest) : 0;
  if (current >= replicas) return replicas;
  const room = replicas + fenceposts(deployment).surge - sum(all, specReplicas);
  return room <= 0 ? current : current + Math.min(room, replicas - current);
}

function proportion(set: ReplicaSet, deployment: Deployment, surge: number, toAdd: number, added: number): number {
  const replicas = deployment.spec?.replicas ?? 1;
  const size = specReplicas(set);
  if (size === 0 || toAdd === added) return 0;
  const base = Number(set.metadata.annotations?.[maxAnnotation] ?? Number.NaN) || deployment.status?.replicas || replicas;
  const share = replicas === 0 ? -size : Math.round((size * (replicas + surge)) / base) - size;
  const left = toAdd - added;
  return toAdd > 0 ? Math.min(share, left) : Math.max(share, left);
}

function isSaturated(deployment: Deployment, set: ReplicaSet): boolean {
  const replicas = deployment.spec?.replicas ?? 1;
  return (
    specReplicas(set) === replicas &&
    Number(set.metadata.annotations?.[desiredAnnotation]) === replicas &&
    (set.status?.availableReplicas ?? 0) === replicas
  );
}

function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const replicas = deployment.spec?.replicas ?? 1;
  return (
    (status.updatedReplicas ?? 0) === replicas &&
    (status.replicas ?? 0) === replicas &&
    (status.availableReplicas ?? 0) === replicas &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function isProgressing(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus) => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function templateText(template: PodTemplate | undefined): string {
  const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {};
  return canonical({ ...template, metadata: { ...template?.metadata, labels } });
}

function inherited(deployment: Deployment): Record<string, string> {
  return Object.fromEntries(Object.entries(deployment.metadata.annotations ?? {}).filter(([key]) => !notInherited.has(key)));
}

const isRolling = (deployment: Deployment) => deployment.spec?.strategy?.type !== "Recreate";
const hasDeadline = (deployment: Deployment) => (deployment.spec?.progressDeadlineSeconds ?? noDeadline) !== noDeadline;
const specReplicas = (set: ReplicaSet): number => set.spec?.replicas ?? 1;
const isActive = (set: ReplicaSet): boolean => specReplicas(set) > 0;
const revisionOf = (set: ReplicaSet): number => Number(set.metadata.annotations?.[revisionAnnotation] ?? 0) || 0;
const named = (deployment: Deployment): Deployment => ({ ...deployment, ...deploymentKind });
