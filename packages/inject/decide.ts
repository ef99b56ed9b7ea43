// Whether a pod is to be injected, and why not (spec control-plane §6.1).
import { initContainerName, injectAnnotation, proxyContainerName, serviceAccountMountPath } from "./names.ts";
import type { PodTemplate, WorkloadContainer } from "./workload.ts";

/** A reason not to inject: its metric name. The order of {@link reasonOrder} is the order of messages. */
export type Reason =
  | "host_network_enabled"
  | "sidecar_already_exists"
  | "unsupported_resource"
  | "injection_enable_annotation_absent"
  | "injection_disable_annotation_present"
  | "invalid_inject_annotation_at_workload"
  | "invalid_inject_annotation_at_ns"
  | "disabled_automount_service_account_token_account";

export const readableReason: Readonly<Record<Reason, string>> = {
  host_network_enabled: "hostNetwork is enabled",
  sidecar_already_exists: "pod has a sidecar injected already",
  unsupported_resource: "this resource kind is unsupported",
  injection_enable_annotation_absent: `neither the namespace nor the pod have the annotation "${injectAnnotation}:enabled"`,
  injection_disable_annotation_present: `pod has the annotation "${injectAnnotation}:disabled"`,
  invalid_inject_annotation_at_workload: `invalid value for annotation "${injectAnnotation}" at workload`,
  invalid_inject_annotation_at_ns: `invalid value for annotation "${injectAnnotation}" at namespace`,
  disabled_automount_service_account_token_account: 'automountServiceAccountToken set to "false"',
};

export type Decision = {
  readonly inject: boolean;
  readonly reasons: readonly Reason[];
  /** Where the annotation that decided stands; metric label `annotation_at`. */
  readonly annotationAt: "" | "namespace" | "workload";
};

const valid = ["", "enabled", "disabled", "ingress"];
const proxyImages = ["cr.l5d.io/linkerd/proxy:", "gcr.io/istio-release/proxyv2:"];
const initImages = ["cr.l5d.io/linkerd/proxy-init:", "gcr.io/istio-release/proxy_init:"];

/** `webhook`: a pod at admission, whose service-account token is mounted by now. `cli`: a template from a file. */
export type Where = "webhook" | "cli";

/** `template`: null for kinds without pods. */
export function decide({
  template,
  namespaceAnnotations,
  where,
}: {
  template: PodTemplate | null;
  namespaceAnnotations: Readonly<Record<string, string>>;
  where: Where;
}): Decision {
  if (!template) return { inject: false, reasons: ["unsupported_resource"], annotationAt: "" };
  const reasons: Reason[] = [];
  const { spec } = template;
  if (spec.hostNetwork === true) reasons.push("host_network_enabled");
  if (hasSidecar(spec.containers ?? [], spec.initContainers ?? [])) reasons.push("sidecar_already_exists");
  const annotation =
    where === "webhook"
      ? byAnnotation(namespaceAnnotations[injectAnnotation] ?? "", template.annotations[injectAnnotation] ?? "")
      : byTemplate(template.annotations[injectAnnotation] ?? "");
  if (annotation.reason) reasons.push(annotation.reason);
  if (spec.automountServiceAccountToken === false || (where === "webhook" && !tokenMount(spec.containers?.[0])))
    reasons.push("disabled_automount_service_account_token_account");
  return { inject: reasons.length === 0, reasons, annotationAt: annotation.at };
}

function byAnnotation(namespace: string, pod: string): { reason?: Reason; at: Decision["annotationAt"] } {
  if (!valid.includes(namespace)) return { reason: "invalid_inject_annotation_at_ns", at: "" };
  if (!valid.includes(pod)) return { reason: "invalid_inject_annotation_at_workload", at: "" };
  const wanted = (value: string) => value === "enabled" || value === "ingress";
  if (wanted(namespace))
    return pod === "disabled" ? { reason: "injection_disable_annotation_present", at: "workload" } : { at: "namespace" };
  return wanted(pod) ? { at: "workload" } : { reason: "injection_enable_annotation_absent", at: "" };
}

function byTemplate(pod: string): { reason?: Reason; at: Decision["annotationAt"] } {
  return pod === "disabled" ? { reason: "injection_disable_annotation_present", at: "workload" } : { at: "" };
}

function hasSidecar(containers: readonly WorkloadContainer[], initContainers: readonly WorkloadContainer[]): boolean {
  const starts = (image: string | undefined, prefixes: readonly string[]) => prefixes.some((prefix) => image?.startsWith(prefix));
  // A native sidecar stands among the init containers.
  const isProxy = ({ name, image }: WorkloadContainer) =>
    name === proxyContainerName || name === "istio-proxy" || starts(image, proxyImages);
  const isInit = ({ name, image }: WorkloadContainer) => name === initContainerName || name === "istio-init" || starts(image, initImages);
  return [...containers, ...initContainers].some(isProxy) || initContainers.some(isInit);
}

/** Where a container has its service account's token. */
export function tokenMount(container: WorkloadContainer | undefined): { name: string; mountPath: string; readOnly?: boolean } | undefined {
  return container?.volumeMounts?.find((mount) => mount.mountPath === serviceAccountMountPath);
}

/** True when some port of the pod is UDP, which the mesh does not carry; a warning of `inject`. */
export function hasUdpPorts(template: PodTemplate): boolean {
  return (template.spec.containers ?? []).some((container) => (container.ports ?? []).some((port) => port.protocol === "UDP"));
}
