// What to do next with a pod's containers: the heart of the kubelet's SyncPod as a pure function of what is wanted and what is there.
import { type ContainerSpec, isSidecar, type NodePod } from "./types.ts";

/** One container as it is now. */
export interface ContainerView {
  state: "none" | "running" | "exited";
  exitCode?: number;
  /** ms since the epoch. */
  startedAt?: number;
  finishedAt?: number;
  /** Its startup probe has succeeded, or it has none; its postStart hook has ended. */
  started: boolean;
}

export interface BackOff {
  /** Pause before the next restart, in ms; 0: none yet. */
  ms: number;
}

/** Restart pauses, in ms (kubelet: 10 s, doubled up to 5 min, forgotten after a run of 10 min). */
export interface BackOffLimits {
  firstMs: number;
  mostMs: number;
  resetMs: number;
}

export const defaultBackOff: BackOffLimits = { firstMs: 10_000, mostMs: 300_000, resetMs: 600_000 };

export interface PlannedStart {
  container: ContainerSpec;
  isInit: boolean;
}

export interface Plan {
  /** Containers to start now, in this order, each after the one before has started and its postStart hook has ended. */
  start: PlannedStart[];
  /** Containers that must wait for their restart pause, with its end. */
  backOff: { name: string; until: number; ms: number }[];
  /** Init containers have all done their work. */
  isInitialized: boolean;
  /** Set when nothing will be started any more: the pod's last phase. Sidecars that still run are to be ended. */
  finished: "Succeeded" | "Failed" | undefined;
}

/**
 * @param views by container name; missing ones count as never started.
 * @param backOffs present pauses by container name.
 * @param hasStartedApps some app container ran before: init containers are done, whatever is left of them.
 */
export function planPod({
  pod,
  views,
  backOffs,
  hasStartedApps,
  now,
  limits = defaultBackOff,
}: {
  pod: NodePod;
  views: ReadonlyMap<string, ContainerView>;
  backOffs: ReadonlyMap<string, BackOff>;
  hasStartedApps: boolean;
  now: number;
  limits?: BackOffLimits;
}): Plan {
  const plan: Plan = { start: [], backOff: [], isInitialized: false, finished: undefined };
  const policy = pod.spec.restartPolicy ?? "Always";
  const view = (container: ContainerSpec): ContainerView => views.get(container.name) ?? { state: "none", started: false };
  const restart = (container: ContainerSpec, isInit: boolean) => {
    const { finishedAt = 0, startedAt = 0 } = view(container);
    const ms = finishedAt - startedAt >= limits.resetMs ? 0 : (backOffs.get(container.name)?.ms ?? 0);
    if (finishedAt + ms > now) plan.backOff.push({ name: container.name, until: finishedAt + ms, ms });
    else plan.start.push({ container, isInit });
  };
  for (const container of pod.spec.initContainers ?? []) {
    const { state, exitCode, started } = view(container);
    if (isSidecar(container, true)) {
      if (state === "none") plan.start.push({ container, isInit: true });
      else if (state === "exited") restart(container, true);
      else if (started) continue;
      if (hasStartedApps) continue;
      return plan;
    }
    if (hasStartedApps || (state === "exited" && exitCode === 0)) continue;
    if (state === "none") plan.start.push({ container, isInit: true });
    else if (state === "exited") {
      if (policy === "Never") return { ...plan, start: [], backOff: [], finished: "Failed" };
      restart(container, true);
    }
    return plan;
  }
  plan.isInitialized = true;
  let isOver = true;
  let hasFailed = false;
  for (const container of pod.spec.containers) {
    const { state, exitCode } = view(container);
    if (state === "none") plan.start.push({ container, isInit: false });
    else if (state === "exited") {
      if (policy === "Always" || (policy === "OnFailure" && exitCode !== 0)) restart(container, false);
      else {
        hasFailed ||= exitCode !== 0;
        continue;
      }
    }
    isOver = false;
  }
  if (isOver) return { ...plan, start: [], backOff: [], finished: hasFailed ? "Failed" : "Succeeded" };
  return plan;
}

/** The pause after one more restart. */
export function nextBackOff(ms: number, limits: BackOffLimits = defaultBackOff): number {
  return ms === 0 ? limits.firstMs : Math.min(ms * 2, limits.mostMs);
}
