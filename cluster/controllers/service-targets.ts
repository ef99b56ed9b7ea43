// Which pods stand behind a service, and under which ports: what Endpoints and EndpointSlices have in common. Pure.
import { type KubeObject, matchesSelector, type ServicePort } from "#kube";
import { isPodReady, isPodTerminal } from "./meta.ts";
import type { Pod, Service } from "./types.ts";
import type { World } from "./world.ts";

export interface TargetPort {
  name: string;
  port: number;
  protocol: string;
  appProtocol?: string;
}

export interface ServiceTarget {
  pod: Pod;
  ip: string;
  ports: TargetPort[];
  hostname?: string;
  ready: boolean;
  terminating: boolean;
}

export const headlessLabel = "service.kubernetes.io/headless";

/** True for a service whose endpoints follow from pods. */
export function hasSelector(service: Service): boolean {
  return service.spec?.type !== "ExternalName" && Object.keys(service.spec?.selector ?? {}).length > 0;
}

export function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === "None";
}

/** Pods of the service that have an address and have not ended, by name. Terminating ones are among them. */
export function targetsOf(world: World, service: Service): ServiceTarget[] {
  const selector = { matchLabels: service.spec?.selector ?? {} };
  const targets: ServiceTarget[] = [];
  for (const pod of world.pods.list(service.metadata.namespace)) {
    if (!matchesSelector(selector, pod.metadata.labels) || isPodTerminal(pod)) continue;
    const ip = pod.status?.podIP;
    if (!ip) continue;
    const { hostname, subdomain } = pod.spec ?? {};
    targets.push({
      pod,
      ip,
      ports: portsOf(service, pod),
      ...(hostname && subdomain === service.metadata.name ? { hostname } : {}),
      ready: isPodReady(pod),
      terminating: pod.metadata.deletionTimestamp !== undefined,
    });
  }
  return targets.sort((a, b) => ((a.pod.metadata.name ?? "") < (b.pod.metadata.name ?? "") ? -1 : 1));
}

/** The pod's ports for the service's; a named port that the pod does not have is left out. */
function portsOf(service: Service, pod: Pod): TargetPort[] {
  const ports: TargetPort[] = [];
  for (const port of service.spec?.ports ?? []) {
    const number = findPort(pod, port);
    if (number === undefined) continue;
    ports.push({
      name: port.name ?? "",
      port: number,
      protocol: port.protocol ?? "TCP",
      ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
    });
  }
  return ports;
}

function findPort(pod: Pod, { targetPort, port, protocol = "TCP" }: ServicePort): number | undefined {
  if (targetPort === undefined || targetPort === 0 || targetPort === "") return port;
  if (typeof targetPort === "number") return targetPort;
  const sidecars = (pod.spec?.initContainers ?? []).filter((one) => one.restartPolicy === "Always");
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars]) {
    for (const one of container.ports ?? []) if (one.name === targetPort && (one.protocol ?? "TCP") === protocol) return one.containerPort;
  }
  return undefined;
}

export function podReference(pod: Pod): { kind: string; namespace: string; name: string; uid: string } {
  return { kind: "Pod", namespace: pod.metadata.namespace ?? "", name: pod.metadata.name ?? "", uid: pod.metadata.uid ?? "" };
}

/** The service's labels, which its endpoints carry too, with the mark of a headless one. */
export function inheritedLabels(service: Service): Record<string, string> {
  const { [headlessLabel]: _, ...labels } = service.metadata.labels ?? {};
  return isHeadless(service) ? { ...labels, [headlessLabel]: "" } : labels;
}

/** The services of the object's namespace that select these labels. */
export function servicesSelecting(world: World, pod: KubeObject): Service[] {
  return world.services
    .list(pod.metadata.namespace)
    .filter((service) => hasSelector(service) && matchesSelector({ matchLabels: service.spec?.selector ?? {} }, pod.metadata.labels));
}
