// `version`: the client's and the control plane's (spec cli §3.12).
import type { Command } from "commander";
import { type KubeClient, type Pod, Resources } from "#kube";
import { VERSION } from "#version";
import { defineCommand } from "../command.ts";
import { controlPlaneNamespace, kubeClient } from "../context.ts";
import { bool, string } from "../flags.ts";
import type { Io } from "../io.ts";
import { linkerdConfig } from "../linkerd-config.ts";
import { proxyVersion } from "../pods.ts";

/** How long the control plane may take to answer. */
const SERVER_TIMEOUT_MS = 5000;

type Flags = { short: boolean; client: boolean; proxy: boolean; namespace?: string };

export function versionCommand(io: Io): Command {
  return defineCommand<Flags>(io, {
    name: "version",
    description: "Print the client and server version information",
    flags: [
      bool("--short", "Print the version number(s) only, with no additional output"),
      bool("--client", "Print the client version only"),
      bool("--proxy", "Print data-plane versions"),
      string("-n, --namespace", "Namespace to use for --proxy. By default, all namespaces are queried"),
    ],
    async run({ flags }) {
      const line = (name: string, version: string) => io.stdout(flags.short ? `${version}\n` : `${name} version: ${version}\n`);
      if (flags.client) return line("Client", VERSION);
      const namespace = controlPlaneNamespace(flags, io);
      const client = kubeClient(flags, io);
      line("Client", VERSION);
      const signal = AbortSignal.timeout(SERVER_TIMEOUT_MS);
      const server = await linkerdConfig(client, namespace, signal).then(
        (config) => config.linkerdVersion,
        () => "",
      );
      line("Server", server || "unavailable");
      if (!flags.proxy) return;
      const versions = await proxyVersions(client, { controlPlane: namespace, namespace: flags.namespace, signal }).catch(() => undefined);
      io.stdout(
        versions
          ? `Proxy versions:\n${[...versions].map(([version, count]) => `\t${version} (${count} pods)\n`).join("")}`
          : "Proxy versions: unavailable\n",
      );
    },
  });
}

/** Numbers of meshed pods by the version of their proxy, in the versions' order. */
async function proxyVersions(
  client: KubeClient,
  { controlPlane, namespace, signal }: { controlPlane: string; namespace: string | undefined; signal: AbortSignal },
): Promise<[version: string, count: number][]> {
  const labelSelector = `linkerd.io/control-plane-ns=${controlPlane}`;
  const pods = (await client.list<Pod>({ ...Resources.pods, namespace }, { labelSelector, signal })).items;
  const counts = new Map<string, number>();
  for (const version of pods.map(proxyVersion)) if (version !== undefined) counts.set(version, (counts.get(version) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}
