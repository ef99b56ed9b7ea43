// linkerd-config: the cluster-wide objects of the control plane exist (spec cli §4.4).
import { type AnyObject, Resources, type ResourceType } from "#kube";
import { type CheckContext, clientOf, controlPlaneComponents, requireAll } from "./context.ts";
import { type Category, type Check, Skip } from "./runner.ts";

const perNamespace = ({ namespace }: CheckContext) => [`linkerd-${namespace}-identity`, `linkerd-${namespace}-proxy-injector`];

type Expected = {
  readonly kind: string;
  readonly anchor: string;
  readonly type: ResourceType;
  readonly names: (context: CheckContext) => readonly string[];
  readonly isNamespaced?: boolean;
};

/** The reference looks for serviceprofiles.linkerd.io alone; without the policy CRDs policies cannot be applied either. */
const crds = ["serviceprofiles.linkerd.io", "servers.policy.linkerd.io", "serverauthorizations.policy.linkerd.io"];

const expected: readonly Expected[] = [
  { kind: "ClusterRoles", anchor: "cr", type: Resources.clusterRoles, names: perNamespace },
  { kind: "ClusterRoleBindings", anchor: "crb", type: Resources.clusterRoleBindings, names: perNamespace },
  {
    kind: "ServiceAccounts",
    anchor: "sa",
    type: Resources.serviceAccounts,
    names: () => controlPlaneComponents.map((name) => `linkerd-${name}`),
    isNamespaced: true,
  },
  { kind: "CustomResourceDefinitions", anchor: "crd", type: Resources.customResourceDefinitions, names: () => crds },
  {
    kind: "MutatingWebhookConfigurations",
    anchor: "mwc",
    type: Resources.mutatingWebhookConfigurations,
    names: () => ["linkerd-proxy-injector-webhook-config"],
  },
  {
    kind: "ValidatingWebhookConfigurations",
    anchor: "vwc",
    type: Resources.validatingWebhookConfigurations,
    names: () => ["linkerd-sp-validator-webhook-config"],
  },
];

type Node = AnyObject & { status?: { nodeInfo?: { containerRuntimeVersion?: string } } };

export const linkerdConfigCategory: Category<CheckContext> = {
  id: "linkerd-config",
  checks: [
    {
      description: "control plane Namespace exists",
      anchor: "l5d-existence-ns",
      fatal: true,
      run: (context) => requireNamespace(context, context.namespace),
    },
    ...expected.map(
      ({ kind, anchor, type, names, isNamespaced }): Check<CheckContext> => ({
        description: `control plane ${kind} exist`,
        anchor: `l5d-existence-${anchor}`,
        fatal: true,
        run: (context) =>
          requireAll(context, { type, kind, names: names(context), namespace: isNamespaced ? context.namespace : undefined }),
      }),
    ),
    {
      description: "proxy-init container runs as root user if docker container runtime is used",
      anchor: "l5d-proxy-init-run-as-root",
      async run(context) {
        if (!context.config) throw new Skip();
        if (context.config.runAsRoot) return;
        const nodes = (await clientOf(context).list<Node>(Resources.nodes)).items;
        if (nodes.some(({ status }) => status?.nodeInfo?.containerRuntimeVersion?.startsWith("docker:")))
          throw new Error(
            "there are nodes using the docker container runtime and proxy-init container must run as root user.\n\ttry installing linkerd via --set proxyInit.runAsRoot=true",
          );
      },
    },
  ],
};

/** @throws {Error} when there is no such Namespace */
export async function requireNamespace(context: CheckContext, name: string): Promise<void> {
  if (!(await clientOf(context).find({ ...Resources.namespaces, name }))) throw new Error(`The "${name}" namespace does not exist`);
}
