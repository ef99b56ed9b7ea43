// `version`: the client's and the control plane's (spec cli §3.12).
import { Command } from "commander";
import { type Pod, Resources } from "#kube";
import { controlPlaneNamespace, type GlobalOptions, kubeClient } from "../context.ts";
import type { Io } from "../io.ts";
import { linkerdConfig } from "../linkerd-config.ts";
import { VERSION } from "#version";

/** How long the control plane may take to answer. */
const SERVER_TIMEOUT_MS = 5000;
const PROXY_CONTAINER = "linkerd-proxy";

export function versionCommand(io: Io): Command {
  return new Command("version")
    .description("Print the client and server version information")
    .option("--short", "Print the version number(s) only, with no additional output", false)
    .option("--client", "Print the client version only", false)
    .option("--proxy", "Print data-plane versions", false)
    .option("-n, --namespace <string>", "Namespace to use for --proxy. By default, all namespaces are queried", "")
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { short: boolean; client: boolean; proxy: boolean; namespace: string }>();
      const label = (name: string, value: string) => (options.short ? `${value}\n` : `${name} version: ${value}\n`);
      if (options.client) return io.stdout(label("Client", VERSION));
      const namespace = controlPlaneNamespace(options, io);
      const client = kubeClient(options, io);
      io.stdout(label("Client", VERSION));
      const signal = AbortSignal.timeout(SERVER_TIMEOUT_MS);
      const server = await linkerdConfig(client, namespace, signal).then(
        (config) => config.linkerdVersion || "unavailable",
        () => "unavailable",
      );
      io.stdout(label("Server", server));
      if (!options.proxy) return;
      try {
        const pods = (
          await client.list<Pod>(
            { ...Resources.pods, namespace: options.namespace || undefined },
            { labelSelector: `linkerd.io/control-plane-ns=${namespace}`, signal },
          )
        ).items;
        const counts = new Map<string, number>();
        for (const pod of pods) {
          const version = proxyVersion(pod);
          if (version) counts.set(version, (counts.get(version) ?? 0) + 1);
        }
        io.stdout("Proxy versions:\n");
        for (const [version, count] of [...counts].sort()) io.stdout(`\t${version} (${count} pods)\n`);
      } catch {
        io.stdout("Proxy versions: unavailable\n");
      }
    });
}

/** The tag of the proxy's image; undefined for a pod without one. */
export function proxyVersion(pod: Pod): string | undefined {
  const image = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find(({ name }) => name === PROXY_CONTAINER)?.image;
  if (!image) return undefined;
  const tag = image.slice(image.lastIndexOf("/") + 1).split(":")[1];
  return tag ?? "latest";
}
