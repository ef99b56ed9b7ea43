// fairlead local: the embedded cluster on this machine.
import { existsSync, readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { readPki } from "../../cluster/apiserver/pki.ts";
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
import { partsOf } from "../../cluster/supervisor/prepare.ts";
import { CliError, type Io, processIo } from "../io.ts";

interface Where {
  name?: string;
  stateDir?: string;
}

interface StartFlags extends Where {
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

export function localCommand(io: Io = processIo(process.env)): Command {
  const local = new Command("local").description("Run a small Kubernetes cluster on this machine, for trying and testing the mesh");
  const verb = (name: string, description: string) =>
    local
      .command(name)
      .description(description)
      .option("--name <string>", 'Name of the cluster (default "fairlead")')
      .option("--state-dir <path>", "Where the cluster keeps its state (default $FAIRLEAD_LOCAL_DIR or ~/.fairlead/local/NAME)");

  verb("start", "Start the cluster, with all objects it had when it was stopped")
    .option("--api-port <int>", "Port of the API server (default 6443)")
    .option("--pod-cidr <cidr>", "Addresses of pods (default 10.244.0.0/24)")
    .option("--service-cidr <cidr>", "Addresses of services (default 10.96.0.0/16)")
    .option("--link-cidr <cidr>", "Link between this machine and the node (default 10.250.0.0/30)")
    .option("--cluster-domain <domain>", "DNS domain of the cluster (default cluster.local)")
    .addOption(
      new Option("--image <NAME=COMMAND>", "Program that an image name stands for; may be repeated")
        .argParser((value: string, all: string[]) => [...all, value])
        .default([], ""),
    )
    .option("--wait", "Wait until pods can be created", true)
    .option("--no-wait", "Return as soon as the cluster's processes run")
    .action((flags: StartFlags) => told(() => start(flags, io)));
  verb("stop", "Stop the cluster and remove its processes, namespaces, links and mounts; objects are kept").action((flags: Where) =>
    told(() => stop(flags, io)),
  );
  verb("status", "Show the state of the cluster; exit status 1 unless it is running well")
    .addOption(new Option("-o, --output <string>", "Output format").choices(["table", "json"]).default("table"))
    .action((flags: Where & { output: string }) => told(() => status(flags, io)));
  verb("kubeconfig", "Print the cluster's kubeconfig")
    .option("--merge", "Add it to the first file of $KUBECONFIG or ~/.kube/config and make it current", false)
    .action((flags: Where & { merge: boolean }) => told(() => kubeconfig(flags, io)));
  verb("reset", "Stop the cluster and delete its state").action((flags: Where) => told(() => reset(flags, io)));
  return local;
}

/** Expected failures in one piece on standard error, others with their stack. */
async function told(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof ConfigError || error instanceof LifecycleError) throw new CliError(error.message);
    throw error;
  }
}

async function start(flags: StartFlags, io: Io): Promise<void> {
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

async function stop(flags: Where, io: Io): Promise<void> {
  const { stateDir, name } = located(flags, io);
  conclude(
    await stopCluster({ stateDir, name, progress: progressOf(io) }),
    `cluster "${name}" is stopped`,
    `cluster "${name}" is not running`,
    io,
  );
}

async function reset(flags: Where, io: Io): Promise<void> {
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

async function status(flags: Where & { output: string }, io: Io): Promise<void> {
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

async function kubeconfig(flags: Where & { merge: boolean }, io: Io): Promise<void> {
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
