// Role `proxy-await`: waits until the proxy of this pod is ready, then runs a command if there is one (spec proxy §1.5). Flags,
// variables and exit statuses are linkerd-await's.
import { duration } from "./config/values.ts";

export type AwaitArgs = {
  readonly port: number;
  readonly backoffMs: number;
  readonly timeoutMs: number | null;
  /** Run the command beside, and shut the proxy down when it has ended. */
  readonly shutdown: boolean;
  readonly verbose: boolean;
  readonly command: readonly string[];
};

/** sysexits(3). */
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const EX_OSERR = 71;

/** Longest wait for one answer, ms. */
const CHECK_TIMEOUT_MS = 5000;

const USAGE = `Wait for the proxy to become ready before running a program.

Usage: fairlead proxy-await [flags] [--] [CMD [ARGS...]]

  -p, --port PORT          port of the local proxy's admin server (default 4191)
  -b, --backoff DURATION   time to wait after a failed readiness check (default 1s)
  -t, --timeout DURATION   fail when the proxy is not ready by then (default: wait for ever)
  -S, --shutdown           run the program beside and shut the proxy down when it ends
  -v, --verbose            say so when the check is disabled (LINKERD_AWAIT_VERBOSE)
  -h, --help

Durations: 300ms, 10s, 2m. LINKERD_AWAIT_DISABLED or LINKERD_DISABLED, when not empty, skips the check.
`;

/** `help`, what was asked for, or what is wrong with it. Flags end at the first word that is none. Pure. */
export function parseAwaitArgs(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): AwaitArgs | "help" | { readonly error: string } {
  const parsed = {
    port: 4191,
    backoffMs: 1000,
    timeoutMs: null as number | null,
    shutdown: false,
    verbose: (env["LINKERD_AWAIT_VERBOSE"] ?? "") !== "" && env["LINKERD_AWAIT_VERBOSE"] !== "false",
  };
  let i = 0;
  while (i < args.length) {
    const word = args[i] as string;
    if (word === "--") {
      i++;
      break;
    }
    if (!word.startsWith("-")) break;
    i++;
    const [flag = "", attached] = split(word);
    switch (flag) {
      case "-h":
      case "--help":
        return "help";
      case "-S":
      case "--shutdown":
        parsed.shutdown = true;
        continue;
      case "-v":
      case "--verbose":
        parsed.verbose = true;
        continue;
      case "-p":
      case "--port":
      case "-b":
      case "--backoff":
      case "-t":
      case "--timeout": {
        const value = attached ?? args[i++];
        if (value === undefined) return { error: `${flag} needs a value` };
        if (flag === "-p" || flag === "--port") {
          const port = Number(value);
          if (!/^\d+$/.test(value) || port < 1 || port > 65535) return { error: `${flag}: "${value}" is not a port` };
          parsed.port = port;
          continue;
        }
        try {
          if (flag === "-b" || flag === "--backoff") parsed.backoffMs = duration(value);
          else parsed.timeoutMs = duration(value);
        } catch (error) {
          return { error: `${flag}: ${(error as Error).message}: "${value}"` };
        }
        continue;
      }
      default:
        return { error: `unknown flag: ${flag}` };
    }
  }
  const command = args.slice(i);
  if (parsed.shutdown && command.length === 0) return { error: "--shutdown needs a command" };
  return { ...parsed, command };
}

/** `--flag=value`, `-p4191`. */
function split(word: string): [string, string?] {
  const equals = word.indexOf("=");
  if (word.startsWith("--")) return equals < 0 ? [word] : [word.slice(0, equals), word.slice(equals + 1)];
  return word.length > 2 ? [word.slice(0, 2), word.slice(word[2] === "=" ? 3 : 2)] : [word];
}

export async function main(args: string[], env: Record<string, string | undefined>): Promise<number> {
  const parsed = parseAwaitArgs(args, env);
  if (parsed === "help") {
    process.stdout.write(USAGE);
    return 0;
  }
  if ("error" in parsed) {
    process.stderr.write(`proxy-await: ${parsed.error}\n\n${USAGE}`);
    return EX_USAGE;
  }
  const { port, timeoutMs, shutdown, verbose, command } = parsed;
  const disabled = env["LINKERD_AWAIT_DISABLED"] || env["LINKERD_DISABLED"];
  if (disabled) {
    if (verbose) process.stderr.write(`Linkerd readiness check skipped: ${disabled}\n`);
  } else if (!(await waitReady(parsed))) {
    process.stderr.write(`linkerd-proxy failed to become ready within ${timeoutMs}ms timeout\n`);
    return EX_UNAVAILABLE;
  }
  if (command.length === 0) return 0;
  const status = await run(command);
  if (shutdown && !disabled) await fetch(`http://127.0.0.1:${port}/shutdown`, { method: "POST" }).catch(() => {});
  return status;
}

/** False when the time is over. */
async function waitReady({ port, backoffMs, timeoutMs }: AwaitArgs): Promise<boolean> {
  const endMs = timeoutMs === null ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
  for (;;) {
    const leftMs = endMs - performance.now();
    if (leftMs <= 0) return false;
    try {
      const response = await fetch(`http://127.0.0.1:${port}/ready`, {
        signal: AbortSignal.timeout(Math.max(1, Math.min(CHECK_TIMEOUT_MS, leftMs))),
        keepalive: false,
      });
      await response.body?.cancel();
      if (response.ok) return true;
    } catch {
      // Not listening yet, or not answering: as good as not ready.
    }
    await Bun.sleep(Math.max(0, Math.min(backoffMs, endMs - performance.now())));
  }
}

/** Runs the command in the foreground, passing SIGTERM and SIGINT on. Its status, or 128 and the signal's number. */
async function run(command: readonly string[]): Promise<number> {
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn({ cmd: [...command], stdio: ["inherit", "inherit", "inherit"] });
  } catch (error) {
    process.stderr.write(`Failed to exec child program: ${command[0]}: ${(error as Error).message}\n`);
    return EX_OSERR;
  }
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on("SIGTERM", pass);
  process.on("SIGINT", pass);
  try {
    return await child.exited;
  } finally {
    process.off("SIGTERM", pass);
    process.off("SIGINT", pass);
  }
}
