// supervisor.json: who supervises a cluster and which processes it runs, so that others find them, also after a crash.
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { layout, replaceFile } from "../config.ts";
import { isSameProcess, type ProcessIdentity, startTimeOf } from "../network/processes.ts";

export interface ComponentRecord {
  state: string;
  restarts: number;
  process?: ProcessIdentity;
}

export interface SupervisorRecord {
  supervisor: ProcessIdentity;
  components: Record<string, ComponentRecord>;
}

/** Environment variable by which a cluster's processes are known, even those that no record names. */
export const stateDirVariable = "FAIRLEAD_CLUSTER_STATE_DIR";

export function readRecord(stateDir: string): SupervisorRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(layout(stateDir).record, "utf8")) as SupervisorRecord;
    return isIdentity(record.supervisor) ? { supervisor: record.supervisor, components: record.components ?? {} } : undefined;
  } catch {
    return undefined;
  }
}

export function writeRecord(stateDir: string, record: SupervisorRecord): void {
  replaceFile(layout(stateDir).record, `${JSON.stringify(record, undefined, 2)}\n`);
}

export function removeRecord(stateDir: string): void {
  rmSync(layout(stateDir).record, { force: true });
}

/** The supervisor that lives. */
export function livingSupervisor(stateDir: string): ProcessIdentity | undefined {
  const supervisor = readRecord(stateDir)?.supervisor;
  return supervisor && isSameProcess(supervisor) ? supervisor : undefined;
}

/** Every living process of the cluster's own (supervisor, API server, controllers, node agent), from the record and from the environment of all processes. */
export function clusterProcesses(stateDir: string): ProcessIdentity[] {
  const record = readRecord(stateDir);
  const found = new Map<number, ProcessIdentity>();
  for (const one of [record?.supervisor, ...Object.values(record?.components ?? {}).map((component) => component.process)]) {
    if (one && isIdentity(one) && isSameProcess(one)) found.set(one.pid, one);
  }
  const mark = `${stateDirVariable}=${stateDir}`;
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid || found.has(pid)) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(mark)) continue;
      const startTime = startTimeOf(pid);
      if (startTime !== undefined) found.set(pid, { pid, startTime });
    } catch {
      // It ended, or is another user's.
    }
  }
  found.delete(process.pid);
  return [...found.values()];
}

/** Sends `signal` to those of the processes that still live. */
export function signalAll(processes: readonly ProcessIdentity[], signal: "SIGTERM" | "SIGKILL"): void {
  for (const one of processes) {
    if (!isSameProcess(one)) continue;
    try {
      process.kill(one.pid, signal);
    } catch {
      // It ended by itself.
    }
  }
}

/** True when all are gone within `ms`. */
export async function gone(processes: readonly ProcessIdentity[], ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (processes.some(isSameProcess)) {
    if (performance.now() > deadline) return false;
    await Bun.sleep(10);
  }
  return true;
}

function isIdentity(value: unknown): value is ProcessIdentity {
  const { pid, startTime } = (value ?? {}) as Partial<ProcessIdentity>;
  return Number.isInteger(pid) && (pid as number) > 1 && Number.isInteger(startTime);
}
