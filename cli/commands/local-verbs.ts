// What `fairlead local start|stop|status|kubeconfig|reset` do.
import { existsSync, readFileSync } from "node:fs";
import { ConfigError, layout, loadConfig, parseImageFlag, resolveConfig, type Settings, stateDirOf } from "../../cluster/config.ts";
import { contextName, mergeInto, userKubeconfig } from "../../cluster/supervisor/kubeconfig.ts";
import {
  type ClusterStatus,
  clusterStatus,
  LifecycleError,
  type Progress,
  resetCluster,
  type StopReport,
  startCluster,
  stopCluster,
} from "../../cluster/supervisor/lifecycle.ts";
import { CliError, type Io } from "../io.ts";

export interface Where {
  name?: string;
  stateDir?: string;
}

export interface StartFlags extends Where {
  apiPort?: string;
  podCidr?: string;
  serviceCidr?: string;
  linkCidr?: string;
  clusterDomain?: string;
  image: string[];
  wait: boolean;
}

/** The first line about a wait comes after so long, the next ones as much later, in ms. */
const firstWordMs = 1_000;
const nextWordMs = 5_000;

export const start = (flags: StartFlags, io: Io): Promise<void> => told(() => startVerb(flags, io));
export const stop = (flags: Where, io: Io): Promise<void> => told(() => stopVerb(flags, io));
export const status = (flags: Where & { output: string }, io: Io): Promise<void> => told(() => statusVerb(flags, io));
export const kubeconfig = (flags: Where & { merge: boolean }, io: Io): Promise<void> => told(() => kubeconfigVerb(flags, io));
export const reset = (flags: Where, io: Io): Promise<void> => told(() => resetVerb(flags, io));

/** Expected failures in one piece on standard error, others with their stack. */
async function told(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof ConfigError || error instanceof LifecycleError) throw new CliError(error.message);
    throw error;
  }
}

async function startVerb(flags: StartFlags, io: Io): Promise<void> {
  const stateDir = stateDirOf({ name: flags.name, stateDir: flags.stateDir, env: io.env });
  const settings: Settings = { images: Object.fromEntries(flags.image.map(parseImageFlag)) };
  for (const field of ["name", "apiPort", "podCidr", "serviceCidr", "linkCidr", "clusterDomain"] as const) {
    const value = flags[field];
    if (value !== undefined) settings[field] = value;
  }
  const config = resolveConfig({ flags: settings, stateDir });
  const began = performance.now();
  const result = await startCluster({ config, wait: flags.wait, progress: progressOf(io) });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  if (result === "already running") io.stdout(`cluster "${config.name}" is already running\n`);
  else io.stdout(flags.wait ? `cluster "${config.name}" is ready (${seconds} s)\n` : `cluster "${config.name}" is starting\n`);
  const { kubeconfig: file } = layout(stateDir);
  io.stdout(`export KUBECONFIG=${file}\n`);
}

async function stopVerb(flags: Where, io: Io): Promise<void> {
  const { stateDir, name } = located(flags, io);
  conclude(
    await stopCluster({ stateDir, name, progress: progressOf(io) }),
    `cluster "${name}" is stopped`,
    `cluster "${name}" is not running`,
    io,
  );
}

async function resetVerb(flags: Where, io: Io): Promise<void> {
  const { stateDir, name } = located(flags, io);
  const existed = existsSync(layout(stateDir).config);
  const report = await resetCluster({ stateDir, name, progress: progressOf(io) });
  conclude(
    { ...report, wasRunning: existed || report.wasRunning },
    `cluster "${name}" is deleted`,
    `there is no cluster "${name}" in ${stateDir}`,
    io,
  );
}

function conclude({ wasRunning, problems }: StopReport, done: string, nothing: string, io: Io): void {
  if (problems.length > 0) throw new CliError(`not everything could be removed:\n${problems.join("\n")}`);
  io.stdout(`${wasRunning ? done : nothing}\n`);
}

async function statusVerb(flags: Where & { output: string }, io: Io): Promise<void> {
  const found = await clusterStatus(located(flags, io));
  io.stdout(flags.output === "json" ? `${JSON.stringify(found, undefined, 2)}\n` : statusTable(found));
  if (found.state !== "running") throw new CliError("");
}

export function statusTable({ name, state, stateDir, api, node, pods, components }: ClusterStatus): string {
  if (state === "absent") return `cluster "${name}": there is none in ${stateDir}\n`;
  const lines = [
    `cluster "${name}": ${state}`,
    `  state directory  ${stateDir}`,
    `  API server       ${api.url} ${api.ready ? "ready" : "does not answer"}`,
    `  node             ${node.ready ? "Ready" : "not ready"}`,
    ...(pods
      ? [
          `  pods             ${
            Object.entries(pods)
              .map(([phase, count]) => `${count} ${phase}`)
              .join(", ") || "none"
          }`,
        ]
      : []),
    ...Object.entries(components).map(
      ([component, { state: of, pid, restarts }]) =>
        `  ${component.padEnd(15)}  ${of}${pid === undefined ? "" : `, pid ${pid}`}${restarts ? `, restarted ${restarts} times` : ""}`,
    ),
  ];
  return `${lines.join("\n")}\n`;
}

async function kubeconfigVerb(flags: Where & { merge: boolean }, io: Io): Promise<void> {
  const { stateDir } = located(flags, io);
  const { kubeconfig: file, pki } = layout(stateDir);
  if (!existsSync(file)) throw new CliError(`there is no cluster in ${stateDir}: run "fairlead local start"`);
  if (!flags.merge) {
    io.stdout(readFileSync(file, "utf8"));
    return;
  }
  const config = loadConfig(stateDir);
  try {
    const target = userKubeconfig(io.env);
    // Certificates are dealt with here alone.
    const [{ readPki }, { partsOf }] = await Promise.all([
      import("../../cluster/apiserver/pki.ts"),
      import("../../cluster/supervisor/prepare.ts"),
    ]);
    mergeInto(target, partsOf(config, readPki(pki), "admin"));
    io.stdout(`context "${contextName(config.name)}" is current in ${target}\n`);
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** Directory and name; the name the cluster was made with, when there is one. */
function located(flags: Where, io: Io): { stateDir: string; name: string } {
  const stateDir = stateDirOf({ name: flags.name, stateDir: flags.stateDir, env: io.env });
  const made = existsSync(layout(stateDir).config) ? loadConfig(stateDir).name : undefined;
  if (made !== undefined && flags.name !== undefined && made !== flags.name)
    throw new CliError(`the cluster in ${stateDir} is named "${made}", not "${flags.name}"`);
  return { stateDir, name: made ?? flags.name ?? "fairlead" };
}

/** Waits over a second are told of on standard error: on a terminal in one line that is rewritten, else a line now and then. */
function progressOf(io: Io): Progress {
  return {
    async waiting(what, work) {
      const began = performance.now();
      let isShown = false;
      const say = () => {
        const line = `waiting for ${what} (${Math.round((performance.now() - began) / 1000)} s)`;
        io.stderr(io.isTty ? `\r\x1b[K${line}` : `${line}\n`);
        isShown = true;
      };
      let again: ReturnType<typeof setInterval> | undefined;
      const first = setTimeout(() => {
        say();
        again = setInterval(say, io.isTty ? firstWordMs : nextWordMs);
      }, firstWordMs);
      try {
        return await work;
      } finally {
        clearTimeout(first);
        clearInterval(again);
        if (isShown && io.isTty) io.stderr("\r\x1b[K");
      }
    },
  };
}
