// StatefulSet, DaemonSet, Job, CronJob in a simulated cluster.
import { expect, test } from "bun:test";
import { Resources } from "#kube";
import { reconcileCronJob } from "./cron-job.ts";
import { reconcileDaemonSet } from "./daemon-set.ts";
import { formatIndexes, isJobFinished, parseIndexes, reconcileJob, releaseOrphanedPod } from "./job.ts";
import { reconcileStatefulSet } from "./stateful-set.ts";
import { Simulation, workload } from "./testing/simulation.ts";
import type { CronJob, DaemonSet, Job, JobSpec, Node, Pod, StatefulSet } from "./types.ts";

const names = (sim: Simulation) => sim.pods("default").map((pod) => pod.metadata.name as string);
const images = (sim: Simulation) => sim.pods("default").map((pod) => pod.spec?.containers?.[0]?.image as string);

function stateful(sim: Simulation, spec: Partial<NonNullable<StatefulSet["spec"]>> = {}): void {
  sim.put<StatefulSet>(Resources.statefulSets, {
    metadata: { name: "db", namespace: "default" },
    spec: { replicas: 3, serviceName: "db", ...workload("db"), ...spec },
  });
}
const step = (sim: Simulation) => sim.perform(reconcileStatefulSet(sim.world, "default", "db"));
function changeStateful(sim: Simulation, spec: Partial<NonNullable<StatefulSet["spec"]>>): void {
  const set = sim.world.statefulSets.get("db", "default") as StatefulSet;
  sim.world.statefulSets.set({ ...set, spec: { ...set.spec, ...spec } });
}
function runAll(sim: Simulation): void {
  for (const pod of sim.pods()) if (pod.status?.phase === undefined) sim.run(pod);
}

test("a stateful set starts its pods one after the other, each with its name and host name", () => {
  const sim = new Simulation();
  stateful(sim);
  step(sim);
  step(sim);
  expect(names(sim)).toEqual(["db-0"]);
  expect(sim.pods()[0]?.spec).toMatchObject({ hostname: "db-0", subdomain: "db" });
  expect(sim.pods()[0]?.metadata.labels).toMatchObject({
    "statefulset.kubernetes.io/pod-name": "db-0",
    "apps.kubernetes.io/pod-index": "0",
  });
  for (let i = 0; i < 6; i++) {
    runAll(sim);
    step(sim);
  }
  expect(names(sim)).toEqual(["db-0", "db-1", "db-2"]);
  expect(sim.world.statefulSets.get("db", "default")?.status).toMatchObject({
    replicas: 3,
    readyReplicas: 3,
    currentReplicas: 3,
    updatedReplicas: 3,
    availableReplicas: 3,
  });
});

test("Parallel starts all at once", () => {
  const sim = new Simulation();
  stateful(sim, { podManagementPolicy: "Parallel" });
  step(sim);
  expect(names(sim)).toEqual(["db-0", "db-1", "db-2"]);
});

test("a new template goes from the last pod to the first, one at a time, and stops at the partition", () => {
  const sim = new Simulation();
  stateful(sim);
  for (let i = 0; i < 6; i++) {
    step(sim);
    runAll(sim);
  }
  changeStateful(sim, { ...workload("db", "app:2"), updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } });
  step(sim);
  expect(sim.deleted).toEqual(["pods/db-2"]);
  for (let i = 0; i < 12; i++) {
    step(sim);
    runAll(sim);
  }
  expect(sim.deleted).toEqual(["pods/db-2", "pods/db-1"]);
  expect(images(sim)).toEqual(["app:1", "app:2", "app:2"]);
  const { status } = sim.world.statefulSets.get("db", "default") as StatefulSet;
  expect(status?.updatedReplicas).toBe(2);
  expect(status?.currentRevision).not.toBe(status?.updateRevision);
  changeStateful(sim, { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } } });
  for (let i = 0; i < 6; i++) {
    step(sim);
    runAll(sim);
  }
  const done = sim.world.statefulSets.get("db", "default")?.status;
  expect(images(sim)).toEqual(["app:2", "app:2", "app:2"]);
  expect(done?.currentRevision).toBe(done?.updateRevision);
});

test("scaling down takes the last pod first", () => {
  const sim = new Simulation();
  stateful(sim);
  for (let i = 0; i < 6; i++) {
    step(sim);
    runAll(sim);
  }
  changeStateful(sim, { replicas: 1 });
  for (let i = 0; i < 3; i++) step(sim);
  expect(sim.deleted).toEqual(["pods/db-2", "pods/db-1"]);
});

test("volume claims are refused with an event that names the field", () => {
  const sim = new Simulation();
  stateful(sim, { volumeClaimTemplates: [{}] });
  step(sim);
  expect(names(sim)).toEqual([]);
  expect(sim.events[0]).toStartWith("FailedCreate: spec.volumeClaimTemplates: ");
});

test("a daemon set runs one pod on each node that takes it, and follows nodes and templates", () => {
  const sim = new Simulation();
  sim.put<Node>(Resources.nodes, { metadata: { name: "node" } });
  sim.put<Node>(Resources.nodes, { metadata: { name: "b" }, spec: { taints: [{ key: "gpu", value: "yes", effect: "NoSchedule" }] } });
  sim.put<DaemonSet>(Resources.daemonSets, { metadata: { name: "agent", namespace: "default" }, spec: { ...workload("agent") } });
  const go = () => sim.perform(reconcileDaemonSet(sim.world, "default", "agent"));
  go();
  go();
  expect(sim.pods()).toHaveLength(1);
  expect(JSON.stringify(sim.pods()[0]?.spec?.affinity)).toContain('"values":["node"]');
  for (const pod of sim.pods()) sim.run(pod);
  go();
  expect(sim.world.daemonSets.get("agent", "default")?.status).toMatchObject({
    desiredNumberScheduled: 1,
    currentNumberScheduled: 1,
    numberReady: 1,
    numberAvailable: 1,
    updatedNumberScheduled: 1,
    numberMisscheduled: 0,
  });
  const set = sim.world.daemonSets.get("agent", "default") as DaemonSet;
  sim.world.daemonSets.set({ ...set, spec: { ...set.spec, ...workload("agent", "app:2") } });
  for (let i = 0; i < 3; i++) go();
  expect(images(sim)).toEqual(["app:2"]);
  expect(
    sim.world.controllerRevisions
      .list()
      .map((one) => one.revision)
      .sort(),
  ).toEqual([1, 2]);
});

function makeJob(sim: Simulation, spec: JobSpec = {}): void {
  const { selector, template } = workload("job");
  sim.put<Job>(Resources.jobs, {
    metadata: { name: "job", namespace: "default" },
    spec: { parallelism: 1, completions: 1, backoffLimit: 6, selector, template, ...spec },
  });
}
const job = (sim: Simulation) => sim.world.jobs.get("job", "default") as Job;
function work(sim: Simulation, times = 1): void {
  for (let i = 0; i < times; i++) sim.perform(reconcileJob(sim.world, "default", "job"));
}
const unfinished = (sim: Simulation) => sim.pods().filter((pod) => pod.status?.phase === undefined);

test("a job runs until enough pods have succeeded, never more than parallelism at once", () => {
  const sim = new Simulation();
  makeJob(sim, { completions: 3, parallelism: 2 });
  let most = 0;
  for (let i = 0; i < 12; i++) {
    work(sim);
    most = Math.max(most, unfinished(sim).length);
    for (const pod of unfinished(sim)) sim.end(pod, "Succeeded");
  }
  expect(most).toBe(2);
  expect(job(sim).status).toMatchObject({ succeeded: 3, ready: 0, uncountedTerminatedPods: {} });
  expect(job(sim).status?.completionTime).toBeDefined();
  expect(isJobFinished(job(sim))?.type).toBe("Complete");
  expect(sim.pods().every((pod) => (pod.metadata.finalizers ?? []).length === 0)).toBe(true);
  expect(sim.events.at(-1)).toBe("Completed: Job completed");
});

test("each ended pod is counted once, also when the controller is interrupted between the steps", () => {
  const sim = new Simulation();
  makeJob(sim, { completions: 2, parallelism: 2 });
  work(sim);
  for (const pod of unfinished(sim)) sim.end(pod, "Succeeded");
  // Only the first action of each pass is carried out: the rest is lost as in a crash.
  for (let i = 0; i < 20; i++) sim.perform({ actions: reconcileJob(sim.world, "default", "job").actions.slice(0, 1) });
  work(sim, 4);
  expect(job(sim).status?.succeeded).toBe(2);
  expect(isJobFinished(job(sim))?.type).toBe("Complete");
});

test("failures back off and end the job beyond the limit", () => {
  const sim = new Simulation();
  makeJob(sim, { backoffLimit: 1 });
  work(sim);
  for (const pod of unfinished(sim)) sim.end(pod, "Failed");
  work(sim, 3);
  expect(unfinished(sim)).toHaveLength(0);
  expect(reconcileJob(sim.world, "default", "job").requeueAfterMs).toBeGreaterThan(0);
  sim.now += 11_000;
  work(sim, 2);
  expect(unfinished(sim)).toHaveLength(1);
  for (const pod of unfinished(sim)) sim.end(pod, "Failed");
  work(sim, 4);
  expect(isJobFinished(job(sim))).toMatchObject({ type: "Failed", reason: "BackoffLimitExceeded" });
  expect(job(sim).status?.failed).toBe(2);
});

test("a job over its deadline fails and its pods are ended", () => {
  const sim = new Simulation();
  makeJob(sim, { activeDeadlineSeconds: 5 });
  work(sim);
  expect(reconcileJob(sim.world, "default", "job").requeueAfterMs).toBe(5_000);
  sim.now += 5_000;
  work(sim, 2);
  expect(isJobFinished(job(sim))?.reason).toBe("DeadlineExceeded");
  expect(sim.pods()).toEqual([]);
  expect(job(sim).status).toMatchObject({ failed: 1 });
});

test("a finished job goes after ttlSecondsAfterFinished", () => {
  const sim = new Simulation();
  makeJob(sim, { ttlSecondsAfterFinished: 10 });
  work(sim);
  for (const pod of unfinished(sim)) sim.end(pod, "Succeeded");
  work(sim, 4);
  expect(reconcileJob(sim.world, "default", "job").requeueAfterMs).toBe(10_000);
  sim.now += 10_000;
  work(sim);
  expect(sim.deleted).toContain("jobs/job");
});

test("an indexed job runs each index, again where it failed", () => {
  const sim = new Simulation();
  makeJob(sim, { completions: 3, parallelism: 3, completionMode: "Indexed" });
  work(sim);
  const index = (pod: Pod) => pod.metadata.annotations?.["batch.kubernetes.io/job-completion-index"];
  expect(sim.pods().map(index).sort()).toEqual(["0", "1", "2"]);
  for (const pod of unfinished(sim)) sim.end(pod, index(pod) === "1" ? "Failed" : "Succeeded");
  work(sim, 3);
  expect(job(sim).status?.completedIndexes).toBe("0,2");
  sim.now += 11_000;
  work(sim, 2);
  expect(unfinished(sim).map(index)).toEqual(["1"]);
  for (const pod of unfinished(sim)) sim.end(pod, "Succeeded");
  work(sim, 4);
  expect(job(sim).status?.completedIndexes).toBe("0-2");
  expect(isJobFinished(job(sim))?.type).toBe("Complete");
});

test("suspending ends the pods, resuming starts again", () => {
  const sim = new Simulation();
  makeJob(sim);
  work(sim);
  const set = (suspend: boolean) => sim.world.jobs.set({ ...job(sim), spec: { ...job(sim).spec, suspend } });
  set(true);
  work(sim, 2);
  expect(sim.pods()).toEqual([]);
  set(false);
  work(sim, 2);
  expect(sim.pods()).toHaveLength(1);
  expect(job(sim).status?.failed).toBeUndefined();
});

test("a pod whose job is gone is let go", () => {
  const sim = new Simulation();
  makeJob(sim);
  work(sim);
  const [pod] = sim.pods();
  sim.perform(releaseOrphanedPod(sim.world, "default", pod?.metadata.name ?? ""));
  expect(sim.pods()[0]?.metadata.finalizers).toHaveLength(1);
  sim.world.jobs.delete("job", "default");
  sim.perform(releaseOrphanedPod(sim.world, "default", pod?.metadata.name ?? ""));
  expect(sim.pods()[0]?.metadata.finalizers).toEqual([]);
});

test.each([
  ["", []],
  ["3", [3]],
  ["0-2,5", [0, 1, 2, 5]],
] as [string, number[]][])("completed indexes %p", (text, numbers) => {
  expect([...parseIndexes(text)]).toEqual(numbers);
  expect(formatIndexes(new Set(numbers))).toBe(text);
});

function cron(sim: Simulation, spec: Partial<NonNullable<CronJob["spec"]>> = {}): void {
  sim.put<CronJob>(Resources.cronJobs, {
    metadata: { name: "beat", namespace: "default", creationTimestamp: new Date(sim.now).toISOString() },
    spec: { schedule: "*/5 * * * *", jobTemplate: { spec: { template: workload("beat").template } }, ...spec },
  });
}
const tick = (sim: Simulation) => {
  const outcome = reconcileCronJob(sim.world, "default", "beat");
  sim.perform(outcome);
  return outcome;
};
const jobs = (sim: Simulation) =>
  sim.world.jobs
    .list()
    .map(({ metadata }) => metadata.name as string)
    .sort();
const minutes = (sim: Simulation) => Math.floor(sim.now / 60_000);

test("a cron job makes a job at its time, once, and says when it looks again", () => {
  const sim = new Simulation();
  cron(sim);
  expect(tick(sim).requeueAfterMs).toBe(300_100);
  expect(jobs(sim)).toEqual([]);
  sim.now += 300_000;
  tick(sim);
  tick(sim);
  expect(jobs(sim)).toEqual([`beat-${minutes(sim)}`]);
  const { status } = sim.world.cronJobs.get("beat", "default") as CronJob;
  expect(status?.active).toHaveLength(1);
  expect(status?.lastScheduleTime).toBe("2026-01-01T00:05:00Z");
});

test.each([
  { concurrencyPolicy: "Allow", after: 2 },
  { concurrencyPolicy: "Forbid", after: 1 },
  { concurrencyPolicy: "Replace", after: 1 },
])("$concurrencyPolicy while the earlier job runs", ({ concurrencyPolicy, after }) => {
  const sim = new Simulation();
  cron(sim, { concurrencyPolicy });
  for (let i = 0; i < 2; i++) {
    sim.now += 300_000;
    tick(sim);
  }
  expect(jobs(sim)).toHaveLength(after);
  if (concurrencyPolicy === "Replace") expect(jobs(sim)).toEqual([`beat-${minutes(sim)}`]);
});

test("after a long absence only the latest missed time is served; too late by the deadline none", () => {
  const sim = new Simulation();
  cron(sim, { schedule: "* * * * *" });
  sim.now += 86_400_000;
  tick(sim);
  expect(jobs(sim)).toEqual([`beat-${minutes(sim)}`]);
  const late = new Simulation();
  cron(late, { schedule: "0 12 * * *", startingDeadlineSeconds: 60 });
  late.now += 13 * 3_600_000;
  tick(late);
  expect(jobs(late)).toEqual([]);
});

test("a suspended cron job makes nothing; a schedule that cannot be read is an event", () => {
  const sim = new Simulation();
  cron(sim, { suspend: true });
  sim.now += 600_000;
  tick(sim);
  expect(jobs(sim)).toEqual([]);
  const bad = new Simulation();
  cron(bad, { schedule: "sometimes" });
  tick(bad);
  expect(bad.events[0]).toStartWith('UnparseableSchedule: spec.schedule: "sometimes": ');
});

test("a time zone moves the schedule", () => {
  const sim = new Simulation();
  cron(sim, { schedule: "0 1 * * *", timeZone: "Europe/Berlin" });
  sim.now += 60_000;
  tick(sim);
  expect(jobs(sim)).toEqual([]);
  // Midnight UTC is one o'clock in Berlin in winter: the first is a day later.
  sim.now += 86_340_000;
  tick(sim);
  expect(jobs(sim)).toHaveLength(1);
});

test("finished jobs beyond the history limits are deleted, the oldest first", () => {
  const sim = new Simulation();
  cron(sim, { successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 0 });
  for (const [type, minute] of [
    ["Complete", 1],
    ["Complete", 2],
    ["Failed", 3],
  ] as const) {
    const owner = sim.world.cronJobs.get("beat", "default") as CronJob;
    sim.put<Job>(Resources.jobs, {
      metadata: {
        name: `beat-${minute}`,
        namespace: "default",
        creationTimestamp: `2026-01-01T00:0${minute}:00Z`,
        ownerReferences: [{ apiVersion: "batch/v1", kind: "CronJob", name: "beat", uid: owner.metadata.uid ?? "", controller: true }],
      },
      status: { conditions: [{ type, status: "True" }] },
    });
  }
  tick(sim);
  expect(sim.deleted.sort()).toEqual(["jobs/beat-1", "jobs/beat-3"]);
});
