// Job: pods until enough have succeeded or too many failed. Ended pods are counted exactly once: a finalizer holds them until they are. Pure.
import { type KubeObject, type LabelSelector, Resources } from "#kube";
import { type Action, nothing, type Outcome, patchStatus } from "./actions.ts";
import { byAge, claim, conditionOf, isPodReady, isPodTerminal, podFromTemplate, timestamp, withCondition } from "./meta.ts";
import type { Condition, Job, JobStatus, Pod } from "./types.ts";
import { candidates, type World } from "./world.ts";

export const jobKind = { apiVersion: "batch/v1", kind: "Job" } as const;
export const trackingFinalizer = "batch.kubernetes.io/job-tracking";
const indexAnnotation = "batch.kubernetes.io/job-completion-index";

/** Most pods made or deleted in one pass. */
const maxBurst = 500;
/** Pause after failed pods in a row: doubles from the first to the last, in ms; Kubernetes's. */
const failureBackoffMs = { first: 10_000, most: 600_000 };
/** Most pods counted in one pass: their uids stand in the status meanwhile. */
const maxUncounted = 500;

export function isJobFinished(job: Job): Condition | undefined {
  return (job.status?.conditions ?? []).find((one) => (one.type === "Complete" || one.type === "Failed") && one.status === "True");
}

export function reconcileJob(world: World, namespace: string, name: string): Outcome {
  const job = world.jobs.get(name, namespace);
  if (!job) return nothing;
  const now = world.now();
  const finished = isJobFinished(job);
  const selector: LabelSelector | undefined = job.spec?.selector;
  const { claimed: pods, actions } = claim({
    owner: job,
    ownerKind: jobKind,
    selector,
    candidates: candidates(world.pods, job),
    resource: Resources.pods,
  });
  pods.sort(byAge);
  if (finished || job.metadata.deletionTimestamp !== undefined) {
    for (const pod of pods) {
      actions.push(...(finished && !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined ? stop(pod) : release(pod)));
    }
    return finished ? expire(job, finished, actions, now) : { actions };
  }

  const status = structuredClone(job.status ?? {}) as JobStatus;
  const isSuspended = job.spec?.suspend === true;
  if (!status.startTime && !isSuspended) status.startTime = timestamp(now);

  // Counting: first the uid is noted, then the finalizer goes, then the note becomes a number. A crash between two steps loses nothing.
  const byUid = new Map(pods.map((pod) => [pod.metadata.uid ?? "", pod]));
  const noted = {
    succeeded: [...(status.uncountedTerminatedPods?.succeeded ?? [])],
    failed: [...(status.uncountedTerminatedPods?.failed ?? [])],
  };
  for (const outcome of ["succeeded", "failed"] as const) {
    const released = noted[outcome].filter((uid) => !isHeld(byUid.get(uid)));
    status[outcome] = (status[outcome] ?? 0) + released.length;
    noted[outcome] = noted[outcome].filter((uid) => !released.includes(uid));
  }
  const afterNote: Action[] = noted.succeeded.concat(noted.failed).flatMap((uid) => release(byUid.get(uid) as Pod));
  const isIndexed = job.spec?.completionMode === "Indexed";
  const doneIndexes = parseIndexes(status.completedIndexes);
  for (const pod of pods) {
    const uid = pod.metadata.uid ?? "";
    const outcome = endOf(pod);
    if (!outcome || !isHeld(pod) || noted.succeeded.includes(uid) || noted.failed.includes(uid)) continue;
    if (noted.succeeded.length + noted.failed.length >= maxUncounted) break;
    noted[outcome].push(uid);
    if (outcome === "succeeded" && isIndexed) doneIndexes.add(indexOf(pod));
  }
  if (isIndexed) status.completedIndexes = formatIndexes(doneIndexes);
  if (noted.succeeded.length + noted.failed.length > 0)
    status.uncountedTerminatedPods = {
      ...(noted.succeeded.length > 0 ? { succeeded: noted.succeeded } : {}),
      ...(noted.failed.length > 0 ? { failed: noted.failed } : {}),
    };
  else status.uncountedTerminatedPods = {};

  const active = pods.filter((pod) => endOf(pod) === undefined);
  const succeeded = isIndexed ? doneIndexes.size : (status.succeeded ?? 0) + noted.succeeded.length;
  const failed = (status.failed ?? 0) + noted.failed.length;
  const completions = job.spec?.completions;
  const parallelism = job.spec?.parallelism ?? 1;
  const backoffLimit = job.spec?.backoffLimit ?? 6;
  const deadlineLeft =
    status.startTime && job.spec?.activeDeadlineSeconds !== undefined && !isSuspended
      ? Date.parse(status.startTime) + job.spec.activeDeadlineSeconds * 1000 - now
      : undefined;
  const restarts = job.spec?.template?.spec?.restartPolicy === "OnFailure" ? active.reduce((total, pod) => total + restartsOf(pod), 0) : 0;

  const end = verdict();
  const isAllCounted = noted.succeeded.length + noted.failed.length === 0;
  let manage: Action[] = [];
  let requeueAfterMs = deadlineLeft !== undefined && deadlineLeft > 0 ? deadlineLeft : undefined;
  if (end) {
    manage = active.flatMap(stop);
    if (isAllCounted) {
      status.conditions = withCondition(status.conditions, {
        ...end,
        type: end.type === "Complete" ? "SuccessCriteriaMet" : "FailureTarget",
      });
      status.conditions = withCondition(status.conditions, end);
      if (end.type === "Failed") status.failed = (status.failed ?? 0) + active.length;
      if (end.type === "Complete") status.completionTime = timestamp(now);
      manage.push({
        do: "event",
        about: named(job),
        type: end.type === "Complete" ? "Normal" : "Warning",
        reason: end.type === "Complete" ? "Completed" : (end.reason ?? "Failed"),
        message: end.type === "Complete" ? "Job completed" : (end.message ?? ""),
      });
    }
  } else if (isSuspended) {
    manage = active.flatMap(stop);
    delete status.startTime;
    const stamp = timestamp(now);
    status.conditions = withCondition(status.conditions, {
      type: "Suspended",
      status: "True",
      reason: "JobSuspended",
      message: "Job suspended",
      lastProbeTime: stamp,
      lastTransitionTime: stamp,
    });
  } else {
    if (conditionOf(status.conditions, "Suspended")?.status === "True") {
      const stamp = timestamp(now);
      status.conditions = withCondition(status.conditions, {
        type: "Suspended",
        status: "False",
        reason: "JobResumed",
        message: "Job resumed",
        lastProbeTime: stamp,
        lastTransitionTime: stamp,
      });
    }
    // A Job without completions is a work queue: one success means that the work is running out, no new pods.
    const wanted =
      completions === undefined ? (succeeded > 0 ? active.length : parallelism) : Math.min(parallelism, completions - succeeded);
    if (active.length > wanted) manage = active.slice(wanted).flatMap(stop);
    else if (active.length < wanted) {
      const wait = backoffLeft(pods, failed, now);
      if (wait > 0) requeueAfterMs = Math.min(wait, requeueAfterMs ?? wait);
      else manage = [startPods(wanted - active.length)];
    }
  }

  setCount(status, "active", end || isSuspended ? 0 : active.length);
  setCount(status, "ready", end ? 0 : active.filter(isPodReady).length, true);
  setCount(status, "terminating", pods.filter((pod) => pod.metadata.deletionTimestamp !== undefined && !isPodTerminal(pod)).length, true);
  setCount(status, "succeeded", status.succeeded ?? 0);
  setCount(status, "failed", status.failed ?? 0);
  actions.push(...patchStatus(Resources.jobs, job, status), ...afterNote, ...manage);
  // The next step of counting needs no change from outside.
  if (!isAllCounted) requeueAfterMs = 0;
  return { actions, ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }) };

  function verdict(): Condition | undefined {
    const stamp = timestamp(now);
    const failing = (reason: string, message: string): Condition => ({
      type: "Failed",
      status: "True",
      reason,
      message,
      lastProbeTime: stamp,
      lastTransitionTime: stamp,
    });
    if (failed > backoffLimit || (restarts > 0 && restarts + failed > backoffLimit))
      return failing("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    if (deadlineLeft !== undefined && deadlineLeft <= 0)
      return failing("DeadlineExceeded", "Job was active longer than specified deadline");
    const isDone = completions === undefined ? succeeded > 0 && active.length === 0 : succeeded >= completions;
    return isDone
      ? {
          type: "Complete",
          status: "True",
          reason: "CompletionsReached",
          message: "Reached expected number of succeeded pods",
          lastProbeTime: stamp,
          lastTransitionTime: stamp,
        }
      : undefined;
  }

  function startPods(count: number): Action {
    const taken = new Set([...doneIndexes, ...active.map(indexOf)]);
    const creates: Action[] = [];
    for (let index = 0; creates.length < Math.min(count, maxBurst); index++) {
      if (isIndexed && taken.has(index)) continue;
      const pod = podFromTemplate({ template: job?.spec?.template, owner: job as Job, ownerKind: jobKind });
      pod.metadata.finalizers = [...(pod.metadata.finalizers ?? []), trackingFinalizer];
      if (isIndexed) {
        pod.metadata.annotations = { ...pod.metadata.annotations, [indexAnnotation]: String(index) };
        pod.metadata.labels = { ...pod.metadata.labels, [indexAnnotation]: String(index) };
        pod.metadata.generateName = `${(job?.metadata.name ?? "").slice(0, 230)}-${index}-`;
        const spec = pod.spec as { hostname?: string; containers?: { env?: unknown[] }[]; initContainers?: { env?: unknown[] }[] };
        spec.hostname = `${job?.metadata.name}-${index}`.slice(0, 63);
        const value = {
          name: "JOB_COMPLETION_INDEX",
          valueFrom: { fieldRef: { fieldPath: `metadata.annotations['${indexAnnotation}']` } },
        };
        for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])])
          container.env = [...(container.env ?? []), value];
      }
      creates.push({
        do: "create",
        resource: Resources.pods,
        object: pod,
        done: (made) => [
          {
            do: "event",
            about: named(job as Job),
            type: "Normal",
            reason: "SuccessfulCreate",
            message: `Created pod: ${made.metadata.name}`,
          },
        ],
      });
    }
    return {
      do: "slow-start",
      actions: creates,
      failed: (error) => [
        {
          do: "event",
          about: named(job as Job),
          type: "Warning",
          reason: "FailedCreate",
          message: `Error creating: ${(error as Error).message}`,
        },
      ],
    };
  }
}

/** Pods that wait for a Job that is gone: nobody will count them. */
export function releaseOrphanedPod(world: World, namespace: string, name: string): Outcome {
  const pod = world.pods.get(name, namespace);
  if (!pod || !isHeld(pod)) return nothing;
  const owner = pod.metadata.ownerReferences?.find((one) => one.controller && one.kind === "Job");
  const job = owner ? world.jobs.get(owner.name, namespace) : undefined;
  return job && job.metadata.uid === owner?.uid ? nothing : { actions: release(pod) };
}

/** How a pod ended. One that is being deleted counts as failed: it may never come to an end of its own. */
function endOf(pod: Pod): "succeeded" | "failed" | undefined {
  if (pod.status?.phase === "Succeeded") return "succeeded";
  return pod.status?.phase === "Failed" || pod.metadata.deletionTimestamp !== undefined ? "failed" : undefined;
}

/** Ends a pod that is not wanted; it counts as nothing. */
function stop(pod: Pod): Action[] {
  return [...release(pod), { do: "delete", resource: Resources.pods, target: pod }];
}

const isHeld = (pod: Pod | undefined): boolean => pod?.metadata.finalizers?.includes(trackingFinalizer) === true;

function release(pod: Pod): Action[] {
  if (!isHeld(pod)) return [];
  const finalizers = (pod.metadata.finalizers ?? []).filter((one) => one !== trackingFinalizer);
  return [{ do: "patch", resource: Resources.pods, target: pod, patch: { metadata: { finalizers } } }];
}

function expire(job: Job, finished: Condition, actions: Action[], now: number): Outcome {
  const ttl = job.spec?.ttlSecondsAfterFinished;
  if (ttl === undefined) return { actions };
  const left = Date.parse(finished.lastTransitionTime ?? "") + ttl * 1000 - now;
  if (left > 0) return { actions, requeueAfterMs: left };
  return { actions: [...actions, { do: "delete", resource: Resources.jobs, target: job, propagation: "Foreground" }] };
}

/** Milliseconds until pods may be started again after failures in a row. */
function backoffLeft(pods: readonly Pod[], failed: number, now: number): number {
  if (failed === 0) return 0;
  const endOfPod = (pod: Pod) => {
    const times = (pod.status?.containerStatuses ?? []).map((one) =>
      Date.parse((one.state?.["terminated"] as { finishedAt?: string } | undefined)?.finishedAt ?? ""),
    );
    const known = times.filter((time) => !Number.isNaN(time));
    return known.length > 0 ? Math.max(...known) : Date.parse(pod.metadata.creationTimestamp ?? "");
  };
  const ended = pods.filter((pod) => isPodTerminal(pod)).map((pod) => ({ at: endOfPod(pod), ok: pod.status?.phase === "Succeeded" }));
  const lastSuccess = Math.max(0, ...ended.filter((one) => one.ok).map((one) => one.at));
  const failures = ended.filter((one) => !one.ok && one.at > lastSuccess);
  if (failures.length === 0) return 0;
  const pause = Math.min(failureBackoffMs.first * 2 ** Math.min(failures.length - 1, 20), failureBackoffMs.most);
  return Math.max(...failures.map((one) => one.at)) + pause - now;
}

const restartsOf = (pod: Pod): number =>
  [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].reduce(
    (total, one) => total + (one.restartCount ?? 0),
    0,
  );
const indexOf = (pod: KubeObject): number => Number(pod.metadata.annotations?.[indexAnnotation] ?? -1);
const named = (job: Job): Job => ({ ...job, ...jobKind });

function setCount(
  status: JobStatus,
  name: "active" | "ready" | "terminating" | "succeeded" | "failed",
  count: number,
  keepZero = false,
): void {
  if (count > 0 || keepZero) status[name] = count;
  else delete status[name];
}

/** `1,3-5` as numbers. */
export function parseIndexes(text = ""): Set<number> {
  const indexes = new Set<number>();
  for (const part of text.split(",").filter(Boolean)) {
    const [from = Number.NaN, to = from] = part.split("-").map(Number);
    // 100,000 is the most completions an indexed Job may have.
    for (let index = from; index <= to && indexes.size < 100_000; index++) indexes.add(index);
  }
  return indexes;
}

export function formatIndexes(indexes: ReadonlySet<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let j = i;
    while (sorted[j + 1] === (sorted[j] as number) + 1) j++;
    parts.push(j === i ? `${sorted[i]}` : j === i + 1 ? `${sorted[i]},${sorted[j]}` : `${sorted[i]}-${sorted[j]}`);
    i = j + 1;
  }
  return parts.join(",");
}
