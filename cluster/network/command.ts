// Runs the system's commands; a failure names the command and repeats what it said.
import { spawn } from "node:child_process";

/** A command that failed: `message` has the command line, its exit code and its error output. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly command: string[];
  readonly code: number | null;
  readonly stderr: string;
  constructor(command: string[], code: number | null, stderr: string) {
    super(`${command.join(" ")}: ${code === null ? "was killed" : `exit ${code}`}${stderr ? `: ${stderr.trim()}` : ""}`);
    this.command = command;
    this.code = code;
    this.stderr = stderr;
  }
}

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Most output kept of one command, in bytes. */
const maxOutput = 4 << 20;
/** A system command that takes longer is killed. */
const commandTimeoutMs = 30_000;

/** Runs `command` to its end, whatever its exit code. A missing executable gives code 127. */
export function tryRun(
  command: string[],
  { input, timeoutMs = commandTimeoutMs }: { input?: string; timeoutMs?: number } = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(command[0]!, command.slice(1), {
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      env: { PATH: systemPath, LC_ALL: "C" },
    });
    const output = { stdout: "", stderr: "" };
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    for (const name of ["stdout", "stderr"] as const) {
      child[name]?.on("data", (chunk: Buffer) => {
        if (output[name].length < maxOutput) output[name] += chunk.toString("utf8");
      });
    }
    child.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve({
        code: error.code === "ENOENT" ? 127 : 126,
        stdout: "",
        stderr: error.code === "ENOENT" ? `${command[0]}: not found` : error.message,
      });
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, ...output });
    });
    if (input !== undefined) {
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
    }
  });
}

/**
 * Standard output of `command`.
 * @throws {CommandError} unless it exits 0.
 */
export async function run(command: string[], options: { input?: string; timeoutMs?: number } = {}): Promise<string> {
  const { code, stdout, stderr } = await tryRun(command, options);
  if (code !== 0) throw new CommandError(command, code, stderr);
  return stdout;
}

/** Where Debian keeps the administrator's commands. */
export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
