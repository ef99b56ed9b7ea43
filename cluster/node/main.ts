// Role `cluster-node`: the node agent of the embedded cluster.
import { mkdirSync, statSync } from "node:fs";
import { parseArgs } from "node:util";
import { KubeClient, loadConfig } from "#kube";
import { missingTools } from "../network/index.ts";
import { NodeAgent } from "./agent.ts";
import { ImageTable } from "./images.ts";
import { defaultBackOff } from "./plan.ts";
import { startKubeletServer } from "./server/index.ts";

const usage = `Usage: fairlead cluster-node --kubeconfig FILE --state-dir DIRECTORY --images FILE [flags]

  --kubeconfig FILE        how to reach the API server
  --state-dir DIRECTORY    pods' files, addresses; survives restarts of the agent
  --images FILE            table from image names to programs of this machine (YAML or JSON)
  --listen unix:PATH       where the API server finds the kubelet API (default unix:STATE-DIR/kubelet.sock)
  --node-name NAME         default "fairlead"
  --cluster NAME           names of network namespaces and links derive from it (default "fairlead")
  --pod-cidr CIDR          default 10.244.0.0/24
  --service-cidr CIDR      default 10.96.0.0/16
  --link-cidr CIDR         link between machine and node, default 10.250.0.0/30: node .1, machine .2
  --cluster-dns IP         default 10.96.0.10
  --cluster-domain DOMAIN  default cluster.local
  --restart-backoff SECONDS  first pause before a restart of a container, doubled up to 30 times that (default 10)
  --no-scheduler           do not bind pods that have no node
`;

/** Runs until SIGTERM or SIGINT; containers go on running then, for the next agent. Exit codes: 0 stopped, 1 failed, 2 wrong usage. */
export async function main(args: string[], env: Record<string, string | undefined>): Promise<number> {
  const fail = (message: string, code = 1) => {
    console.error(`cluster-node: ${message}`);
    return code;
  };
  let values: Record<string, string | boolean | undefined>;
  try {
    const text = { type: "string" } as const;
    ({ values } = parseArgs({
      args,
      options: {
        kubeconfig: text,
        "state-dir": text,
        images: text,
        listen: text,
        "node-name": text,
        cluster: text,
        "pod-cidr": text,
        "service-cidr": text,
        "link-cidr": text,
        "cluster-dns": text,
        "cluster-domain": text,
        "restart-backoff": text,
        "no-scheduler": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`, 2);
  }
  const get = (name: string) => values[name] as string | undefined;
  if (values["help"]) {
    console.log(usage);
    return 0;
  }
  for (const name of ["kubeconfig", "state-dir", "images"]) if (!get(name)) return fail(`--${name} is required\n\n${usage}`, 2);
  const stateDir = get("state-dir")!;
  const listen = get("listen") ?? `unix:${stateDir}/kubelet.sock`;
  if (!listen.startsWith("unix:/")) return fail(`--listen ${listen}: must be unix: and an absolute path`, 2);
  const seconds = Number(get("restart-backoff") ?? defaultBackOff.firstMs / 1000);
  if (!(seconds > 0)) return fail(`--restart-backoff ${get("restart-backoff")}: must be a number of seconds above 0`, 2);
  const missing = missingTools();
  if (missing.length > 0)
    return fail(
      `missing on this machine: ${missing.map((tool) => `${tool.binary} (Debian package ${tool.package}: ${tool.use})`).join(", ")}`,
    );
  if (process.getuid?.() !== 0) return fail("must run as root: it makes network namespaces and runs containers as other users");
  const log = (level: string, message: string) => console.error(`${new Date().toISOString()} ${level.toUpperCase()} ${message}`);
  // Independent of the caller's: files for containers get the modes they are given.
  process.umask(0o022);
  let agent: NodeAgent;
  let server: { close(): Promise<void> };
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o711 });
    agent = new NodeAgent({
      client: new KubeClient({ config: loadConfig({ kubeconfig: get("kubeconfig"), env }), userAgent: "fairlead-node" }),
      nodeName: get("node-name") ?? "fairlead",
      stateDir,
      network: {
        cluster: get("cluster") ?? "fairlead",
        ...(get("pod-cidr") ? { podCidr: get("pod-cidr")! } : {}),
        ...(get("service-cidr") ? { serviceCidr: get("service-cidr")! } : {}),
        ...(get("link-cidr") ? { linkCidr: get("link-cidr")! } : {}),
      },
      images: tableFromFile(get("images")!),
      ...(get("cluster-dns") ? { clusterDns: get("cluster-dns")! } : {}),
      ...(get("cluster-domain") ? { clusterDomain: get("cluster-domain")! } : {}),
      backOff: { firstMs: seconds * 1000, mostMs: seconds * 30_000, resetMs: defaultBackOff.resetMs },
      schedules: values["no-scheduler"] !== true,
      log,
    });
    server = startKubeletServer({ agent, path: listen.slice("unix:".length), log });
    await agent.start();
  } catch (error) {
    return fail((error as Error).message);
  }
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  await server.close();
  await agent.stop();
  return 0;
}

/** The table, read again whenever the file has changed; an unreadable one is an error of each image until it is repaired. */
function tableFromFile(file: string): () => ImageTable {
  let table = ImageTable.load(file);
  let stamp = statSync(file).mtimeMs;
  return () => {
    const now = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (now !== stamp) {
      table = ImageTable.load(file);
      stamp = now;
    }
    return table;
  };
}
