// The runtime compiles hot code in threads of its own. On a busy core they would take whole time slices from requests, which is
// what the slowest of them wait for: those threads get what is left instead.
import { readdirSync, readFileSync } from "node:fs";
import { setPriority } from "node:os";

const COMPILER = "JITWorker";
/** Least: the thread runs when no other wants the core. */
const NICE = 19;

/** The threads of a process by /proc, and the kernel's setpriority(2), which takes thread ids on Linux. */
export type Threads = {
  ids(): readonly string[];
  /** Throws for a thread that has ended. */
  name(id: string): string;
  setNice(id: string, nice: number): void;
};

export const ownThreads: Threads = {
  ids: () => readdirSync("/proc/self/task"),
  name: (id) => readFileSync(`/proc/self/task/${id}/comm`, "latin1").trim(),
  setNice: (id, nice) => setPriority(Number(id), nice),
};

export class BackgroundThreads {
  readonly #threads: Threads;
  /** Threads looked at before; they do not change their name. */
  #known = new Set<string>();

  constructor(threads: Threads) {
    this.#threads = threads;
  }

  /** Finds compiler threads that have come since the last look. What cannot be read or set stays as it is. */
  look(): void {
    const known = new Set<string>();
    for (const id of this.#ids()) {
      known.add(id);
      if (!this.#known.has(id)) this.#lower(id);
    }
    this.#known = known;
  }

  #ids(): readonly string[] {
    try {
      return this.#threads.ids();
    } catch {
      return [];
    }
  }

  #lower(id: string): void {
    try {
      if (this.#threads.name(id) === COMPILER) this.#threads.setNice(id, NICE);
    } catch {
      // It has ended, or the kernel does not let us.
    }
  }
}
