// The outer shell of a role: flags, signals, exit status.
import { KubeClient } from "#kube";
import { FlagError, type FlagSpec, parseFlags } from "./flags.ts";
import { createLogger, type Logger } from "./log.ts";

export type Env = Record<string, string | undefined>;

/** Flags that every Go role has. */
export const commonFlags = {
  "log-level": { default: "info", help: "log level: debug, info, warn, error" },
  "log-format": { default: "plain", help: "log format: plain or json" },
  "enable-pprof": { default: "false", help: "accepted for compatibility; this runtime has no pprof", bool: true },
  kubeconfig: { default: "", help: "path to a kubeconfig; default: KUBECONFIG, then the pod's service account" },
} as const satisfies Record<string, FlagSpec>;

export type Role<S extends Record<string, FlagSpec>> = {
  readonly name: string;
  readonly flags: S;
  /** Starts; resolves to the way to stop. Throwing ends the process with status 1. */
  readonly start: (input: { flags: Record<keyof S, string>; client: KubeClient; log: Logger; env: Env }) => Promise<() => Promise<void>>;
};

/** Runs a role until SIGTERM or SIGINT. Resolves to the exit status: 0; 1 when it could not start; 2 for wrong flags. */
export async function runRole<const S extends Record<string, FlagSpec>>(
  { name, flags: specs, start }: Role<S>,
  args: readonly string[],
  env: Env,
): Promise<number> {
  let flags: Record<keyof S, string>;
  try {
    if (args.some((arg) => /^--?(h|help)$/.test(arg))) {
      process.stdout.write(
        `Usage of ${name}:\n${Object.entries(specs)
          .map(
            ([flag, spec]) => `  -${flag}\n    \t${spec.help}${spec.default === "" ? "" : ` (default ${JSON.stringify(spec.default)})`}\n`,
          )
          .join("")}`,
      );
      return 0;
    }
    flags = parseFlags(specs, args);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    process.stderr.write(`${name}: ${error.message}\n`);
    return 2;
  }
  const given = flags as Record<string, string>;
  const log = createLogger({ level: given["log-level"] ?? "info", format: given["log-format"] ?? "plain" });
  const stopped = terminated();
  let stop: () => Promise<void>;
  try {
    const client = KubeClient.fromEnv({ kubeconfig: given["kubeconfig"] || undefined, env, userAgent: `fairlead-${name}` });
    stop = await Promise.race([start({ flags, client, log, env }), stopped.then(() => Promise.reject(new Stopped()))]);
  } catch (error) {
    if (error instanceof Stopped) return 0;
    log.error(`${name} failed to start`, { error: (error as Error).message });
    return 1;
  }
  const signal = await stopped;
  log.info("shutting down", { signal });
  await stop();
  return 0;
}

class Stopped extends Error {}

/** Resolves with the name of the signal at SIGTERM or SIGINT. */
function terminated(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}

/** Longest wait for the first lists of the watches, in ms (spec control-plane §0). */
const syncDeadlineMs = 60_000;

/** Waits until every watch has its first list. @throws naming those that have none in time. */
export async function waitForSync(
  informers: readonly { readonly synced: Promise<void>; readonly isSynced: boolean; readonly resource: { readonly resource: string } }[],
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await Promise.race([
      Promise.all(informers.map((informer) => informer.synced)),
      new Promise((_, reject) => {
        timer = setTimeout(
          () =>
            reject(
              new Error(
                `no list within ${syncDeadlineMs / 1000} s of: ${informers
                  .filter((informer) => !informer.isSynced)
                  .map((informer) => informer.resource.resource)
                  .join(", ")}`,
              ),
            ),
          syncDeadlineMs,
        );
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
