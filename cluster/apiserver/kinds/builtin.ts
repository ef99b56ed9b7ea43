// The built-in kinds, one line each: names, versions, what they can do, and their strategy.
import { type Definitions, TypeCatalog } from "../schema/type-node.ts";
import { defaultPrinter, printers } from "../table/printers.ts";
import * as cluster from "./cluster.ts";
import * as core from "./core.ts";
import { podStrategy } from "./pod.ts";
import { type ApiObject, allVerbs, type Resource, type ResourceVersionInfo, type ScalePaths, type Strategy } from "./resource.ts";
import { serviceStrategy } from "./service.ts";
import * as workloads from "./workloads.ts";

interface Line {
  group: string;
  kind: string;
  plural: string;
  short?: string[];
  cluster?: boolean;
  categories?: string[];
  status?: boolean;
  scale?: ScalePaths;
  versions?: string[];
  storage?: string;
  strategy: Strategy;
  subresources?: Resource["subresources"];
  selectable?: Resource["selectable"];
  /** The bucket of another kind whose objects this one shows. */
  bucket?: string;
  conversion?: Resource["conversion"];
}

const scale = { specReplicas: "spec.replicas", statusReplicas: "status.replicas", selector: "spec.selector" };
const connect = ["create", "get"];
const podFields: Resource["selectable"] = {
  "spec.nodeName": ({ spec }) => spec?.nodeName ?? "",
  "spec.restartPolicy": ({ spec }) => spec?.restartPolicy ?? "",
  "spec.schedulerName": ({ spec }) => spec?.schedulerName ?? "",
  "spec.serviceAccountName": ({ spec }) => spec?.serviceAccountName ?? "",
  "spec.hostNetwork": ({ spec }) => String(spec?.hostNetwork ?? false),
  "status.phase": ({ status }) => status?.phase ?? "",
  "status.podIP": ({ status }) => status?.podIP ?? "",
  "status.nominatedNodeName": ({ status }) => status?.nominatedNodeName ?? "",
};
const eventFields: Resource["selectable"] = {
  ...Object.fromEntries(
    ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"].map((name) => [
      `involvedObject.${name}`,
      (event: ApiObject) => event["involvedObject"]?.[name] ?? "",
    ]),
  ),
  reason: (event) => event["reason"] ?? "",
  type: (event) => event["type"] ?? "",
  source: (event) => event["source"]?.component ?? "",
  reportingComponent: (event) => event["reportingComponent"] ?? "",
};
const replicas: Resource["selectable"] = { "status.replicas": ({ status }) => String(status?.replicas ?? 0) };

const lines: Line[] = [
  {
    group: "",
    kind: "Namespace",
    plural: "namespaces",
    short: ["ns"],
    cluster: true,
    status: true,
    strategy: core.namespaceStrategy,
    subresources: [{ name: "finalize", kind: "Namespace", verbs: ["update"] }],
    selectable: { "status.phase": ({ status }) => status?.phase ?? "" },
  },
  {
    group: "",
    kind: "Pod",
    plural: "pods",
    short: ["po"],
    categories: ["all"],
    status: true,
    strategy: podStrategy,
    selectable: podFields,
    subresources: [
      { name: "attach", kind: "PodAttachOptions", verbs: connect },
      { name: "binding", kind: "Binding", verbs: ["create"] },
      { name: "ephemeralcontainers", kind: "Pod", verbs: ["get", "patch", "update"] },
      { name: "eviction", kind: "Eviction", group: "policy", version: "v1", verbs: ["create"] },
      { name: "exec", kind: "PodExecOptions", verbs: connect },
      { name: "log", kind: "Pod", verbs: ["get"] },
      { name: "portforward", kind: "PodPortForwardOptions", verbs: connect },
    ],
  },
  {
    group: "",
    kind: "Service",
    plural: "services",
    short: ["svc"],
    categories: ["all"],
    status: true,
    strategy: serviceStrategy,
    selectable: { "spec.clusterIP": ({ spec }) => spec?.clusterIP ?? "", "spec.type": ({ spec }) => spec?.type ?? "" },
  },
  { group: "", kind: "Endpoints", plural: "endpoints", short: ["ep"], strategy: core.endpointsStrategy },
  { group: "", kind: "ConfigMap", plural: "configmaps", short: ["cm"], strategy: core.configMapStrategy },
  { group: "", kind: "Secret", plural: "secrets", strategy: core.secretStrategy, selectable: { type: (secret) => secret["type"] ?? "" } },
  {
    group: "",
    kind: "ServiceAccount",
    plural: "serviceaccounts",
    short: ["sa"],
    strategy: cluster.anything,
    subresources: [{ name: "token", kind: "TokenRequest", group: "authentication.k8s.io", version: "v1", verbs: ["create"] }],
  },
  { group: "", kind: "Event", plural: "events", short: ["ev"], strategy: core.eventStrategy, selectable: eventFields },
  {
    group: "",
    kind: "Node",
    plural: "nodes",
    short: ["no"],
    cluster: true,
    status: true,
    strategy: core.nodeStrategy,
    selectable: { "spec.unschedulable": ({ spec }) => String(spec?.unschedulable ?? false) },
  },
  {
    group: "",
    kind: "ReplicationController",
    plural: "replicationcontrollers",
    short: ["rc"],
    categories: ["all"],
    status: true,
    scale,
    strategy: workloads.replicationControllerStrategy,
    selectable: replicas,
  },
  {
    group: "",
    kind: "PersistentVolume",
    plural: "persistentvolumes",
    short: ["pv"],
    cluster: true,
    status: true,
    strategy: core.volumeStrategy,
  },
  {
    group: "",
    kind: "PersistentVolumeClaim",
    plural: "persistentvolumeclaims",
    short: ["pvc"],
    status: true,
    strategy: core.claimStrategy,
  },
  { group: "", kind: "LimitRange", plural: "limitranges", short: ["limits"], strategy: cluster.anything },
  { group: "", kind: "ResourceQuota", plural: "resourcequotas", short: ["quota"], status: true, strategy: { generation: false } },
  { group: "", kind: "PodTemplate", plural: "podtemplates", strategy: cluster.anything },
  {
    group: "apps",
    kind: "Deployment",
    plural: "deployments",
    short: ["deploy"],
    categories: ["all"],
    status: true,
    scale,
    strategy: workloads.deploymentStrategy,
  },
  {
    group: "apps",
    kind: "ReplicaSet",
    plural: "replicasets",
    short: ["rs"],
    categories: ["all"],
    status: true,
    scale,
    strategy: workloads.replicaSetStrategy,
    selectable: replicas,
  },
  {
    group: "apps",
    kind: "StatefulSet",
    plural: "statefulsets",
    short: ["sts"],
    categories: ["all"],
    status: true,
    scale,
    strategy: workloads.statefulSetStrategy,
  },
  {
    group: "apps",
    kind: "DaemonSet",
    plural: "daemonsets",
    short: ["ds"],
    categories: ["all"],
    status: true,
    strategy: workloads.daemonSetStrategy,
  },
  { group: "apps", kind: "ControllerRevision", plural: "controllerrevisions", strategy: cluster.anything },
  {
    group: "batch",
    kind: "Job",
    plural: "jobs",
    categories: ["all"],
    status: true,
    strategy: workloads.jobStrategy,
    selectable: { "status.successful": ({ status }) => String(status?.succeeded ?? 0) },
  },
  {
    group: "batch",
    kind: "CronJob",
    plural: "cronjobs",
    short: ["cj"],
    categories: ["all"],
    status: true,
    strategy: workloads.cronJobStrategy,
  },
  {
    group: "autoscaling",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    short: ["hpa"],
    categories: ["all"],
    status: true,
    versions: ["v2", "v1"],
    storage: "v2",
    conversion: workloads.autoscalerConversion,
    strategy: workloads.autoscalerStrategy,
  },
  {
    group: "policy",
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    short: ["pdb"],
    status: true,
    strategy: workloads.disruptionBudgetStrategy,
  },
  { group: "discovery.k8s.io", kind: "EndpointSlice", plural: "endpointslices", strategy: core.endpointSliceStrategy },
  { group: "networking.k8s.io", kind: "Ingress", plural: "ingresses", short: ["ing"], status: true, strategy: cluster.ingressStrategy },
  { group: "networking.k8s.io", kind: "IngressClass", plural: "ingressclasses", cluster: true, strategy: cluster.anything },
  {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    plural: "networkpolicies",
    short: ["netpol"],
    strategy: cluster.networkPolicyStrategy,
  },
  { group: "rbac.authorization.k8s.io", kind: "ClusterRole", plural: "clusterroles", cluster: true, strategy: cluster.roleStrategy },
  {
    group: "rbac.authorization.k8s.io",
    kind: "ClusterRoleBinding",
    plural: "clusterrolebindings",
    cluster: true,
    strategy: cluster.roleBindingStrategy,
  },
  { group: "rbac.authorization.k8s.io", kind: "Role", plural: "roles", strategy: cluster.roleStrategy },
  { group: "rbac.authorization.k8s.io", kind: "RoleBinding", plural: "rolebindings", strategy: cluster.roleBindingStrategy },
  {
    group: "admissionregistration.k8s.io",
    kind: "MutatingWebhookConfiguration",
    plural: "mutatingwebhookconfigurations",
    categories: ["api-extensions"],
    cluster: true,
    strategy: cluster.webhookStrategy,
  },
  {
    group: "admissionregistration.k8s.io",
    kind: "ValidatingWebhookConfiguration",
    plural: "validatingwebhookconfigurations",
    categories: ["api-extensions"],
    cluster: true,
    strategy: cluster.webhookStrategy,
  },
  {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
    short: ["crd", "crds"],
    categories: ["api-extensions"],
    cluster: true,
    status: true,
    strategy: cluster.crdStrategy,
  },
  {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    plural: "apiservices",
    categories: ["api-extensions"],
    cluster: true,
    status: true,
    strategy: cluster.apiServiceStrategy,
  },
  { group: "coordination.k8s.io", kind: "Lease", plural: "leases", strategy: cluster.leaseStrategy },
  {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    plural: "priorityclasses",
    short: ["pc"],
    cluster: true,
    strategy: cluster.priorityClassStrategy,
  },
  {
    group: "storage.k8s.io",
    kind: "StorageClass",
    plural: "storageclasses",
    short: ["sc"],
    cluster: true,
    strategy: cluster.storageClassStrategy,
  },
  {
    group: "events.k8s.io",
    kind: "Event",
    plural: "events",
    short: ["ev"],
    strategy: core.eventStrategy,
    bucket: "events",
    selectable: eventFields,
    conversion: core.eventConversion,
  },
];

/** Kinds that are asked and answered, never stored. */
export const reviews = [
  { group: "authentication.k8s.io", kind: "TokenReview", plural: "tokenreviews", namespaced: false },
  { group: "authentication.k8s.io", kind: "SelfSubjectReview", plural: "selfsubjectreviews", namespaced: false },
  { group: "authorization.k8s.io", kind: "SubjectAccessReview", plural: "subjectaccessreviews", namespaced: false },
  { group: "authorization.k8s.io", kind: "SelfSubjectAccessReview", plural: "selfsubjectaccessreviews", namespaced: false },
  { group: "authorization.k8s.io", kind: "SelfSubjectRulesReview", plural: "selfsubjectrulesreviews", namespaced: false },
  { group: "authorization.k8s.io", kind: "LocalSubjectAccessReview", plural: "localsubjectaccessreviews", namespaced: true },
] as const;

/** The definition of every kind served: by kind, group and version. */
export function definitionNames(definitions: Definitions): Map<string, string> {
  const names = new Map<string, string>();
  for (const [name, definition] of Object.entries(definitions)) {
    for (const { group, version, kind } of definition["x-kubernetes-group-version-kind"] ?? [])
      names.set(`${group}/${version}/${kind}`, name);
  }
  return names;
}

export const objectMetaName = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/** The built-in resources, with types from the published definitions. */
export function builtinResources(definitions: Definitions): { resources: Resource[]; catalog: TypeCatalog; names: Map<string, string> } {
  const catalog = new TypeCatalog(definitions);
  const names = definitionNames(definitions);
  const resources = lines.map((line): Resource => {
    const { group, kind, plural } = line;
    const versions = (line.versions ?? ["v1"]).map((name): ResourceVersionInfo => {
      const definition = names.get(`${group}/${name}/${kind}`);
      if (!definition) throw new Error(`no definition of ${group}/${name} ${kind}`);
      return {
        name,
        served: true,
        type: catalog.named(definition),
        status: line.status === true,
        table: printers[kind] ?? defaultPrinter,
        ...(line.scale ? { scale: line.scale } : {}),
      };
    });
    return {
      group,
      plural,
      singular: kind.toLowerCase(),
      kind,
      listKind: `${kind}List`,
      shortNames: line.short ?? [],
      categories: line.categories ?? [],
      namespaced: !line.cluster,
      bucket: line.bucket ?? (group === "" ? plural : `${plural}.${group}`),
      versions,
      storage: line.storage ?? (versions[0] as ResourceVersionInfo).name,
      ...(line.conversion ? { conversion: line.conversion } : {}),
      subresources: line.subresources ?? [],
      verbs: allVerbs,
      selectable: line.selectable ?? {},
      strategy: { ...line.strategy, generation: line.strategy.generation ?? line.status === true },
      custom: false,
    };
  });
  return { resources, catalog, names };
}
