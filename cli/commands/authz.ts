// `authz`: which ServerAuthorizations apply to a workload (spec cli §3.1).
import type { Command } from "commander";
import { type AnyObject, type LabelSelector, matchesSelector, type Pod, Resources, selectorMistakes } from "#kube";
import { between, defineCommand } from "../command.ts";
import { kubeClient, messageOf } from "../context.ts";
import { string } from "../flags.ts";
import { CliError, type Io } from "../io.ts";
import { containersOf } from "../pods.ts";
import { parseTarget, podsOf } from "../resources.ts";
import { paddedTable } from "../table.ts";

type Server = AnyObject & { spec?: { podSelector?: LabelSelector; port?: number | string } };
type ServerAuthorization = AnyObject & { spec?: { server?: { name?: string; selector?: LabelSelector } } };

export function authzCommand(io: Io): Command {
  return defineCommand<{ namespace?: string }>(io, {
    name: "authz",
    description: "List server authorizations for a resource",
    usage: "[flags] resource",
    examples: ["# List the authorizations of a deployment.", "fairlead authz -n emojivoto deploy/voting"],
    arguments: between(1, 2),
    flags: [string("-n, --namespace", "Namespace of resource")],
    async run({ args, flags }) {
      const target = parseTarget(args);
      const client = kubeClient(flags, io);
      const namespace = flags.namespace ?? client.namespace;
      const pods = await podsOf(client, { namespace, ...target }).catch((error) => {
        throw new CliError(`failed to get pods: ${messageOf(error)}`);
      });
      const [authorizations, servers] = await Promise.all([
        client.list<ServerAuthorization>({ ...Resources.serverAuthorizations, namespace }),
        client.list<Server>({ ...Resources.servers, namespace }),
      ]).catch((error) => {
        throw new CliError(`Failed to get serverauthorization resources: ${messageOf(error)}`);
      });
      const { rows, mistakes } = authorizationRows(authorizations.items, servers.items, pods);
      io.stdout(paddedTable(["SERVER", "AUTHORIZATION"], rows));
      for (const mistake of mistakes) io.stderr(`${mistake}\n`);
    },
  });
}

/** A row for each pair of a Server that takes one of `pods` and an authorization of that Server; and what in them means nothing, by object and field. */
export function authorizationRows(
  authorizations: readonly ServerAuthorization[],
  servers: readonly Server[],
  pods: readonly Pod[],
): { rows: [server: string, authorization: string][]; mistakes: string[] } {
  const mistakes = servers.flatMap((server) =>
    selectorMistakes(server.spec?.podSelector, "spec.podSelector").map((mistake) => `server ${place(server)}: ${mistake}`),
  );
  const rows: [string, string][] = [];
  for (const authorization of authorizations) {
    const { name, selector } = authorization.spec?.server ?? {};
    const named = servers.filter((server) => (name ? server.metadata.name === name : matchesSelector(selector, server.metadata.labels)));
    const where = `serverauthorization ${place(authorization)}`;
    if (name && named.length === 0) mistakes.push(`${where}: spec.server.name: server ${JSON.stringify(name)} does not exist`);
    if (!name && !selector) mistakes.push(`${where}: spec.server: neither name nor selector is given`);
    if (!name && selector) mistakes.push(...selectorMistakes(selector, "spec.server.selector").map((mistake) => `${where}: ${mistake}`));
    for (const server of named)
      if (pods.some((pod) => takes(server, pod))) rows.push([server.metadata.name ?? "", authorization.metadata.name ?? ""]);
  }
  return { rows, mistakes };
}

function place({ metadata }: AnyObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}

/** A Server takes a pod by label, on a port that one of its containers declares by number or name. */
function takes(server: Server, pod: Pod): boolean {
  const port = server.spec?.port;
  return (
    matchesSelector(server.spec?.podSelector, pod.metadata.labels) &&
    containersOf(pod).some(({ ports }) => ports?.some(({ containerPort, name }) => containerPort === port || name === port))
  );
}
