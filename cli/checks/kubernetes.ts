// Checks of the cluster itself: reachable, new enough, and (before an installation) willing.
import { KubeError, type ResourceType, Resources } from "#kube";
import { bullets, type CheckContext, clientOf, controlPlaneSelector } from "./context.ts";
import type { Category } from "./runner.ts";

const MINIMUM_VERSION = [1, 17, 0] as const;
/** A node's heartbeat may lie this far from this machine's clock. */
const CLOCK_SKEW_MS = 5 * 60_000 + 10_000;

export const kubernetesApi: Category<CheckContext> = {
  id: "kubernetes-api",
  checks: [
    { description: "can initialize the client", anchor: "k8s-api", fatal: true, run: async (context) => void clientOf(context) },
    {
      description: "can query the Kubernetes API",
      anchor: "k8s-api",
      fatal: true,
      run: async (context) => void (await clientOf(context).request({ path: "/version" })),
    },
  ],
};

export const kubernetesVersion: Category<CheckContext> = {
  id: "kubernetes-version",
  checks: [
    {
      description: "is running the minimum Kubernetes API version",
      anchor: "k8s-version",
      async run(context) {
        const { gitVersion } = await clientOf(context).request<{ gitVersion: string }>({ path: "/version" });
        requireVersion(gitVersion, "Kubernetes is on version");
      },
    },
    {
      description: "is running the minimum kubectl version",
      anchor: "kubectl-version",
      async run() {
        if (!Bun.which("kubectl")) throw new Error("exec: \"kubectl\": executable file not found in $PATH");
        // `--short`, which the reference gives, is an error since kubectl 1.28.
        const asked = Bun.spawnSync(["kubectl", "version", "--client"], { stdout: "pipe", stderr: "pipe" });
        const found = /v\d+\.\d+\.\d+/.exec(asked.stdout.toString());
        if (!found) throw new Error(`cannot find the version of kubectl: ${(asked.stderr.toString() || asked.stdout.toString()).trim()}`);
        requireVersion(found[0], "kubectl is on version");
      },
    },
  ],
};

function requireVersion(version: string, what: string): void {
  const found = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version);
  if (!found) throw new Error(`${what} ${version}, which is no version`);
  const parts = found.slice(1).map(Number);
  for (const [i, least] of MINIMUM_VERSION.entries()) {
    const part = parts[i] as number;
    if (part > least) return;
    if (part < least) throw new Error(`${what} [${parts.join(".")}], but version [${MINIMUM_VERSION.join(".")}] or more recent is required`);
  }
}

const creatable: readonly [kind: string, ResourceType][] = [
  ["ServiceAccounts", Resources.serviceAccounts],
  ["Services", Resources.services],
  ["Deployments", Resources.deployments],
  ["CronJobs", Resources.cronJobs],
  ["ConfigMaps", Resources.configMaps],
  ["Secrets", Resources.secrets],
];

export const preKubernetesSetup: Category<CheckContext> = {
  id: "pre-kubernetes-setup",
  checks: [
    {
      description: "control plane namespace does not already exist",
      anchor: "pre-ns",
      async run(context) {
        const { namespace } = context;
        if (await clientOf(context).find({ ...Resources.namespaces, name: namespace })) throw new Error(`The "${namespace}" namespace already exists`);
      },
    },
    { description: "can create non-namespaced resources", anchor: "pre-k8s-cluster-k8s", run: dryRunClusterWide },
    ...creatable.map(([kind, type]) => ({
      description: `can create ${kind}`,
      anchor: "pre-k8s",
      run: (context: CheckContext) => requireAccess(context, type, "create"),
    })),
    { description: "can read Secrets", anchor: "pre-k8s", run: (context) => requireAccess(context, Resources.secrets, "get") },
    {
      description: "can read extension-apiserver-authentication configmap",
      anchor: "pre-k8s",
      async run(context) {
        const name = "extension-apiserver-authentication";
        const map = await clientOf(context).get({ ...Resources.configMaps, namespace: "kube-system", name });
        const data = map["data"] as Record<string, string> | undefined;
        if (!data?.["requestheader-client-ca-file"]) throw new Error(`--requestheader-client-ca-file is not set in ConfigMap kube-system/${name}`);
      },
    },
    {
      description: "no clock skew detected",
      anchor: "pre-k8s-clock-skew",
      warning: true,
      async run(context) {
        const nodes = (await clientOf(context).list(Resources.nodes)).items;
        const skewed = nodes.filter((node) => {
          const conditions = (node["status"] as { conditions?: { type: string; lastHeartbeatTime?: string }[] } | undefined)?.conditions;
          const beat = conditions?.find(({ type }) => type === "Ready")?.lastHeartbeatTime;
          return beat !== undefined && Math.abs(context.now() - Date.parse(beat)) > CLOCK_SKEW_MS;
        });
        if (skewed.length > 0) throw new Error(`clock skew detected for node(s): ${skewed.map((node) => node.metadata.name).join(", ")}`);
      },
    },
  ],
};

async function requireAccess(context: CheckContext, type: ResourceType, verb: string): Promise<void> {
  const { group, version, resource } = type;
  const review = await clientOf(context).create(Resources.selfSubjectAccessReviews, {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    metadata: {},
    spec: { resourceAttributes: { namespace: context.namespace, verb, group, version, resource } },
  });
  const status = review["status"] as { allowed?: boolean; reason?: string } | undefined;
  if (!status?.allowed) throw new Error(`not authorized to access ${resource}${group ? `.${group}` : ""}${status?.reason ? `: ${status.reason}` : ""}`);
}

type Manifest = { apiVersion?: string; kind?: string; metadata?: { name?: string; namespace?: string } };

async function dryRunClusterWide(context: CheckContext): Promise<void> {
  const client = clientOf(context);
  const failures: string[] = [];
  for (const manifest of (await context.manifests()) as Manifest[]) {
    if (!manifest.kind || manifest.metadata?.namespace) continue;
    const [group = "", version = ""] = manifest.apiVersion?.includes("/") ? manifest.apiVersion.split("/") : ["", manifest.apiVersion];
    const resource = manifest.kind === "CustomResourceDefinition" ? "customresourcedefinitions" : `${manifest.kind.toLowerCase()}s`;
    try {
      await client.create({ group, version, resource }, manifest, { dryRun: true });
    } catch (error) {
      if (KubeError.isConflict(error)) continue;
      failures.push(`${manifest.kind}/${manifest.metadata?.name}: ${(error as Error).message}`);
    }
  }
  if (failures.length > 0) throw new Error(bullets("cannot create", failures));
}

const globalKinds: readonly [kind: string, ResourceType][] = [
  ["ClusterRoles", Resources.clusterRoles],
  ["ClusterRoleBindings", Resources.clusterRoleBindings],
  ["CustomResourceDefinitions", Resources.customResourceDefinitions],
  ["MutatingWebhookConfigurations", Resources.mutatingWebhookConfigurations],
  ["ValidatingWebhookConfigurations", Resources.validatingWebhookConfigurations],
];

export const preLinkerdGlobalResources: Category<CheckContext> = {
  id: "pre-linkerd-global-resources",
  checks: globalKinds.map(([kind, type]) => ({
    description: `no ${kind} exist`,
    anchor: "pre-l5d-existence",
    async run(context: CheckContext) {
      const found = (await clientOf(context).list(type, { labelSelector: controlPlaneSelector })).items;
      if (found.length > 0) throw new Error(`${kind} found but should not exist: ${found.map((object) => object.metadata.name).join(" ")}`);
    },
  })),
};

