// Pods and pod templates: defaults, validation, what may change.
import { cloneJson, equalJson } from "../../store/index.ts";
import { type FieldError, field } from "../status.ts";
import { dnsLabel, dnsSubdomain, validateLabels } from "./names.ts";
import type { ApiObject, Strategy } from "./resource.ts";

// biome-ignore lint/suspicious/noExplicitAny: a pod spec as the decoder has shaped it
type Spec = Record<string, any>;

const containerLists = ["initContainers", "containers", "ephemeralContainers"] as const;
const defaultMode = 0o644;

export function defaultPodSpec(spec: Spec | undefined, { template }: { template: boolean }): void {
  if (!spec) return;
  spec["restartPolicy"] ??= "Always";
  spec["dnsPolicy"] ??= "ClusterFirst";
  spec["schedulerName"] ??= "default-scheduler";
  spec["securityContext"] ??= {};
  spec["terminationGracePeriodSeconds"] ??= 30;
  if (!template) spec["enableServiceLinks"] ??= true;
  // The old name of the field and the new one say the same.
  if (spec["serviceAccountName"]) spec["serviceAccount"] = spec["serviceAccountName"];
  else if (spec["serviceAccount"]) spec["serviceAccountName"] = spec["serviceAccount"];
  for (const list of containerLists) for (const container of spec[list] ?? []) defaultContainer(container, spec["hostNetwork"] === true);
  for (const volume of spec["volumes"] ?? []) defaultVolume(volume);
  for (const constraint of spec["topologySpreadConstraints"] ?? []) constraint.nodeAffinityPolicy ??= undefined;
}

function defaultContainer(container: Spec, hostNetwork: boolean): void {
  container["terminationMessagePath"] ??= "/dev/termination-log";
  container["terminationMessagePolicy"] ??= "File";
  container["resources"] ??= {};
  if (container["image"] !== undefined && !container["imagePullPolicy"])
    container["imagePullPolicy"] = isLatest(container["image"]) ? "Always" : "IfNotPresent";
  for (const port of container["ports"] ?? []) {
    port.protocol ??= "TCP";
    if (hostNetwork) port.hostPort ??= port.containerPort;
  }
  for (const variable of container["env"] ?? []) if (variable.valueFrom?.fieldRef) variable.valueFrom.fieldRef.apiVersion ??= "v1";
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const probe = container[name];
    if (!probe) continue;
    probe.timeoutSeconds ||= 1;
    probe.periodSeconds ||= 10;
    probe.successThreshold ||= 1;
    probe.failureThreshold ||= 3;
    defaultHttpGet(probe.httpGet);
    if (probe.grpc) probe.grpc.service ??= "";
  }
  for (const hook of Object.values((container["lifecycle"] ?? {}) as Record<string, Spec>)) defaultHttpGet(hook["httpGet"]);
  const { limits, requests } = container["resources"];
  if (limits)
    for (const [name, value] of Object.entries(limits))
      if (requests?.[name] === undefined) container["resources"].requests = { ...container["resources"].requests, [name]: value };
}

function defaultHttpGet(get: Spec | undefined): void {
  if (!get) return;
  get["path"] ||= "/";
  get["scheme"] ||= "HTTP";
}

function isLatest(image: string): boolean {
  if (image.includes("@")) return false;
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest";
}

function defaultVolume(volume: Spec): void {
  const sources = Object.keys(volume).filter((key) => key !== "name");
  if (sources.length === 0) volume["emptyDir"] = {};
  for (const name of ["secret", "configMap", "downwardAPI", "projected"]) if (volume[name]) volume[name].defaultMode ??= defaultMode;
  if (volume["hostPath"]) volume["hostPath"].type ??= "";
  const fieldRefs = [...(volume["downwardAPI"]?.items ?? [])];
  for (const source of volume["projected"]?.sources ?? []) {
    if (source.serviceAccountToken) source.serviceAccountToken.expirationSeconds ??= 3600;
    fieldRefs.push(...(source.downwardAPI?.items ?? []));
  }
  for (const item of fieldRefs) if (item.fieldRef) item.fieldRef.apiVersion ??= "v1";
  const claim = volume["ephemeral"]?.volumeClaimTemplate?.spec;
  if (claim) claim.volumeMode ??= "Filesystem";
}

/** `template`: where a pod's rules for templates differ (names may be absent; restartPolicy is the caller's to check). */
export function validatePodSpec(spec: Spec | undefined, at: string, errors: FieldError[]): void {
  if (!spec) {
    errors.push(field.required(at));
    return;
  }
  const volumes = new Set<string>();
  for (const [index, volume] of (spec["volumes"] ?? []).entries()) {
    const here = `${at}.volumes[${index}]`;
    if (!volume.name) errors.push(field.required(`${here}.name`));
    else {
      const wrong = dnsLabel(volume.name);
      if (wrong) errors.push(field.invalid(`${here}.name`, volume.name, wrong));
      if (volumes.has(volume.name)) errors.push(field.duplicate(`${here}.name`, volume.name));
      volumes.add(volume.name);
    }
    const sources = Object.keys(volume).filter((key) => key !== "name");
    if (sources.length > 1) errors.push(field.forbidden(`${here}.${sources[1]}`, "may not specify more than 1 volume type"));
    if (volume.configMap && !volume.configMap.name) errors.push(field.required(`${here}.configMap.name`));
    if (volume.secret && !volume.secret.secretName) errors.push(field.required(`${here}.secret.secretName`));
    if (volume.hostPath && !volume.hostPath.path) errors.push(field.required(`${here}.hostPath.path`));
  }
  if (!spec["containers"]?.length) errors.push(field.required(`${at}.containers`));
  const names = new Set<string>();
  for (const list of ["initContainers", "containers"] as const) {
    for (const [index, container] of (spec[list] ?? []).entries())
      validateContainer(container, `${at}.${list}[${index}]`, { names, volumes, init: list === "initContainers" }, errors);
  }
  oneOf(spec["restartPolicy"], ["Always", "OnFailure", "Never"], `${at}.restartPolicy`, errors);
  oneOf(spec["dnsPolicy"], ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], `${at}.dnsPolicy`, errors);
  if (spec["dnsPolicy"] === "None" && !spec["dnsConfig"]?.nameservers?.length)
    errors.push(field.required(`${at}.dnsConfig.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None"));
  if (spec["terminationGracePeriodSeconds"] < 0) spec["terminationGracePeriodSeconds"] = 1;
  for (const name of ["serviceAccountName", "nodeName"]) {
    const wrong = spec[name] ? dnsSubdomain(spec[name]) : undefined;
    if (wrong) errors.push(field.invalid(`${at}.${name}`, spec[name], wrong));
  }
  for (const name of ["hostname", "subdomain"]) {
    const wrong = spec[name] ? dnsLabel(spec[name]) : undefined;
    if (wrong) errors.push(field.invalid(`${at}.${name}`, spec[name], wrong));
  }
  validateLabels(spec["nodeSelector"], `${at}.nodeSelector`, errors);
  for (const [index, toleration] of (spec["tolerations"] ?? []).entries()) {
    if (toleration.operator) oneOf(toleration.operator, ["Equal", "Exists"], `${at}.tolerations[${index}].operator`, errors);
    if (toleration.effect)
      oneOf(toleration.effect, ["NoSchedule", "PreferNoSchedule", "NoExecute"], `${at}.tolerations[${index}].effect`, errors);
  }
}

function oneOf(value: unknown, allowed: string[], at: string, errors: FieldError[]): void {
  if (value === undefined || value === "") errors.push(field.required(at));
  else if (!allowed.includes(value as string)) errors.push(field.notSupported(at, value, allowed));
}

function validateContainer(
  container: Spec,
  at: string,
  seen: { names: Set<string>; volumes: Set<string>; init: boolean },
  errors: FieldError[],
): void {
  const name = container["name"];
  if (!name) errors.push(field.required(`${at}.name`));
  else {
    const wrong = dnsLabel(name);
    if (wrong) errors.push(field.invalid(`${at}.name`, name, wrong));
    if (seen.names.has(name)) errors.push(field.duplicate(`${at}.name`, name));
    seen.names.add(name);
  }
  if (!container["image"]) errors.push(field.required(`${at}.image`));
  else if (container["image"] !== container["image"].trim())
    errors.push(field.invalid(`${at}.image`, container["image"], "must not have leading or trailing whitespace"));
  const portNames = new Set<string>();
  for (const [index, port] of (container["ports"] ?? []).entries()) {
    const here = `${at}.ports[${index}]`;
    if (port.name) {
      const wrong = portName(port.name);
      if (wrong) errors.push(field.invalid(`${here}.name`, port.name, wrong));
      if (portNames.has(port.name)) errors.push(field.duplicate(`${here}.name`, port.name));
      portNames.add(port.name);
    }
    if (!port.containerPort) errors.push(field.required(`${here}.containerPort`));
    else portNumber(port.containerPort, `${here}.containerPort`, errors);
    if (port.hostPort) portNumber(port.hostPort, `${here}.hostPort`, errors);
    oneOf(port.protocol, ["TCP", "UDP", "SCTP"], `${here}.protocol`, errors);
  }
  for (const [index, variable] of (container["env"] ?? []).entries()) {
    const here = `${at}.env[${index}]`;
    if (!variable.name) errors.push(field.required(`${here}.name`));
    else if (/[=\0]/.test(variable.name))
      errors.push(
        field.invalid(
          `${here}.name`,
          variable.name,
          "a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
      );
    if (variable.valueFrom) {
      const sources = Object.keys(variable.valueFrom);
      if (variable.value) errors.push(field.invalid(`${here}.valueFrom`, "", "may not be specified when `value` is not empty"));
      if (sources.length === 0)
        errors.push(
          field.invalid(
            `${here}.valueFrom`,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
          ),
        );
      if (sources.length > 1) errors.push(field.invalid(`${here}.valueFrom`, "", "may not have more than one field specified at a time"));
      const path = variable.valueFrom.fieldRef?.fieldPath;
      if (variable.valueFrom.fieldRef && !path) errors.push(field.required(`${here}.valueFrom.fieldRef.fieldPath`));
      else if (path && !envFieldPath.test(path))
        errors.push(field.invalid(`${here}.valueFrom.fieldRef.fieldPath`, path, "error converting fieldPath: field label not supported"));
    }
  }
  const mounts = new Set<string>();
  for (const [index, mount] of (container["volumeMounts"] ?? []).entries()) {
    const here = `${at}.volumeMounts[${index}]`;
    if (!mount.name) errors.push(field.required(`${here}.name`));
    else if (!seen.volumes.has(mount.name)) errors.push(field.notFound(`${here}.name`, mount.name));
    if (!mount.mountPath) errors.push(field.required(`${here}.mountPath`));
    else if (mounts.has(mount.mountPath)) errors.push(field.invalid(`${here}.mountPath`, mount.mountPath, "must be unique"));
    mounts.add(mount.mountPath);
    if (mount.subPath && mount.subPathExpr)
      errors.push(field.invalid(`${here}.subPathExpr`, mount.subPathExpr, "subPathExpr and subPath are mutually exclusive"));
  }
  oneOf(container["imagePullPolicy"], ["Always", "IfNotPresent", "Never"], `${at}.imagePullPolicy`, errors);
  const native = seen.init && container["restartPolicy"] === "Always";
  if (container["restartPolicy"] && !native) {
    if (!seen.init) errors.push(field.forbidden(`${at}.restartPolicy`, "may not be set for non-init containers"));
    else errors.push(field.notSupported(`${at}.restartPolicy`, container["restartPolicy"], ["Always"]));
  }
  for (const probe of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    if (!container[probe]) continue;
    if (seen.init && !native)
      errors.push(field.forbidden(`${at}.${probe}`, "may not be set for init containers without restartPolicy=Always"));
    else validateProbe(container[probe], `${at}.${probe}`, probe !== "readinessProbe", errors);
  }
  if (container["lifecycle"] && seen.init && !native)
    errors.push(field.forbidden(`${at}.lifecycle`, "may not be set for init containers without restartPolicy=Always"));
  for (const hook of ["postStart", "preStop"]) {
    const action = container["lifecycle"]?.[hook];
    if (action) validateHandler(action, `${at}.lifecycle.${hook}`, errors);
  }
}

const envFieldPath =
  /^(metadata\.(name|namespace|uid)|metadata\.(labels|annotations)\['[^']+'\]|spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs))$/;

function validateProbe(probe: Spec, at: string, onceOnly: boolean, errors: FieldError[]): void {
  validateHandler(probe, at, errors);
  for (const name of ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]) {
    if (probe[name] < 0) errors.push(field.invalid(`${at}.${name}`, probe[name], "must be greater than or equal to 0"));
  }
  if (onceOnly && probe["successThreshold"] !== 1)
    errors.push(field.invalid(`${at}.successThreshold`, probe["successThreshold"], "must be 1"));
}

function validateHandler(handler: Spec, at: string, errors: FieldError[]): void {
  const kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"].filter((kind) => handler[kind]);
  if (kinds.length === 0) errors.push(field.required(at, "must specify a handler type"));
  if (kinds.length > 1) errors.push(field.forbidden(`${at}.${kinds[1]}`, "may not specify more than 1 handler type"));
  if (handler["exec"] && !handler["exec"].command?.length) errors.push(field.required(`${at}.exec.command`));
  for (const kind of ["httpGet", "tcpSocket", "grpc"]) {
    const port = handler[kind]?.port;
    if (!handler[kind]) continue;
    if (typeof port === "number") portNumber(port, `${at}.${kind}.port`, errors);
    else if (typeof port === "string") {
      const wrong = portName(port);
      if (wrong) errors.push(field.invalid(`${at}.${kind}.port`, port, wrong));
    } else errors.push(field.required(`${at}.${kind}.port`));
  }
}

/** What is wrong with the name of a port (IANA service name), if anything. */
export function portName(name: string): string | undefined {
  if (name.length > 15) return "must be no more than 15 characters";
  if (!/^[a-z0-9-]+$/.test(name)) return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
  if (!/[a-z]/.test(name)) return "must contain at least one letter (a-z)";
  if (name.includes("--")) return "must not contain consecutive hyphens";
  if (name.startsWith("-") || name.endsWith("-")) return "must not begin or end with a hyphen";
  return undefined;
}

export function portNumber(port: unknown, at: string, errors: FieldError[]): void {
  if (typeof port !== "number" || port < 1 || port > 65535) errors.push(field.invalid(at, port, "must be between 1 and 65535, inclusive"));
}

/** Guaranteed, Burstable or BestEffort, by cpu and memory of all containers. */
export function qosClass(spec: Spec): string {
  let any = false;
  let guaranteed = true;
  for (const container of [...(spec["initContainers"] ?? []), ...(spec["containers"] ?? [])]) {
    const { limits = {}, requests = {} } = container.resources ?? {};
    for (const name of ["cpu", "memory"]) {
      if (limits[name] !== undefined || requests[name] !== undefined) any = true;
      if (limits[name] === undefined || (requests[name] !== undefined && requests[name] !== limits[name])) guaranteed = false;
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

/** Fields of a running pod that may change: images, activeDeadlineSeconds, tolerations (additions), scheduling gates, grace of -1. */
function frozen(spec: Spec): Spec {
  const copy = cloneJson(spec);
  for (const list of containerLists) for (const container of copy[list] ?? []) container.image = "";
  for (const name of ["activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers", "terminationGracePeriodSeconds"])
    delete copy[name];
  return copy;
}

export const podStrategy: Strategy = {
  generation: true,
  defaults: (pod) => defaultPodSpec(pod["spec"], { template: false }),
  prepareCreate(pod) {
    pod["status"] = { phase: "Pending", qosClass: qosClass(pod["spec"] ?? {}) };
  },
  prepareUpdate(pod, old) {
    // The name of the node comes through the binding subresource.
    pod["status"] = old["status"];
  },
  validate(pod, errors) {
    validatePodSpec(pod["spec"], "spec", errors);
    if (pod["spec"]?.ephemeralContainers?.length && !pod.metadata.uid)
      errors.push(field.forbidden("spec.ephemeralContainers", "cannot be set on create"));
  },
  validateUpdate(pod, old, errors) {
    if (!equalJson(frozen(pod["spec"]), frozen(old["spec"]))) {
      errors.push(
        field.forbidden(
          "spec",
          "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ),
      );
    }
  },
  gracePeriodSeconds(pod) {
    // Nobody runs it: nothing to wait for.
    if (!pod["spec"]?.nodeName) return 0;
    if (pod["status"]?.phase === "Failed" || pod["status"]?.phase === "Succeeded") return 0;
    return pod["spec"]?.terminationGracePeriodSeconds ?? 30;
  },
};

/** Defaults of a template inside a workload. */
export function defaultTemplate(template: ApiObject | undefined): void {
  if (!template) return;
  template.metadata ??= {};
  defaultPodSpec(template["spec"], { template: true });
}
