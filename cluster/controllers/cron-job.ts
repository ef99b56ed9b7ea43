// CronJob: a Job for each time of its schedule. The library `croner` reads the schedule; this decides what follows. Pure.
import { Cron } from "croner";
import { type KubeObject, Resources } from "#kube";
import { type Action, mergePatch, type NewObject, nothing, type Outcome, patchStatus } from "./actions.ts";
import { isJobFinished, jobKind } from "./job.ts";
import { byAge, ownedBy, timestamp } from "./meta.ts";
import type { CronJob, Job } from "./types.ts";
import { ownerIndex, type World } from "./world.ts";

export const cronJobKind = { apiVersion: "batch/v1", kind: "CronJob" } as const;
const scheduledAtAnnotation = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/** Missed times looked at when the controller was away; more are passed over with a warning, as in Kubernetes. */
const maxMissed = 100;
/** A Job's name is at most 63 characters, of which the time takes eleven. */
const maxNameChars = 52;

export function reconcileCronJob(world: World, namespace: string, name: string): Outcome {
  const cron = world.cronJobs.get(name, namespace);
  if (!cron?.spec || cron.metadata.deletionTimestamp !== undefined) return nothing;
  const now = world.now();
  const { spec } = cron;
  const jobs = world.jobs.byIndex(ownerIndex, cron.metadata.uid ?? "").sort(byAge);
  const active = jobs.filter((job) => !isJobFinished(job));
  const status: NonNullable<CronJob["status"]> = { ...cron.status };
  const actions: Action[] = history(spec, jobs);

  const lastSuccess = jobs.filter((job) => isJobFinished(job)?.type === "Complete").map((job) => job.status?.completionTime ?? "");
  const latest = [...lastSuccess, status.lastSuccessfulTime ?? ""].sort().at(-1);
  if (latest) status.lastSuccessfulTime = latest;

  let schedule: Cron;
  try {
    schedule = parseSchedule(spec.schedule ?? "", spec.timeZone);
  } catch (error) {
    // The API server checks schedules; one that only the library refuses must not stop the others.
    const event: Action = {
      do: "event",
      about: named(cron),
      type: "Warning",
      reason: "UnparseableSchedule",
      message: `spec.schedule: ${JSON.stringify(spec.schedule)}: ${(error as Error).message}`,
    };
    return { actions: [...actions, event] };
  }

  let started: { job: NewObject; at: number } | undefined;
  const due = spec.suspend ? undefined : mostRecentDue(schedule, cron, now);
  if (due !== undefined) {
    const isTooLate = spec.startingDeadlineSeconds !== undefined && due + spec.startingDeadlineSeconds * 1000 < now;
    if (isTooLate)
      actions.push({
        do: "event",
        about: named(cron),
        type: "Warning",
        reason: "MissSchedule",
        message: `Missed scheduled time to start a job: ${new Date(due).toUTCString()}`,
      });
    else if (active.length > 0 && spec.concurrencyPolicy === "Forbid")
      actions.push({
        do: "event",
        about: named(cron),
        type: "Normal",
        reason: "JobAlreadyActive",
        message: "Not starting job because prior execution is running and concurrency policy is Forbid",
      });
    else {
      if (spec.concurrencyPolicy === "Replace")
        for (const job of active.splice(0))
          actions.push({ do: "delete", resource: Resources.jobs, target: job, propagation: "Background" });
      started = { job: jobOf(cron, due), at: due };
      status.lastScheduleTime = timestamp(due);
    }
  }
  status.active = active.map(reference);
  if (started) {
    const { job } = started;
    actions.push({
      do: "create",
      resource: Resources.jobs,
      object: job,
      done: (created) => [
        { do: "event", about: named(cron), type: "Normal", reason: "SuccessfulCreate", message: `Created job ${created.metadata.name}` },
        ...patchStatus(Resources.cronJobs, cron, { ...status, active: [...(status.active ?? []), reference({ ...created, ...jobKind })] }),
      ],
      // The Job of this time is there already, from a pass whose end was not reached.
      refused: (error) =>
        error.reason === "AlreadyExists"
          ? patchStatus(Resources.cronJobs, cron, status)
          : [{ do: "event", about: named(cron), type: "Warning", reason: "FailedCreate", message: `Error creating job: ${error.message}` }],
    });
  } else {
    if (status.active.length === 0) delete status.active;
    if (mergePatch(cron.status ?? {}, status)) actions.push(...patchStatus(Resources.cronJobs, cron, status));
  }
  const next = spec.suspend ? undefined : schedule.nextRun(new Date(now))?.getTime();
  return { actions, ...(next === undefined ? {} : { requeueAfterMs: next - now + scheduleSlackMs }) };
}

/** A timer may fire a little early. */
const scheduleSlackMs = 100;

/**
 * Five fields or a name such as `@hourly`, with `TZ=ZONE` in front if need be.
 * @throws {TypeError | RangeError} by the library.
 */
export function parseSchedule(text: string, timeZone: string | undefined): Cron {
  const prefixed = /^(?:CRON_)?TZ=(\S+)\s+(.*)$/.exec(text);
  const pattern = prefixed?.[2] ?? text;
  const zone = timeZone ?? prefixed?.[1] ?? "UTC";
  // `legacyMode`-like union of day of month and day of week is cron's, and croner's default.
  return new Cron(pattern, { timezone: zone, paused: true, mode: "5-part" });
}

/** The latest scheduled time that has passed and was not served; `undefined` when there is none. */
function mostRecentDue(schedule: Cron, cron: CronJob, now: number): number | undefined {
  const since = Math.max(
    Date.parse(cron.status?.lastScheduleTime ?? cron.metadata.creationTimestamp ?? "") || now,
    cron.spec?.startingDeadlineSeconds !== undefined ? now - cron.spec.startingDeadlineSeconds * 1000 : 0,
  );
  let due: number | undefined;
  let at = schedule.nextRun(new Date(since));
  for (let missed = 0; at && at.getTime() <= now; missed++) {
    due = at.getTime();
    if (missed >= maxMissed) {
      // Too many to count one by one: only the last one matters.
      const [previous] = schedule.previousRuns(1, new Date(now + 1));
      return previous?.getTime() ?? due;
    }
    at = schedule.nextRun(at);
  }
  return due;
}

/** Finished Jobs beyond the limits, the oldest first. */
function history(spec: NonNullable<CronJob["spec"]>, jobs: readonly Job[]): Action[] {
  const actions: Action[] = [];
  for (const [type, limit] of [
    ["Complete", spec.successfulJobsHistoryLimit ?? 3],
    ["Failed", spec.failedJobsHistoryLimit ?? 1],
  ] as const) {
    const ended = jobs.filter((job) => isJobFinished(job)?.type === type && job.metadata.deletionTimestamp === undefined);
    for (const target of ended.slice(0, Math.max(0, ended.length - limit)))
      actions.push({ do: "delete", resource: Resources.jobs, target, propagation: "Background" });
  }
  return actions;
}

function jobOf(cron: CronJob, at: number): NewObject {
  const template = cron.spec?.jobTemplate;
  return {
    ...jobKind,
    metadata: {
      name: `${(cron.metadata.name ?? "").slice(0, maxNameChars)}-${Math.floor(at / 60_000)}`,
      namespace: cron.metadata.namespace ?? "",
      labels: { ...template?.metadata?.labels },
      annotations: { ...template?.metadata?.annotations, [scheduledAtAnnotation]: timestamp(at) },
      ownerReferences: [ownedBy(cron, cronJobKind)],
    },
    spec: structuredClone(template?.spec ?? {}),
  };
}

function reference(job: KubeObject) {
  const { name = "", namespace = "", uid = "", resourceVersion = "" } = job.metadata;
  return { ...jobKind, name, namespace, uid, resourceVersion };
}

const named = (cron: CronJob): CronJob => ({ ...cron, ...cronJobKind });
