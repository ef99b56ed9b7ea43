// Admission that every cluster has: namespace life-cycle, service accounts of pods, priorities, default tolerations.
import { randomBytes } from "node:crypto";
import type { Store } from "../../store/index.ts";
import type { ApiObject } from "../kinds/resource.ts";
import { ApiError, forbidden, notFound } from "../status.ts";
import type { AdmissionRequest, AdmissionStep } from "./admission.ts";

const isPodCreate = ({ operation, served: { resource }, subresource }: AdmissionRequest) =>
  operation === "CREATE" && resource.group === "" && resource.plural === "pods" && subresource === "";
/** Namespaces that cannot be deleted. */
const immortal = new Set(["default", "kube-system", "kube-public"]);

/** Nothing is created in a namespace that is not there or is going away; system namespaces stay. */
export function namespaceLifecycle(store: Store<ApiObject>): AdmissionStep {
  return ({ operation, served: { resource }, namespace, name, object }) => {
    if (resource.group === "" && resource.plural === "namespaces") {
      if (operation === "DELETE" && immortal.has(name))
        throw forbidden({ group: "", resource: "namespaces" }, name, "this namespace may not be deleted");
      return;
    }
    if (operation !== "CREATE" || !resource.namespaced) return;
    const found = store.get({ bucket: "namespaces", namespace: "", name: namespace });
    if (!found) throw notFound({ group: "", resource: "namespaces" }, namespace);
    if (found.metadata.deletionTimestamp || found["status"]?.phase === "Terminating") {
      const error = forbidden(
        { group: resource.group, resource: resource.plural },
        object?.metadata.name ?? name,
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      );
      throw new ApiError(error.code, error.reason, error.message, {
        ...error.details,
        causes: [{ reason: "NamespaceTerminating", message: `namespace ${namespace} is being terminated`, field: "metadata.namespace" }],
      });
    }
  };
}

const tokenMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
const mirrorAnnotation = "kubernetes.io/config.mirror";
/** An hour and seven seconds: real clusters mark tokens that they extend with this odd lifetime. */
const tokenLifetimeSeconds = 3607;
const letters = "bcdfghjklmnpqrstvwxz2456789";
export const randomSuffix = (length = 5) => [...randomBytes(length)].map((byte) => letters[byte % letters.length]).join("");

/** Every pod has a service account that exists, and its token mounted unless it or the account says no. */
export function serviceAccounts(store: Store<ApiObject>): AdmissionStep {
  return (request) => {
    if (!isPodCreate(request) || !request.object) return;
    const pod = request.object;
    const spec = (pod["spec"] ??= {});
    if (pod.metadata.annotations?.[mirrorAnnotation] !== undefined) return;
    spec.serviceAccountName ||= "default";
    spec.serviceAccount = spec.serviceAccountName;
    const account = store.get({ bucket: "serviceaccounts", namespace: request.namespace, name: spec.serviceAccountName });
    if (!account) {
      throw forbidden(
        { group: "", resource: "pods" },
        pod.metadata.name ?? "",
        `error looking up service account ${request.namespace}/${spec.serviceAccountName}: serviceaccount ${JSON.stringify(spec.serviceAccountName)} not found`,
      );
    }
    if (account["imagePullSecrets"]?.length && !spec.imagePullSecrets?.length) spec.imagePullSecrets = account["imagePullSecrets"];
    if ((spec.automountServiceAccountToken ?? account["automountServiceAccountToken"] ?? true) === false) return;
    const containers: { volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[] }[] = [
      ...(spec.initContainers ?? []),
      ...(spec.containers ?? []),
    ];
    const without = containers.filter(({ volumeMounts = [] }) => !volumeMounts.some(({ mountPath }) => mountPath === tokenMountPath));
    if (without.length === 0) return;
    const existing = (spec.volumes ?? []).find(({ name }: { name: string }) => name?.startsWith("kube-api-access-"));
    const name: string = existing?.name ?? `kube-api-access-${randomSuffix()}`;
    for (const container of without)
      container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: tokenMountPath }];
    if (existing) return;
    spec.volumes = [
      ...(spec.volumes ?? []),
      {
        name,
        projected: {
          defaultMode: 0o644,
          sources: [
            { serviceAccountToken: { expirationSeconds: tokenLifetimeSeconds, path: "token" } },
            { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
            { downwardAPI: { items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }] } },
          ],
        },
      },
    ];
  };
}

/** The number behind a pod's priorityClassName. */
export function priorities(store: Store<ApiObject>): AdmissionStep {
  return (request) => {
    if (!isPodCreate(request) || !request.object) return;
    const spec = request.object["spec"];
    const classes = "priorityclasses.scheduling.k8s.io";
    let found: ApiObject | undefined;
    if (spec.priorityClassName) {
      found = store.get({ bucket: classes, namespace: "", name: spec.priorityClassName });
      if (!found)
        throw forbidden(
          { group: "", resource: "pods" },
          request.object.metadata.name ?? "",
          `no PriorityClass with name ${spec.priorityClassName} was found`,
        );
    } else {
      found = store.list(classes).find((one) => one["globalDefault"] === true);
      if (found) spec.priorityClassName = found.metadata.name;
    }
    spec.priority ??= found?.["value"] ?? 0;
    spec.preemptionPolicy ??= found?.["preemptionPolicy"] ?? "PreemptLowerPriority";
  };
}

/** Pods stay five minutes on a node that is not ready or not reachable. */
export function defaultTolerations(): AdmissionStep {
  return (request) => {
    if (!isPodCreate(request) || !request.object) return;
    const spec = request.object["spec"];
    for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
      const tolerated = (spec.tolerations ?? []).some(
        (one: { key?: string; effect?: string; operator?: string }) =>
          (one.key === key || (!one.key && one.operator === "Exists")) && (!one.effect || one.effect === "NoExecute"),
      );
      if (!tolerated)
        spec.tolerations = [...(spec.tolerations ?? []), { key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 }];
    }
  };
}
