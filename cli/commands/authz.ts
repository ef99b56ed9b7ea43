// `authz`: which ServerAuthorizations apply to a workload (spec cli §3.1).
import { Command } from "commander";
import { type AnyObject, KubeError, type LabelSelector, matchesSelector, type Pod, Resources } from "#kube";
import { type GlobalOptions, kubeClient, messageOf } from "../context.ts";
import { CliError, type Io } from "../io.ts";
import { parseTarget, podsOf } from "../resources.ts";
import { paddedTable } from "../table.ts";

type Server = AnyObject & { spec?: { podSelector?: LabelSelector; port?: number | string } };
type ServerAuthorization = AnyObject & { spec?: { server?: { name?: string; selector?: LabelSelector } } };

export function authzCommand(io: Io): Command {
  return new Command("authz")
    .description("List server authorizations for a resource")
    .usage("[flags] resource")
    .argument("<resource...>", "TYPE, TYPE/NAME or TYPE NAME")
    .option("-n, --namespace <string>", "Namespace of resource", "")
    .action(async (words: string[], _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { namespace: string }>();
      if (words.length > 2) throw new CliError("accepts between 1 and 2 arg(s), received " + words.length);
      const target = parseTarget(words);
      const client = kubeClient(options, io);
      const namespace = options.namespace || client.namespace;
      const pods = await podsOf(client, { namespace, ...target }).catch((error) => {
        throw new CliError(`failed to get pods: ${messageOf(error)}`);
      });
      let rows: string[][];
      try {
        const [authorizations, servers] = await Promise.all([
          client.list<ServerAuthorization>({ ...Resources.serverAuthorizations, namespace }),
          client.list<Server>({ ...Resources.servers, namespace }),
        ]);
        rows = authorizationRows(authorizations.items, servers.items, pods);
      } catch (error) {
        if (error instanceof KubeError) throw new CliError(`Failed to get serverauthorization resources: ${error.message}`);
        throw error;
      }
      io.stdout(paddedTable(["SERVER", "AUTHORIZATION"], rows));
    });
}

/** One row per pair of a Server that takes one of `pods` and an authorization of that Server. */
export function authorizationRows(authorizations: readonly ServerAuthorization[], servers: readonly Server[], pods: readonly Pod[]): string[][] {
  return authorizations.flatMap((authorization) => {
    const reference = authorization.spec?.server;
    return servers
      .filter((server) => (reference?.name ? server.metadata.name === reference.name : matchesSelector(reference?.selector, server.metadata.labels)))
      .filter((server) => pods.some((pod) => selects(server, pod)))
      .map((server) => [server.metadata.name ?? "", authorization.metadata.name ?? ""]);
  });
}

/** A Server takes a pod by label, on a port one of its containers declares by number or name. */
function selects(server: Server, pod: Pod): boolean {
  if (!matchesSelector(server.spec?.podSelector, pod.metadata.labels)) return false;
  const port = server.spec?.port;
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  return containers.some((container) => container.ports?.some((declared) => declared.containerPort === port || declared.name === port));
}
