// fairlead cluster-supervisor: keeps the processes of one embedded cluster running until SIGTERM or SIGINT.
import { parseArgs } from "node:util";
import { loadConfig, thisProgram } from "../config.ts";
import { lineLog } from "../controllers/log.ts";
import { startTimeOf } from "../network/processes.ts";
import { Component } from "./component.ts";
import { componentsOf } from "./components.ts";
import { prepare } from "./prepare.ts";
import { clusterProcesses, gone, livingSupervisor, type SupervisorRecord, signalAll, stateDirVariable, writeRecord } from "./record.ts";

const usage = `Usage: fairlead cluster-supervisor --state-dir DIRECTORY

Runs the API server, the controllers and the node agent of the cluster whose config.yaml is in DIRECTORY; "fairlead local start" starts it.
Containers are not its children: they go on running when it ends. "fairlead local stop" ends them.
`;

/** How often log files are measured, in ms. */
const logCheckMs = 5_000;
/** How long processes left by a supervisor that died may take to end, in ms. */
const leftoverGraceMs = 3_000;

/** Exit status: 0 after a signal, 1 when the cluster cannot be started, 2 for a mistake in the command line. */
export async function main(args: string[], env: Record<string, string | undefined>): Promise<number> {
  let stateDir: string | undefined;
  try {
    const { values } = parseArgs({ args, options: { "state-dir": { type: "string" }, help: { type: "boolean", short: "h" } } });
    if (values.help) {
      process.stdout.write(usage);
      return 0;
    }
    stateDir = values["state-dir"];
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (!stateDir) {
    process.stderr.write(`--state-dir is required\n\n${usage}`);
    return 2;
  }
  const log = lineLog({ write: (line) => void process.stderr.write(line) });
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  try {
    const other = livingSupervisor(stateDir);
    if (other && other.pid !== process.pid) throw new Error(`the cluster in ${stateDir} is supervised by process ${other.pid}`);
    const config = loadConfig(stateDir);
    const leftovers = clusterProcesses(stateDir);
    const record: SupervisorRecord = { supervisor: { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 }, components: {} };
    writeRecord(stateDir, record);
    if (leftovers.length > 0) {
      // Of a supervisor that was killed: replaced, so that each process has someone who restarts it.
      log("warn", "ending processes that an earlier supervisor left", { pids: leftovers.map(({ pid }) => pid) });
      signalAll(leftovers, "SIGTERM");
      if (!(await gone(leftovers, leftoverGraceMs))) signalAll(leftovers, "SIGKILL");
      await gone(leftovers, leftoverGraceMs);
    }
    await prepare(config);
    const childEnv = { ...plainEnvironment(env), [stateDirVariable]: stateDir };
    const components = componentsOf(config, thisProgram()).map(
      ({ name, argv, logFile }) =>
        new Component({
          name,
          argv,
          logFile,
          env: childEnv,
          log: (message, fields) => log("warn", message, fields),
          onChange: (component) => {
            record.components[component.name] = {
              state: component.state,
              restarts: component.restarts,
              ...(component.identity ? { process: component.identity } : {}),
            };
            writeRecord(stateDir as string, record);
          },
        }),
    );
    for (const component of components) component.start();
    log("info", "started", { components: components.map(({ name }) => name) });
    const timer = setInterval(() => {
      for (const component of components) component.boundLog();
    }, logCheckMs);
    log("info", "stopping", { signal: await stopped });
    clearInterval(timer);
    for (const component of components.reverse()) await component.stop();
    return 0;
  } catch (error) {
    log("error", "the cluster cannot be started", { error: (error as Error).message });
    return 1;
  }
}

/** What the processes may see of the caller's environment: nothing that changes what they do. */
function plainEnvironment(env: Record<string, string | undefined>): Record<string, string> {
  const kept: Record<string, string> = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" };
  for (const name of ["HOME", "TMPDIR", "BUN_RUNTIME_TRANSPILER_CACHE_PATH"]) if (env[name]) kept[name] = env[name] as string;
  return kept;
}
