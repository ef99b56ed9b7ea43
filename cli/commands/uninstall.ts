// `uninstall`: the objects to delete, as manifests for `kubectl delete -f -` (spec cli §3.11).
import type { Command } from "commander";
import { toYaml } from "#chart";
import { type KubeClient, type Pod, Resources, type ResourceType } from "#kube";
import { defineCommand } from "../command.ts";
import { controlPlaneNamespace, kubeClient } from "../context.ts";
import { installedExtensions } from "../extensions.ts";
import { bool } from "../flags.ts";
import { CliError, type Io } from "../io.ts";

const LABEL = "linkerd.io/control-plane-ns";

/** In the order of printing: what others refer to goes last. */
const kinds: readonly { kind: string; type: ResourceType }[] = [
  { kind: "ClusterRole", type: Resources.clusterRoles },
  { kind: "ClusterRoleBinding", type: Resources.clusterRoleBindings },
  { kind: "Role", type: Resources.roles },
  { kind: "RoleBinding", type: Resources.roleBindings },
  { kind: "CustomResourceDefinition", type: Resources.customResourceDefinitions },
  { kind: "APIService", type: { group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" } },
  { kind: "MutatingWebhookConfiguration", type: Resources.mutatingWebhookConfigurations },
  { kind: "ValidatingWebhookConfiguration", type: Resources.validatingWebhookConfigurations },
  { kind: "Namespace", type: Resources.namespaces },
];

export function uninstallCommand(io: Io): Command {
  return defineCommand<{ force: boolean }>(io, {
    name: "uninstall",
    description: "Output Kubernetes resources to uninstall the control plane",
    long: "Output Kubernetes resources to uninstall the control plane.\n\nThis command provides all Kubernetes namespace-scoped and cluster-scoped resources (e.g services, deployments, RBACs, etc.)\nnecessary to uninstall the control plane.",
    examples: ["fairlead uninstall | kubectl delete -f -"],
    flags: [bool("-f, --force", "Force uninstall even if there exist non-control-plane injected pods")],
    async run({ flags }) {
      const namespace = controlPlaneNamespace(flags, io);
      const client = kubeClient(flags, io);
      if (!flags.force) await requireUnused(client, namespace);
      // Printed when all is known: half a list would be taken for the whole.
      let output = "";
      for (const { kind, type } of kinds) {
        const apiVersion = type.group === "" ? type.version : `${type.group}/${type.version}`;
        for (const { metadata } of (await client.list(type, { labelSelector: LABEL })).items) {
          const { name, namespace: within } = metadata;
          output += `${toYaml({ apiVersion, kind, metadata: { creationTimestamp: null, name, ...(within ? { namespace: within } : {}) } })}\n---\n`;
        }
      }
      if (output === "") io.stderr("No resources found to uninstall\n");
      else io.stdout(output);
    },
  });
}

/** @throws {CliError} listing what still uses the control plane */
async function requireUnused(client: KubeClient, namespace: string): Promise<void> {
  const extensions = await installedExtensions(client);
  const own = new Set<string | undefined>([namespace, ...extensions.map((extension) => extension.namespace)]);
  const meshed = (await client.list<Pod>(Resources.pods, { labelSelector: LABEL })).items;
  const pods = meshed.filter(({ metadata }) => !own.has(metadata.namespace));
  const lists = [
    list(
      "Please uninstall the following extensions before uninstalling the control-plane:",
      extensions.map(({ name }) => name),
    ),
    list(
      "Please uninject the following resources before uninstalling the control-plane:",
      pods.map(({ metadata }) => metadata.name),
    ),
  ].filter((text) => text !== "");
  if (lists.length > 0) throw new CliError(`${lists.join("\n\n")}\n\nUse --force to uninstall anyway.`);
}

function list(title: string, items: readonly (string | undefined)[]): string {
  return items.length > 0 ? `${title}\n${items.map((item) => `\t* ${item}`).join("\n")}` : "";
}
