// The roles and bindings every cluster begins with. Missing ones are made at each start; changed ones are left alone.
import type { ApiObject } from "../kinds/resource.ts";
import type { PolicyRule } from "./rbac.ts";

const rbac = "rbac.authorization.k8s.io";
const apiVersion = `${rbac}/v1`;
const read = ["get", "list", "watch"];
const write = ["create", "delete", "deletecollection", "patch", "update"];
const bootstrapLabels = { "kubernetes.io/bootstrapping": "rbac-defaults" };
const annotations = { [`${rbac}/autoupdate`]: "true" };

const rule = (verbs: string[], group: string, ...resources: string[]): PolicyRule => ({ verbs, apiGroups: [group], resources });
const paths = (...urls: string[]): PolicyRule => ({ verbs: ["get"], nonResourceURLs: urls });

function clusterRole(name: string, rules: PolicyRule[], labels: Record<string, string> = {}): ApiObject {
  return { apiVersion, kind: "ClusterRole", metadata: { name, annotations, labels: { ...bootstrapLabels, ...labels } }, rules };
}

function aggregated(name: string): ApiObject {
  return {
    apiVersion,
    kind: "ClusterRole",
    metadata: {
      name,
      annotations,
      labels: {
        ...bootstrapLabels,
        ...(name === "admin" ? {} : { [`${rbac}/aggregate-to-${name === "edit" ? "admin" : "edit"}`]: "true" }),
      },
    },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [`${rbac}/aggregate-to-${name}`]: "true" } }] },
    rules: [],
  };
}

function binding(name: string, ...subjects: { kind: "User" | "Group" | "ServiceAccount"; name: string; namespace?: string }[]): ApiObject {
  return {
    apiVersion,
    kind: "ClusterRoleBinding",
    metadata: { name, annotations, labels: bootstrapLabels },
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name },
    subjects: subjects.map((subject) => (subject.kind === "ServiceAccount" ? subject : { ...subject, apiGroup: rbac })),
  };
}

const group = (name: string) => ({ kind: "Group", name }) as const;
const user = (name: string) => ({ kind: "User", name }) as const;

const namespacedCore = [
  "configmaps",
  "endpoints",
  "persistentvolumeclaims",
  "pods",
  "replicationcontrollers",
  "replicationcontrollers/scale",
  "serviceaccounts",
  "services",
];
const namespacedApps = [
  "daemonsets",
  "deployments",
  "deployments/scale",
  "replicasets",
  "replicasets/scale",
  "statefulsets",
  "statefulsets/scale",
];

const viewRules: PolicyRule[] = [
  rule(read, "", ...namespacedCore, "persistentvolumeclaims/status", "pods/status", "replicationcontrollers/status", "services/status"),
  rule(
    read,
    "",
    "bindings",
    "events",
    "limitranges",
    "namespaces",
    "namespaces/status",
    "pods/log",
    "resourcequotas",
    "resourcequotas/status",
  ),
  rule(read, "discovery.k8s.io", "endpointslices"),
  rule(
    read,
    "apps",
    "controllerrevisions",
    ...namespacedApps,
    "daemonsets/status",
    "deployments/status",
    "replicasets/status",
    "statefulsets/status",
  ),
  rule(read, "autoscaling", "horizontalpodautoscalers", "horizontalpodautoscalers/status"),
  rule(read, "batch", "cronjobs", "cronjobs/status", "jobs", "jobs/status"),
  rule(read, "policy", "poddisruptionbudgets", "poddisruptionbudgets/status"),
  rule(read, "networking.k8s.io", "ingresses", "ingresses/status", "networkpolicies"),
];
const editRules: PolicyRule[] = [
  rule(read, "", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"),
  rule(["impersonate"], "", "serviceaccounts"),
  rule(write, "", "pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"),
  rule(["create"], "", "pods/eviction"),
  rule(
    write,
    "",
    "configmaps",
    "events",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "secrets",
    "serviceaccounts",
    "services",
    "services/proxy",
  ),
  rule(["create"], "", "serviceaccounts/token"),
  rule(
    write,
    "apps",
    "daemonsets",
    "deployments",
    "deployments/rollback",
    "deployments/scale",
    "replicasets",
    "replicasets/scale",
    "statefulsets",
    "statefulsets/scale",
  ),
  rule(write, "autoscaling", "horizontalpodautoscalers"),
  rule(write, "batch", "cronjobs", "jobs"),
  rule(write, "policy", "poddisruptionbudgets"),
  rule(write, "networking.k8s.io", "ingresses", "networkpolicies"),
  rule([...write, ...read], "coordination.k8s.io", "leases"),
];
const adminRules: PolicyRule[] = [
  rule(["create"], "authorization.k8s.io", "localsubjectaccessreviews"),
  rule([...write, ...read], rbac, "rolebindings", "roles"),
];

const selfReviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];

export const bootstrapRoles: readonly ApiObject[] = [
  clusterRole("cluster-admin", [
    { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
    { verbs: ["*"], nonResourceURLs: ["*"] },
  ]),
  clusterRole("system:aggregate-to-view", viewRules, { [`${rbac}/aggregate-to-view`]: "true" }),
  clusterRole("system:aggregate-to-edit", editRules, { [`${rbac}/aggregate-to-edit`]: "true" }),
  clusterRole("system:aggregate-to-admin", adminRules, { [`${rbac}/aggregate-to-admin`]: "true" }),
  aggregated("view"),
  aggregated("edit"),
  aggregated("admin"),
  clusterRole("system:auth-delegator", [
    rule(["create"], "authentication.k8s.io", "tokenreviews"),
    rule(["create"], "authorization.k8s.io", "subjectaccessreviews"),
  ]),
  clusterRole("system:basic-user", [
    rule(["create"], "authorization.k8s.io", ...selfReviews),
    rule(["create"], "authentication.k8s.io", "selfsubjectreviews"),
  ]),
  clusterRole("system:discovery", [
    paths("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"),
  ]),
  clusterRole("system:public-info-viewer", [paths("/healthz", "/livez", "/readyz", "/version", "/version/")]),
  clusterRole("system:service-account-issuer-discovery", [
    paths("/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"),
  ]),
  clusterRole("system:monitoring", [paths("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*")]),
  clusterRole("system:node", [
    rule(["create"], "authentication.k8s.io", "tokenreviews"),
    rule(["create"], "authorization.k8s.io", "subjectaccessreviews", "localsubjectaccessreviews"),
    rule(
      read,
      "",
      "services",
      "nodes",
      "pods",
      "configmaps",
      "secrets",
      "serviceaccounts",
      "endpoints",
      "namespaces",
      "persistentvolumeclaims",
      "persistentvolumes",
    ),
    rule(read, "discovery.k8s.io", "endpointslices"),
    rule(["create", "patch", "update"], "", "nodes", "nodes/status", "events"),
    rule(["create", "delete"], "", "pods"),
    rule(["patch", "update"], "", "pods/status"),
    rule(["create"], "", "pods/eviction", "serviceaccounts/token"),
    rule(["create", "delete", "get", "patch", "update"], "coordination.k8s.io", "leases"),
    rule(read, "scheduling.k8s.io", "priorityclasses"),
  ]),
  // The node agent of the embedded cluster is also its scheduler, its service proxy and its DNS server.
  clusterRole("fairlead:node-agent", [
    rule(["create"], "", "bindings", "pods/binding"),
    rule(["create", "patch", "update"], "", "services"),
    rule(["create", "patch", "update"], "discovery.k8s.io", "endpointslices"),
    rule(["create", "patch", "update"], "events.k8s.io", "events"),
  ]),
  // The controllers of the embedded cluster share one identity, and two of them (garbage collection, namespaces) touch every kind.
  clusterRole("system:kube-controller-manager", [
    { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
    { verbs: ["get"], nonResourceURLs: ["*"] },
  ]),
  clusterRole("system:kube-scheduler", [
    rule(["create", "patch", "update"], "events.k8s.io", "events"),
    rule(["create", "patch", "update"], "", "events"),
    rule([...read, "create", "update", "patch"], "coordination.k8s.io", "leases"),
    rule(read, "", "nodes", "namespaces", "services", "replicationcontrollers", "persistentvolumeclaims", "persistentvolumes"),
    rule([...read, "delete"], "", "pods"),
    rule(["create"], "", "bindings", "pods/binding"),
    rule(["patch", "update"], "", "pods/status"),
    rule(read, "apps", "replicasets", "statefulsets"),
    rule(read, "policy", "poddisruptionbudgets"),
    rule(read, "storage.k8s.io", "storageclasses"),
  ]),
  clusterRole("system:kube-dns", [
    rule(["list", "watch"], "", "endpoints", "services"),
    rule(["list", "watch"], "discovery.k8s.io", "endpointslices"),
  ]),
  binding("cluster-admin", group("system:masters")),
  binding("system:basic-user", group("system:authenticated")),
  binding("system:discovery", group("system:authenticated")),
  binding("system:public-info-viewer", group("system:authenticated"), group("system:unauthenticated")),
  binding("system:service-account-issuer-discovery", group("system:serviceaccounts")),
  binding("system:monitoring", group("system:monitoring")),
  // There is no Node authorizer here: one machine, one node agent.
  binding("system:node", group("system:nodes")),
  binding("fairlead:node-agent", group("system:nodes")),
  binding("system:kube-controller-manager", user("system:kube-controller-manager")),
  binding("system:kube-scheduler", user("system:kube-scheduler")),
  binding("system:kube-dns", { kind: "ServiceAccount", name: "kube-dns", namespace: "kube-system" }),
  {
    apiVersion,
    kind: "Role",
    metadata: { name: "extension-apiserver-authentication-reader", namespace: "kube-system", annotations, labels: bootstrapLabels },
    rules: [{ verbs: read, apiGroups: [""], resources: ["configmaps"], resourceNames: ["extension-apiserver-authentication"] }],
  },
];
