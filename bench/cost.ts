// What a process costs, from /proc: CPU of all its threads (ended ones included) and memory. Processes it started count as its own.
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks of /proc/PID/stat a second; fixed at 100 for user space. */
const TICKS_PER_SECOND = 100;

/** utime + stime of one /proc/PID/stat, in µs. The command may hold spaces and parentheses. */
export function cpuOfStat(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / TICKS_PER_SECOND;
}

/** The process and all that descend from it. */
export function family(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const id = Number(name);
    if (!Number.isInteger(id)) continue;
    try {
      const stat = readFileSync(`/proc/${id}/stat`, "latin1");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      const list = children.get(parent);
      if (list === undefined) children.set(parent, [id]);
      else list.push(id);
    } catch {
      // It has ended in the meantime.
    }
  }
  const found = [pid];
  for (let i = 0; i < found.length; i++) found.push(...(children.get(found[i] as number) ?? []));
  return found;
}

/** CPU time used so far, in µs. */
export function cpuMicros(pid: number): number {
  return family(pid).reduce((sum, id) => sum + cpuOfStat(readFileSync(`/proc/${id}/stat`, "latin1")), 0);
}

/** In MB (10⁶ bytes). */
export type Memory = { readonly rss: number; readonly pss: number; readonly private: number };

/** Sums of one smaps_rollup, in MB. */
export function memoryOfRollup(rollup: string): Memory {
  const kb = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1] ?? 0);
  const mb = (value: number): number => (value * 1024) / 1e6;
  return { rss: mb(kb("Rss")), pss: mb(kb("Pss")), private: mb(kb("Private_Clean") + kb("Private_Dirty")) };
}

export function memory(pid: number): Memory {
  const all = family(pid).map((id) => memoryOfRollup(readFileSync(`/proc/${id}/smaps_rollup`, "latin1")));
  const sum = (pick: (m: Memory) => number): number => all.reduce((total, m) => total + pick(m), 0);
  return { rss: sum((m) => m.rss), pss: sum((m) => m.pss), private: sum((m) => m.private) };
}
