// linkerd-control-plane-proxy, linkerd-identity-data-plane and linkerd-data-plane: the proxies and what is said to them (spec cli §4.4).
import { type Pod, Resources, type Service } from "#kube";
import { PROXY_CONTAINER, proxyOf, proxyVersion } from "../pods.ts";
import { requireNamespace } from "./configuration.ts";
import { bullets, type CheckContext, clientOf, configOf, requireNone } from "./context.ts";
import { opaquePortMistakes } from "./opaque-ports.ts";
import { type Category, Skip } from "./runner.ts";
import { expectedVersion } from "./versions.ts";

/** What kubectl shows as a pod's status for pods that ended without a fault of theirs. */
const ENDED = ["Succeeded", "Completed", "Shutdown", "NodeShutdown", "Evicted"];

/** Pods with a proxy of this control plane that have not ended; those on their way out are no longer asked. */
async function meshedPods(context: CheckContext, namespace: string | undefined): Promise<Pod[]> {
  const labelSelector = `linkerd.io/control-plane-ns=${context.namespace}`;
  const pods = (await clientOf(context).list<Pod>({ ...Resources.pods, namespace }, { labelSelector })).items;
  return pods.filter((pod) => proxyOf(pod) !== undefined && !pod.metadata.deletionTimestamp && !ENDED.includes(statusOf(pod)));
}

/** The reason where there is one, else the phase. */
function statusOf({ status }: Pod): string {
  return (status as { reason?: string } | undefined)?.reason ?? status?.phase ?? "Pending";
}

const controlPlanePods = (context: CheckContext) => meshedPods(context, context.namespace);
const dataPlanePods = (context: CheckContext) => meshedPods(context, context.dataPlaneNamespace || undefined);

/** @throws {Error} unless there are proxies, and each is ready in a running pod */
function requireHealthy(pods: readonly Pod[]): void {
  if (pods.length === 0) throw new Error(`no "${PROXY_CONTAINER}" containers found`);
  for (const pod of pods) {
    const { metadata, status } = pod;
    if (statusOf(pod) !== "Running") throw new Error(`pod "${metadata.name}" status is ${statusOf(pod)}`);
    const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
    if (!statuses.find(({ name }) => name === PROXY_CONTAINER)?.ready)
      throw new Error(`container "${PROXY_CONTAINER}" in pod "${metadata.name}" is not ready`);
  }
}

function otherVersions(pods: readonly Pod[], version: string): Pod[] {
  return pods.filter((pod) => pod.status?.phase === "Running" && proxyVersion(pod) !== version);
}

function requireLatestProxies(pods: readonly Pod[], latest: string): void {
  const old = otherVersions(pods, latest).map((pod) => `${pod.metadata.name} (${proxyVersion(pod)})`);
  requireNone("some proxies are not running the current version:", old);
}

function requireCliVersion(pods: readonly Pod[], cliVersion: string): void {
  const [first] = otherVersions(pods, cliVersion);
  if (first) throw new Error(`${first.metadata.name} running ${proxyVersion(first)} but cli running ${cliVersion}`);
}

export const controlPlaneProxy: Category<CheckContext> = {
  id: "linkerd-control-plane-proxy",
  checks: [
    {
      description: "control plane proxies are healthy",
      anchor: "l5d-cp-proxy-healthy",
      fatal: true,
      retry: true,
      run: async (context) => requireHealthy(await controlPlanePods(context)),
    },
    {
      description: "control plane proxies are up-to-date",
      anchor: "l5d-cp-proxy-version",
      warning: true,
      run: async (context) => requireLatestProxies(await controlPlanePods(context), expectedVersion(context)),
    },
    {
      description: "control plane proxies and cli versions match",
      anchor: "l5d-cp-proxy-cli-version",
      warning: true,
      run: async (context) => requireCliVersion(await controlPlanePods(context), context.cliVersion),
    },
  ],
};

export const identityDataPlane: Category<CheckContext> = {
  id: "linkerd-identity-data-plane",
  checks: [
    {
      description: "data plane proxies certificate match CA",
      anchor: "l5d-identity-data-plane-proxies-certs-match-ca",
      warning: true,
      async run(context) {
        const anchors = configOf(context).identityTrustAnchorsPEM.trim();
        if (anchors === "") throw new Skip();
        const other = (await dataPlanePods(context)).filter((pod) => {
          // Those of the control plane read the anchors themselves.
          if (pod.metadata.namespace === context.namespace) return false;
          const own = proxyOf(pod)?.env?.find(({ name }) => name === "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS")?.value;
          return own !== undefined && own.trim() !== anchors;
        });
        const name = ({ metadata }: Pod) => (context.dataPlaneNamespace ? `${metadata.name}` : `${metadata.namespace}/${metadata.name}`);
        requireNone("Some pods do not have the current trust bundle and must be restarted:", other.map(name));
      },
    },
  ],
};

/** Labels that mean something only as annotations. */
function misplacedLabels({ metadata }: Pod | Service): string[] {
  const isMisplaced = (key: string) => key === "linkerd.io/inject" || /^config\.(alpha\.)?linkerd\.io/.test(key);
  return Object.keys(metadata.labels ?? {})
    .filter(isMisplaced)
    .sort();
}

/** An annotation that means something only as a label. */
function misplacedAnnotations({ metadata }: Pod | Service): string[] {
  return Object.keys(metadata.annotations ?? {}).filter((key) => key === "mirror.linkerd.io/exported");
}

function requireNoMisplaced(title: string, objects: readonly (Pod | Service)[], misplaced: (object: Pod | Service) => string[]): void {
  const rows = objects.flatMap((object) => {
    const keys = misplaced(object);
    return keys.length > 0 ? [`${object.metadata.namespace}/${object.metadata.name}\n\t\t${keys.join("\n\t\t")}`] : [];
  });
  if (rows.length > 0) throw new Error(bullets(title, rows));
}

async function servicesOf(context: CheckContext): Promise<Service[]> {
  return (await clientOf(context).list<Service>({ ...Resources.services, namespace: context.dataPlaneNamespace || undefined })).items;
}

export const dataPlane: Category<CheckContext> = {
  id: "linkerd-data-plane",
  checks: [
    {
      description: "data plane namespace exists",
      anchor: "l5d-data-plane-exists",
      fatal: true,
      async run(context) {
        if (context.dataPlaneNamespace !== "") await requireNamespace(context, context.dataPlaneNamespace);
      },
    },
    {
      description: "data plane proxies are ready",
      anchor: "l5d-data-plane-ready",
      fatal: true,
      retry: true,
      run: async (context) => requireHealthy(await dataPlanePods(context)),
    },
    {
      description: "data plane is up-to-date",
      anchor: "l5d-data-plane-version",
      warning: true,
      run: async (context) => requireLatestProxies(await dataPlanePods(context), expectedVersion(context)),
    },
    {
      description: "data plane and cli versions match",
      anchor: "l5d-data-plane-cli-version",
      warning: true,
      run: async (context) => requireCliVersion(await dataPlanePods(context), context.cliVersion),
    },
    {
      description: "data plane pod labels are configured correctly",
      anchor: "l5d-data-plane-pod-labels",
      warning: true,
      run: async (context) =>
        requireNoMisplaced("Some labels on data plane pods should be annotations:", await dataPlanePods(context), misplacedLabels),
    },
    {
      description: "data plane service labels are configured correctly",
      anchor: "l5d-data-plane-services-labels",
      warning: true,
      run: async (context) =>
        requireNoMisplaced("Some labels on data plane services should be annotations:", await servicesOf(context), misplacedLabels),
    },
    {
      description: "data plane service annotations are configured correctly",
      anchor: "l5d-data-plane-services-annotations",
      warning: true,
      run: async (context) =>
        requireNoMisplaced("Some annotations on data plane services should be labels:", await servicesOf(context), misplacedAnnotations),
    },
    {
      description: "opaque ports are properly annotated",
      anchor: "linkerd-opaque-ports-definition",
      warning: true,
      async run(context) {
        const pods = await dataPlanePods(context);
        const mistakes = (await servicesOf(context)).flatMap((service) => opaquePortMistakes(service, pods));
        requireNone("misconfigured opaque ports:", mistakes);
      },
    },
  ],
};
