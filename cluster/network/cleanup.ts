// Removes all that a cluster's node left on this machine, from its name and state directory alone: works after kill -9 of any part.
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { tryRun } from "./command.ts";
import { clusterNames, netnsDirectory } from "./names.ts";
import { namespacesOf } from "./node-network.ts";
import { isSameProcess, type ProcessIdentity, readRecords } from "./processes.ts";

export interface CleanupReport {
  /** Processes killed. */
  processes: number[];
  /** Network namespaces deleted. */
  namespaces: string[];
  /** Mount points released. */
  mounts: string[];
  /** What could not be removed, in words. */
  problems: string[];
}

/** How long killed processes may take to disappear. */
const killWaitMs = 5_000;

/**
 * Kills the containers' processes, releases mounts, deletes namespaces (and with them bridge, links, rules) and the pods' folders below `stateDir`.
 * Only processes that are recorded there (pid and start time) or run inside one of the cluster's namespaces are touched. Safe to call at any time, also twice.
 */
export async function cleanupNode({ cluster, stateDir }: { cluster: string; stateDir: string }): Promise<CleanupReport> {
  const report: CleanupReport = { processes: [], namespaces: [], mounts: [], problems: [] };
  const namespaces = namespacesOf(cluster);
  // Repeated: a process that was being started while the list was made is found in the next round.
  const deadline = performance.now() + killWaitMs;
  for (;;) {
    const alive = [
      ...readRecords(stateDir)
        .filter(isSameProcess)
        .map((one) => one.pid),
      ...processesIn(namespaces),
    ].filter((pid, index, all) => pid !== process.pid && all.indexOf(pid) === index);
    if (alive.length === 0) break;
    for (const pid of alive) {
      if (!report.processes.includes(pid)) report.processes.push(pid);
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It went by itself.
      }
    }
    if (performance.now() > deadline) {
      report.problems.push(`processes still running after SIGKILL: ${alive.join(", ")}`);
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const point of mountsBelow(stateDir)) {
    const { code, stderr } = await tryRun(["umount", "-l", point]);
    if (code === 0) report.mounts.push(point);
    else report.problems.push(`umount ${point}: ${stderr.trim()}`);
  }
  const { hostLink } = clusterNames(cluster);
  if (existsSync(join("/sys/class/net", hostLink))) await tryRun(["ip", "link", "del", hostLink]);
  for (const name of namespaces) {
    const { code, stderr } = await tryRun(["ip", "netns", "del", name]);
    if (code === 0 || !existsSync(join(netnsDirectory, name))) report.namespaces.push(name);
    else report.problems.push(`ip netns del ${name}: ${stderr.trim()}`);
  }
  // The link vanishes with the node's namespace too, a moment later.
  if (existsSync(join("/sys/class/net", hostLink))) report.problems.push(`the link ${hostLink} is still there`);
  if (mountsBelow(stateDir).length === 0) {
    for (const name of ["pods", "ipam.json"]) rmSync(join(stateDir, name), { recursive: true, force: true });
  }
  return report;
}

/** Mount points at or below `directory`, deepest first. */
export function mountsBelow(directory: string): string[] {
  let root = directory;
  try {
    root = realpathSync(directory);
  } catch {
    return [];
  }
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .map((point) => point.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))));
  return points.filter((point) => point.startsWith(`${root}/`)).sort((a, b) => b.length - a.length);
}

/** Processes whose network namespace is one of `names`. */
function processesIn(names: string[]): number[] {
  const inodes = new Set<string>();
  for (const name of names) {
    try {
      inodes.add(`net:[${statSync(join(netnsDirectory, name)).ino}]`);
    } catch {
      // Deleted meanwhile.
    }
  }
  // A namespace file that lost its mount is a plain file: its inode names no namespace of any process.
  if (inodes.size === 0) return [];
  const found: number[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (inodes.has(readlinkSync(`/proc/${entry}/ns/net`))) found.push(Number(entry));
    } catch {
      // It ended, or is a zombie.
    }
  }
  return found;
}

export type { ProcessIdentity };
