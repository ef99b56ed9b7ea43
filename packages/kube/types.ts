// The parts of Kubernetes objects that Fairlead reads and writes. Fields not named here pass through untouched.

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: unknown[];
}

/** Any object of the API: what all kinds share. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

/** An object whose other fields the caller reads at its own risk. */
export type AnyObject = KubeObject & { [field: string]: unknown };

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: { reason?: string; message?: string; field?: string }[];
  retryAfterSeconds?: number;
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export interface ContainerPort {
  name?: string;
  containerPort: number;
  hostPort?: number;
  protocol?: string;
}

export interface Container {
  name: string;
  image?: string;
  ports?: ContainerPort[];
  env?: { name: string; value?: string; valueFrom?: unknown }[];
  restartPolicy?: string;
}

export interface PodSpec {
  nodeName?: string;
  hostNetwork?: boolean;
  hostname?: string;
  subdomain?: string;
  serviceAccountName?: string;
  containers?: Container[];
  initContainers?: Container[];
}

export interface Pod extends KubeObject {
  spec?: PodSpec;
  status?: {
    phase?: string;
    podIP?: string;
    podIPs?: { ip: string }[];
    hostIP?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
    containerStatuses?: { name: string; ready: boolean; restartCount?: number; state?: Record<string, unknown>; image?: string }[];
    initContainerStatuses?: { name: string; ready: boolean; restartCount?: number; state?: Record<string, unknown>; image?: string }[];
  };
}

export interface ServicePort {
  name?: string;
  port: number;
  targetPort?: number | string;
  nodePort?: number;
  protocol?: string;
  appProtocol?: string;
}

export interface Service extends KubeObject {
  spec?: {
    type?: string;
    clusterIP?: string;
    clusterIPs?: string[];
    externalName?: string;
    selector?: Record<string, string>;
    ports?: ServicePort[];
    topologyKeys?: string[];
    publishNotReadyAddresses?: boolean;
  };
}

export interface ObjectReference {
  kind?: string;
  namespace?: string;
  name?: string;
  uid?: string;
  resourceVersion?: string;
}

export interface EndpointAddress {
  ip: string;
  hostname?: string;
  nodeName?: string;
  targetRef?: ObjectReference;
}

export interface Endpoints extends KubeObject {
  subsets?: {
    addresses?: EndpointAddress[];
    notReadyAddresses?: EndpointAddress[];
    ports?: { name?: string; port: number; protocol?: string }[];
  }[];
}

export interface EndpointSlice extends KubeObject {
  addressType?: string;
  endpoints?: {
    addresses: string[];
    conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
    hostname?: string;
    nodeName?: string;
    zone?: string;
    targetRef?: ObjectReference;
    hints?: { forZones?: { name: string }[] };
    deprecatedTopology?: Record<string, string>;
    topology?: Record<string, string>;
  }[];
  ports?: { name?: string; port?: number; protocol?: string }[];
}

/** The name a resource has in URLs, with its group and version. `group` is "" for the core group. */
export interface ResourceType {
  group: string;
  version: string;
  /** Plural, lower case: `pods`. */
  resource: string;
}

/** One object, or a collection when `name` is absent. `namespace` is absent for cluster-wide resources and for lists over all namespaces. */
export interface ResourceRef extends ResourceType {
  namespace?: string | undefined;
  name?: string | undefined;
  /** `status`, `scale`, `token`, `log`, … */
  subresource?: string | undefined;
}

const core = (resource: string): ResourceType => ({ group: "", version: "v1", resource });
const of = (group: string, version: string, resource: string): ResourceType => ({ group, version, resource });

/** The resource types Fairlead uses. */
export const Resources = {
  pods: core("pods"),
  services: core("services"),
  endpoints: core("endpoints"),
  namespaces: core("namespaces"),
  nodes: core("nodes"),
  configMaps: core("configmaps"),
  secrets: core("secrets"),
  serviceAccounts: core("serviceaccounts"),
  replicationControllers: core("replicationcontrollers"),
  events: core("events"),
  endpointSlices: of("discovery.k8s.io", "v1", "endpointslices"),
  deployments: of("apps", "v1", "deployments"),
  replicaSets: of("apps", "v1", "replicasets"),
  statefulSets: of("apps", "v1", "statefulsets"),
  daemonSets: of("apps", "v1", "daemonsets"),
  jobs: of("batch", "v1", "jobs"),
  cronJobs: of("batch", "v1", "cronjobs"),
  serviceProfiles: of("linkerd.io", "v1alpha2", "serviceprofiles"),
  trafficSplits: of("split.smi-spec.io", "v1alpha1", "trafficsplits"),
  servers: of("policy.linkerd.io", "v1beta1", "servers"),
  serverAuthorizations: of("policy.linkerd.io", "v1beta1", "serverauthorizations"),
  tokenReviews: of("authentication.k8s.io", "v1", "tokenreviews"),
  subjectAccessReviews: of("authorization.k8s.io", "v1", "subjectaccessreviews"),
  selfSubjectAccessReviews: of("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
  clusterRoles: of("rbac.authorization.k8s.io", "v1", "clusterroles"),
  clusterRoleBindings: of("rbac.authorization.k8s.io", "v1", "clusterrolebindings"),
  roles: of("rbac.authorization.k8s.io", "v1", "roles"),
  roleBindings: of("rbac.authorization.k8s.io", "v1", "rolebindings"),
  customResourceDefinitions: of("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
  mutatingWebhookConfigurations: of("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"),
  validatingWebhookConfigurations: of("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
} as const satisfies Record<string, ResourceType>;

/** The URL path of an object or collection, each segment escaped. */
export function resourcePath({ group, version, resource, namespace, name, subresource }: ResourceRef): string {
  const parts = group === "" ? ["api", version] : ["apis", group, version];
  if (namespace !== undefined && namespace !== "") parts.push("namespaces", namespace);
  parts.push(resource);
  if (name !== undefined) {
    if (name === "") throw new RangeError(`${resource}: the name of the object is empty`);
    parts.push(name);
    if (subresource) parts.push(subresource);
  }
  return `/${parts.map(encodeURIComponent).join("/")}`;
}
