// Annotations, labels and names of injected things (spec control-plane §6, §7).

export const injectAnnotation = "linkerd.io/inject";
export const createdByAnnotation = "linkerd.io/created-by";
export const proxyVersionAnnotation = "linkerd.io/proxy-version";
export const identityModeAnnotation = "linkerd.io/identity-mode";
export const controlPlaneNsLabel = "linkerd.io/control-plane-ns";
export const workloadNsLabel = "linkerd.io/workload-ns";
export const controlPlaneComponentLabel = "linkerd.io/control-plane-component";
export const opaquePortsAnnotation = "config.linkerd.io/opaque-ports";
export const skipInboundPortsAnnotation = "config.linkerd.io/skip-inbound-ports";
export const defaultInboundPolicyAnnotation = "config.linkerd.io/default-inbound-policy";
export const requireIdentityAnnotation = "config.linkerd.io/proxy-require-identity-inbound-ports";

export const proxyContainerName = "linkerd-proxy";
export const initContainerName = "linkerd-init";
export const debugContainerName = "linkerd-debug";
export const endEntityVolume = "linkerd-identity-end-entity";
export const identityTokenVolume = "linkerd-identity-token";
export const xtablesVolume = "linkerd-proxy-init-xtables-lock";
export const serviceAccountMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";

export const defaultPolicies = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
] as const;
export type DefaultPolicy = (typeof defaultPolicies)[number];

export function isDefaultPolicy(text: string): text is DefaultPolicy {
  return (defaultPolicies as readonly string[]).includes(text);
}

/** Kinds whose owner label the injector writes. */
export const ownerLabelKinds = ["deployment", "replicationcontroller", "replicaset", "job", "daemonset", "statefulset"] as const;
