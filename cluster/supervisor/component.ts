// One supervised process: started, watched, restarted after growing pauses, its output in a file of bounded size.
import { closeSync, copyFileSync, openSync, statSync, truncateSync } from "node:fs";
import { type ProcessIdentity, startTimeOf } from "../network/processes.ts";

export interface ComponentOptions {
  name: string;
  argv: string[];
  env: Record<string, string>;
  logFile: string;
  /** Is told of every start and end. */
  onChange: (component: Component) => void;
  log: (message: string, fields: Record<string, unknown>) => void;
  /** First and longest pause before a restart, and how long a process must have lived to begin again with the first, in ms. */
  backoffMs?: { first: number; most: number; reset: number };
}

export type ComponentState = "running" | "waiting" | "stopped";

const defaultBackoffMs = { first: 100, most: 10_000, reset: 10_000 };
/** How long a process may take to end by itself after SIGTERM, in ms. */
const stopGraceMs = 5_000;
/** A log file is cut when it is longer, in bytes; the part before the cut is kept as `.1`. */
export const maxLogBytes = 8 << 20;

export class Component {
  readonly name: string;
  readonly logFile: string;
  readonly #options: ComponentOptions;
  #process: Bun.Subprocess | undefined;
  #identity: ProcessIdentity | undefined;
  #startedAt = 0;
  #failures = 0;
  #restarts = -1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopping = false;

  constructor(options: ComponentOptions) {
    this.#options = options;
    this.name = options.name;
    this.logFile = options.logFile;
  }

  get state(): ComponentState {
    return this.#process ? "running" : this.#stopping ? "stopped" : "waiting";
  }

  get identity(): ProcessIdentity | undefined {
    return this.#identity;
  }

  /** Starts after the first one. */
  get restarts(): number {
    return Math.max(0, this.#restarts);
  }

  start(): void {
    if (this.#process || this.#stopping) return;
    const { argv, env, logFile } = this.#options;
    this.#restarts++;
    // The file itself and no pipe: the process goes on writing when its supervisor is gone.
    const output = openSync(logFile, "a", 0o640);
    try {
      const child = Bun.spawn(argv, { stdin: "ignore", stdout: output, stderr: output, env, cwd: "/" });
      this.#process = child;
      this.#startedAt = performance.now();
      const startTime = startTimeOf(child.pid);
      this.#identity = startTime === undefined ? undefined : { pid: child.pid, startTime };
      void child.exited.then(() => this.#ended(child));
    } catch (error) {
      this.#options.log("cannot be started", { component: this.name, error: (error as Error).message });
      this.#again();
    } finally {
      closeSync(output);
    }
    this.#options.onChange(this);
  }

  /** SIGTERM, and SIGKILL after a while; resolves when the process is gone. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#process;
    if (!child) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopGraceMs);
    await child.exited;
    clearTimeout(timer);
  }

  /** Cuts the log when it has grown too long. */
  boundLog(limit = maxLogBytes): void {
    const size = statSync(this.logFile, { throwIfNoEntry: false })?.size ?? 0;
    if (size <= limit) return;
    copyFileSync(this.logFile, `${this.logFile}.1`);
    // The process writes at the end, wherever that is: an append-only descriptor.
    truncateSync(this.logFile, 0);
  }

  #ended(child: Bun.Subprocess): void {
    const lived = performance.now() - this.#startedAt;
    this.#process = undefined;
    this.#identity = undefined;
    if (!this.#stopping) {
      this.#options.log("ended", {
        component: this.name,
        exitCode: child.exitCode ?? undefined,
        signal: child.signalCode ?? undefined,
        afterMs: Math.round(lived),
      });
      if (lived > (this.#options.backoffMs ?? defaultBackoffMs).reset) this.#failures = 0;
      this.#again();
    }
    this.#options.onChange(this);
  }

  #again(): void {
    const { first, most } = this.#options.backoffMs ?? defaultBackoffMs;
    const pause = Math.min(first * 2 ** Math.min(this.#failures, 20), most);
    this.#failures++;
    this.#timer = setTimeout(() => this.start(), pause);
  }
}
