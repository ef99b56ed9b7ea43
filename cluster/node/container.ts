// Containers as processes: start, signal, wait for, run something inside, take over after a restart of the agent.
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isSameProcess, type ProcessIdentity, startTimeOf, systemPath } from "../network/index.ts";
import { type LaunchSpec, renderLaunch, renderShim, setprivArguments } from "./launch.ts";

/** What is remembered of one run of a container, in `state.json` of its directory. */
export interface ContainerRecord {
  name: string;
  /** 0 for the first run. */
  attempt: number;
  /** `fairlead://` and 64 hexadecimal digits. */
  id: string;
  image: string;
  /** The program: process 1 of the container's own namespace. */
  main?: ProcessIdentity;
  /** The process that waits for it. */
  shim?: ProcessIdentity;
  /** ms since the epoch. */
  startedAt: number;
  finishedAt?: number;
  exitCode?: number;
  reason?: string;
  message?: string;
  /** How to run more programs inside. */
  user: Pick<LaunchSpec, "uid" | "gid" | "groups" | "capabilities" | "ambientCapabilities" | "noNewPrivileges">;
  environment: [string, string][];
  workingDir: string;
  /** False until the postStart hook has ended. */
  isHookDone: boolean;
  stdin: boolean;
}

/** A container that could not be started: the message says which step failed. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** Longest that building a container's file system may take. */
const setUpLimitMs = 60_000;
/** How often a container is looked after that an earlier agent started. */
const pollMs = 200;
/** Output kept of a probe or hook. */
const maxExecOutput = 10 << 10;

export class ContainerProcess {
  readonly directory: string;
  record: ContainerRecord;
  /** Resolves with the exit code. */
  readonly exited: Promise<number>;
  #settle!: (code: number) => void;
  #hasExited = false;

  private constructor(directory: string, record: ContainerRecord) {
    this.directory = directory;
    this.record = record;
    this.exited = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** @throws {StartError} when the program could not be started; the record then says so too. */
  static async start(spec: LaunchSpec, record: ContainerRecord, now: () => number): Promise<ContainerProcess> {
    const container = new ContainerProcess(spec.directory, record);
    mkdirSync(spec.directory, { recursive: true, mode: 0o700 });
    for (const [name, text] of [
      ["shim.sh", renderShim(spec)],
      ["launch.sh", renderLaunch(spec)],
      ["log", ""],
    ] as const) {
      writeFileSync(join(spec.directory, name), text, { mode: 0o600 });
    }
    rmSync(join(spec.directory, "exit"), { force: true });
    if (spec.stdin && !existsSync(join(spec.directory, "stdin"))) await mkfifo(join(spec.directory, "stdin"));
    const shim = spawn("/bin/sh", [join(spec.directory, "shim.sh")], {
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      env: { PATH: systemPath, LC_ALL: "C" },
      cwd: "/",
    });
    const startTime = shim.pid === undefined ? undefined : startTimeOf(shim.pid);
    if (shim.pid !== undefined && startTime !== undefined) container.update({ shim: { pid: shim.pid, startTime } });
    shim.on("exit", (code) => container.#finish(readExit(spec.directory) ?? code ?? 137, now()));
    try {
      await container.#untilStarted(shim);
    } catch (error) {
      container.signal("SIGKILL");
      await container.exited;
      throw error;
    }
    container.update({ startedAt: now() });
    return container;
  }

  /** Takes over a container that another agent started, or the remains of one that ended. */
  static adopt(directory: string, record: ContainerRecord, now: () => number): ContainerProcess {
    const container = new ContainerProcess(directory, record);
    if (record.exitCode !== undefined) {
      container.#hasExited = true;
      container.#settle(record.exitCode);
      return container;
    }
    const look = () => {
      const isAlive = record.shim !== undefined && isSameProcess(record.shim);
      if (isAlive) return setTimeout(look, pollMs);
      // The machine was restarted, or somebody killed the process that waits: the code is lost.
      return container.#finish(readExit(directory) ?? 137, now());
    };
    look();
    return container;
  }

  get isRunning(): boolean {
    return !this.#hasExited;
  }

  /** Changes the record, on disk too. */
  update(change: Partial<ContainerRecord>): void {
    this.record = { ...this.record, ...change };
    const file = join(this.directory, "state.json");
    try {
      writeFileSync(`${file}.new`, JSON.stringify(this.record), { mode: 0o600 });
      renameSync(`${file}.new`, file);
    } catch (error) {
      // The pod's directory is being removed.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }

  /** To the program; SIGKILL takes all processes of the container with it. */
  signal(signal: "SIGTERM" | "SIGKILL"): void {
    const { main, shim } = this.record;
    const target = main ?? (signal === "SIGKILL" ? shim : undefined);
    if (!target || !isSameProcess(target)) return;
    try {
      process.kill(target.pid, signal);
    } catch {
      // It went by itself.
    }
  }

  /** The command line that runs `argv` inside the container as its user. */
  execCommand(argv: string[]): { command: string[]; env: Record<string, string> } {
    const { main, user, environment, workingDir } = this.record;
    if (!main || !isSameProcess(main)) throw new StartError(`container ${this.record.name} is not running`);
    const program = setprivArguments(user);
    return {
      // Each namespace by name: the container shares the user's and the cgroup's.
      command: [
        "nsenter",
        `--target=${main.pid}`,
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--root",
        `--wdns=${workingDir}`,
        "--",
        ...program,
        ...argv,
      ],
      env: { ...Object.fromEntries(environment) },
    };
  }

  /** Runs a hook or probe to its end. A program that outlives `timeoutMs`, or is aborted, is killed and has code `undefined`. */
  async exec(
    argv: string[],
    { timeoutMs, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<{ code: number | undefined; output: string }> {
    const { command, env } = this.execCommand(argv);
    const child = spawn(absolute(command[0]!), command.slice(1), { stdio: ["ignore", "pipe", "pipe"], env, cwd: "/" });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        if (output.length < maxExecOutput) output += chunk.toString("utf8");
      });
    }
    let isStopped = false;
    const stop = () => {
      isStopped = true;
      killTree(child.pid);
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(stop, timeoutMs);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    // `exit`, not `close`: a program in the background may keep the pipes open.
    const code = await new Promise<number | undefined>((resolve) => {
      child.on("error", (error) => {
        output += error.message;
        resolve(126);
      });
      child.on("exit", (exit, killedBy) =>
        setTimeout(() => resolve(isStopped ? undefined : (exit ?? 128 + (signalNumbers[killedBy ?? "SIGKILL"] ?? 9))), 0),
      );
    });
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    child.stdout.destroy();
    child.stderr.destroy();
    return { code, output };
  }

  #finish(code: number, at: number): void {
    if (this.#hasExited) return;
    this.#hasExited = true;
    // The shim may have been killed alone.
    this.signal("SIGKILL");
    this.update({ exitCode: code, finishedAt: at });
    this.#settle(code);
  }

  /** Reads what launch.sh reports until the program runs. */
  #untilStarted(shim: ChildProcess): Promise<void> {
    return new Promise((resolve, reject) => {
      const pipe = shim.stdio[3] as NodeJS.ReadableStream & { destroy(): void };
      let text = "";
      const timer = setTimeout(
        () => end(new StartError(`the container's file system was not ready after ${setUpLimitMs / 1000} s: ${text.trim()}`)),
        setUpLimitMs,
      );
      const end = (error?: StartError) => {
        clearTimeout(timer);
        pipe.removeAllListeners("data");
        pipe.on("error", () => {});
        pipe.destroy();
        if (error) reject(error);
        else resolve();
      };
      const scan = () => {
        const lines = text.split("\n");
        const pid = Number(lines.find((line) => line.startsWith("pid "))?.slice(4));
        if (pid && !this.record.main) {
          const startTime = startTimeOf(pid);
          if (startTime !== undefined) this.update({ main: { pid, startTime } });
        }
        return lines.includes("started");
      };
      pipe.on("data", (chunk: Buffer) => {
        text += chunk.toString("utf8");
        if (scan()) end();
      });
      shim.on("error", (error) => end(new StartError(error.message)));
      // The pipe's last words may come after the exit.
      this.exited.then((code) => setTimeout(() => end(new StartError(explain(text, code))), 20));
    });
  }
}

function explain(text: string, code: number): string {
  const words = text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("pid "))
    .join("; ");
  return words || `the container could not be set up (exit ${code})`;
}

/** Kills a process and its children, children first. */
export function killTree(pid: number | undefined): void {
  if (pid === undefined) return;
  for (const child of childrenOf(pid)) killTree(child);
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone.
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function readExit(directory: string): number | undefined {
  try {
    const code = Number.parseInt(readFileSync(join(directory, "exit"), "latin1"), 10);
    return Number.isNaN(code) ? undefined : code;
  } catch {
    return undefined;
  }
}

/** Keeps the run before `attempt` (for `logs --previous`) and forgets older ones. */
export function removeStaleAttempts(directory: string, attempt: number): void {
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory))
    if (/^\d+$/.test(name) && Number(name) < attempt - 1) rmSync(join(directory, name), { recursive: true, force: true });
}

/** Full path of a system command, independent of the PATH the container has. */
export function absolute(name: string): string {
  return (
    systemPath
      .split(":")
      .map((directory) => join(directory, name))
      .find(existsSync) ?? name
  );
}

async function mkfifo(path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = spawn("mkfifo", [path], { stdio: "ignore", env: { PATH: systemPath } });
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`mkfifo ${path}: exit ${code}`))));
  });
  chmodSync(path, 0o666);
}

const signalNumbers: Record<string, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};
