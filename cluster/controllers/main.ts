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
  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => {
        log("info", "stopping", { signal });
        stop.abort();
        resolve();
      });
    }
  });
  // The API server starts at the same time: asking it first costs less than every informer's retries.
  await answering(client, stop.signal);
  const controllers = new Controllers({ client, rootCa, log });
  controllers.start().then(
    () => log("info", "controllers are at work"),
    (error: Error) => !stop.signal.aborted && log("error", "the controllers cannot start", { error: error.message }),
  );
  await stopped;
  await controllers.stop();
  return 0;
}

/** How often an API server that does not answer yet is asked, in ms. */
const pollMs = 25;

async function answering(client: KubeClient, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const response = await client.open({ path: "/readyz", signal, timeoutMs: 1_000 });
      await response.body?.cancel();
      return;
    } catch {
      await Bun.sleep(pollMs);
    }
  }
}
