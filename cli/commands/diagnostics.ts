// `diagnostics`: what the components say of themselves (spec cli §3.2).
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Command, Option } from "commander";
import { Destination, type WeightedAddr } from "#api/destination_pb";
import { type KubeClient, type Pod, Resources } from "#kube";
import { controlPlaneNamespace, type GlobalOptions, kubeClient, messageOf } from "../context.ts";
import { CliError, type Io, UsageError } from "../io.ts";
import { containerPort, forwardPort, getFromPod, runningPodOf } from "../port-forward.ts";
import { parseTarget, podsOf } from "../resources.ts";
import { leftTable } from "../table.ts";

const METRICS_TIMEOUT_MS = 30_000;
const DESTINATION_PORT = 8086;
/** A Destination answers at once what it knows; silence this long is a failure. */
const ENDPOINTS_TIMEOUT_MS = 15_000;

export function diagnosticsCommand(io: Io): Command {
  const command = new Command("diagnostics").alias("dg").description("Commands used to diagnose Linkerd components");
  command.action(() => command.outputHelp());
  command.addCommand(endpointsCommand(io));
  command.addCommand(proxyMetricsCommand(io));
  command.addCommand(controllerMetricsCommand(io));
  return command;
}

type Endpoint = { namespace: string; ip: string; port: number; pod: string; service: string };

function endpointsCommand(io: Io): Command {
  return new Command("endpoints")
    .alias("ep")
    .description("Introspect Linkerd's service discovery state")
    .usage("[flags] authorities")
    .argument("<authorities...>", "name.namespace.svc.cluster.local:port")
    .addOption(new Option("-o, --output <string>", 'Output format; one of: "table" or "json"').default("table"))
    .action(async (authorities: string[], _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { output: string }>();
      if (options.output !== "table" && options.output !== "json") throw new UsageError("--output supports table and json");
      const namespace = controlPlaneNamespace(options, io);
      const client = kubeClient(options, io);
      const pod = await runningPodOf(client, { namespace, deployment: "linkerd-destination" });
      const forward = forwardPort({ client, namespace, pod: pod.metadata.name ?? "", port: DESTINATION_PORT });
      try {
        const rows = (await Promise.all(authorities.map((authority) => endpointsOf(forward.port, authority)))).flat();
        printEndpoints(io, rows, options.output);
      } catch (error) {
        throw new CliError(`Destination API error: ${forward.error ?? messageOf(error)}`);
      } finally {
        forward.close();
      }
    });
}

/** The first answer of `Destination.Get`; empty for a service without endpoints. */
async function endpointsOf(port: number, authority: string): Promise<Endpoint[]> {
  const destination = createClient(Destination, createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }));
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new CliError(`${authority}: no answer`)), ENDPOINTS_TIMEOUT_MS);
  try {
    for await (const { update } of destination.get({ scheme: "http:", path: authority }, { signal: abort.signal })) {
      if (update.case !== "add") return [];
      const labels = update.value.metricLabels;
      return update.value.addrs.flatMap((addr) => endpointRow(addr, labels) ?? []);
    }
    return [];
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

function endpointRow(addr: WeightedAddr, set: Record<string, string>): Endpoint | undefined {
  const ip = addr.addr?.ip?.ip;
  if (ip?.case !== "ipv4" || !addr.addr) return undefined;
  const labels: Record<string, string> = { ...set, ...addr.metricLabels };
  const namespace = labels["namespace"] ?? "";
  const v = ip.value;
  return {
    namespace,
    ip: [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255].join("."),
    port: addr.addr.port,
    pod: labels["pod"] ?? "",
    service: `${labels["service"] ?? ""}.${namespace}`,
  };
}

function printEndpoints(io: Io, rows: Endpoint[], output: string): void {
  rows.sort((a, b) => (a.service < b.service ? -1 : a.service > b.service ? 1 : 0));
  if (output === "json") {
    io.stdout(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  if (rows.length === 0) {
    io.stderr("No endpoints found.\n");
    return;
  }
  const tables = [...new Set(rows.map((row) => row.namespace))].sort().map((namespace) => {
    const cells = rows.filter((row) => row.namespace === namespace).map((row) => [row.namespace, row.ip, String(row.port), row.pod, row.service]);
    return leftTable(["NAMESPACE", "IP", "PORT", "POD", "SERVICE"], cells);
  });
  io.stdout(tables.join("\n"));
}

function proxyMetricsCommand(io: Io): Command {
  return new Command("proxy-metrics")
    .description("Fetch metrics directly from Linkerd proxies")
    .usage("[flags] (RESOURCE)")
    .argument("<resource>", "TYPE/NAME")
    .option("-n, --namespace <string>", "Namespace of resource", "")
    .action(async (word: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { namespace: string }>();
      const target = parseTarget([word]);
      if (!target.name) throw new CliError("no resource name provided");
      const client = kubeClient(options, io);
      const namespace = options.namespace || client.namespace;
      const pods = await podsOf(client, { namespace, ...target }).catch((error) => {
        throw new CliError(messageOf(error));
      });
      if (pods.length === 0) throw new CliError(`no pods found for ${word} in namespace ${namespace}`);
      const pages = pods.map((pod) => ({ pod, container: undefined, port: containerPort(pod, "linkerd-admin")?.port }));
      await printMetrics(io, client, pages, METRICS_TIMEOUT_MS);
    });
}

function controllerMetricsCommand(io: Io): Command {
  return new Command("controller-metrics")
    .alias("cp-metrics")
    .description("Fetch metrics directly from Linkerd control plane containers")
    .option("-w, --wait <duration>", "Time allowed to fetch diagnostics", "30s")
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { wait: string }>();
      const seconds = /^(\d+)s$/.exec(options.wait);
      if (!seconds) throw new UsageError(`invalid argument "${options.wait}" for "-w, --wait" flag: time: invalid duration "${options.wait}"`);
      const namespace = controlPlaneNamespace(options, io);
      const client = kubeClient(options, io);
      const pods = (await client.list<Pod>({ ...Resources.pods, namespace })).items;
      const pages = pods.flatMap((pod) =>
        (pod.spec?.containers ?? []).flatMap((container) =>
          (container.ports ?? []).filter((port) => port.name === "admin-http").map((port) => ({ pod, container: container.name, port: port.containerPort })),
        ),
      );
      await printMetrics(io, client, pages, Number(seconds[1]) * 1000);
    });
}

/** `port` is absent when the pod declares none. */
type MetricsPage = { readonly pod: Pod; readonly container: string | undefined; readonly port: number | undefined };

/** Each page under a header that says whose it is, sorted by pod and container; a failure stands where the page would. */
async function printMetrics(io: Io, client: KubeClient, pages: readonly MetricsPage[], timeoutMs: number): Promise<void> {
  const key = ({ pod, container }: MetricsPage) => `${pod.metadata.name} ${container ?? ""}`;
  const sorted = [...pages].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  for (const [i, { pod, container, port }] of sorted.entries()) {
    const { name = "", namespace = "" } = pod.metadata;
    io.stdout(`#\n# POD ${name} (${i + 1} of ${sorted.length})\n`);
    try {
      if (pod.status?.phase !== "Running") throw new CliError(`pod not running: ${name}`);
      if (port === undefined) throw new CliError(`no linkerd-admin port found for pod ${name}`);
      const body = await getFromPod(client, { namespace, pod: name, port, path: "/metrics", timeoutMs });
      io.stdout(`${container ? `# CONTAINER ${container} \n` : ""}#\n${body}`);
    } catch (error) {
      io.stdout(`# ERROR ${messageOf(error)}\n`);
    }
  }
}
