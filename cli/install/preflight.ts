// What `install` asks the cluster before it renders: an installation must not overwrite another by accident (spec cli §3.6).
import type { Stage, Values } from "#chart";
import { type AnyObject, type KubeClient, KubeError, Resources } from "#kube";
import { existingGlobalResources } from "../checks/pre-install.ts";
import { CliError } from "../io.ts";
import { valueAt } from "../proxy-flags.ts";

export type Preflight = {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly stage: Stage | undefined;
  readonly skipChecks: boolean;
};

/** @throws {CliError} when the stage must not be installed, or the cluster cannot be asked. */
export async function requireInstallable({ client, namespace, stage, skipChecks }: Preflight): Promise<void> {
  try {
    if (stage === "config") return await requireNoGlobalResources(client);
    if (stage === "control-plane" && !skipChecks) await requireGlobalResources(client);
    if (await client.find({ ...Resources.configMaps, namespace, name: "linkerd-config" })) throw new CliError(alreadyInstalled(namespace));
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    throw new CliError(
      `Unable to install the Linkerd control plane. Cannot ask the Kubernetes cluster:\n\n${error.message}\n\nUse the --ignore-cluster flag to generate the manifests without it.`,
    );
  }
}

function alreadyInstalled(namespace: string): string {
  return `Unable to install the Linkerd control plane. It is installed already: ConfigMap ${namespace}/linkerd-config exists.

To upgrade it, render it with the identity it has, from a file with the values of Secret ${namespace}/linkerd-config-overrides:
  fairlead install --ignore-cluster --values overrides.yaml | kubectl apply -f -
To install it anew, remove it first:
  fairlead uninstall | kubectl delete -f -`;
}

async function requireNoGlobalResources(client: KubeClient): Promise<void> {
  const existing = await existingGlobalResources(client);
  if (existing.length === 0) return;
  throw new CliError(
    `Unable to install the Linkerd control plane. It appears that there is an existing installation:\n\n\t${existing.join("\n\t")}\n\nIf you are sure you'd like to have a fresh install, remove these resources with:\n\n\tfairlead uninstall | kubectl delete -f -\n\nOtherwise, you can use the --ignore-cluster flag to overwrite the existing global resources.`,
  );
}

async function requireGlobalResources(client: KubeClient): Promise<void> {
  if ((await existingGlobalResources(client)).length > 0) return;
  throw new CliError(
    "Can't install the Linkerd control plane: the global resources are missing. Create them first with:\n\n\tfairlead install config | kubectl apply -f -\n\nOtherwise, use the --skip-checks flag.",
  );
}

type Node = AnyObject & { status?: { nodeInfo?: { containerRuntimeVersion?: string } } };

/** Refuses values that this cluster cannot run. @throws {CliError} naming the value */
export async function requireSupported(client: KubeClient, values: Values): Promise<void> {
  if (valueAt(values, "enableEndpointSlices") === true && !(await hasEndpointSlices(client)))
    throw new CliError("--enable-endpoint-slices: this cluster does not serve EndpointSlices (discovery.k8s.io/v1)");
  if (valueAt(values, "proxyInit.runAsRoot") === true) return;
  const nodes = (await client.list<Node>(Resources.nodes)).items;
  if (nodes.some(({ status }) => status?.nodeInfo?.containerRuntimeVersion?.startsWith("docker:")))
    throw new CliError(
      "There are nodes using the docker container runtime and proxy-init container must run as root user.\ntry installing linkerd via --set proxyInit.runAsRoot=true",
    );
}

async function hasEndpointSlices(client: KubeClient): Promise<boolean> {
  try {
    await client.request({ path: "/apis/discovery.k8s.io/v1" });
    return true;
  } catch (error) {
    if (KubeError.isNotFound(error)) return false;
    throw error;
  }
}
