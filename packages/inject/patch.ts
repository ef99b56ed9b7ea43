// The JSON patch that makes a pod a member of the mesh (spec control-plane §6.4). Containers come from the chart's own partials.
import { type Chart, fromYaml, overlay, type Values } from "#chart";
import { tokenMount } from "./decide.ts";
import {
  controlPlaneNsLabel,
  createdByAnnotation,
  defaultInboundPolicyAnnotation,
  identityModeAnnotation,
  injectAnnotation,
  opaquePortsAnnotation,
  ownerLabelKinds,
  proxyVersionAnnotation,
  workloadNsLabel,
} from "./names.ts";
import { defaultOpaquePorts } from "./opaque-ports.ts";
import { type AnnotationMistake, annotationOverrides, inheritableAnnotations } from "./overrides.ts";
import { containerPortNames, parsePortList } from "./port-list.ts";
import { isCidr } from "./units.ts";
import type { PodTemplate } from "./workload.ts";

export type PatchOperation = { readonly op: "add" | "remove" | "replace"; readonly path: string; readonly value?: unknown };

/** What a pod that must not be admitted is refused with: names annotation or value. */
export class InjectError extends Error {
  override readonly name = "InjectError";
}

export type InjectInput = {
  /** The control plane's chart; parsed once and kept. */
  readonly chart: Chart;
  /** The installation's values: `values` of ConfigMap linkerd-config. */
  readonly values: Values;
  /** Bundle the proxy trusts; stands above the one in `values`. */
  readonly trustAnchorsPem?: string | undefined;
  readonly template: PodTemplate;
  readonly namespace: string;
  readonly namespaceAnnotations: Readonly<Record<string, string>>;
  /** Kind in lower case and name of the pod's owner, for the label. */
  readonly owner?: { readonly kind: string; readonly name: string } | undefined;
  /** Value of `linkerd.io/created-by`. */
  readonly createdBy: string;
};

export type Injection = {
  readonly operations: readonly PatchOperation[];
  /** Annotations that said nothing valid and were ignored. */
  readonly mistakes: readonly AnnotationMistake[];
  /** Effective values. */
  readonly values: Values;
};

/**
 * @throws {InjectError} for require-identity ports with identity disabled, and for clusterNetworks that are none.
 */
export function injectPatch({
  chart,
  values: base,
  trustAnchorsPem,
  template,
  namespace,
  namespaceAnnotations,
  owner,
  createdBy,
}: InjectInput): Injection {
  const { path, spec } = template;
  const containers = spec.containers ?? [];
  const annotations: Record<string, string> = {};
  for (const key of inheritableAnnotations) {
    if (Object.hasOwn(namespaceAnnotations, key) && !Object.hasOwn(template.annotations, key))
      annotations[key] = namespaceAnnotations[key] as string;
  }
  const { values: overrides, mistakes } = annotationOverrides({ ...template.annotations, ...annotations });
  const defaults = String(at(base, "proxy", "opaquePorts") ?? "");
  let opaquePorts = defaults;
  const asked = template.annotations[opaquePortsAnnotation] ?? annotations[opaquePortsAnnotation];
  if (asked === undefined) {
    const exposed = defaultOpaquePorts(
      containers.flatMap((container) =>
        (container.ports ?? []).map((port) => ({ listed: port.containerPort, matched: port.containerPort })),
      ),
      defaults,
    );
    if (exposed !== "") {
      annotations[opaquePortsAnnotation] = exposed;
      opaquePorts = exposed;
    }
  } else {
    const { ports, invalid } = parsePortList(asked, containerPortNames(containers));
    if (invalid.length > 0)
      mistakes.push({
        key: opaquePortsAnnotation,
        value: asked,
        message: `annotation ${opaquePortsAnnotation}: ${JSON.stringify(asked)} is not a list of ports (such as 3306,9000-9010,mysql): ignored ${invalid.map((item) => JSON.stringify(item)).join(", ")}`,
      });
    opaquePorts = ports.expand().join(",");
  }
  let values = overlay(base, overrides);
  const first = containers[0];
  const capabilities = first?.securityContext?.capabilities;
  const podInboundPorts = containers.flatMap((container) => (container.ports ?? []).map((port) => port.containerPort)).join(",");
  const mount = tokenMount(first);
  values = overlay(values, {
    proxy: {
      opaquePorts,
      ...(at(values, "proxy", "podInboundPorts") === undefined ? { podInboundPorts } : {}),
      ...(capabilities && ((capabilities.add?.length ?? 0) > 0 || (capabilities.drop?.length ?? 0) > 0) ? { capabilities } : {}),
      ...(mount ? { saMountPath: { name: mount.name, mountPath: mount.mountPath, readOnly: mount.readOnly === true } } : {}),
      // Only the pod's own annotation selects it; a namespace's merely enables injection (quirk Q28).
      ...(template.annotations[injectAnnotation] === "ingress" ? { isIngress: true } : {}),
    },
    ...(trustAnchorsPem === undefined ? {} : { identityTrustAnchorsPEM: trustAnchorsPem }),
  });
  const proxy = values["proxy"] as {
    disableIdentity?: boolean;
    requireIdentityOnInboundPorts?: string;
    await?: boolean;
    nativeSidecar?: boolean;
    image: { version?: string };
  };
  const disableIdentity = proxy.disableIdentity === true;
  if (disableIdentity && proxy.requireIdentityOnInboundPorts)
    throw new InjectError(
      "annotation config.linkerd.io/proxy-require-identity-inbound-ports: cannot be set when identity is disabled (annotation config.linkerd.io/disable-identity)",
    );
  for (const network of String(values["clusterNetworks"] ?? "").split(","))
    if (!isCidr(network.trim())) throw new InjectError(`value clusterNetworks: ${JSON.stringify(network)} is not a network`);

  annotations[createdByAnnotation] = createdBy;
  annotations[proxyVersionAnnotation] = proxy.image.version || String(values["linkerdVersion"] ?? "");
  annotations[identityModeAnnotation] = disableIdentity ? "disabled" : "default";
  const labels: Record<string, string> = { [controlPlaneNsLabel]: String(values["namespace"] ?? "linkerd"), [workloadNsLabel]: namespace };
  if (owner && (ownerLabelKinds as readonly string[]).includes(owner.kind)) labels[`linkerd.io/proxy-${owner.kind}`] = owner.name;

  const partial = (name: string): unknown => fromYaml(chart.include(`fairlead.${name}`, values));
  const operations: PatchOperation[] = [];
  const add = (pointer: string, value: unknown) => operations.push({ op: "add", path: `${path}${pointer}`, value });
  const { metadata } = template;
  if (!metadata || Object.keys(metadata).length === 0) add("/metadata", {});
  if (!metadata?.annotations) add("/metadata/annotations", {});
  for (const key of Object.keys(annotations).sort()) add(`/metadata/annotations/${escapePointer(key)}`, annotations[key]);
  if (!metadata?.labels) add("/metadata/labels", {});
  for (const key of Object.keys(labels).sort()) add(`/metadata/labels/${escapePointer(key)}`, labels[key]);
  const native = proxy.nativeSidecar === true;
  const withInit = values["cniEnabled"] !== true;
  if (!spec.volumes) add("/spec/volumes", []);
  if ((withInit || native) && !spec.initContainers) add("/spec/initContainers", []);
  if (withInit) {
    add("/spec/volumes/-", partial("volume.xtables"));
    // A native sidecar serves the pod's own init containers too: redirection and proxy come before them.
    add(native ? "/spec/initContainers/0" : "/spec/initContainers/-", partial("proxy-init"));
  }
  if (values["debugSidecar"] === true) add("/spec/containers/-", partial("debug"));
  if (!disableIdentity) {
    add("/spec/volumes/-", partial("volume.end-entity"));
    if (at(values, "identity", "serviceAccountTokenProjection") === true) add("/spec/volumes/-", partial("volume.identity-token"));
  }
  if (native) add(`/spec/initContainers/${withInit ? 1 : 0}`, partial("proxy"));
  else add(proxy.await === false ? "/spec/containers/-" : "/spec/containers/0", partial("proxy"));
  return { operations, mistakes, values };
}

export function escapePointer(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

function at(value: unknown, ...keys: string[]): unknown {
  return keys.reduce<unknown>(
    (one, key) => (typeof one === "object" && one !== null ? (one as Record<string, unknown>)[key] : undefined),
    value,
  );
}

export { defaultInboundPolicyAnnotation };
