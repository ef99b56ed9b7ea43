// start, stop, status, reset of a cluster: what `fairlead local` does, without its command line.
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, truncateSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type KubeClient as Client, KubeClient, type KubeObject, loadConfig as loadKubeconfig, Resources } from "#kube";
import { addressesOf, apiUrl, type ClusterConfig, layout, loadConfig, ownedNames, saveConfig, thisProgram } from "../config.ts";
import { leaseName } from "../controllers/lease.ts";
import { leases, nodeLeaseNamespace } from "../controllers/world.ts";
import { cleanupNode, missingTools, namespacesOf } from "../network/index.ts";
import { isSameProcess, readRecords } from "../network/processes.ts";
import { clusterProcesses, gone, livingSupervisor, readRecord, removeRecord, signalAll, stateDirVariable } from "./record.ts";

/** Something that keeps a cluster from starting or stopping, told in full. */
export class LifecycleError extends Error {
  override readonly name = "LifecycleError";
}

export interface Progress {
  /** Shows what is waited for, when it takes longer than a second. */
  waiting<T>(what: string, work: Promise<T>): Promise<T>;
}

/** How long a start may take as a whole, in ms. */
export const startTimeoutMs = 60_000;
/** How often readiness is asked for, in ms. */
const pollMs = 25;
/** How long the supervisor has to end its processes, in ms; longer than they have themselves. */
const supervisorGraceMs = 20_000;
/** How long containers may take to end after SIGTERM when the whole cluster stops, in ms; then they are killed. */
const containerGraceMs = 3_000;
const killGraceMs = 3_000;
/** A lease older than this belongs to a process that does not work, in ms. */
const leaseAgeMs = 15_000;
/** Lines of a log that an error repeats. */
const toldLines = 8;
/** Bits of CapEff, see capability.h. */
const neededCapabilities = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 } as const;

/**
 * What this machine lacks for a cluster; every entry is a full sentence. Empty: nothing.
 * Arguments are what the tests replace.
 */
export function missingOnMachine({
  platform = process.platform,
  uid = process.getuid?.(),
  capabilities = effectiveCapabilities(),
  tools = missingTools(),
}: {
  platform?: string;
  uid?: number | undefined;
  capabilities?: bigint | undefined;
  tools?: { binary: string; package: string }[];
} = {}): string[] {
  if (platform !== "linux") return [`the embedded cluster needs Linux (network namespaces, iptables); this is ${platform}`];
  const missing: string[] = [];
  if (uid !== 0) missing.push("the embedded cluster needs root, for network namespaces and mounts: run it with sudo");
  else if (capabilities !== undefined) {
    for (const [name, bit] of Object.entries(neededCapabilities))
      if (!((capabilities >> BigInt(bit)) & 1n))
        missing.push(`this root lacks ${name}, which namespaces and mounts need: a container must run privileged`);
  }
  if (tools.length > 0) {
    const packages = [...new Set(tools.map((tool) => tool.package))].join(" ");
    missing.push(`commands are missing: ${tools.map((tool) => tool.binary).join(", ")}; on Debian: apt-get install ${packages}`);
  }
  return missing;
}

function effectiveCapabilities(): bigint | undefined {
  try {
    const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return mask === undefined ? undefined : BigInt(`0x${mask}`);
  } catch {
    return undefined;
  }
}

export type StartResult = "started" | "already running";

/**
 * Starts the cluster; with `wait`, until pods can be created. A running one is left as it is.
 * @throws {LifecycleError}
 */
export async function startCluster({
  config,
  wait,
  progress,
  timeoutMs = startTimeoutMs,
}: {
  config: ClusterConfig;
  wait: boolean;
  progress: Progress;
  timeoutMs?: number;
}): Promise<StartResult> {
  const missing = missingOnMachine();
  if (missing.length > 0) throw new LifecycleError(missing.join("\n"));
  const { stateDir } = config;
  const files = layout(stateDir);
  const since = Date.now();
  const running = livingSupervisor(stateDir);
  if (running) {
    const now = loadConfig(stateDir);
    if (now.apiPort !== config.apiPort)
      throw new LifecycleError(
        `cluster "${config.name}" is running with apiPort ${now.apiPort}: run "fairlead local stop" before starting it with ${config.apiPort}`,
      );
    // New images need no restart: the node agent reads the table again.
    saveConfig(config, thisProgram());
  } else {
    if (clusterProcesses(stateDir).length === 0) await refuseTakenPort(config);
    saveConfig(config, thisProgram());
    mkdirSync(files.logs, { recursive: true, mode: 0o750 });
    const log = join(files.logs, "supervisor.log");
    const output = openSync(log, "a", 0o640);
    // The file tells of this start only: it is short, and what it says is repeated when the start fails.
    truncateSync(log, 0);
    const { argv } = thisProgram();
    // A session of its own: the terminal's signals are not for it.
    const child = Bun.spawn(["setsid", ...argv, "cluster-supervisor", "--state-dir", stateDir], {
      stdin: "ignore",
      stdout: output,
      stderr: output,
      cwd: "/",
      env: { ...(process.env as Record<string, string>), [stateDirVariable]: stateDir },
    });
    closeSync(output);
    child.unref();
    const deadline = performance.now() + timeoutMs;
    const alive = () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new LifecycleError(reasonIn(lastLines(log)));
      if (performance.now() > deadline) throw new LifecycleError(`cluster "${config.name}" was not ready within ${timeoutMs / 1000} s`);
    };
    await progress.waiting(
      "the supervisor",
      until(
        async () => readRecord(stateDir)?.supervisor.pid === child.pid && Object.keys(readRecord(stateDir)?.components ?? {}).length === 3,
        alive,
      ),
    );
    if (wait) await whenReady({ config, progress, alive, since });
    return "started";
  }
  const deadline = performance.now() + timeoutMs;
  const alive = () => {
    if (performance.now() > deadline)
      throw new LifecycleError(
        `cluster "${config.name}" was not ready within ${timeoutMs / 1000} s; see "fairlead local status" and ${files.logs}`,
      );
  };
  // Leases are renewed every ten seconds at the latest.
  if (wait) await whenReady({ config, progress, alive, since: since - leaseAgeMs });
  return "already running";
}

/**
 * Resolves when the API answers, the controllers are at work, and the node takes pods. What the database says of the time before `since`
 * (ms since 1970) does not count: the objects of a stopped cluster look as they did when it ran.
 */
async function whenReady({
  config,
  progress,
  alive,
  since,
}: {
  config: ClusterConfig;
  progress: Progress;
  alive: () => void;
  since: number;
}): Promise<void> {
  const files = layout(config.stateDir);
  const failed = (name: string) => {
    try {
      alive();
    } catch (error) {
      const said = lastLines(join(files.logs, `${name}.log`));
      throw new LifecycleError(`${(error as Error).message}${said ? `\n${name}:\n${said}` : ""}`);
    }
  };
  await progress.waiting(
    "the API server",
    until(
      async () => existsSync(files.kubeconfig) && (await isReady(clientOf(config.stateDir))),
      () => failed("apiserver"),
    ),
  );
  const client = clientOf(config.stateDir);
  const isRenewed = async (namespace: string, name: string) => {
    const lease = await client.find<LeaseObject>({ ...leases, namespace, name });
    return Date.parse(lease?.spec?.renewTime ?? "") >= since;
  };
  await Promise.all([
    progress.waiting(
      "the controllers",
      until(
        async () =>
          (await isRenewed("kube-system", leaseName)) &&
          (await client.find({ ...Resources.serviceAccounts, namespace: "default", name: "default" })) !== undefined,
        () => failed("controllers"),
      ),
    ),
    progress.waiting(
      "the node",
      until(
        async () =>
          (await isRenewed(nodeLeaseNamespace, config.name)) &&
          isNodeReady(await client.find<NodeObject>({ ...Resources.nodes, name: config.name })),
        () => failed("node"),
      ),
    ),
  ]);
}

type LeaseObject = KubeObject & { spec?: { renewTime?: string } };
type NodeObject = KubeObject & { status?: { conditions?: { type: string; status: string }[] } };

const isNodeReady = (node: NodeObject | undefined): boolean =>
  node?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

async function isReady(client: Client): Promise<boolean> {
  const response = await client.open({ path: "/readyz", timeoutMs: 1_000 });
  await response.body?.cancel();
  return response.status === 200;
}

function clientOf(stateDir: string): Client {
  return new KubeClient({ config: loadKubeconfig({ kubeconfig: layout(stateDir).kubeconfig, env: {} }), userAgent: "fairlead-local" });
}

/** `probe` until it is true; an error of it counts as false. `alive` ends the wait by throwing. */
async function until(probe: () => Promise<boolean>, alive: () => void): Promise<void> {
  for (;;) {
    try {
      if (await probe()) return;
    } catch {
      // Not yet.
    }
    alive();
    await Bun.sleep(pollMs);
  }
}

async function refuseTakenPort(config: ClusterConfig): Promise<void> {
  // Whoever listens on every address has the port there too.
  for (const host of [addressesOf(config).host, "0.0.0.0"]) {
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      const server = createServer();
      server.once("error", resolve);
      server.listen({ host, port: config.apiPort, exclusive: true }, () => server.close(() => resolve(undefined)));
    });
    // The address is made by the start itself.
    if (error?.code === "EADDRINUSE" && !(host === "0.0.0.0" && (await isFreeOn("127.0.0.2", config.apiPort))))
      throw new LifecycleError(`apiPort ${config.apiPort} is taken by another program; choose another with --api-port`);
  }
}

/** False when some program has the port on every address. */
function isFreeOn(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export interface StopReport {
  wasRunning: boolean;
  /** What could not be removed. */
  problems: string[];
}

/**
 * Ends every process of the cluster and removes every namespace, link and mount; objects stay in the database. Works after a crash of any part, and twice.
 */
export async function stopCluster({
  stateDir,
  name,
  progress,
}: {
  stateDir: string;
  name: string;
  progress: Progress;
}): Promise<StopReport> {
  const nodeDir = layout(stateDir).node;
  const report: StopReport = { wasRunning: false, problems: [] };
  const supervisor = livingSupervisor(stateDir);
  if (supervisor) {
    report.wasRunning = true;
    signalAll([supervisor], "SIGTERM");
    if (!(await progress.waiting("the cluster's processes", gone([supervisor], supervisorGraceMs)))) signalAll([supervisor], "SIGKILL");
  }
  // Containers run as their own processes, recorded in the node's directory; `main` is the program, which may want to say good-bye.
  const containers = readRecords(nodeDir).filter(isSameProcess);
  const isContainer = new Set(containers.map(({ pid }) => pid));
  const left = clusterProcesses(stateDir).filter(({ pid }) => !isContainer.has(pid));
  if (left.length > 0) {
    report.wasRunning = true;
    signalAll(left, "SIGTERM");
    if (!(await progress.waiting("processes without a supervisor", gone(left, killGraceMs)))) signalAll(left, "SIGKILL");
    if (!(await gone(left, killGraceMs)))
      report.problems.push(`processes still running after SIGKILL: ${left.map(({ pid }) => pid).join(", ")}`);
  }
  if (containers.length > 0) {
    report.wasRunning = true;
    signalAll(containers, "SIGTERM");
    await progress.waiting("containers", gone(containers, containerGraceMs));
  }
  if (namespacesOf(name).length > 0) report.wasRunning = true;
  const { problems } = await progress.waiting("network namespaces and mounts", cleanupNode({ cluster: name, stateDir: nodeDir }));
  report.problems.push(...problems);
  removeRecord(stateDir);
  return report;
}

/**
 * Stops the cluster and deletes its state.
 * @throws {LifecycleError} when the directory is not a cluster's.
 */
export async function resetCluster({
  stateDir,
  name,
  progress,
}: {
  stateDir: string;
  name: string;
  progress: Progress;
}): Promise<StopReport> {
  const exists = existsSync(stateDir);
  if (exists && readdirSync(stateDir).length > 0 && !existsSync(layout(stateDir).config))
    throw new LifecycleError(`${stateDir} holds no config.yaml: it is not the state directory of a cluster and stays as it is`);
  const report = await stopCluster({ stateDir, name, progress });
  if (!exists || report.problems.length > 0) return report;
  for (const owned of ownedNames) rmSync(join(stateDir, owned), { recursive: true, force: true });
  try {
    rmdirSync(stateDir);
  } catch {
    // Something in it is not the cluster's, or it is a mount point.
  }
  return report;
}

export interface ClusterStatus {
  name: string;
  state: "running" | "degraded" | "stopped" | "absent";
  stateDir: string;
  api: { url: string; ready: boolean };
  node: { ready: boolean };
  /** Pods by phase; absent when the API does not answer. */
  pods?: Record<string, number>;
  components: Record<string, { state: string; pid?: number; restarts?: number }>;
}

export async function clusterStatus({ stateDir, name }: { stateDir: string; name: string }): Promise<ClusterStatus> {
  if (!existsSync(layout(stateDir).config))
    return { name, state: "absent", stateDir, api: { url: "", ready: false }, node: { ready: false }, components: {} };
  const config = loadConfig(stateDir);
  const record = readRecord(stateDir);
  const supervisor = livingSupervisor(stateDir);
  const components: ClusterStatus["components"] = {
    supervisor: supervisor ? { state: "running", pid: supervisor.pid } : { state: "stopped" },
  };
  let isAnyAlive = supervisor !== undefined;
  for (const component of ["apiserver", "controllers", "node"]) {
    const known = record?.components[component];
    const isAlive = known?.process !== undefined && isSameProcess(known.process);
    isAnyAlive ||= isAlive;
    const restarts = known?.restarts;
    components[component] = isAlive
      ? { state: "running", pid: (known.process as { pid: number }).pid, ...(restarts === undefined ? {} : { restarts }) }
      : { state: supervisor ? "waiting" : "stopped" };
  }
  const status: ClusterStatus = {
    name: config.name,
    state: isAnyAlive ? "degraded" : "stopped",
    stateDir,
    api: { url: apiUrl(config), ready: false },
    node: { ready: false },
    components,
  };
  if (!isAnyAlive) return status;
  try {
    const client = clientOf(stateDir);
    status.api.ready = await isReady(client);
    status.node.ready = isNodeReady(await client.find<NodeObject>({ ...Resources.nodes, name: config.name }));
    status.pods = {};
    for (const pod of (await client.list<KubeObject & { status?: { phase?: string } }>(Resources.pods)).items) {
      const phase = pod.status?.phase ?? "Pending";
      status.pods[phase] = (status.pods[phase] ?? 0) + 1;
    }
  } catch {
    // It does not answer: that is its state.
  }
  if (status.api.ready && status.node.ready && Object.values(components).every(({ state }) => state === "running"))
    status.state = "running";
  return status;
}

/** What the supervisor's last words give as the reason; all of them when they give none. */
function reasonIn(log: string): string {
  const told = /ERROR the cluster cannot be started error=(".*")$/.exec(log)?.[1];
  return told ? `the cluster cannot be started: ${JSON.parse(told)}` : `the supervisor has ended:\n${log}`;
}

function lastLines(file: string): string {
  try {
    return readFileSync(file, "utf8").trimEnd().split("\n").slice(-toldLines).join("\n");
  } catch {
    return "";
  }
}
