// The columns of `kubectl get` for built-in kinds, as the real server sends them.
import { selectorText } from "../kinds/names.ts";
import type { ApiObject, Column, TablePrinter } from "../kinds/resource.ts";
import { age, humanDuration } from "./duration.ts";

type Cell = (object: ApiObject, nowMs: number) => unknown;
type Definition = [name: string, cell: Cell, options?: Partial<Column>];
const wide = { priority: 1 } as const;
const integer = { type: "integer" } as const;

/** A printer from name, cell and options of each column; Name comes first by itself. */
function printer(...definitions: Definition[]): TablePrinter {
  const all: Definition[] = [["Name", ({ metadata }) => metadata.name, { format: "name" }], ...definitions];
  return exactly(...all);
}

function exactly(...all: Definition[]): TablePrinter {
  return {
    columns: all.map(([name, , options]) => ({ name, type: "string", format: "", description: "", priority: 0, ...options })),
    cells: (object, nowMs) => all.map(([, cell]) => cell(object, nowMs) ?? ""),
  };
}

const ageColumn: Definition = ["Age", ({ metadata }, now) => age(metadata.creationTimestamp, now)];
const none = (text: string) => (text === "" ? "<none>" : text);
const list = (items: unknown[]) => none(items.join(","));
// biome-ignore lint/suspicious/noExplicitAny: pod templates of all kinds
const containersOf = (template: any) => (template?.spec?.containers ?? []) as { name: string; image: string }[];
const containerColumns = (template: (object: ApiObject) => unknown): Definition[] => [
  [
    "Containers",
    (object) =>
      containersOf(template(object))
        .map(({ name }) => name)
        .join(","),
    wide,
  ],
  [
    "Images",
    (object) =>
      containersOf(template(object))
        .map(({ image }) => image)
        .join(","),
    wide,
  ],
];
const selectorColumn = (selector: (object: ApiObject) => string): Definition => ["Selector", (object) => selector(object), wide];
const labelSelector = ({ spec }: ApiObject) => (spec?.selector ? none(selectorText(spec.selector)) : "<none>");
const mapText = (map: Record<string, string> | undefined) =>
  list(
    Object.entries(map ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
  );
const template = ({ spec }: ApiObject) => spec?.template;

/** What STATUS says: the reason a user must know first. */
function podStatus({ metadata, spec, status }: ApiObject): {
  reason: string;
  ready: number;
  total: number;
  restarts: number;
  lastRestart: number;
} {
  let reason: string = status?.reason || status?.phase || "Unknown";
  for (const condition of status?.conditions ?? [])
    if (condition.type === "PodScheduled" && condition.reason === "SchedulingGated") reason = "SchedulingGated";
  const initSpecs: { name: string; restartPolicy?: string }[] = spec?.initContainers ?? [];
  const sidecars = new Set(initSpecs.filter(({ restartPolicy }) => restartPolicy === "Always").map(({ name }) => name));
  let total = (spec?.containers ?? []).length + sidecars.size;
  let ready = 0;
  let restarts = 0;
  let sidecarRestarts = 0;
  let lastRestart = 0;
  let lastSidecarRestart = 0;
  let initializing = false;
  for (const [index, container] of (status?.initContainerStatuses ?? []).entries()) {
    restarts += container.restartCount ?? 0;
    const finished = Date.parse(container.lastState?.terminated?.finishedAt ?? "");
    if (finished > lastRestart) lastRestart = finished;
    if (sidecars.has(container.name)) {
      sidecarRestarts += container.restartCount ?? 0;
      if (finished > lastSidecarRestart) lastSidecarRestart = finished;
      if (container.started && container.ready) ready += 1;
    }
    if (initializing) continue;
    const { terminated, waiting } = container.state ?? {};
    if (terminated && terminated.exitCode === 0) continue;
    if (sidecars.has(container.name) && container.started) continue;
    if (terminated)
      reason = terminated.reason
        ? `Init:${terminated.reason}`
        : terminated.signal
          ? `Init:Signal:${terminated.signal}`
          : `Init:ExitCode:${terminated.exitCode}`;
    else if (waiting?.reason && waiting.reason !== "PodInitializing") reason = `Init:${waiting.reason}`;
    else reason = `Init:${index}/${initSpecs.length}`;
    initializing = true;
  }
  const initialized = (status?.conditions ?? []).some(
    (one: { type: string; status: string }) => one.type === "Initialized" && one.status === "True",
  );
  if (!initializing || initialized) {
    restarts = sidecarRestarts;
    lastRestart = lastSidecarRestart;
    let running = false;
    for (const container of [...(status?.containerStatuses ?? [])].reverse()) {
      restarts += container.restartCount ?? 0;
      const finished = Date.parse(container.lastState?.terminated?.finishedAt ?? "");
      if (finished > lastRestart) lastRestart = finished;
      const { terminated, waiting } = container.state ?? {};
      if (waiting?.reason) reason = waiting.reason;
      else if (terminated)
        reason = terminated.reason || (terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`);
      else if (container.ready && container.state?.running) {
        running = true;
        ready += 1;
      }
    }
    const isReady = (status?.conditions ?? []).some(
      (one: { type: string; status: string }) => one.type === "Ready" && one.status === "True",
    );
    if (reason === "Completed" && running) reason = isReady ? "Running" : "NotReady";
  }
  if (metadata.deletionTimestamp) {
    if (status?.reason === "NodeLost") reason = "Unknown";
    else if (status?.phase !== "Succeeded" && status?.phase !== "Failed") reason = "Terminating";
  }
  if (total === 0) total = 0;
  return { reason, ready, total, restarts, lastRestart };
}

function externalIp({ spec, status }: ApiObject): string {
  const addresses: string[] = spec?.externalIPs ?? [];
  switch (spec?.type) {
    case "LoadBalancer": {
      const ingress = (status?.loadBalancer?.ingress ?? []).map((one: { ip?: string; hostname?: string }) => one.ip || one.hostname);
      const all = [...ingress, ...addresses];
      return all.length > 0 ? all.join(",") : "<pending>";
    }
    case "ExternalName":
      return spec.externalName;
    default:
      return list(addresses);
  }
}

const servicePorts = ({ spec }: ApiObject) =>
  list(
    (spec?.ports ?? []).map(({ port, nodePort, protocol }: { port: number; nodePort?: number; protocol: string }) =>
      nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
    ),
  );

function endpointsText({ subsets }: ApiObject): string {
  const all: string[] = [];
  for (const { addresses = [], ports = [] } of subsets ?? [])
    for (const { ip } of addresses) all.push(...(ports.length === 0 ? [ip] : ports.map(({ port }: { port: number }) => `${ip}:${port}`)));
  return none(few(all));
}
const few = (items: string[]) => (items.length > 3 ? `${items.slice(0, 3).join(",")} + ${items.length - 3} more...` : items.join(","));

function nodeStatus({ spec, status }: ApiObject): string {
  const ready = (status?.conditions ?? []).find((one: { type: string }) => one.type === "Ready");
  const text = ready ? (ready.status === "True" ? "Ready" : "NotReady") : "Unknown";
  return spec?.unschedulable ? `${text},SchedulingDisabled` : text;
}
const rolePrefix = "node-role.kubernetes.io/";
const nodeRoles = ({ metadata }: ApiObject) =>
  list(
    Object.keys(metadata.labels ?? {})
      .filter((key) => key.startsWith(rolePrefix))
      .map((key) => key.slice(rolePrefix.length))
      .sort(),
  );
const nodeAddress =
  (type: string): Cell =>
  ({ status }) =>
    (status?.addresses ?? []).find((one: { type: string }) => one.type === type)?.address ?? "<none>";

function jobStatus({ metadata, status }: ApiObject): string {
  const has = (type: string) =>
    (status?.conditions ?? []).some((one: { type: string; status: string }) => one.type === type && one.status === "True");
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (metadata.deletionTimestamp) return "Terminating";
  if (has("Suspended")) return "Suspended";
  if (has("FailureTarget")) return "FailureTarget";
  if (has("SuccessCriteriaMet")) return "SuccessCriteriaMet";
  return "Running";
}
function jobCompletions({ spec, status }: ApiObject): string {
  const succeeded = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${succeeded}/${spec.completions}`;
  return spec?.parallelism > 1 ? `${succeeded}/1 of ${spec.parallelism}` : `${succeeded}/1`;
}
function jobDuration({ status }: ApiObject, nowMs: number): string {
  if (!status?.startTime) return "";
  return humanDuration((status.completionTime ? Date.parse(status.completionTime) : nowMs) - Date.parse(status.startTime));
}

const subjects =
  (kind: string): Cell =>
  ({ subjects: all }) =>
    (all ?? [])
      .filter((one: { kind: string }) => one.kind === kind)
      .map(({ namespace, name }: { namespace?: string; name: string }) => (kind === "ServiceAccount" ? `${namespace ?? ""}/${name}` : name))
      .join(", ");
const bindingColumns: Definition[] = [
  ["Role", ({ roleRef }) => `${roleRef?.kind}/${roleRef?.name}`],
  ageColumn,
  ["Users", subjects("User"), wide],
  ["Groups", subjects("Group"), wide],
  ["ServiceAccounts", subjects("ServiceAccount"), wide],
];
const webhookColumns: Definition[] = [["Webhooks", ({ webhooks }) => (webhooks ?? []).length, integer], ageColumn];
const dataCount: Cell = ({ data, binaryData }) => Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length;
const accessModes = (modes: string[] | undefined) =>
  (modes ?? [])
    .map((mode) => ({ ReadWriteOnce: "RWO", ReadOnlyMany: "ROX", ReadWriteMany: "RWX", ReadWriteOncePod: "RWOP" })[mode] ?? mode)
    .join(",");

function autoscalerTargets({ spec, status }: ApiObject): string {
  const all = (spec?.metrics ?? []).map((metric: ApiObject["spec"], index: number) => {
    const target =
      metric.resource?.target ??
      metric.containerResource?.target ??
      metric.pods?.target ??
      metric.object?.target ??
      metric.external?.target ??
      {};
    const current = status?.currentMetrics?.[index];
    const now = current?.resource?.current ?? current?.pods?.current ?? {};
    const label = metric.resource ? `${metric.resource.name}: ` : "";
    return target.averageUtilization !== undefined
      ? `${label}${now.averageUtilization === undefined ? "<unknown>" : `${now.averageUtilization}%`}/${target.averageUtilization}%`
      : `${label}${now.averageValue ?? "<unknown>"}/${target.averageValue ?? target.value}`;
  });
  return all.length > 2 ? `${all.slice(0, 2).join(", ")} + ${all.length - 2} more...` : list(all);
}

const eventSource = ({ source, reportingComponent }: ApiObject) => {
  const component = source?.component || reportingComponent || "";
  return source?.host ? `${component}, ${source.host}` : component;
};
const eventLast: Cell = ({ lastTimestamp, series, eventTime, firstTimestamp }, now) =>
  age(series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? firstTimestamp, now);

const replicaColumns: Definition[] = [
  ["Desired", ({ spec }) => spec?.replicas ?? 0, integer],
  ["Current", ({ status }) => status?.replicas ?? 0, integer],
  ["Ready", ({ status }) => status?.readyReplicas ?? 0, integer],
  ageColumn,
  ...containerColumns(template),
];

/** By kind; others have name and age. */
export const printers: Record<string, TablePrinter> = {
  Pod: printer(
    [
      "Ready",
      (pod) => {
        const { ready, total } = podStatus(pod);
        return `${ready}/${total}`;
      },
    ],
    ["Status", (pod) => podStatus(pod).reason],
    [
      "Restarts",
      (pod, now) => {
        const { restarts, lastRestart } = podStatus(pod);
        return restarts > 0 && lastRestart > 0 ? `${restarts} (${humanDuration(now - lastRestart)} ago)` : String(restarts);
      },
    ],
    ageColumn,
    ["IP", ({ status }) => none(status?.podIPs?.[0]?.ip ?? status?.podIP ?? ""), wide],
    ["Node", ({ spec }) => none(spec?.nodeName ?? ""), wide],
    ["Nominated Node", ({ status }) => none(status?.nominatedNodeName ?? ""), wide],
    [
      "Readiness Gates",
      ({ spec, status }) => {
        const gates: { conditionType: string }[] = spec?.readinessGates ?? [];
        if (gates.length === 0) return "<none>";
        const met = gates.filter(({ conditionType }) =>
          (status?.conditions ?? []).some((one: { type: string; status: string }) => one.type === conditionType && one.status === "True"),
        );
        return `${met.length}/${gates.length}`;
      },
      wide,
    ],
  ),
  Deployment: printer(
    ["Ready", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`],
    ["Up-to-date", ({ status }) => status?.updatedReplicas ?? 0],
    ["Available", ({ status }) => status?.availableReplicas ?? 0],
    ageColumn,
    ...containerColumns(template),
    selectorColumn(labelSelector),
  ),
  ReplicaSet: printer(...replicaColumns, selectorColumn(labelSelector)),
  ReplicationController: printer(
    ...replicaColumns,
    selectorColumn(({ spec }) => mapText(spec?.selector)),
  ),
  StatefulSet: printer(
    ["Ready", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`],
    ageColumn,
    ...containerColumns(template),
  ),
  DaemonSet: printer(
    ["Desired", ({ status }) => status?.desiredNumberScheduled ?? 0, integer],
    ["Current", ({ status }) => status?.currentNumberScheduled ?? 0, integer],
    ["Ready", ({ status }) => status?.numberReady ?? 0, integer],
    ["Up-to-date", ({ status }) => status?.updatedNumberScheduled ?? 0, integer],
    ["Available", ({ status }) => status?.numberAvailable ?? 0, integer],
    ["Node Selector", ({ spec }) => mapText(spec?.template?.spec?.nodeSelector)],
    ageColumn,
    ...containerColumns(template),
    selectorColumn(labelSelector),
  ),
  Job: printer(
    ["Status", jobStatus],
    ["Completions", jobCompletions],
    ["Duration", jobDuration],
    ageColumn,
    ...containerColumns(template),
    selectorColumn(labelSelector),
  ),
  CronJob: printer(
    ["Schedule", ({ spec }) => spec?.schedule],
    ["Timezone", ({ spec }) => none(spec?.timeZone ?? "")],
    ["Suspend", ({ spec }) => (spec?.suspend ? "True" : "False"), { type: "boolean" }],
    ["Active", ({ status }) => (status?.active ?? []).length, integer],
    ["Last Schedule", ({ status }, now) => (status?.lastScheduleTime ? age(status.lastScheduleTime, now) : "<none>")],
    ageColumn,
    ...containerColumns(({ spec }) => spec?.jobTemplate?.spec?.template),
    selectorColumn(({ spec }) => (spec?.jobTemplate?.spec?.selector ? selectorText(spec.jobTemplate.spec.selector) : "<none>")),
  ),
  Service: printer(
    ["Type", ({ spec }) => spec?.type],
    ["Cluster-IP", ({ spec }) => none(spec?.clusterIP ?? "")],
    ["External-IP", externalIp],
    ["Port(s)", servicePorts],
    ageColumn,
    selectorColumn(({ spec }) => mapText(spec?.selector)),
  ),
  Endpoints: printer(["Endpoints", endpointsText], ageColumn),
  EndpointSlice: printer(
    ["AddressType", ({ addressType }) => addressType],
    ["Ports", ({ ports }) => (ports?.length ? few(ports.map(({ port }: { port?: number }) => String(port ?? "*"))) : "<unset>")],
    [
      "Endpoints",
      ({ endpoints }) => (endpoints?.length ? few(endpoints.flatMap(({ addresses }: { addresses: string[] }) => addresses)) : "<unset>"),
    ],
    ageColumn,
  ),
  Node: printer(
    ["Status", nodeStatus],
    ["Roles", nodeRoles],
    ageColumn,
    ["Version", ({ status }) => status?.nodeInfo?.kubeletVersion],
    ["Internal-IP", nodeAddress("InternalIP"), wide],
    ["External-IP", nodeAddress("ExternalIP"), wide],
    ["OS-Image", ({ status }) => status?.nodeInfo?.osImage || "<unknown>", wide],
    ["Kernel-Version", ({ status }) => status?.nodeInfo?.kernelVersion || "<unknown>", wide],
    ["Container-Runtime", ({ status }) => status?.nodeInfo?.containerRuntimeVersion || "<unknown>", wide],
  ),
  Namespace: printer(["Status", ({ status }) => status?.phase], ageColumn),
  Secret: printer(["Type", ({ type }) => type], ["Data", dataCount], ageColumn),
  ConfigMap: printer(["Data", dataCount], ageColumn),
  ServiceAccount: printer(["Secrets", ({ secrets }) => (secrets ?? []).length], ageColumn),
  Event: exactly(
    ["Last Seen", eventLast],
    ["Type", ({ type }) => type],
    ["Reason", ({ reason }) => reason],
    [
      "Object",
      ({ involvedObject, regarding }) => {
        const object = involvedObject ?? regarding;
        return object ? `${object.kind?.toLowerCase() ?? ""}/${object.name ?? ""}` : "";
      },
    ],
    ["Subobject", ({ involvedObject, regarding }) => (involvedObject ?? regarding)?.fieldPath, wide],
    ["Source", eventSource, wide],
    ["Message", ({ message, note }) => (message ?? note ?? "").trim()],
    ["First Seen", ({ firstTimestamp, eventTime }, now) => age(firstTimestamp ?? eventTime, now), wide],
    ["Count", ({ count, series }) => String(series?.count ?? count ?? 1), wide],
    ["Name", ({ metadata }) => metadata.name, { ...wide, format: "name" }],
  ),
  PersistentVolume: printer(
    ["Capacity", ({ spec }) => spec?.capacity?.storage],
    ["Access Modes", ({ spec }) => accessModes(spec?.accessModes)],
    ["Reclaim Policy", ({ spec }) => spec?.persistentVolumeReclaimPolicy],
    ["Status", ({ metadata, status }) => (metadata.deletionTimestamp ? "Terminating" : status?.phase)],
    ["Claim", ({ spec }) => (spec?.claimRef ? `${spec.claimRef.namespace}/${spec.claimRef.name}` : "")],
    ["StorageClass", ({ spec }) => spec?.storageClassName],
    ["VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? "<unset>"],
    ["Reason", ({ status }) => status?.reason],
    ageColumn,
    ["VolumeMode", ({ spec }) => spec?.volumeMode ?? "<unset>", wide],
  ),
  PersistentVolumeClaim: printer(
    ["Status", ({ metadata, status }) => (metadata.deletionTimestamp ? "Terminating" : status?.phase)],
    ["Volume", ({ spec }) => spec?.volumeName],
    ["Capacity", ({ spec, status }) => (spec?.volumeName ? status?.capacity?.storage : "")],
    ["Access Modes", ({ spec, status }) => (spec?.volumeName ? accessModes(status?.accessModes) : "")],
    ["StorageClass", ({ spec }) => spec?.storageClassName],
    ["VolumeAttributesClass", ({ spec }) => spec?.volumeAttributesClassName ?? "<unset>"],
    ageColumn,
    ["VolumeMode", ({ spec }) => spec?.volumeMode ?? "<unset>", wide],
  ),
  HorizontalPodAutoscaler: printer(
    ["Reference", ({ spec }) => `${spec?.scaleTargetRef?.kind}/${spec?.scaleTargetRef?.name}`],
    ["Targets", autoscalerTargets],
    ["MinPods", ({ spec }) => String(spec?.minReplicas ?? "<unset>")],
    ["MaxPods", ({ spec }) => spec?.maxReplicas],
    ["Replicas", ({ status }) => status?.currentReplicas ?? status?.desiredReplicas ?? 0],
    ageColumn,
  ),
  PodDisruptionBudget: printer(
    ["Min Available", ({ spec }) => String(spec?.minAvailable ?? "N/A")],
    ["Max Unavailable", ({ spec }) => String(spec?.maxUnavailable ?? "N/A")],
    ["Allowed Disruptions", ({ status }) => status?.disruptionsAllowed ?? 0, integer],
    ageColumn,
  ),
  Ingress: printer(
    ["Class", ({ spec, metadata }) => spec?.ingressClassName ?? metadata.annotations?.["kubernetes.io/ingress.class"] ?? "<none>"],
    [
      "Hosts",
      ({ spec }) => {
        const hosts = (spec?.rules ?? []).map(({ host }: { host?: string }) => host).filter(Boolean);
        return hosts.length > 0 ? few(hosts) : "*";
      },
    ],
    [
      "Address",
      ({ status }) =>
        (status?.loadBalancer?.ingress ?? []).map((one: { ip?: string; hostname?: string }) => one.ip || one.hostname).join(","),
    ],
    ["Ports", ({ spec }) => (spec?.tls?.length ? "80, 443" : "80")],
    ageColumn,
  ),
  IngressClass: printer(
    ["Controller", ({ spec }) => spec?.controller],
    [
      "Parameters",
      ({ spec }) =>
        spec?.parameters
          ? `${spec.parameters.kind}${spec.parameters.apiGroup ? `.${spec.parameters.apiGroup}` : ""}/${spec.parameters.name}`
          : "<none>",
    ],
    ageColumn,
  ),
  NetworkPolicy: printer(["Pod-Selector", ({ spec }) => none(selectorText(spec?.podSelector))], ageColumn),
  Role: printer(["Created At", ({ metadata }) => metadata.creationTimestamp]),
  ClusterRole: printer(["Created At", ({ metadata }) => metadata.creationTimestamp]),
  RoleBinding: printer(...bindingColumns),
  ClusterRoleBinding: printer(...bindingColumns),
  MutatingWebhookConfiguration: printer(...webhookColumns),
  ValidatingWebhookConfiguration: printer(...webhookColumns),
  CustomResourceDefinition: printer(["Created At", ({ metadata }) => metadata.creationTimestamp]),
  APIService: printer(
    ["Service", ({ spec }) => (spec?.service ? `${spec.service.namespace}/${spec.service.name}` : "Local")],
    [
      "Available",
      ({ status }) => {
        const condition = (status?.conditions ?? []).find((one: { type: string }) => one.type === "Available");
        return !condition ? "Unknown" : condition.status === "True" ? "True" : `${condition.status} (${condition.reason})`;
      },
    ],
    ageColumn,
  ),
  Lease: printer(["Holder", ({ spec }) => spec?.holderIdentity], ageColumn),
  PriorityClass: printer(
    ["Value", ({ value }) => value, integer],
    ["Global-Default", ({ globalDefault }) => globalDefault === true, { type: "boolean" }],
    ageColumn,
    ["PreemptionPolicy", ({ preemptionPolicy }) => preemptionPolicy],
  ),
  StorageClass: printer(
    ["Provisioner", ({ provisioner }) => provisioner],
    ["ReclaimPolicy", ({ reclaimPolicy }) => reclaimPolicy],
    ["VolumeBindingMode", ({ volumeBindingMode }) => volumeBindingMode],
    ["AllowVolumeExpansion", ({ allowVolumeExpansion }) => String(allowVolumeExpansion ?? false)],
    ageColumn,
  ),
  ControllerRevision: printer(
    [
      "Controller",
      ({ metadata }) => {
        const owner = metadata.ownerReferences?.find(({ controller }) => controller);
        return owner
          ? `${owner.kind.toLowerCase()}${owner.apiVersion.includes("/") ? `.${owner.apiVersion.split("/")[0]}` : ""}/${owner.name}`
          : "<none>";
      },
    ],
    ["Revision", ({ revision }) => revision],
    ageColumn,
  ),
  ResourceQuota: printer(
    ["Request", ({ spec, status }) => quota(spec, status, (name) => !name.startsWith("limits."))],
    ["Limit", ({ spec, status }) => quota(spec, status, (name) => name.startsWith("limits."))],
    ageColumn,
  ),
  LimitRange: printer(["Created At", ({ metadata }) => metadata.creationTimestamp]),
  PodTemplate: printer(...containerColumns(({ template }) => template).map(([name, cell]): Definition => [name, cell]), [
    "Pod Labels",
    (object) => mapText(object["template"]?.metadata?.labels),
  ]),
};

function quota(spec: ApiObject["spec"], status: ApiObject["status"], keep: (name: string) => boolean): string {
  return Object.keys(spec?.hard ?? {})
    .filter(keep)
    .sort()
    .map((name) => `${name}: ${status?.used?.[name] ?? 0}/${spec.hard[name]}`)
    .join(", ");
}

/** Name and age: kinds without columns of their own. */
export const defaultPrinter: TablePrinter = printer(["Age", ({ metadata }, now) => age(metadata.creationTimestamp, now), { type: "date" }]);
