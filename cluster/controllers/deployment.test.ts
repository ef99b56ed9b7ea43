// Deployment and ReplicaSet together, in a simulated cluster: rollouts keep their bounds and end in the documented state.
import { expect, test } from "bun:test";
import { Resources } from "#kube";
import { fenceposts, reconcileDeployment } from "./deployment.ts";
import { rankForDeletion, reconcileReplicaSet } from "./replica-set.ts";
import { Simulation, workload } from "./testing/simulation.ts";
import type { Deployment, Pod, ReplicaSet } from "./types.ts";

function deploy(sim: Simulation, spec: Partial<NonNullable<Deployment["spec"]>> = {}, name = "web"): Deployment {
  return sim.put<Deployment>(Resources.deployments, {
    metadata: { name, namespace: "default" },
    spec: { replicas: 3, progressDeadlineSeconds: 600, revisionHistoryLimit: 10, ...workload(name), ...spec },
  });
}

const read = (sim: Simulation, name = "web") => sim.world.deployments.get(name, "default") as Deployment;
const sets = (sim: Simulation) => sim.world.replicaSets.list("default").sort((a, b) => Number(revision(a)) - Number(revision(b)));
const revision = (object: { metadata: { annotations?: Record<string, string> } }) =>
  object.metadata.annotations?.["deployment.kubernetes.io/revision"];
const condition = (deployment: Deployment, type: string) => deployment.status?.conditions?.find((one) => one.type === type);

/** One pass of every controller. */
function pass(sim: Simulation): void {
  for (const deployment of sim.world.deployments.list())
    sim.perform(reconcileDeployment(sim.world, "default", deployment.metadata.name ?? ""));
  for (const set of sim.world.replicaSets.list()) sim.perform(reconcileReplicaSet(sim.world, "default", set.metadata.name ?? ""));
}

/** Passes with every new pod made ready, until nothing changes; `watch` sees each intermediate state. */
function settle(sim: Simulation, watch: () => void = () => {}): void {
  for (let i = 0; i < 60; i++) {
    pass(sim);
    watch();
    for (const pod of sim.pods()) if (pod.status?.phase !== "Running") sim.run(pod);
  }
}

function change(sim: Simulation, spec: Partial<NonNullable<Deployment["spec"]>>): void {
  const deployment = read(sim);
  sim.world.deployments.set({
    ...deployment,
    metadata: { ...deployment.metadata, generation: (deployment.metadata.generation ?? 0) + 1 },
    spec: { ...deployment.spec, ...spec },
  });
}

test("a new deployment becomes available, and says so as kubectl rollout status reads it", () => {
  const sim = new Simulation();
  deploy(sim);
  pass(sim);
  expect(condition(read(sim), "Available")?.status).toBe("False");
  settle(sim);
  const { status, metadata } = read(sim);
  expect(status).toMatchObject({ observedGeneration: 1, replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3 });
  expect(status?.unavailableReplicas).toBeUndefined();
  expect(condition(read(sim), "Available")).toMatchObject({ status: "True", reason: "MinimumReplicasAvailable" });
  expect(condition(read(sim), "Progressing")).toMatchObject({ status: "True", reason: "NewReplicaSetAvailable" });
  expect(metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("1");
  const [set] = sets(sim);
  expect(set?.metadata.name).toMatch(/^web-[bcdfghjklmnpqrstvwxz24-9]{1,10}$/);
  expect(set?.spec?.selector?.matchLabels?.["pod-template-hash"]).toBe(set?.metadata.labels?.["pod-template-hash"] as string);
  expect(sim.pods().every((pod) => pod.metadata.ownerReferences?.[0]?.uid === set?.metadata.uid)).toBe(true);
  expect(sim.events[0]).toBe(`ScalingReplicaSet: Scaled up replica set ${set?.metadata.name} from 0 to 3`);
});

const rollouts = [
  { replicas: 3, maxSurge: "25%", maxUnavailable: "25%", most: 4, fewest: 3 },
  { replicas: 4, maxSurge: 0, maxUnavailable: 1, most: 4, fewest: 3 },
  { replicas: 4, maxSurge: 2, maxUnavailable: 0, most: 6, fewest: 4 },
  { replicas: 10, maxSurge: "30%", maxUnavailable: "15%", most: 13, fewest: 9 },
  { replicas: 1, maxSurge: "25%", maxUnavailable: "25%", most: 2, fewest: 1 },
  { replicas: 2, maxSurge: 0, maxUnavailable: 0, most: 2, fewest: 1 },
];
test.each(rollouts)(
  "a rollout of $replicas with surge $maxSurge and unavailable $maxUnavailable keeps its bounds",
  ({ replicas, maxSurge, maxUnavailable, most, fewest }) => {
    const sim = new Simulation();
    deploy(sim, { replicas, strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge, maxUnavailable } } });
    settle(sim);
    change(sim, workload("web", "app:2"));
    let seenMost = 0;
    let seenFewest = replicas;
    settle(sim, () => {
      seenMost = Math.max(seenMost, sim.pods().length);
      seenFewest = Math.min(seenFewest, sim.pods().filter((pod) => pod.status?.phase === "Running").length);
    });
    expect(seenMost).toBeLessThanOrEqual(most);
    expect(seenFewest).toBeGreaterThanOrEqual(fewest);
    expect(sim.pods().map((pod) => pod.spec?.containers?.[0]?.image)).toEqual(Array(replicas).fill("app:2"));
    expect(read(sim).status).toMatchObject({ replicas, updatedReplicas: replicas, availableReplicas: replicas });
    expect(revision(read(sim))).toBe("2");
  },
);

test("percentages: surge rounds up, unavailable rounds down, both zero never", () => {
  const of = (replicas: number, maxSurge: number | string, maxUnavailable: number | string) =>
    fenceposts({ metadata: {}, spec: { replicas, strategy: { rollingUpdate: { maxSurge, maxUnavailable } } } });
  expect(of(10, "25%", "25%")).toEqual({ surge: 3, unavailable: 2 });
  expect(of(1, "0%", "25%")).toEqual({ surge: 0, unavailable: 1 });
  expect(of(3, 1, 0)).toEqual({ surge: 1, unavailable: 0 });
});

test("going back to an earlier template takes its set up again under a new revision", () => {
  const sim = new Simulation();
  deploy(sim);
  settle(sim);
  change(sim, workload("web", "app:2"));
  settle(sim);
  change(sim, workload("web", "app:1"));
  settle(sim);
  expect(sets(sim).map((set) => [revision(set), set.spec?.replicas])).toEqual([
    ["2", 0],
    ["3", 3],
  ]);
  expect(sets(sim)[1]?.metadata.annotations?.["deployment.kubernetes.io/revision-history"]).toBe("1");
  expect(revision(read(sim))).toBe("3");
});

test("old sets beyond revisionHistoryLimit are deleted", () => {
  const sim = new Simulation();
  deploy(sim, { revisionHistoryLimit: 1 });
  for (const image of ["app:1", "app:2", "app:3"]) {
    change(sim, workload("web", image));
    settle(sim);
  }
  expect(sets(sim).map(revision)).toEqual(["2", "3"]);
});

test("Recreate waits until the last old pod is gone", () => {
  const sim = new Simulation();
  deploy(sim, { replicas: 2, strategy: { type: "Recreate" } });
  settle(sim);
  change(sim, workload("web", "app:2"));
  let mixed = false;
  settle(sim, () => {
    mixed ||= new Set(sim.pods().map((pod) => pod.spec?.containers?.[0]?.image)).size > 1;
  });
  expect(mixed).toBe(false);
  expect(sim.pods().map((pod) => pod.spec?.containers?.[0]?.image)).toEqual(["app:2", "app:2"]);
});

test("a paused deployment does not roll, but scales; resumed it rolls", () => {
  const sim = new Simulation();
  deploy(sim);
  settle(sim);
  change(sim, { paused: true, replicas: 5, ...workload("web", "app:2") });
  settle(sim);
  expect(sets(sim).map((set) => set.spec?.replicas)).toEqual([5]);
  expect(condition(read(sim), "Progressing")).toMatchObject({ status: "Unknown", reason: "DeploymentPaused" });
  change(sim, { paused: false });
  settle(sim);
  expect(sets(sim).map((set) => set.spec?.replicas)).toEqual([0, 5]);
  expect(condition(read(sim), "Progressing")).toMatchObject({ status: "True", reason: "NewReplicaSetAvailable" });
});

test("a rollout whose pods do not become ready exceeds its deadline, and the old pods go on serving", () => {
  const sim = new Simulation();
  deploy(sim);
  settle(sim);
  change(sim, workload("web", "broken"));
  for (let i = 0; i < 10; i++) pass(sim);
  const { requeueAfterMs } = reconcileDeployment(sim.world, "default", "web");
  expect(requeueAfterMs).toBeGreaterThan(0);
  sim.now += 601_000;
  for (let i = 0; i < 3; i++) pass(sim);
  expect(condition(read(sim), "Progressing")).toMatchObject({ status: "False", reason: "ProgressDeadlineExceeded" });
  expect(condition(read(sim), "Available")?.status).toBe("True");
  expect(sim.pods().filter((pod) => pod.status?.phase === "Running")).toHaveLength(3);
});

test("scaling in the middle of a rollout keeps the sets' shares", () => {
  const sim = new Simulation();
  deploy(sim, { replicas: 10, strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } });
  settle(sim);
  change(sim, workload("web", "broken"));
  for (let i = 0; i < 6; i++) pass(sim);
  expect(sets(sim).map((set) => set.spec?.replicas)).toEqual([8, 5]);
  change(sim, { replicas: 15 });
  pass(sim);
  // 15 + 3 in the proportion of 8 to 5: the documented example of proportional scaling.
  expect(sets(sim).map((set) => set.spec?.replicas)).toEqual([11, 7]);
});

test("an empty selector selects nothing and says so", () => {
  const sim = new Simulation();
  deploy(sim, { selector: {} });
  pass(sim);
  expect(sim.world.replicaSets.size).toBe(0);
  expect(sim.events).toEqual(["SelectingAll: This deployment is selecting all pods. A non-empty selector is required."]);
});

test("another deployment's set of the same name is a collision and gets another hash", () => {
  const sim = new Simulation();
  const deployment = deploy(sim);
  sim.refuse = (object) => {
    if (object.kind !== "ReplicaSet" || sim.world.replicaSets.size > 0) return;
    sim.put<ReplicaSet>(Resources.replicaSets, {
      metadata: { name: object.metadata.name ?? "", namespace: "default", labels: { foreign: "yes" } },
    });
    throw Object.assign(new Error("exists"), { reason: "AlreadyExists" });
  };
  pass(sim);
  expect(read(sim).status?.collisionCount).toBe(1);
  settle(sim);
  const mine = sim.world.replicaSets.list().filter((set) => set.metadata.ownerReferences?.[0]?.uid === deployment.metadata.uid);
  expect(mine).toHaveLength(1);
  expect(read(sim).status?.availableReplicas).toBe(3);
});

test("a set adopts pods it selects and releases those it no longer selects", () => {
  const sim = new Simulation();
  const stray = sim.put<Pod>(Resources.pods, { metadata: { name: "stray", namespace: "default", labels: { app: "x" } } });
  sim.run(stray);
  sim.put<ReplicaSet>(Resources.replicaSets, { metadata: { name: "x", namespace: "default" }, spec: { replicas: 1, ...workload("x") } });
  sim.perform(reconcileReplicaSet(sim.world, "default", "x"));
  expect(sim.pods().map((pod) => pod.metadata.name)).toEqual(["stray"]);
  const adopted = sim.pods()[0] as Pod;
  expect(adopted.metadata.ownerReferences?.[0]).toMatchObject({ kind: "ReplicaSet", name: "x", controller: true });
  sim.world.pods.set({ ...adopted, metadata: { ...adopted.metadata, labels: { app: "other" } } });
  sim.perform(reconcileReplicaSet(sim.world, "default", "x"));
  expect(sim.world.pods.get("stray", "default")?.metadata.ownerReferences).toEqual([]);
  expect(sim.pods()).toHaveLength(2);
});

test("pods the server refuses are told of in a condition and an event", () => {
  const sim = new Simulation();
  sim.put<ReplicaSet>(Resources.replicaSets, { metadata: { name: "x", namespace: "default" }, spec: { replicas: 2, ...workload("x") } });
  sim.refuse = () => {
    throw new Error("exceeded quota");
  };
  sim.perform(reconcileReplicaSet(sim.world, "default", "x"));
  const set = sim.world.replicaSets.get("x", "default");
  expect(set?.status?.conditions).toMatchObject([
    { type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: "exceeded quota" },
  ]);
  expect(sim.events).toEqual(["FailedCreate: Error creating: exceeded quota"]);
  sim.refuse = undefined;
  for (let i = 0; i < 3; i++) sim.perform(reconcileReplicaSet(sim.world, "default", "x"));
  expect(sim.world.replicaSets.get("x", "default")?.status?.conditions ?? []).toEqual([]);
});

test("the least valuable pod goes first", () => {
  const at = (second: number) => new Date(Date.parse("2026-01-01T00:00:00Z") + second * 1000).toISOString();
  const pod = (name: string, { phase = "Running", ready = true, since = 0, restarts = 0, cost = "", node = "n" } = {}): Pod => ({
    metadata: { name, creationTimestamp: at(0), ...(cost ? { annotations: { "controller.kubernetes.io/pod-deletion-cost": cost } } : {}) },
    spec: node ? { nodeName: node } : {},
    status: {
      phase,
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: at(since) }],
      containerStatuses: [{ name: "c", ready, restartCount: restarts }],
    },
  });
  const pods = [
    pod("g-old"),
    pod("e-costly", { cost: "10" }),
    pod("f-young", { since: 50 }),
    pod("c-not-ready", { ready: false }),
    pod("b-pending", { phase: "Pending", ready: false }),
    pod("a-unassigned", { phase: "Pending", ready: false, node: "" }),
    pod("d-cheap", { cost: "-1" }),
    pod("g-restarting", { restarts: 3 }),
  ];
  expect(rankForDeletion(pods, Date.parse(at(100))).map(({ metadata }) => metadata.name as string)).toEqual([
    "a-unassigned",
    "b-pending",
    "c-not-ready",
    "d-cheap",
    "f-young",
    "g-restarting",
    "g-old",
    "e-costly",
  ]);
});

test("minReadySeconds keeps pods unavailable until their time, and asks to be looked at then", () => {
  const sim = new Simulation();
  sim.put<ReplicaSet>(Resources.replicaSets, {
    metadata: { name: "x", namespace: "default" },
    spec: { replicas: 1, minReadySeconds: 30, ...workload("x") },
  });
  sim.perform(reconcileReplicaSet(sim.world, "default", "x"));
  sim.run(sim.pods()[0] as Pod);
  const outcome = reconcileReplicaSet(sim.world, "default", "x");
  sim.perform(outcome);
  expect(outcome.requeueAfterMs).toBe(30_000);
  expect(sim.world.replicaSets.get("x", "default")?.status).toMatchObject({ readyReplicas: 1 });
  sim.now += 30_000;
  sim.perform(reconcileReplicaSet(sim.world, "default", "x"));
  expect(sim.world.replicaSets.get("x", "default")?.status?.availableReplicas).toBe(1);
});
