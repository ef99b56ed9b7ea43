// Checks of proxies, in the control plane and beside applications, and of versions (spec cli §4.4).
import { type Pod, Resources, type Service } from "#kube";
import { proxyVersion } from "../commands/version.ts";
import { bullets, type CheckContext, clientOf, configOf } from "./context.ts";
import { type Category, type Check, Skip } from "./runner.ts";

/** Phases of pods that ended without a fault of theirs. */
const ENDED = ["Succeeded"];

async function meshedPods(context: CheckContext, namespace: string | undefined): Promise<Pod[]> {
  const pods = (
    await clientOf(context).list<Pod>({ ...Resources.pods, namespace }, { labelSelector: `linkerd.io/control-plane-ns=${context.namespace}` })
  ).items;
  return pods.filter((pod) => !ENDED.includes(pod.status?.phase ?? ""));
}

const dataPlanePods = (context: CheckContext) => meshedPods(context, context.dataPlaneNamespace || undefined);

/** A proxy is healthy in a running pod when its container is ready. */
function requireHealthy(pods: readonly Pod[]): void {
  if (pods.length === 0) throw new Error('no "linkerd-proxy" containers found');
  for (const pod of pods) {
    const phase = pod.status?.phase ?? "Pending";
    if (phase !== "Running") throw new Error(`pod "${pod.metadata.name}" status is ${phase}`);
    const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
    if (!statuses.find(({ name }) => name === "linkerd-proxy")?.ready) throw new Error(`container "linkerd-proxy" in pod "${pod.metadata.name}" is not ready`);
  }
}

function requireSameVersion(pods: readonly Pod[], version: string, first: boolean): void {
  const others = pods.filter((pod) => pod.status?.phase === "Running" && (proxyVersion(pod) ?? version) !== version);
  if (others.length === 0) return;
  if (first) throw new Error(`${others[0]?.metadata.name} running ${proxyVersion(others[0] as Pod)} but cli running ${version}`);
  throw new Error(bullets("some proxies are not running the current version:", others.map((pod) => `${pod.metadata.name} (${proxyVersion(pod)})`)));
}

/** The version to compare with; without `--expected-version` there is no service to ask, and the check does not apply. */
function expected(context: CheckContext): string {
  if (context.expectedVersion === undefined) throw new Skip();
  return context.expectedVersion;
}

export const linkerdVersion: Category<CheckContext> = {
  id: "linkerd-version",
  checks: [
    { description: "can determine the latest version", anchor: "l5d-version-latest", warning: true, run: async (context) => void expected(context) },
    {
      description: "cli is up-to-date",
      anchor: "l5d-version-cli",
      warning: true,
      async run(context) {
        const latest = expected(context);
        if (context.cliVersion !== latest) throw new Error(`is running version ${number(context.cliVersion)} but the latest ${channel(latest)} version is ${number(latest)}`);
      },
    },
  ],
};

export const controlPlaneVersion: Category<CheckContext> = {
  id: "control-plane-version",
  checks: [
    {
      description: "can retrieve the control plane version",
      anchor: "l5d-version-control",
      fatal: true,
      retry: true,
      async run(context) {
        if (!configOf(context).linkerdVersion) throw new Error("ConfigMap linkerd-config: data.values: linkerdVersion is missing");
      },
    },
    {
      description: "control plane is up-to-date",
      anchor: "l5d-version-control",
      warning: true,
      async run(context) {
        const latest = expected(context);
        const { linkerdVersion: running } = configOf(context);
        if (running !== latest) throw new Error(`is running version ${number(running)} but the latest ${channel(latest)} version is ${number(latest)}`);
      },
    },
    {
      description: "control plane and cli versions match",
      anchor: "l5d-version-control",
      warning: true,
      async run(context) {
        const { linkerdVersion: running } = configOf(context);
        if (running !== context.cliVersion) throw new Error(`control plane running ${running} but cli running ${context.cliVersion}`);
      },
    },
  ],
};

const number = (version: string) => version.slice(version.indexOf("-") + 1);
const channel = (version: string) => version.slice(0, Math.max(0, version.indexOf("-")));

export const controlPlaneProxy: Category<CheckContext> = {
  id: "linkerd-control-plane-proxy",
  checks: [
    {
      description: "control plane proxies are healthy",
      anchor: "l5d-cp-proxy-healthy",
      fatal: true,
      retry: true,
      run: async (context) => requireHealthy(await meshedPods(context, context.namespace)),
    },
    {
      description: "control plane proxies are up-to-date",
      anchor: "l5d-cp-proxy-version",
      warning: true,
      run: async (context) => requireSameVersion(await meshedPods(context, context.namespace), expected(context), false),
    },
    {
      description: "control plane proxies and cli versions match",
      anchor: "l5d-cp-proxy-cli-version",
      warning: true,
      run: async (context) => requireSameVersion(await meshedPods(context, context.namespace), context.cliVersion, true),
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
        const other = (await dataPlanePods(context)).filter((pod) => {
          if (pod.metadata.namespace === context.namespace) return false;
          const proxy = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find(({ name }) => name === "linkerd-proxy");
          const own = proxy?.env?.find(({ name }) => name === "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS")?.value;
          return own !== undefined && anchors !== "" && own.trim() !== anchors;
        });
        if (other.length > 0) throw new Error(bullets("Some pods do not have the current trust bundle and must be restarted:", other.map((pod) => podName(context, pod))));
      },
    },
  ],
};

function podName(context: CheckContext, pod: Pod): string {
  return context.dataPlaneNamespace ? `${pod.metadata.name}` : `${pod.metadata.namespace}/${pod.metadata.name}`;
}

const misplaced = (labels: Record<string, string> | undefined) =>
  Object.keys(labels ?? {}).filter((key) => key === "linkerd.io/inject" || key.startsWith("config.linkerd.io") || key.startsWith("config.alpha.linkerd.io"));

function services(context: CheckContext): Promise<Service[]> {
  return clientOf(context)
    .list<Service>({ ...Resources.services, namespace: context.dataPlaneNamespace || undefined })
    .then(({ items }) => items);
}

function findings(prefix: string, objects: readonly (Pod | Service)[], keys: (object: Pod | Service) => string[]): void {
  const rows = objects.flatMap((object) => {
    const found = keys(object);
    return found.length > 0 ? [`${object.metadata.namespace}/${object.metadata.name}\n\t\t${found.join("\n\t\t")}`] : [];
  });
  if (rows.length > 0) throw new Error(bullets(prefix, rows));
}

const opaquePorts: Check<CheckContext> = {
  description: "opaque ports are properly annotated",
  anchor: "linkerd-opaque-ports-definition",
  warning: true,
  async run(context) {
    const pods = await dataPlanePods(context);
    const key = "config.linkerd.io/opaque-ports";
    const list = (text: string | undefined) => (text ?? "").split(",").map((port) => port.trim()).filter((port) => port !== "");
    const rows: string[] = [];
    for (const service of await services(context)) {
      const selector = Object.entries(service.spec?.selector ?? {});
      if (service.spec?.clusterIP === "None" || selector.length === 0) continue;
      const selected = pods.filter((pod) => pod.metadata.namespace === service.metadata.namespace && selector.every(([k, v]) => pod.metadata.labels?.[k] === v));
      for (const pod of selected) {
        const ofPod = pod.metadata.annotations?.[key];
        const ofService = service.metadata.annotations?.[key];
        for (const port of service.spec?.ports ?? []) {
          const target = targetPort(pod, port.targetPort ?? port.port);
          if (target === undefined) continue;
          const inService = ofService !== undefined && list(ofService).includes(String(port.port));
          const inPod = ofPod !== undefined && list(ofPod).includes(String(target));
          if (inService && !inPod && ofPod !== undefined) rows.push(`service ${service.metadata.name} expects target port ${target} to be opaque; add it to pod ${pod.metadata.name} ${key} annotation`);
          if (inPod && !inService && ofService !== undefined) rows.push(`pod ${pod.metadata.name} targets port ${target} as opaque; add ${port.port} to service ${service.metadata.name} ${key} annotation`);
        }
      }
    }
    if (rows.length > 0) throw new Error(bullets("misannotated opaque ports:", rows));
  },
};

function targetPort(pod: Pod, target: number | string): number | undefined {
  if (typeof target === "number") return target;
  for (const container of pod.spec?.containers ?? []) for (const port of container.ports ?? []) if (port.name === target) return port.containerPort;
  return undefined;
}

export const dataPlane: Category<CheckContext> = {
  id: "linkerd-data-plane",
  checks: [
    {
      description: "data plane namespace exists",
      anchor: "l5d-data-plane-exists",
      fatal: true,
      async run({ dataPlaneNamespace: name, ...context }) {
        if (name !== "" && !(await clientOf(context as CheckContext).find({ ...Resources.namespaces, name }))) throw new Error(`The "${name}" namespace does not exist`);
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
      run: async (context) => requireSameVersion(await dataPlanePods(context), expected(context), false),
    },
    {
      description: "data plane and cli versions match",
      anchor: "l5d-data-plane-cli-version",
      warning: true,
      run: async (context) => requireSameVersion(await dataPlanePods(context), context.cliVersion, true),
    },
    {
      description: "data plane pod labels are configured correctly",
      anchor: "l5d-data-plane-pod-labels",
      warning: true,
      run: async (context) => findings("Some labels on data plane pods should be annotations:", await dataPlanePods(context), (pod) => misplaced(pod.metadata.labels)),
    },
    {
      description: "data plane service labels are configured correctly",
      anchor: "l5d-data-plane-services-labels",
      warning: true,
      run: async (context) => findings("Some labels on data plane services should be annotations:", await services(context), (service) => misplaced(service.metadata.labels)),
    },
    {
      description: "data plane service annotations are configured correctly",
      anchor: "l5d-data-plane-services-annotations",
      warning: true,
      run: async (context) =>
        findings("Some annotations on data plane services should be labels:", await services(context), (service) =>
          Object.keys(service.metadata.annotations ?? {}).filter((annotation) => annotation === "mirror.linkerd.io/exported"),
        ),
    },
    opaquePorts,
  ],
};
