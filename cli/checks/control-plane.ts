// Checks of the control plane: present, configured, running, with certificates that hold (spec cli §4.4).
import { KubeError, type Pod, type ResourceType, Resources } from "#kube";
import { linkerdConfig } from "../linkerd-config.ts";
import { chainsTo, expiringSoon, outsideValidity, parsePem, requireKeyPair, rfc3339, unsupportedAlgorithm } from "./certificates.ts";
import { bullets, type CheckContext, clientOf, configOf, controlPlaneSelector } from "./context.ts";
import { type Category, type Check, Skip } from "./runner.ts";

const COMPONENTS = ["destination", "identity", "proxy-injector"] as const;

export const linkerdExistence: Category<CheckContext> = {
  id: "linkerd-existence",
  checks: [
    {
      description: "'linkerd-config' config map exists",
      anchor: "l5d-existence-linkerd-config",
      fatal: true,
      async run(context) {
        context.config = await linkerdConfig(clientOf(context), context.namespace);
      },
    },
    {
      description: "heartbeat ServiceAccount exist",
      anchor: "l5d-existence-sa",
      fatal: true,
      async run(context) {
        if (configOf(context).disableHeartBeat) throw new Skip();
        await requireAll(context, Resources.serviceAccounts, ["linkerd-heartbeat"], "ServiceAccounts", context.namespace);
      },
    },
    {
      description: "control plane replica sets are ready",
      anchor: "l5d-existence-replicasets",
      fatal: true,
      retry: true,
      async run(context) {
        const sets = (await clientOf(context).list({ ...Resources.replicaSets, namespace: context.namespace })).items;
        for (const set of sets) {
          const conditions = (set["status"] as { conditions?: { type: string; status: string; message?: string }[] } | undefined)?.conditions;
          const failed = conditions?.find(({ type, status }) => type === "ReplicaFailure" && status === "True");
          if (failed) throw new Error(`${set.metadata.name}: ${failed.message ?? "replicas cannot be created"}`);
        }
      },
    },
    {
      description: "no unschedulable pods",
      anchor: "l5d-existence-unschedulable-pods",
      warning: true,
      retry: true,
      async run(context) {
        for (const pod of await controlPlanePods(context)) {
          const condition = pod.status?.conditions?.find(({ reason }) => reason === "Unschedulable");
          if (condition) throw new Error(`${pod.metadata.name}: ${condition.message ?? "unschedulable"}`);
        }
      },
    },
    {
      description: "control plane pods are ready",
      anchor: "l5d-api-control-ready",
      fatal: true,
      retry: true,
      async run(context) {
        const pods = (await controlPlanePods(context)).filter((pod) => pod.status?.phase === "Running" && !pod.metadata.deletionTimestamp);
        for (const component of COMPONENTS) {
          const own = pods.filter((pod) => pod.metadata.name?.startsWith(`linkerd-${component}-`));
          if (own.length === 0) throw new Error(`No running pods for "linkerd-${component}"`);
          if (own.some((pod) => pod.status?.containerStatuses?.every(({ ready }) => ready))) continue;
          const container = own[0]?.status?.containerStatuses?.find(({ ready }) => !ready);
          throw new Error(`pod/${own[0]?.metadata.name} container ${container?.name ?? "(none)"} is not ready`);
        }
      },
    },
    {
      description: "cluster networks can be verified",
      anchor: "l5d-cluster-networks-verified",
      warning: true,
      async run(context) {
        const without = (await podCidrs(context)).filter(({ cidr }) => !cidr).map(({ node }) => node);
        if (without.length > 0) throw new Error(bullets("the following nodes do not expose a podCIDR:", without));
      },
    },
    {
      description: "cluster networks contains all node podCIDRs",
      anchor: "l5d-cluster-networks-cidr",
      async run(context) {
        const { clusterNetworks } = configOf(context);
        const known = (await podCidrs(context)).filter((row): row is { node: string; cidr: string } => Boolean(row.cidr));
        if (known.length === 0 || clusterNetworks === "") throw new Skip();
        const networks = clusterNetworks.split(",").map((network) => network.trim());
        for (const { node, cidr } of known)
          if (!networks.some((network) => cidrContains(network, cidr)))
            throw new Error(`node ${node} has podCIDR(s) ${cidr} which are not contained in the Linkerd clusterNetworks.\n\tTry installing linkerd via --set clusterNetworks=${cidr}`);
      },
    },
  ],
};

function exist(description: string, anchor: string, type: ResourceType, kind: string, names: (context: CheckContext) => string[], namespaced = false): Check<CheckContext> {
  return {
    description,
    anchor,
    fatal: true,
    run: (context) => requireAll(context, type, names(context), kind, namespaced ? context.namespace : undefined),
  };
}

export const linkerdConfigCategory: Category<CheckContext> = {
  id: "linkerd-config",
  checks: [
    {
      description: "control plane Namespace exists",
      anchor: "l5d-existence-ns",
      fatal: true,
      async run(context) {
        if (!(await clientOf(context).find({ ...Resources.namespaces, name: context.namespace }))) throw new Error(`The "${context.namespace}" namespace does not exist`);
      },
    },
    exist("control plane ClusterRoles exist", "l5d-existence-cr", Resources.clusterRoles, "ClusterRoles", ({ namespace }) => [`linkerd-${namespace}-identity`, `linkerd-${namespace}-proxy-injector`]),
    exist("control plane ClusterRoleBindings exist", "l5d-existence-crb", Resources.clusterRoleBindings, "ClusterRoleBindings", ({ namespace }) => [`linkerd-${namespace}-identity`, `linkerd-${namespace}-proxy-injector`]),
    exist("control plane ServiceAccounts exist", "l5d-existence-sa", Resources.serviceAccounts, "ServiceAccounts", () => COMPONENTS.map((name) => `linkerd-${name}`), true),
    exist("control plane CustomResourceDefinitions exist", "l5d-existence-crd", Resources.customResourceDefinitions, "CustomResourceDefinitions", () => [
      "serviceprofiles.linkerd.io",
      "servers.policy.linkerd.io",
      "serverauthorizations.policy.linkerd.io",
    ]),
    exist("control plane MutatingWebhookConfigurations exist", "l5d-existence-mwc", Resources.mutatingWebhookConfigurations, "MutatingWebhookConfigurations", () => ["linkerd-proxy-injector-webhook-config"]),
    exist("control plane ValidatingWebhookConfigurations exist", "l5d-existence-vwc", Resources.validatingWebhookConfigurations, "ValidatingWebhookConfigurations", () => ["linkerd-sp-validator-webhook-config"]),
    {
      description: "proxy-init container runs as root user if docker container runtime is used",
      anchor: "l5d-proxy-init-run-as-root",
      async run(context) {
        if (!context.config) throw new Skip();
        if (context.config.runAsRoot) return;
        const nodes = (await clientOf(context).list(Resources.nodes)).items;
        const docker = nodes.filter((node) => (node["status"] as { nodeInfo?: { containerRuntimeVersion?: string } } | undefined)?.nodeInfo?.containerRuntimeVersion?.startsWith("docker:"));
        if (docker.length > 0) throw new Error("there are nodes using the docker container runtime and proxy-init container must run as root user.\n\ttry installing linkerd via --set proxyInit.runAsRoot=true");
      },
    },
  ],
};

function cni(description: string, anchor: string, type: ResourceType, kind: string, name: string, namespaced: boolean): Check<CheckContext> {
  return {
    description,
    anchor,
    fatal: true,
    async run(context) {
      requireCni(context);
      await requireAll(context, type, [name], kind, namespaced ? context.cniNamespace : undefined);
    },
  };
}

function requireCni(context: CheckContext): void {
  if (!context.cniEnabled && !context.config?.cniEnabled) throw new Skip();
}

export const linkerdCniPlugin: Category<CheckContext> = {
  id: "linkerd-cni-plugin",
  checks: [
    cni("cni plugin ConfigMap exists", "cni-plugin-cm-exists", Resources.configMaps, "ConfigMaps", "linkerd-cni-config", true),
    cni("cni plugin ClusterRole exists", "cni-plugin-cr-exists", Resources.clusterRoles, "ClusterRoles", "linkerd-cni", false),
    cni("cni plugin ClusterRoleBinding exists", "cni-plugin-crb-exists", Resources.clusterRoleBindings, "ClusterRoleBindings", "linkerd-cni", false),
    cni("cni plugin ServiceAccount exists", "cni-plugin-sa-exists", Resources.serviceAccounts, "ServiceAccounts", "linkerd-cni", true),
    cni("cni plugin DaemonSet exists", "cni-plugin-ds-exists", Resources.daemonSets, "DaemonSets", "linkerd-cni", true),
    {
      description: "cni plugin pod is running on all nodes",
      anchor: "cni-plugin-ready",
      fatal: true,
      retry: true,
      async run(context) {
        requireCni(context);
        const set = await clientOf(context).get({ ...Resources.daemonSets, namespace: context.cniNamespace, name: "linkerd-cni" });
        const { desiredNumberScheduled = 0, numberReady = 0 } = (set["status"] ?? {}) as { desiredNumberScheduled?: number; numberReady?: number };
        if (desiredNumberScheduled !== numberReady) throw new Error(`number ready: ${numberReady}, number scheduled: ${desiredNumberScheduled}`);
      },
    },
  ],
};

type Secret = { metadata: object; data?: Record<string, string> };

async function secret(context: CheckContext, name: string): Promise<Record<string, string> | undefined> {
  const found = await clientOf(context).find<Secret>({ ...Resources.secrets, namespace: context.namespace, name });
  if (!found) return undefined;
  return Object.fromEntries(Object.entries(found.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]));
}

function issuerOf(context: CheckContext) {
  if (!context.issuer) throw new Error("the issuer's credentials have not been read");
  return context.issuer;
}

/** `prefix` with one line per finding, unless there is none. */
function requireNone(prefix: string, findings: readonly string[]): void {
  if (findings.length > 0) throw new Error(bullets(prefix, findings));
}

export const linkerdIdentity: Category<CheckContext> = {
  id: "linkerd-identity",
  checks: [
    {
      description: "certificate config is valid",
      anchor: "l5d-identity-cert-config-valid",
      fatal: true,
      async run(context) {
        const config = configOf(context);
        const name = "linkerd-identity-issuer";
        const data = await secret(context, name);
        if (!data) throw new Error(`Secret ${context.namespace}/${name} not found`);
        const external = config.issuerScheme === "kubernetes.io/tls";
        const [certKey, keyKey] = external ? ["tls.crt", "tls.key"] : ["crt.pem", "key.pem"];
        for (const key of [certKey, keyKey, ...(external ? ["ca.crt"] : [])] as string[])
          if (!data[key]) throw new Error(`key ${key} containing the issuer's credentials needs to exist in secret ${name} if --identity-external-issuer=${external}`);
        const anchors = external ? (data["ca.crt"] as string) : config.identityTrustAnchorsPEM || (await trustRoots(context));
        const [issuer] = parsePem(data[certKey as string] as string, `Secret ${name}: data[${certKey}]`);
        requireKeyPair(issuer as NonNullable<typeof issuer>, data[keyKey as string] as string, `Secret ${name}: data[${keyKey}]`);
        context.issuer = { anchors: parsePem(anchors, "trust anchors"), issuer: issuer as NonNullable<typeof issuer> };
      },
    },
    {
      description: "trust anchors are using supported crypto algorithm",
      anchor: "l5d-identity-trustAnchors-use-supported-crypto",
      fatal: true,
      run: async (context) => requireNone("Invalid trustAnchors:", unsupportedAlgorithm(issuerOf(context).anchors)),
    },
    {
      description: "trust anchors are within their validity period",
      anchor: "l5d-identity-trustAnchors-are-time-valid",
      fatal: true,
      run: async (context) => requireNone("Invalid anchors:", outsideValidity(issuerOf(context).anchors, context.now())),
    },
    {
      description: "trust anchors are valid for at least 60 days",
      anchor: "l5d-identity-trustAnchors-not-expiring-soon",
      warning: true,
      run: async (context) => requireNone("Anchors expiring soon:", expiringSoon(issuerOf(context).anchors, context.now())),
    },
    {
      description: "issuer cert is using supported crypto algorithm",
      anchor: "l5d-identity-issuer-cert-uses-supported-crypto",
      fatal: true,
      run: async (context) => requireNone("issuer certificate", unsupportedAlgorithm([issuerOf(context).issuer])),
    },
    {
      description: "issuer cert is within its validity period",
      anchor: "l5d-identity-issuer-cert-is-time-valid",
      fatal: true,
      async run(context) {
        const { issuer } = issuerOf(context);
        const now = context.now();
        if (now < Date.parse(issuer.validFrom)) throw new Error(`issuer certificate is not valid before: ${rfc3339(issuer.validFrom)}`);
        if (now > Date.parse(issuer.validTo)) throw new Error(`issuer certificate is not valid anymore. Expired on ${rfc3339(issuer.validTo)}`);
      },
    },
    {
      description: "issuer cert is valid for at least 60 days",
      anchor: "l5d-identity-issuer-cert-not-expiring-soon",
      warning: true,
      async run(context) {
        const { issuer } = issuerOf(context);
        if (expiringSoon([issuer], context.now()).length > 0) throw new Error(`issuer certificate will expire on ${rfc3339(issuer.validTo)}`);
      },
    },
    {
      description: "issuer cert is issued by the trust anchor",
      anchor: "l5d-identity-issuer-cert-issued-by-trust-anchor",
      async run(context) {
        const { issuer, anchors } = issuerOf(context);
        if (!chainsTo(issuer, anchors)) throw new Error("issuer certificate is not issued by a trust anchor");
      },
    },
  ],
};

async function trustRoots(context: CheckContext): Promise<string> {
  const map = await clientOf(context).find({ ...Resources.configMaps, namespace: context.namespace, name: "linkerd-identity-trust-roots" });
  return (map?.["data"] as Record<string, string> | undefined)?.["ca-bundle.crt"] ?? "";
}

type WebhookConfiguration = { metadata: object; webhooks?: { failurePolicy?: string; clientConfig?: { caBundle?: string } }[] };

type Webhook = { readonly name: string; readonly configuration: string; readonly type: ResourceType; readonly optional: boolean };

const webhooks: readonly Webhook[] = [
  { name: "proxy-injector", configuration: "linkerd-proxy-injector-webhook-config", type: Resources.mutatingWebhookConfigurations, optional: false },
  { name: "sp-validator", configuration: "linkerd-sp-validator-webhook-config", type: Resources.validatingWebhookConfigurations, optional: false },
  { name: "policy-validator", configuration: "linkerd-policy-validator-webhook-config", type: Resources.validatingWebhookConfigurations, optional: true },
];

async function webhookCertificates(context: CheckContext, webhook: Webhook) {
  const client = clientOf(context);
  const found = await client.find<WebhookConfiguration>({ ...webhook.type, name: webhook.configuration });
  const own = await secret(context, `linkerd-${webhook.name}-k8s-tls`);
  const old = own ? undefined : await secret(context, `linkerd-${webhook.name}-tls`);
  const pem = own?.["tls.crt"] ?? old?.["crt.pem"];
  const key = own?.["tls.key"] ?? old?.["key.pem"];
  if ((!found || !pem) && webhook.optional) throw new Skip();
  if (!found) throw new Error(`${webhook.configuration} not found`);
  if (found.webhooks?.length !== 1) throw new Error(`expected 1 webhook in ${webhook.configuration}, found ${found.webhooks?.length ?? 0}`);
  if (!pem || !key) throw new Error(`Secret ${context.namespace}/linkerd-${webhook.name}-k8s-tls not found`);
  const anchors = parsePem(Buffer.from(found.webhooks[0]?.clientConfig?.caBundle ?? "", "base64").toString("utf8"), `${webhook.configuration}: caBundle`);
  const chain = parsePem(pem, `Secret linkerd-${webhook.name}-k8s-tls`);
  return { anchors, chain, key };
}

export const webhooksTls: Category<CheckContext> = {
  id: "linkerd-webhooks-and-apisvc-tls",
  checks: webhooks.flatMap((webhook): Check<CheckContext>[] => [
    {
      description: `${webhook.name} webhook has valid cert`,
      anchor: `l5d-${webhook.name}-webhook-cert-valid`,
      fatal: true,
      async run(context) {
        const { anchors, chain, key } = await webhookCertificates(context, webhook);
        const leaf = chain[0] as NonNullable<(typeof chain)[number]>;
        requireKeyPair(leaf, key, `Secret linkerd-${webhook.name}-k8s-tls`);
        requireNone("Invalid anchors:", outsideValidity(anchors, context.now()));
        requireNone("certificate is not valid:", outsideValidity([leaf], context.now()));
        const name = `linkerd-${webhook.name}.${context.namespace}.svc`;
        if (!leaf.checkHost(name, { subject: "never" })) throw new Error(`cert is not issued for ${name}`);
        if (!chainsTo(leaf, anchors, chain.slice(1))) throw new Error("cert is not issued by the trust anchor");
      },
    },
    {
      description: `${webhook.name} cert is valid for at least 60 days`,
      anchor: `l5d-${webhook.name}-webhook-cert-not-expiring-soon`,
      warning: true,
      async run(context) {
        const { chain } = await webhookCertificates(context, webhook);
        requireNone("certificate will expire soon:", expiringSoon(chain, context.now()));
      },
    },
  ]),
};

export const haChecks: Category<CheckContext> = {
  id: "linkerd-ha-checks",
  checks: [
    {
      description: "pod injection disabled on kube-system",
      anchor: "l5d-injection-disabled",
      warning: true,
      async run(context) {
        const client = clientOf(context);
        const found = await client.find<WebhookConfiguration>({ ...Resources.mutatingWebhookConfigurations, name: "linkerd-proxy-injector-webhook-config" });
        if (found?.webhooks?.[0]?.failurePolicy !== "Fail") throw new Skip();
        const namespace = await client.find({ ...Resources.namespaces, name: "kube-system" });
        if (namespace?.metadata.labels?.["config.linkerd.io/admission-webhooks"] !== "disabled")
          throw new Error("kube-system namespace needs to have the label config.linkerd.io/admission-webhooks: disabled if injector webhook failure policy is Fail");
      },
    },
    {
      description: "multiple replicas of control plane pods",
      anchor: "l5d-control-plane-replicas",
      warning: true,
      retry: true,
      async run(context) {
        if (!configOf(context).highAvailability) throw new Skip();
        for (const component of COMPONENTS) {
          const deployment = await clientOf(context).find({ ...Resources.deployments, namespace: context.namespace, name: `linkerd-${component}` });
          const available = (deployment?.["status"] as { availableReplicas?: number } | undefined)?.availableReplicas ?? 0;
          if (available <= 1) throw new Error(`not enough replicas available for [linkerd-${component}]`);
        }
      },
    },
  ],
};

async function requireAll(context: CheckContext, type: ResourceType, names: readonly string[], kind: string, namespace?: string): Promise<void> {
  const client = clientOf(context);
  const missing: string[] = [];
  for (const name of names) {
    try {
      if (!(await client.find({ ...type, namespace, name }))) missing.push(name);
    } catch (error) {
      if (error instanceof KubeError) throw new Error(`${kind} ${name}: ${error.message}`);
      throw error;
    }
  }
  if (missing.length > 0) throw new Error(`missing ${kind}: ${missing.join(", ")}`);
}

export async function controlPlanePods(context: CheckContext): Promise<Pod[]> {
  return (await clientOf(context).list<Pod>({ ...Resources.pods, namespace: context.namespace }, { labelSelector: controlPlaneSelector })).items;
}

async function podCidrs(context: CheckContext): Promise<{ node: string; cidr: string | undefined }[]> {
  const nodes = (await clientOf(context).list(Resources.nodes)).items;
  return nodes.map((node) => ({ node: node.metadata.name ?? "", cidr: (node["spec"] as { podCIDR?: string } | undefined)?.podCIDR }));
}

/** IPv4 only, as pod networks checked here are. */
function cidrContains(outer: string, inner: string): boolean {
  const parse = (cidr: string) => {
    const [ip = "", bits = "32"] = cidr.split("/");
    return { value: ip.split(".").reduce((n, part) => n * 256 + Number(part), 0), bits: Number(bits) };
  };
  const a = parse(outer);
  const b = parse(inner);
  const size = 2 ** (32 - a.bits);
  return b.bits >= a.bits && Math.floor(a.value / size) === Math.floor(b.value / size);
}
