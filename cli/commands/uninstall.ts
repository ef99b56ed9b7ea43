// `uninstall`: the objects to delete, as manifests for `kubectl delete -f -` (spec cli §3.11).
import { Command } from "commander";
import { stringify } from "yaml";
import { type KubeClient, type Pod, Resources, type ResourceType } from "#kube";
import { controlPlaneNamespace, type GlobalOptions, kubeClient } from "../context.ts";
import { CliError, type Io } from "../io.ts";

const LABEL = "linkerd.io/control-plane-ns";
const EXTENSION_LABEL = "linkerd.io/extension";

/** In the order of printing: what others refer to goes last. */
const kinds: readonly { apiVersion: string; kind: string; type: ResourceType; namespaced?: boolean }[] = [
  { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", type: Resources.clusterRoles },
  { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRoleBinding", type: Resources.clusterRoleBindings },
  { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", type: Resources.roles, namespaced: true },
  { apiVersion: "rbac.authorization.k8s.io/v1", kind: "RoleBinding", type: Resources.roleBindings, namespaced: true },
  { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", type: Resources.customResourceDefinitions },
  { apiVersion: "apiregistration.k8s.io/v1", kind: "APIService", type: { group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" } },
  { apiVersion: "admissionregistration.k8s.io/v1", kind: "MutatingWebhookConfiguration", type: Resources.mutatingWebhookConfigurations },
  { apiVersion: "admissionregistration.k8s.io/v1", kind: "ValidatingWebhookConfiguration", type: Resources.validatingWebhookConfigurations },
  { apiVersion: "v1", kind: "Namespace", type: Resources.namespaces },
];

export function uninstallCommand(io: Io): Command {
  return new Command("uninstall")
    .description("Output Kubernetes resources to uninstall the control plane")
    .option("-f, --force", "Force uninstall even if there exist non-control-plane injected pods", false)
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { force: boolean }>();
      const namespace = controlPlaneNamespace(options, io);
      const client = kubeClient(options, io);
      if (!options.force) await requireUnused(client, namespace);
      let found = 0;
      for (const { apiVersion, kind, type, namespaced } of kinds) {
        for (const { metadata } of (await client.list(type, { labelSelector: LABEL })).items) {
          found++;
          const name = namespaced ? { name: metadata.name, namespace: metadata.namespace } : { name: metadata.name };
          io.stdout(`${stringify({ apiVersion, kind, metadata: { creationTimestamp: null, ...name } })}---\n`);
        }
      }
      if (found === 0) io.stderr("No resources found to uninstall\n");
    });
}

async function requireUnused(client: KubeClient, namespace: string): Promise<void> {
  const extensions = (await client.list(Resources.namespaces, { labelSelector: EXTENSION_LABEL })).items;
  const own = new Set([namespace, ...extensions.map(({ metadata }) => metadata.name)]);
  const pods = (await client.list<Pod>(Resources.pods, { labelSelector: LABEL })).items.filter(({ metadata }) => !own.has(metadata.namespace));
  if (extensions.length === 0 && pods.length === 0) return;
  const list = (title: string, names: (string | undefined)[]) => (names.length > 0 ? `${title}\n${names.map((name) => `\t* ${name}\n`).join("")}\n` : "");
  throw new CliError(
    `${list("Please uninstall the following extensions before uninstalling the control-plane:", extensions.map(({ metadata }) => metadata.labels?.[EXTENSION_LABEL]))}${list(
      "Please uninject the following resources before uninstalling the control-plane:",
      pods.map(({ metadata }) => metadata.name),
    )}Use --force to uninstall anyway.`,
  );
}
