// `diagnostics`: what the components say of themselves (spec cli §3.2).
import type { Command } from "commander";
import { parseGoDuration } from "#inject";
import { type KubeClient, type Pod, Resources } from "#kube";
import { atLeast, defineCommand, exactly } from "../command.ts";
import { controlPlaneNamespace, kubeClient, messageOf } from "../context.ts";
import type { Endpoint } from "../endpoints.ts";
import { duration, string } from "../flags.ts";
import { CliError, type Io, UsageError } from "../io.ts";
import { containerPort, runningPodOf } from "../pods.ts";
import { getFromPod, withPort } from "../port-forward.ts";
import { parseTarget, podsOf } from "../resources.ts";
import { leftTable } from "../table.ts";

const PROXY_METRICS_TIMEOUT_MS = 30_000;
const DESTINATION_PORT = 8086;
/** Pods that are asked at the same time. */
const METRICS_CONCURRENCY = 8;

export function diagnosticsCommand(io: Io): Command {
  return defineCommand(io, {
    name: "diagnostics",
    aliases: ["dg"],
    description: "Commands used to diagnose Linkerd components",
    long: "Commands used to diagnose Linkerd components.\n\nThis command provides subcommands to diagnose the functionality of Linkerd.",
    examples: [
      "# Get control-plane component metrics",
      "fairlead diagnostics controller-metrics",
      "",
      "# Get metrics from the web deployment in the emojivoto namespace.",
      "fairlead diagnostics proxy-metrics -n emojivoto deploy/web",
    ],
    children: [controllerMetricsCommand(io), endpointsCommand(io), proxyMetricsCommand(io)],
  });
}

function endpointsCommand(io: Io): Command {
  return defineCommand<{ output: string }>(io, {
    name: "endpoints",
    aliases: ["ep"],
    description: "Introspect Linkerd's service discovery state",
    long: "Introspect Linkerd's service discovery state.\n\nThis command provides debug information about the internal state of the\ncontrol-plane's destination container. It queries the same Destination service\nendpoint as the linkerd-proxy's, and returns the addresses associated with that\ndestination.",
    usage: "[flags] authorities",
    examples: [
      "# get all endpoints for the authorities emoji-svc.emojivoto.svc.cluster.local:8080 and web-svc.emojivoto.svc.cluster.local:80",
      "fairlead diagnostics endpoints emoji-svc.emojivoto.svc.cluster.local:8080 web-svc.emojivoto.svc.cluster.local:80",
      "",
      "# get that same information in json format",
      "fairlead diagnostics endpoints -o json emoji-svc.emojivoto.svc.cluster.local:8080",
    ],
    arguments: atLeast(1),
    flags: [string("-o, --output", 'Output format; one of: "table" or "json"', { default: "table" })],
    async run({ args: authorities, flags }) {
      if (flags.output !== "table" && flags.output !== "json")
        throw new UsageError(`--output: ${JSON.stringify(flags.output)} is not one of: table, json`);
      const namespace = controlPlaneNamespace(flags, io);
      const client = kubeClient(flags, io);
      // The gRPC client takes long to load, and only this command needs it.
      const { endpointsOf } = await import("../endpoints.ts");
      const pod = await runningPodOf(client, { namespace, deployment: "linkerd-destination" });
      const rows = await withPort({ client, namespace, pod: pod.metadata.name ?? "", port: DESTINATION_PORT }, (port) =>
        endpointsOf(port, authorities),
      ).catch((error) => {
        throw new CliError(`Destination API error: ${messageOf(error)}`);
      });
      if (flags.output === "json") io.stdout(`${JSON.stringify(rows, null, 2)}\n`);
      else if (rows.length === 0) io.stderr("No endpoints found.\n");
      else io.stdout(endpointTables(rows));
    },
  });
}

/** A table for each namespace, a blank line between them. */
export function endpointTables(rows: readonly Endpoint[]): string {
  const namespaces = [...new Set(rows.map((row) => row.namespace))].sort();
  const tables = namespaces.map((namespace) => {
    const cells = rows
      .filter((row) => row.namespace === namespace)
      .map(({ ip, port, pod, service }) => [namespace, ip, String(port), pod, service]);
    return leftTable(["NAMESPACE", "IP", "PORT", "POD", "SERVICE"], cells);
  });
  return tables.join("\n");
}

function proxyMetricsCommand(io: Io): Command {
  return defineCommand<{ namespace?: string }>(io, {
    name: "proxy-metrics",
    description: "Fetch metrics directly from Linkerd proxies",
    long: "Fetch metrics directly from Linkerd proxies.\n\nThis command initiates a port-forward to a given pod or set of pods, and\nqueries the /metrics endpoint on the Linkerd proxies.",
    usage: "[flags] (RESOURCE)",
    examples: [
      "# Get metrics from pod-foo-bar in the default namespace.",
      "fairlead diagnostics proxy-metrics po/pod-foo-bar",
      "",
      "# Get metrics from the web deployment in the emojivoto namespace.",
      "fairlead diagnostics proxy-metrics -n emojivoto deploy/web",
    ],
    arguments: exactly(1),
    flags: [string("-n, --namespace", "Namespace of resource")],
    async run({ args, flags }) {
      const target = parseTarget(args);
      if (target.name === undefined) throw new CliError("no resource name provided");
      const client = kubeClient(flags, io);
      const namespace = flags.namespace ?? client.namespace;
      const pods = await podsOf(client, { namespace, ...target });
      if (pods.length === 0) return io.stderr(`No pods found for ${args[0]} in namespace ${namespace}.\n`);
      const pages = pods.map((pod) => ({ pod, container: "", port: containerPort(pod, "linkerd-admin") }));
      await printMetrics(io, client, pages, PROXY_METRICS_TIMEOUT_MS);
    },
  });
}

function controllerMetricsCommand(io: Io): Command {
  return defineCommand<{ wait: string }>(io, {
    name: "controller-metrics",
    aliases: ["cp-metrics"],
    description: "Fetch metrics directly from Linkerd control plane containers",
    long: "Fetch metrics directly from Linkerd control plane containers.\n\nThis command initiates port-forward to each control plane process, and\nqueries the /metrics endpoint on them.",
    flags: [duration("-w, --wait", "Time allowed to fetch diagnostics", { default: "30s" })],
    async run({ flags }) {
      const namespace = controlPlaneNamespace(flags, io);
      const client = kubeClient(flags, io);
      const pods = (await client.list<Pod>({ ...Resources.pods, namespace })).items;
      const pages = pods.flatMap((pod) =>
        (pod.spec?.containers ?? []).flatMap(({ name, ports = [] }) =>
          ports.filter((port) => port.name === "admin-http").map((port) => ({ pod, container: name, port: port.containerPort })),
        ),
      );
      await printMetrics(io, client, pages, parseGoDuration(flags.wait) ?? 0);
    },
  });
}

/** `container` is empty for the proxy's page; `port` is absent when the pod declares none. */
type MetricsPage = { readonly pod: Pod; readonly container: string; readonly port: number | undefined };

/** Each page under a header that says whose it is, sorted by pod and container; a failure stands where the page would. */
async function printMetrics(io: Io, client: KubeClient, pages: readonly MetricsPage[], timeoutMs: number): Promise<void> {
  const key = ({ pod, container }: MetricsPage) => `${pod.metadata.name} ${container}`;
  const sorted = [...pages].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  // Asked some at a time, printed in order, each as soon as those before it are out.
  const answers = sorted.map(() => Promise.withResolvers<string>());
  let next = 0;
  const ask = async () => {
    while (next < sorted.length) {
      const i = next++;
      const page = sorted[i] as MetricsPage;
      const owner = `#\n# POD ${page.pod.metadata.name} (${i + 1} of ${sorted.length})\n`;
      const [before, beforeError] = page.container === "" ? ["#\n", "#\n"] : [`# CONTAINER ${page.container} \n#\n`, ""];
      answers[i]?.resolve(
        await metricsOf(client, page, timeoutMs).then(
          (body) => owner + before + body,
          (error) => `${owner}${beforeError}# ERROR ${messageOf(error)}\n`,
        ),
      );
    }
  };
  const asking = Array.from({ length: METRICS_CONCURRENCY }, ask);
  for (const answer of answers) io.stdout(await answer.promise);
  await Promise.all(asking);
}

async function metricsOf(client: KubeClient, { pod, port }: MetricsPage, timeoutMs: number): Promise<string> {
  const { name = "", namespace = "" } = pod.metadata;
  if (pod.status?.phase !== "Running") throw new CliError(`pod not running: ${name}`);
  if (port === undefined) throw new CliError(`no port linkerd-admin in pod ${name}: it has no proxy`);
  return getFromPod({ client, namespace, pod: name, port }, { path: "/metrics", timeoutMs });
}
