// Where kinds keep their pod templates.

export type WorkloadContainer = {
  name?: string;
  image?: string;
  ports?: { name?: string; containerPort: number; protocol?: string; hostPort?: number }[];
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
  securityContext?: { capabilities?: { add?: string[]; drop?: string[] } };
};

export type WorkloadSpec = {
  hostNetwork?: boolean;
  automountServiceAccountToken?: boolean;
  containers?: WorkloadContainer[];
  initContainers?: WorkloadContainer[];
  volumes?: { name: string }[];
};

/** A pod, or the template of one, with the JSON pointer at which it stands in its object. */
export type PodTemplate = {
  readonly path: string;
  readonly metadata: { readonly annotations?: Record<string, string> | null; readonly labels?: Record<string, string> | null } | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: WorkloadSpec;
};

/** Any object of the API, as it comes from a file or a review. */
export type Workload = { kind?: string; apiVersion?: string; metadata?: Record<string, unknown>; spec?: unknown };

/** Kinds with a pod template (spec control-plane §6.1). */
export const injectableKinds = [
  "Deployment",
  "ReplicationController",
  "ReplicaSet",
  "Job",
  "DaemonSet",
  "StatefulSet",
  "Pod",
  "CronJob",
] as const;

/** The pod template of an object; null for kinds that have none, or whose template is missing. */
export function podTemplate(object: Workload): PodTemplate | null {
  const at = (value: unknown, ...keys: string[]): unknown =>
    keys.reduce<unknown>(
      (one, key) => (typeof one === "object" && one !== null ? (one as Record<string, unknown>)[key] : undefined),
      value,
    );
  switch (object.kind) {
    case "Pod":
      return make("", object);
    case "CronJob":
      return make("/spec/jobTemplate/spec/template", at(object, "spec", "jobTemplate", "spec", "template"));
    case "Deployment":
    case "ReplicationController":
    case "ReplicaSet":
    case "Job":
    case "DaemonSet":
    case "StatefulSet":
      return make("/spec/template", at(object, "spec", "template"));
    default:
      return null;
  }
}

function make(path: string, value: unknown): PodTemplate | null {
  if (typeof value !== "object" || value === null) return null;
  const { metadata, spec } = value as { metadata?: PodTemplate["metadata"]; spec?: WorkloadSpec };
  if (typeof spec !== "object" || spec === null) return null;
  return { path, metadata: metadata ?? undefined, annotations: metadata?.annotations ?? {}, labels: metadata?.labels ?? {}, spec };
}
