// linkerd-cni-plugin: the plugin that takes proxy-init's place (spec cli §4.4).
import { type AnyObject, Resources, type ResourceType } from "#kube";
import { type CheckContext, clientOf, requireAll } from "./context.ts";
import { type Category, type Check, Skip } from "./runner.ts";

type DaemonSet = AnyObject & { status?: { desiredNumberScheduled?: number; numberReady?: number } };

const objects: readonly { kind: string; anchor: string; type: ResourceType; name: string; isNamespaced: boolean }[] = [
  { kind: "ConfigMap", anchor: "cm", type: Resources.configMaps, name: "linkerd-cni-config", isNamespaced: true },
  { kind: "ClusterRole", anchor: "cr", type: Resources.clusterRoles, name: "linkerd-cni", isNamespaced: false },
  { kind: "ClusterRoleBinding", anchor: "crb", type: Resources.clusterRoleBindings, name: "linkerd-cni", isNamespaced: false },
  { kind: "ServiceAccount", anchor: "sa", type: Resources.serviceAccounts, name: "linkerd-cni", isNamespaced: true },
  { kind: "DaemonSet", anchor: "ds", type: Resources.daemonSets, name: "linkerd-cni", isNamespaced: true },
];

/** Does not apply without the plugin. @throws {Skip} */
function requirePlugin(context: CheckContext): void {
  if (!context.cniEnabled && !context.config?.cniEnabled) throw new Skip();
}

export const linkerdCniPlugin: Category<CheckContext> = {
  id: "linkerd-cni-plugin",
  checks: [
    ...objects.map(
      ({ kind, anchor, type, name, isNamespaced }): Check<CheckContext> => ({
        description: `cni plugin ${kind} exists`,
        anchor: `cni-plugin-${anchor}-exists`,
        fatal: true,
        async run(context) {
          requirePlugin(context);
          await requireAll(context, { type, kind: `${kind}s`, names: [name], namespace: isNamespaced ? context.cniNamespace : undefined });
        },
      }),
    ),
    {
      description: "cni plugin pod is running on all nodes",
      anchor: "cni-plugin-ready",
      fatal: true,
      retry: true,
      async run(context) {
        requirePlugin(context);
        const { status } = await clientOf(context).get<DaemonSet>({
          ...Resources.daemonSets,
          namespace: context.cniNamespace,
          name: "linkerd-cni",
        });
        const { desiredNumberScheduled = 0, numberReady = 0 } = status ?? {};
        if (desiredNumberScheduled !== numberReady)
          throw new Error(`number ready: ${numberReady}, number scheduled: ${desiredNumberScheduled}`);
      },
    },
  ],
};
