// fairlead cluster-controllers: the controllers of the embedded cluster, an ordinary client of its API server.
import { parseArgs } from "node:util";
import { KubeClient, KubeconfigError } from "#kube";
import { lineLog } from "./log.ts";
import { Controllers } from "./runtime.ts";

const usage = `Usage: fairlead cluster-controllers --kubeconfig FILE [--verbose]

Runs the controllers of the embedded cluster until SIGTERM or SIGINT.

  --kubeconfig FILE   how to reach the API server; its certificate authority is what kube-root-ca.crt holds
  --verbose           log conflicts and other things that heal by themselves
`;

/** Exit status: 0 after a signal, 1 for a kubeconfig that cannot be used, 2 for a mistake in the command line. */
export async function main(args: string[], env: Record<string, string | undefined>): Promise<number> {
  let values: { kubeconfig?: string; verbose?: boolean; help?: boolean };
  try {
    ({ values } = parseArgs({
      args,
      options: { kubeconfig: { type: "string" }, verbose: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    }));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (!values.kubeconfig) {
    process.stderr.write(`--kubeconfig is required\n\n${usage}`);
    return 2;
  }
  let client: KubeClient;
  try {
    client = KubeClient.fromEnv({ kubeconfig: values.kubeconfig, env, userAgent: "fairlead-cluster-controllers" });
  } catch (error) {
    if (!(error instanceof KubeconfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
  const rootCa = client.config.tls.ca;
  if (!rootCa) {
    process.stderr.write(`kubeconfig ${values.kubeconfig}: certificate-authority-data is missing\n`);
    return 1;
  }
  const log = lineLog({ write: (line) => void process.stderr.write(line), debug: values.verbose === true });
  const controllers = new Controllers({ client, rootCa, log });
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  const started = controllers.start().then(() => log("info", "controllers are at work"));
  started.catch(() => {});
  const signal = await stopped;
  log("info", "stopping", { signal });
  await controllers.stop();
  return 0;
}
