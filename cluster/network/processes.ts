// Processes remembered across restarts: a pid alone may belong to another process later, so its start time goes with it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface ProcessIdentity {
  pid: number;
  /** Clock ticks from boot to start: field 22 of /proc/PID/stat. */
  startTime: number;
}

/** The start time of a living process; `undefined` when there is none, or only its zombie. */
export function startTimeOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command name in parentheses may hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

export function isSameProcess({ pid, startTime }: ProcessIdentity): boolean {
  return startTimeOf(pid) === startTime;
}

/** Processes recorded below a node's state directory: `pods/UID/containers/NAME/ATTEMPT/state.json`, fields `main` and `shim`. Unreadable files are passed over. */
export function readRecords(stateDir: string): ProcessIdentity[] {
  const found: ProcessIdentity[] = [];
  const list = (path: string) => {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  };
  const pods = join(stateDir, "pods");
  for (const uid of list(pods)) {
    for (const name of list(join(pods, uid, "containers"))) {
      for (const attempt of list(join(pods, uid, "containers", name))) {
        try {
          const record = JSON.parse(readFileSync(join(pods, uid, "containers", name, attempt, "state.json"), "utf8")) as {
            main?: ProcessIdentity;
            shim?: ProcessIdentity;
          };
          for (const one of [record.main, record.shim]) if (one && Number.isInteger(one.pid) && one.pid > 1) found.push(one);
        } catch {
          // Half written, or not ours.
        }
      }
    }
  }
  return found;
}
