// What a fresh cluster holds before anybody writes: system namespaces, roles, priority classes, the `kubernetes` Service.
import type { Store } from "../store/index.ts";
import { bootstrapRoles } from "./auth/bootstrap-roles.ts";
import type { ApiObject } from "./kinds/resource.ts";
import { timestamp } from "./write.ts";

export interface BootstrapOptions {
  store: Store<ApiObject>;
  now: () => number;
  uid: () => string;
  /** Of the `kubernetes` Service: the first of the range. */
  serviceAddress: string;
  /** Where pods reach this server; undefined: the Service gets no endpoints. */
  advertise: { address: string; port: number } | undefined;
  clientCa: string;
}

const namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];
const plurals: Record<string, string> = {
  ClusterRole: "clusterroles.rbac.authorization.k8s.io",
  ClusterRoleBinding: "clusterrolebindings.rbac.authorization.k8s.io",
  Role: "roles.rbac.authorization.k8s.io",
  RoleBinding: "rolebindings.rbac.authorization.k8s.io",
  Namespace: "namespaces",
  Service: "services",
  Endpoints: "endpoints",
  EndpointSlice: "endpointslices.discovery.k8s.io",
  PriorityClass: "priorityclasses.scheduling.k8s.io",
  ConfigMap: "configmaps",
};

export function bootstrap({ store, now, uid, serviceAddress, advertise, clientCa }: BootstrapOptions): void {
  const put = (object: ApiObject, { replace = false } = {}) => {
    const key = {
      bucket: plurals[object.kind as string] as string,
      namespace: object.metadata.namespace ?? "",
      name: object.metadata.name as string,
    };
    const present = store.get(key);
    if (present && !replace) return;
    const metadata = {
      ...object.metadata,
      uid: present?.metadata.uid ?? uid(),
      creationTimestamp: present?.metadata.creationTimestamp ?? timestamp(now()),
    };
    if (!present) store.create(key, { ...object, metadata });
    else if (
      JSON.stringify(present["subsets"] ?? present["endpoints"] ?? present["data"]) !==
      JSON.stringify(object["subsets"] ?? object["endpoints"] ?? object["data"])
    )
      store.update(key, { ...object, metadata });
  };
  for (const name of namespaces)
    put({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
      spec: { finalizers: ["kubernetes"] },
      status: { phase: "Active" },
    });
  for (const role of bootstrapRoles) put(role);
  for (const [name, value, description] of [
    [
      "system-cluster-critical",
      2_000_000_000,
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ],
    ["system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."],
  ] as const) {
    put({
      apiVersion: "scheduling.k8s.io/v1",
      kind: "PriorityClass",
      metadata: { name, generation: 1 },
      description,
      preemptionPolicy: "PreemptLowerPriority",
      value,
    });
  }
  put(
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "extension-apiserver-authentication", namespace: "kube-system" },
      // One CA signs the clients and the certificate with which the server itself would call aggregated APIs.
      data: {
        "client-ca-file": clientCa,
        "requestheader-client-ca-file": clientCa,
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
      },
    },
    { replace: true },
  );
  const port = { name: "https", protocol: "TCP", port: 443 };
  const labels = { component: "apiserver", provider: "kubernetes" };
  put({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "kubernetes", namespace: "default", labels },
    spec: {
      clusterIP: serviceAddress,
      clusterIPs: [serviceAddress],
      internalTrafficPolicy: "Cluster",
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      ports: [{ ...port, targetPort: advertise?.port ?? 6443 }],
      sessionAffinity: "None",
      type: "ClusterIP",
    },
    status: { loadBalancer: {} },
  });
  if (!advertise) return;
  const backend = { name: "https", port: advertise.port, protocol: "TCP" };
  put(
    {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: "kubernetes", namespace: "default", labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
      subsets: [{ addresses: [{ ip: advertise.address }], ports: [backend] }],
    },
    { replace: true },
  );
  put(
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "kubernetes", namespace: "default", generation: 1, labels: { "kubernetes.io/service-name": "kubernetes" } },
      addressType: "IPv4",
      endpoints: [{ addresses: [advertise.address], conditions: { ready: true } }],
      ports: [backend],
    },
    { replace: true },
  );
}
