// Whether a Service and its pods agree on which ports are opaque (spec cli §4.4, "opaque ports are properly annotated").
import { opaquePortsAnnotation, parsePortList } from "#inject";
import type { Pod, Service, ServicePort } from "#kube";
import { containersOf } from "../pods.ts";

/** What is wrong between a Service and each of `pods` that it selects, a line each. A headless Service is not asked: its pods are dialled themselves. */
export function opaquePortMistakes(service: Service, pods: readonly Pod[]): string[] {
  const selector = Object.entries(service.spec?.selector ?? {});
  if (service.spec?.clusterIP === "None" || selector.length === 0) return [];
  const selected = pods.filter(
    ({ metadata }) =>
      metadata.namespace === service.metadata.namespace && selector.every(([key, value]) => metadata.labels?.[key] === value),
  );
  const own = annotated(service, () => []);
  const name = service.metadata.name;
  const mistakes = own.invalid.map((item) => `service ${name}: ${opaquePortsAnnotation}: ${JSON.stringify(item)} is no port`);
  for (const pod of selected) {
    const theirs = annotated(pod, (portName) => portsNamed(pod, portName));
    mistakes.push(
      ...theirs.invalid.map((item) => `pod ${pod.metadata.name}: ${opaquePortsAnnotation}: ${JSON.stringify(item)} is no port`),
    );
    for (const port of service.spec?.ports ?? []) {
      for (const target of targetsOf(pod, port)) {
        const isService = own.ports.has(port.port);
        const isPod = theirs.ports.has(target);
        if (isService && !isPod)
          mistakes.push(
            `service ${name} expects target port ${target} to be opaque; add it to pod ${pod.metadata.name} ${opaquePortsAnnotation} annotation`,
          );
        else if (isPod && !isService)
          mistakes.push(
            `service ${name} targets the opaque port ${target} through ${port.port}; add ${port.port} to its ${opaquePortsAnnotation} annotation`,
          );
      }
    }
  }
  return [...new Set(mistakes)];
}

function annotated({ metadata }: Pod | Service, names: (name: string) => number[]) {
  return parsePortList(metadata.annotations?.[opaquePortsAnnotation] ?? "", names);
}

/** Ports of the pod that a port of the Service leads to: those its containers declare. */
function targetsOf(pod: Pod, { port, targetPort }: ServicePort): number[] {
  const target = targetPort === undefined || targetPort === 0 || targetPort === "" ? port : targetPort;
  return typeof target === "string"
    ? portsNamed(pod, target)
    : containersOf(pod).flatMap(({ ports = [] }) => ports.filter((one) => one.containerPort === target).map((one) => one.containerPort));
}

function portsNamed(pod: Pod, portName: string): number[] {
  return containersOf(pod).flatMap(({ ports = [] }) =>
    ports.filter(({ name }) => name === portName).map(({ containerPort }) => containerPort),
  );
}
