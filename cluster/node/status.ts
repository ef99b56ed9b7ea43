// A pod's status from what its node knows: phase, conditions, container statuses, as the kubelet reports them. Pure.
import {
  type ContainerSpec,
  type ContainerStateStatus,
  type ContainerStatus,
  isSidecar,
  type NodePod,
  type PodCondition,
  type PodStatusFull,
} from "./types.ts";

/** A run of a container that has ended. */
export interface EndedRun {
  id: string;
  exitCode: number;
  reason: string;
  message?: string | undefined;
  /** ms since the epoch. */
  startedAt: number;
  finishedAt: number;
}

export interface ContainerReport {
  /** Set while it is neither running nor over. */
  waiting?: { reason: string; message?: string | undefined } | undefined;
  running?: { id: string; startedAt: number } | undefined;
  terminated?: EndedRun | undefined;
  /** The run before the present one, or the last one while waiting. */
  last?: EndedRun | undefined;
  restartCount: number;
  started: boolean;
  ready: boolean;
}

export interface PodReport {
  containers: ReadonlyMap<string, ContainerReport>;
  podIP: string | undefined;
  hostIP: string;
  startedAt: number;
  isInitialized: boolean;
  /** A last phase that was decided for the pod as a whole, with its reason: DeadlineExceeded, Evicted, … */
  finished?: { phase: "Succeeded" | "Failed"; reason?: string; message?: string } | undefined;
  isSandboxReady: boolean;
  now: number;
}

export function time(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");
}

export function podStatus(pod: NodePod, report: PodReport): PodStatusFull {
  const init = pod.spec.initContainers ?? [];
  const apps = pod.spec.containers;
  const initStatuses = init.map((container) => containerStatus(container, true, report));
  const appStatuses = apps.map((container) => containerStatus(container, false, report));
  const phase = report.finished?.phase ?? phaseOf(pod, report);
  const isOver = phase === "Succeeded" || phase === "Failed";
  const known = pod.status?.conditions ?? [];
  const conditions: PodCondition[] = [];
  const set = (type: string, ok: boolean, reason?: string, message?: string) =>
    conditions.push({ type, status: ok ? "True" : "False", ...(reason ? { reason } : {}), ...(message ? { message } : {}) });
  set("PodReadyToStartContainers", report.isSandboxReady && !isOver);
  const incomplete = init.filter((container) => {
    const one = report.containers.get(container.name);
    return isSidecar(container, true) ? !one?.started : one?.terminated?.exitCode !== 0;
  });
  if (phase === "Succeeded") set("Initialized", true, "PodCompleted");
  else if (report.isInitialized || incomplete.length === 0) set("Initialized", true);
  else
    set(
      "Initialized",
      false,
      "ContainersNotInitialized",
      `containers with incomplete status: [${incomplete.map(({ name }) => name).join(" ")}]`,
    );
  const needed = [...init.filter((container) => isSidecar(container, true)), ...apps];
  const unready = needed.filter(({ name }) => !report.containers.get(name)?.ready).map(({ name }) => name);
  const gates = (pod.spec.readinessGates ?? [])
    .filter(({ conditionType }) => known.find((one) => one.type === conditionType)?.status !== "True")
    .map(({ conditionType }) => conditionType);
  const explain = isOver
    ? { reason: phase === "Succeeded" ? "PodCompleted" : "PodFailed", message: undefined }
    : { reason: "ContainersNotReady", message: `containers with unready status: [${unready.join(" ")}]` };
  const areReady = !isOver && unready.length === 0;
  if (areReady && gates.length > 0)
    set(
      "Ready",
      false,
      "ReadinessGatesNotReady",
      gates.map((gate) => `the status of pod readiness gate ${JSON.stringify(gate)} is not "True"`).join(", "),
    );
  else if (areReady) set("Ready", true);
  else set("Ready", false, explain.reason, explain.message);
  if (areReady) set("ContainersReady", true);
  else set("ContainersReady", false, explain.reason, explain.message);
  set("PodScheduled", true);
  return {
    phase,
    ...(report.finished?.reason ? { reason: report.finished.reason } : {}),
    ...(report.finished?.message ? { message: report.finished.message } : {}),
    conditions: mergeConditions(known, conditions, report.now),
    hostIP: report.hostIP,
    hostIPs: [{ ip: report.hostIP }],
    ...(report.podIP ? { podIP: report.podIP, podIPs: [{ ip: report.podIP }] } : {}),
    startTime: time(report.startedAt),
    qosClass: qosClass(pod),
    ...(init.length > 0 ? { initContainerStatuses: initStatuses } : {}),
    containerStatuses: appStatuses,
  };
}

function containerStatus(container: ContainerSpec, isInit: boolean, report: PodReport): ContainerStatus {
  const one = report.containers.get(container.name);
  let state: ContainerStateStatus;
  if (one?.running) state = { running: { startedAt: time(one.running.startedAt) } };
  else if (one?.terminated) state = { terminated: terminated(one.terminated) };
  else if (one?.waiting)
    state = { waiting: { reason: one.waiting.reason, ...(one.waiting.message ? { message: one.waiting.message } : {}) } };
  else {
    const waitsForInit = !isInit && !report.isInitialized;
    state = { waiting: { reason: waitsForInit || (isInit && report.isSandboxReady) ? "PodInitializing" : "ContainerCreating" } };
  }
  const id = one?.running?.id ?? one?.terminated?.id ?? one?.last?.id;
  return {
    name: container.name,
    state,
    lastState: one?.last ? { terminated: terminated(one.last) } : {},
    ready: one?.ready ?? false,
    started: one?.started ?? false,
    restartCount: one?.restartCount ?? 0,
    image: container.image ?? "",
    imageID: id ? (container.image ?? "") : "",
    ...(id ? { containerID: id } : {}),
  };
}

function terminated({ id, exitCode, reason, message, startedAt, finishedAt }: EndedRun): NonNullable<ContainerStateStatus["terminated"]> {
  return { exitCode, reason, ...(message ? { message } : {}), startedAt: time(startedAt), finishedAt: time(finishedAt), containerID: id };
}

/** The kubelet's getPhase. */
function phaseOf(pod: NodePod, { containers, isInitialized }: PodReport): string {
  const policy = pod.spec.restartPolicy ?? "Always";
  const init = (pod.spec.initContainers ?? []).filter((container) => !isSidecar(container, true));
  if (policy === "Never" && init.some(({ name }) => (containers.get(name)?.terminated?.exitCode ?? 0) !== 0)) return "Failed";
  const reports = pod.spec.containers.map(({ name }) => containers.get(name));
  const hasRun = reports.some((one) => one?.running || one?.terminated || one?.last);
  if (!isInitialized && !hasRun) return "Pending";
  if (reports.some((one) => !one?.running && !one?.terminated && !one?.last)) return "Pending";
  if (reports.some((one) => one?.running)) return "Running";
  // A container that waits for its restart still belongs to a running pod.
  if (reports.some((one) => !one?.terminated)) return "Running";
  if (policy === "Always") return "Running";
  const failed = reports.some((one) => one?.terminated?.exitCode !== 0);
  if (!failed) return "Succeeded";
  return policy === "Never" ? "Failed" : "Running";
}

/** Ours, with the time of their last change, then those of others, untouched. */
function mergeConditions(known: PodCondition[], own: PodCondition[], now: number): PodCondition[] {
  const merged = own.map((condition) => {
    const before = known.find((one) => one.type === condition.type);
    const at = before?.status === condition.status && before.lastTransitionTime ? before.lastTransitionTime : time(now);
    return { lastProbeTime: null, ...condition, lastTransitionTime: at };
  });
  return [...merged, ...known.filter((one) => !own.some(({ type }) => type === one.type))];
}

function qosClass(pod: NodePod): string {
  if (pod.status?.qosClass) return pod.status.qosClass;
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const given = all.map(({ resources }) => ({
    limits: resources?.limits ?? {},
    requests: { ...resources?.limits, ...resources?.requests },
  }));
  const names = ["cpu", "memory"];
  if (
    given.every(({ limits, requests }) =>
      names.every((name) => limits[name] !== undefined && String(limits[name]) === String(requests[name])),
    )
  )
    return "Guaranteed";
  return given.some(({ limits, requests }) => names.some((name) => limits[name] !== undefined || requests[name] !== undefined))
    ? "Burstable"
    : "BestEffort";
}
