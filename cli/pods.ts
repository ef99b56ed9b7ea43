// Pods as the commands look at them: containers, native sidecars among them, the proxy, its version and ports.
import { type Container, type KubeClient, type Pod, Resources } from "#kube";
import { CliError } from "./io.ts";

export const PROXY_CONTAINER = "linkerd-proxy";

/** Containers and init containers: a native sidecar is one of the latter. */
export function containersOf(pod: Pod): Container[] {
  return [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
}

export function proxyOf(pod: Pod): Container | undefined {
  return containersOf(pod).find(({ name }) => name === PROXY_CONTAINER);
}

/** The tag of the proxy's image, `latest` when it has none; undefined for a pod without a proxy. */
export function proxyVersion(pod: Pod): string | undefined {
  const image = proxyOf(pod)?.image;
  if (image === undefined) return undefined;
  const [name = ""] = image.slice(image.lastIndexOf("/") + 1).split("@");
  return name.split(":")[1] ?? "latest";
}

/** The number of a container's named port. */
export function containerPort(pod: Pod, portName: string): number | undefined {
  for (const { ports = [] } of containersOf(pod)) for (const port of ports) if (port.name === portName) return port.containerPort;
  return undefined;
}

/** A running pod of a Deployment. @throws {CliError} when there is none. */
export async function runningPodOf(client: KubeClient, { namespace, deployment }: { namespace: string; deployment: string }): Promise<Pod> {
  const [sets, pods] = await Promise.all([
    client.list({ ...Resources.replicaSets, namespace }),
    client.list<Pod>({ ...Resources.pods, namespace }),
  ]);
  const isOf = (set: (typeof sets.items)[number]) =>
    set.metadata.ownerReferences?.some(({ kind, name }) => kind === "Deployment" && name === deployment);
  const owners = new Set(sets.items.filter(isOf).map((set) => set.metadata.uid));
  const pod = pods.items.find(
    ({ metadata, status }) =>
      status?.phase === "Running" && !metadata.deletionTimestamp && metadata.ownerReferences?.some(({ uid }) => owners.has(uid)),
  );
  if (!pod) throw new CliError(`no running pods found for ${deployment}`);
  return pod;
}
