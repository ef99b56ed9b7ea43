// A container's environment, command and arguments, as the kubelet makes them.
import type { Service } from "#kube";
import { fieldValue, type NodeCapacity, type PodAddresses, resourceValue } from "./downward.ts";
import { defaultPath, type ImageEntry } from "./images.ts";
import type { ConfigMapObject, ContainerSpec, NodePod, SecretObject } from "./types.ts";

/** What a container refers to is missing or wrong: the pod shows it as CreateContainerConfigError. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Objects of the pod's namespace. */
export interface Sources {
  configMap(namespace: string, name: string): ConfigMapObject | undefined;
  secret(namespace: string, name: string): SecretObject | undefined;
  /** All services, for the variables that name them. */
  services(): Service[];
}

export interface EnvironmentInput {
  pod: NodePod;
  container: ContainerSpec;
  image: ImageEntry;
  addresses: PodAddresses;
  capacity: NodeCapacity;
  sources: Sources;
}

/**
 * Name → value, in order: the image's, services', `envFrom`, `env`; later ones win. `$(NAME)` sees only what stands before it.
 * @throws {ConfigError} for a missing object or key that is not optional.
 */
export function buildEnvironment({ pod, container, image, addresses, capacity, sources }: EnvironmentInput): Map<string, string> {
  const namespace = pod.metadata.namespace ?? "default";
  const services = serviceVariables(sources.services(), namespace, pod.spec.enableServiceLinks !== false);
  const own = new Map<string, string>();
  for (const source of container.envFrom ?? []) {
    const { configMapRef, secretRef, prefix = "" } = source;
    const ref = configMapRef ?? secretRef;
    if (!ref) continue;
    const data = configMapRef ? configMapData(sources.configMap(namespace, ref.name)) : secretData(sources.secret(namespace, ref.name));
    if (!data) {
      if (ref.optional) continue;
      throw new ConfigError(`${configMapRef ? "configmap" : "secret"} "${ref.name}" not found`);
    }
    for (const [name, value] of Object.entries(data)) own.set(`${prefix}${name}`, value.toString("utf8"));
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom === undefined) {
      own.set(
        name,
        expand(value ?? "", (variable) => own.get(variable) ?? services.get(variable)),
      );
      continue;
    }
    if (valueFrom.fieldRef)
      own.set(
        name,
        wrap(() => fieldValue(pod, valueFrom.fieldRef!.fieldPath, addresses)),
      );
    else if (valueFrom.resourceFieldRef)
      own.set(
        name,
        wrap(() => resourceValue(pod, container, valueFrom.resourceFieldRef!, capacity)),
      );
    else if (valueFrom.configMapKeyRef || valueFrom.secretKeyRef) {
      const ref = (valueFrom.configMapKeyRef ?? valueFrom.secretKeyRef)!;
      const kind = valueFrom.configMapKeyRef ? "configmap" : "secret";
      const data = valueFrom.configMapKeyRef
        ? configMapData(sources.configMap(namespace, ref.name))
        : secretData(sources.secret(namespace, ref.name));
      const found = data?.[ref.key];
      if (found !== undefined) own.set(name, found.toString("utf8"));
      else if (ref.optional !== true)
        throw new ConfigError(
          data
            ? `couldn't find key ${ref.key} in ${kind === "configmap" ? "ConfigMap" : "Secret"} ${namespace}/${ref.name}`
            : `${kind} "${ref.name}" not found`,
        );
    }
  }
  return new Map([["PATH", defaultPath], ["HOSTNAME", hostnameOf(pod)], ...Object.entries(image.env ?? {}), ...services, ...own]);
}

/** The program and its arguments. @throws {ConfigError} when neither image nor container names one. */
export function buildCommand(container: ContainerSpec, image: ImageEntry, environment: Map<string, string>): string[] {
  const substitute = (list: string[]) => list.map((text) => expand(text, (name) => environment.get(name)));
  const command = container.command?.length ? substitute(container.command) : undefined;
  const args = container.args?.length ? substitute(container.args) : undefined;
  const argv = command ? [...command, ...(args ?? [])] : [...(image.command ?? []), ...(args ?? image.args ?? [])];
  if (argv.length === 0)
    throw new ConfigError(`no command specified: neither container ${container.name} nor image ${container.image} names one`);
  return argv;
}

/** `$(NAME)` → value, `$$` → `$`; an unknown name stays as it is (k8s.io/kubernetes/third_party/forked/golang/expansion). */
export function expand(text: string, lookUp: (name: string) => string | undefined): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, kind: string, name: string | undefined) =>
    kind === "$" ? "$" : (lookUp(name ?? "") ?? whole),
  );
}

/** Docker-style variables of the API server's service, and with `links` of every service of the namespace. */
export function serviceVariables(services: Service[], namespace: string, links: boolean): Map<string, string> {
  const variables = new Map<string, string>();
  const chosen = services.filter(({ metadata, spec }) => {
    if (!spec?.clusterIP || spec.clusterIP === "None" || spec.type === "ExternalName") return false;
    return (metadata.namespace === "default" && metadata.name === "kubernetes") || (links && metadata.namespace === namespace);
  });
  // The pod's own namespace wins over default/kubernetes.
  chosen.sort((a, b) => Number(a.metadata.namespace === namespace) - Number(b.metadata.namespace === namespace));
  for (const { metadata, spec } of chosen) {
    const prefix = metadata.name!.toUpperCase().replaceAll("-", "_");
    const ip = spec!.clusterIP!;
    const ports = spec!.ports ?? [];
    if (ports.length === 0) continue;
    variables.set(`${prefix}_SERVICE_HOST`, ip);
    variables.set(`${prefix}_SERVICE_PORT`, String(ports[0]!.port));
    for (const port of ports)
      if (port.name) variables.set(`${prefix}_SERVICE_PORT_${port.name.toUpperCase().replaceAll("-", "_")}`, String(port.port));
    ports.forEach(({ port, protocol = "TCP" }, index) => {
      const url = `${protocol.toLowerCase()}://${ip}:${port}`;
      const base = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
      if (index === 0) variables.set(`${prefix}_PORT`, url);
      variables.set(base, url);
      variables.set(`${base}_PROTO`, protocol.toLowerCase());
      variables.set(`${base}_PORT`, String(port));
      variables.set(`${base}_ADDR`, ip);
    });
  }
  return variables;
}

/** A pod's host name: `spec.hostname` or its own name, at most 63 characters. */
export function hostnameOf(pod: NodePod): string {
  return pod.spec.hostname || (pod.metadata.name ?? "").slice(0, 63).replace(/[-.]+$/, "");
}

export function configMapData(map: ConfigMapObject | undefined): Record<string, Buffer> | undefined {
  if (!map) return undefined;
  const texts = Object.entries(map.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "utf8")] as const);
  const bytes = Object.entries(map.binaryData ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64")] as const);
  return Object.fromEntries([...texts, ...bytes]);
}

export function secretData(secret: SecretObject | undefined): Record<string, Buffer> | undefined {
  return secret && Object.fromEntries(Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64")]));
}

function wrap(compute: () => string): string {
  try {
    return compute();
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
}
