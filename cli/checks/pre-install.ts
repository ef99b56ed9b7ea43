// pre-kubernetes-setup and pre-linkerd-global-resources: may the control plane be installed here? (spec cli §4.4)
import { type AnyObject, KubeError, Resources, type ResourceType } from "#kube";
import { type CheckContext, clientOf, controlPlaneSelector, requireNone } from "./context.ts";
import type { Category, Check } from "./runner.ts";

/** A node's heartbeat may lie this far from this machine's clock: the period of heartbeats, and a little. */
const CLOCK_SKEW_MS = 5 * 60_000 + 10_000;
const CLIENT_CA = { namespace: "kube-system", name: "extension-apiserver-authentication", key: "requestheader-client-ca-file" };

const creatable: readonly { kind: string; type: ResourceType }[] = [
  { kind: "ServiceAccounts", type: Resources.serviceAccounts },
  { kind: "Services", type: Resources.services },
  { kind: "Deployments", type: Resources.deployments },
  { kind: "CronJobs", type: Resources.cronJobs },
  { kind: "ConfigMaps", type: Resources.configMaps },
  { kind: "Secrets", type: Resources.secrets },
];

type Node = AnyObject & { status?: { conditions?: { type: string; lastHeartbeatTime?: string }[] } };
type Review = AnyObject & { status?: { allowed?: boolean; reason?: string } };

export const preKubernetesSetup: Category<CheckContext> = {
  id: "pre-kubernetes-setup",
  checks: [
    {
      description: "control plane namespace does not already exist",
      anchor: "pre-ns",
      async run(context) {
        const { namespace } = context;
        if (await clientOf(context).find({ ...Resources.namespaces, name: namespace }))
          throw new Error(`The "${namespace}" namespace already exists`);
      },
    },
    { description: "can create non-namespaced resources", anchor: "pre-k8s-cluster-k8s", run: dryRunClusterWide },
    ...creatable.map(
      ({ kind, type }): Check<CheckContext> => ({
        description: `can create ${kind}`,
        anchor: "pre-k8s",
        run: (context) => requireAccess(context, type, "create"),
      }),
    ),
    { description: "can read Secrets", anchor: "pre-k8s", run: (context) => requireAccess(context, Resources.secrets, "get") },
    {
      description: "can read extension-apiserver-authentication configmap",
      anchor: "pre-k8s",
      async run(context) {
        const { key, ...place } = CLIENT_CA;
        const map = await clientOf(context).get<AnyObject & { data?: Record<string, string> }>({ ...Resources.configMaps, ...place });
        if (!map.data?.[key]) throw new Error(`--${key} is not set in ConfigMap ${place.namespace}/${place.name}`);
      },
    },
    {
      description: "no clock skew detected",
      anchor: "pre-k8s-clock-skew",
      warning: true,
      async run(context) {
        const nodes = (await clientOf(context).list<Node>(Resources.nodes)).items;
        const skewed = nodes.filter(({ status }) => {
          const beat = status?.conditions?.find(({ type }) => type === "Ready")?.lastHeartbeatTime;
          return beat !== undefined && Math.abs(context.now() - Date.parse(beat)) > CLOCK_SKEW_MS;
        });
        if (skewed.length > 0)
          throw new Error(`clock skew detected for node(s): ${skewed.map(({ metadata }) => metadata.name).join(", ")}`);
      },
    },
  ],
};

/** @throws {Error} unless the user may do this in the control plane's namespace */
async function requireAccess(context: CheckContext, { group, version, resource }: ResourceType, verb: string): Promise<void> {
  const { status } = await clientOf(context).create<Review>(Resources.selfSubjectAccessReviews, {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    metadata: {},
    spec: { resourceAttributes: { namespace: context.namespace, verb, group, version, resource } },
  });
  if (status?.allowed) return;
  throw new Error(`not authorized to ${verb} ${resource}${group ? `.${group}` : ""}${status?.reason ? `: ${status.reason}` : ""}`);
}

type Manifest = { apiVersion?: string; kind?: string; metadata?: { name?: string; namespace?: string } };

/** Every object of an installation that belongs to no namespace, as a dry run. */
async function dryRunClusterWide(context: CheckContext): Promise<void> {
  const failures: string[] = [];
  for (const manifest of (await context.manifests()) as Manifest[]) {
    const { apiVersion = "", kind, metadata } = manifest;
    if (kind === undefined || metadata?.namespace !== undefined) continue;
    const [version = "", group = ""] = apiVersion.split("/").reverse();
    try {
      // Plurals of the kinds that the chart has.
      await clientOf(context).create({ group, version, resource: `${kind.toLowerCase()}s` }, manifest, { dryRun: true });
    } catch (error) {
      // What exists could be created.
      if (!KubeError.isConflict(error)) failures.push(`${kind}/${metadata?.name}: ${(error as Error).message}`);
    }
  }
  requireNone("cannot create", failures);
}

/** Cluster-wide kinds of an installation that carry its label. */
export const globalResources: readonly { kind: string; type: ResourceType }[] = [
  { kind: "ClusterRole", type: Resources.clusterRoles },
  { kind: "ClusterRoleBinding", type: Resources.clusterRoleBindings },
  { kind: "CustomResourceDefinition", type: Resources.customResourceDefinitions },
  { kind: "MutatingWebhookConfiguration", type: Resources.mutatingWebhookConfigurations },
  { kind: "ValidatingWebhookConfiguration", type: Resources.validatingWebhookConfigurations },
];

/** Used by `install config` and `install control-plane` alone. */
export async function existingGlobalResources(client: ReturnType<typeof clientOf>): Promise<string[]> {
  const found = await Promise.all(
    globalResources.map(async ({ kind, type }) => {
      const { items } = await client.list(type, { labelSelector: controlPlaneSelector });
      return items.map(({ metadata }) => `${kind.toLowerCase()}.${type.group}/${metadata.name}`);
    }),
  );
  return found.flat();
}
