// What to do next with a pod: truth tables of the plan, and the status that follows.
import { describe, expect, test } from "bun:test";
import { type ContainerView, defaultBackOff, nextBackOff, planPod } from "./plan.ts";
import { type ContainerReport, podStatus } from "./status.ts";
import type { NodePod } from "./types.ts";

const pod = (policy: string, init: object[] = [], apps: object[] = [{ name: "a" }, { name: "b" }]): NodePod =>
  ({
    metadata: { name: "p", namespace: "n", uid: "u" },
    spec: { restartPolicy: policy, initContainers: init, containers: apps },
  }) as NodePod;
const none: ContainerView = { state: "none", started: false };
const running: ContainerView = { state: "running", startedAt: 0, started: true };
const starting: ContainerView = { state: "running", startedAt: 0, started: false };
const exited = (exitCode: number, finishedAt = 1_000, startedAt = 0): ContainerView => ({
  state: "exited",
  exitCode,
  startedAt,
  finishedAt,
  started: false,
});
const plan = (subject: NodePod, views: Record<string, ContainerView>, { now = 1_000, ms = 0, hasStartedApps = false } = {}) => {
  const backOffs = new Map(Object.keys(views).map((name) => [name, { ms }]));
  const result = planPod({ pod: subject, views: new Map(Object.entries(views)), backOffs, hasStartedApps, now });
  return { ...result, start: result.start.map(({ container }) => container.name) };
};
const side = { name: "side", restartPolicy: "Always" };

describe("planPod", () => {
  test.each<[string, object[], Record<string, ContainerView>, string[], boolean]>([
    ["nothing ran", [], {}, ["a", "b"], true],
    ["init first", [{ name: "i" }, { name: "j" }], {}, ["i"], false],
    ["init runs", [{ name: "i" }], { i: running }, [], false],
    ["next init", [{ name: "i" }, { name: "j" }], { i: exited(0) }, ["j"], false],
    ["init done", [{ name: "i" }], { i: exited(0) }, ["a", "b"], true],
    ["sidecar not started yet", [side, { name: "j" }], { side: starting }, [], false],
    ["sidecar started", [side, { name: "j" }], { side: running }, ["j"], false],
    ["sidecar and init done", [side, { name: "j" }], { side: running, j: exited(0) }, ["a", "b"], true],
    ["one app is missing", [], { a: running, b: none }, ["b"], true],
    ["all run", [], { a: running, b: running }, [], true],
  ])("%s", (_, init, views, start, isInitialized) => {
    expect(plan(pod("Always", init), views)).toMatchObject({ start, isInitialized, finished: undefined });
  });

  test.each<[string, Record<string, ContainerView>, Partial<ReturnType<typeof plan>>]>([
    ["Always", { a: exited(0), b: running }, { start: ["a"], finished: undefined }],
    ["OnFailure", { a: exited(0), b: running }, { start: [], finished: undefined }],
    ["OnFailure", { a: exited(0), b: exited(2) }, { start: ["b"], finished: undefined }],
    ["OnFailure", { a: exited(0), b: exited(0) }, { start: [], finished: "Succeeded" }],
    ["Never", { a: exited(0), b: exited(2) }, { start: [], finished: "Failed" }],
    ["Never", { a: exited(0), b: exited(0) }, { start: [], finished: "Succeeded" }],
    ["Never", { a: exited(3), b: running }, { start: [], finished: undefined }],
  ])("restart policy %s, %j", (policy, views, expected) => {
    expect(plan(pod(policy), views)).toMatchObject(expected);
  });

  test("a failed init container: again, or the pod fails", () => {
    expect(plan(pod("Always", [{ name: "i" }]), { i: exited(1) })).toMatchObject({ start: ["i"], isInitialized: false });
    expect(plan(pod("Never", [{ name: "i" }]), { i: exited(1) })).toMatchObject({ start: [], finished: "Failed" });
  });

  test("a sidecar that ended while the apps run is restarted, and init containers are not repeated", () => {
    expect(plan(pod("Always", [side, { name: "j" }]), { side: exited(0), a: running, b: running }, { hasStartedApps: true })).toMatchObject(
      { start: ["side"], isInitialized: true },
    );
  });

  test("the pause is kept to the millisecond and forgotten after a long run", () => {
    expect(plan(pod("Always"), { a: exited(1), b: running }, { ms: 500, now: 1_499 })).toMatchObject({
      start: [],
      backOff: [{ name: "a", until: 1_500, ms: 500 }],
    });
    expect(plan(pod("Always"), { a: exited(1), b: running }, { ms: 500, now: 1_500 })).toMatchObject({ start: ["a"], backOff: [] });
    expect(
      plan(pod("Always"), { a: exited(1, defaultBackOff.resetMs, 0), b: running }, { ms: 300_000, now: defaultBackOff.resetMs }),
    ).toMatchObject({ start: ["a"] });
  });

  test("pauses double from ten seconds to five minutes", () => {
    const pauses: number[] = [];
    for (let ms = 0; pauses.length < 8; ) pauses.push((ms = nextBackOff(ms)));
    expect(pauses).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
  });
});

describe("podStatus", () => {
  const base = { restartCount: 0, started: true, ready: true };
  const run = { id: "fairlead://1", startedAt: 0 };
  const over = (exitCode: number) => ({
    id: "fairlead://1",
    exitCode,
    reason: exitCode ? "Error" : "Completed",
    startedAt: 0,
    finishedAt: 1_000,
  });
  const status = (subject: NodePod, reports: Record<string, ContainerReport>, change: object = {}) =>
    podStatus(subject, {
      containers: new Map(Object.entries(reports)),
      podIP: "10.0.0.1",
      hostIP: "10.0.0.2",
      startedAt: 0,
      isInitialized: true,
      isSandboxReady: true,
      now: 5_000,
      ...change,
    });
  const condition = (of: ReturnType<typeof status>, type: string) => of.conditions?.find((one) => one.type === type);

  test.each<[string, string, Record<string, ContainerReport>, boolean, string]>([
    ["waits for init", "Always", {}, false, "Pending"],
    ["one not started", "Always", { a: { ...base, running: run } }, true, "Pending"],
    ["running", "Always", { a: { ...base, running: run }, b: { ...base, running: run } }, true, "Running"],
    [
      "crash loop",
      "Always",
      { a: { ...base, waiting: { reason: "CrashLoopBackOff" }, last: over(1) }, b: { ...base, running: run } },
      true,
      "Running",
    ],
    ["both ended", "Never", { a: { ...base, terminated: over(0) }, b: { ...base, terminated: over(0) } }, true, "Succeeded"],
    ["one failed", "Never", { a: { ...base, terminated: over(0) }, b: { ...base, terminated: over(1) } }, true, "Failed"],
    ["failed, to be restarted", "OnFailure", { a: { ...base, terminated: over(0) }, b: { ...base, terminated: over(1) } }, true, "Running"],
  ])("phase: %s", (_, policy, reports, isInitialized, phase) => {
    expect(status(pod(policy), reports, { isInitialized }).phase).toBe(phase);
  });

  test("conditions name what is not ready", () => {
    const result = status(
      pod("Always", [{ name: "i" }]),
      { a: { ...base, running: run }, b: { ...base, ready: false, running: run } },
      { isInitialized: false },
    );
    expect(condition(result, "Initialized")).toMatchObject({ status: "False", message: "containers with incomplete status: [i]" });
    expect(condition(result, "Ready")).toMatchObject({
      status: "False",
      reason: "ContainersNotReady",
      message: "containers with unready status: [b]",
    });
    expect(result.initContainerStatuses?.[0]?.state).toEqual({ waiting: { reason: "PodInitializing" } });
  });

  test("readiness gates and conditions of others are respected; a condition that stays keeps its time", () => {
    const subject = pod("Always");
    subject.spec.readinessGates = [{ conditionType: "example.org/gate" }];
    subject.status = {
      conditions: [
        { type: "example.org/gate", status: "False" },
        { type: "ContainersReady", status: "True", lastTransitionTime: "2020-01-01T00:00:00Z" },
      ],
    };
    const reports = { a: { ...base, running: run }, b: { ...base, running: run } };
    const result = status(subject, reports);
    expect(condition(result, "Ready")).toMatchObject({ status: "False", reason: "ReadinessGatesNotReady" });
    expect(condition(result, "ContainersReady")).toMatchObject({ status: "True", lastTransitionTime: "2020-01-01T00:00:00Z" });
    expect(condition(result, "example.org/gate")?.status).toBe("False");
    subject.status.conditions![0]!.status = "True";
    expect(condition(status(subject, reports), "Ready")?.status).toBe("True");
  });

  test("quality of service", () => {
    const of = (resources: object) => status(pod("Always", [], [{ name: "a", resources }]), {}).qosClass;
    expect(of({})).toBe("BestEffort");
    expect(of({ requests: { cpu: "1" } })).toBe("Burstable");
    expect(of({ limits: { cpu: "1", memory: "1Gi" } })).toBe("Guaranteed");
  });
});
