// What a process costs, from /proc: CPU of all its threads (ended ones included) and memory. Processes it started count as its own.
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks of /proc/PID/stat a second; fixed at 100 for user space. */
const TICKS_PER_SECOND = 100;

/** CPU time in µs: all of it, and the kernel's part. */
export type Cpu = { readonly total: number; readonly kernel: number };

/** utime and stime of one /proc/PID/stat. The command may hold spaces and parentheses. */
export function cpuOfStat(stat: string): Cpu {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const micros = (field: number): number => (Number(fields[field]) * 1_000_000) / TICKS_PER_SECOND;
  return { total: micros(11) + micros(12), kernel: micros(12) };
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

/** CPU time used so far. */
export function cpuTime(pid: number): Cpu {
  const all = family(pid).map((id) => cpuOfStat(readFileSync(`/proc/${id}/stat`, "latin1")));
  return { total: all.reduce((sum, cpu) => sum + cpu.total, 0), kernel: all.reduce((sum, cpu) => sum + cpu.kernel, 0) };
}

/** In MB (10⁶ bytes). `own`: anonymous; the rest are files, which processes share. */
export type Memory = { readonly rss: number; readonly pss: number; readonly own: number };

/** Sums of one smaps_rollup, in MB. */
export function memoryOfRollup(rollup: string): Memory {
  const kb = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1] ?? 0);
  const mb = (value: number): number => (value * 1024) / 1e6;
  return { rss: mb(kb("Rss")), pss: mb(kb("Pss")), own: mb(kb("Anonymous")) };
}

export function memory(pid: number): Memory {
  const all = family(pid).map((id) => memoryOfRollup(readFileSync(`/proc/${id}/smaps_rollup`, "latin1")));
  const sum = (pick: (m: Memory) => number): number => all.reduce((total, m) => total + pick(m), 0);
  return { rss: sum((m) => m.rss), pss: sum((m) => m.pss), own: sum((m) => m.own) };
}

/** TCP connections opened so far from the network namespace of a process. */
export function activeOpens(pid: number): number {
  const [names, values] = readFileSync(`/proc/${pid}/net/snmp`, "latin1")
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  return Number(values?.[names?.indexOf("ActiveOpens") ?? -1]);
}
