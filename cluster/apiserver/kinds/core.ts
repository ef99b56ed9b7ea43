// The rest of the core group: namespaces, config, secrets, nodes, endpoints, storage, quotas, events.
import { equalJson } from "../../store/index.ts";
import { type FieldError, field } from "../status.ts";
import { dnsLabel } from "./names.ts";
import { portNumber } from "./pod.ts";
import type { ApiObject, Strategy } from "./resource.ts";

export const namespaceStrategy: Strategy = {
  checkName: dnsLabel,
  generation: false,
  defaults(namespace) {
    if (namespace.metadata.name)
      namespace.metadata.labels = { ...namespace.metadata.labels, "kubernetes.io/metadata.name": namespace.metadata.name };
  },
  prepareCreate(namespace) {
    namespace["status"] = { phase: "Active" };
    const finalizers: string[] = namespace["spec"]?.finalizers ?? [];
    namespace["spec"] = { finalizers: finalizers.includes("kubernetes") ? finalizers : [...finalizers, "kubernetes"] };
  },
  prepareUpdate(namespace, old) {
    // Finalizers of the spec change through `finalize` only.
    namespace["spec"] = old["spec"];
    namespace["status"] = old["status"];
  },
  beginDeletion: (namespace) => void (namespace["status"] = { ...namespace["status"], phase: "Terminating" }),
  deletable: ({ spec }) => (spec?.finalizers ?? []).length === 0,
};

const dataKey = /^[-._a-zA-Z0-9]{1,253}$/;
/** Of a ConfigMap or Secret, keys and values together, as in Kubernetes. */
export const maxDataBytes = 1024 * 1024;

function validateData(object: ApiObject, fields: string[], errors: FieldError[]): void {
  let bytes = 0;
  const seen = new Set<string>();
  for (const name of fields) {
    for (const [key, value] of Object.entries((object[name] ?? {}) as Record<string, string>)) {
      if (!dataKey.test(key) || key === "." || key === "..")
        errors.push(
          field.invalid(
            `${name}[${key}]`,
            key,
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
          ),
        );
      if (seen.has(key)) errors.push(field.invalid(`${name}[${key}]`, key, "duplicate of key present in data"));
      seen.add(key);
      bytes += value.length;
    }
  }
  if (bytes > maxDataBytes) errors.push(field.tooLong(fields.length > 1 ? "" : (fields[0] as string), maxDataBytes));
}

function immutableData(object: ApiObject, old: ApiObject, fields: string[], errors: FieldError[]): void {
  if (!old["immutable"]) return;
  if (!object["immutable"]) errors.push(field.forbidden("immutable", "field is immutable when `immutable` is set"));
  for (const name of fields)
    if (!equalJson(object[name], old[name])) errors.push(field.forbidden(name, "field is immutable when `immutable` is set"));
}

export const configMapStrategy: Strategy = {
  validate: (object, errors) => validateData(object, ["data", "binaryData"], errors),
  validateUpdate: (object, old, errors) => immutableData(object, old, ["data", "binaryData"], errors),
};

const requiredKeys: Record<string, string[]> = {
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
};

export const secretStrategy: Strategy = {
  defaults(secret) {
    secret["type"] ||= "Opaque";
    if (secret["stringData"]) {
      secret["data"] = { ...secret["data"] };
      for (const [key, value] of Object.entries(secret["stringData"] as Record<string, string>))
        secret["data"][key] = Buffer.from(value).toString("base64");
      delete secret["stringData"];
    }
  },
  validate(secret, errors) {
    validateData(secret, ["data"], errors);
    for (const key of requiredKeys[secret["type"]] ?? [])
      if (secret["data"]?.[key] === undefined) errors.push(field.required(`data[${key}]`));
    if (secret["type"] === "kubernetes.io/service-account-token" && !secret.metadata.annotations?.["kubernetes.io/service-account.name"])
      errors.push(field.required("metadata.annotations[kubernetes.io/service-account.name]"));
  },
  validateUpdate(secret, old, errors) {
    if (secret["type"] !== old["type"]) errors.push(field.invalid("type", secret["type"], "field is immutable"));
    immutableData(secret, old, ["data"], errors);
  },
};

export const nodeStrategy: Strategy = {
  generation: false,
  prepareCreate: (node) => void (node["spec"] ??= {}),
};

export const endpointsStrategy: Strategy = {
  createOnUpdate: true,
  defaults(endpoints) {
    for (const subset of endpoints["subsets"] ?? []) for (const port of subset.ports ?? []) port.protocol ??= "TCP";
  },
  validate(endpoints, errors) {
    for (const [index, subset] of (endpoints["subsets"] ?? []).entries()) {
      const at = `subsets[${index}]`;
      if (!subset.addresses?.length && !subset.notReadyAddresses?.length)
        errors.push(field.required(at, "must specify `addresses` or `notReadyAddresses`"));
      for (const [i, port] of (subset.ports ?? []).entries()) portNumber(port.port, `${at}.ports[${i}].port`, errors);
    }
  },
};

export const endpointSliceStrategy: Strategy = {
  generation: true,
  defaults(slice) {
    for (const port of slice["ports"] ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  validate(slice, errors) {
    const types = ["IPv4", "IPv6", "FQDN"];
    if (!slice["addressType"]) errors.push(field.required("addressType"));
    else if (!types.includes(slice["addressType"])) errors.push(field.notSupported("addressType", slice["addressType"], types));
    for (const [index, endpoint] of (slice["endpoints"] ?? []).entries())
      if (!endpoint.addresses?.length) errors.push(field.required(`endpoints[${index}].addresses`, "must contain at least 1 address"));
    if ((slice["endpoints"] ?? []).length > 1000) errors.push(field.tooMany("endpoints", slice["endpoints"].length, 1000));
  },
  validateUpdate(slice, old, errors) {
    if (slice["addressType"] !== old["addressType"]) errors.push(field.invalid("addressType", slice["addressType"], "field is immutable"));
  },
};

export const claimStrategy: Strategy = {
  generation: false,
  defaults({ spec }) {
    if (spec) spec.volumeMode ??= "Filesystem";
  },
  prepareCreate: (claim) => void (claim["status"] = { phase: "Pending" }),
  validate({ spec }, errors) {
    if (!spec?.accessModes?.length) errors.push(field.required("spec.accessModes", "at least 1 access mode is required"));
    if (!spec?.resources?.requests?.storage) errors.push(field.required("spec.resources[storage]"));
  },
};

export const volumeStrategy: Strategy = {
  generation: false,
  defaults({ spec }) {
    if (!spec) return;
    spec.persistentVolumeReclaimPolicy ??= "Retain";
    spec.volumeMode ??= "Filesystem";
  },
  prepareCreate: (volume) => void (volume["status"] = { phase: "Pending" }),
  validate({ spec }, errors) {
    if (!spec?.accessModes?.length) errors.push(field.required("spec.accessModes"));
    if (!spec?.capacity?.storage) errors.push(field.required("spec.capacity"));
  },
};

export const eventStrategy: Strategy = {
  createOnUpdate: true,
  validate(event, errors) {
    const namespace = event["involvedObject"]?.namespace ?? "";
    if (namespace !== "" && namespace !== event.metadata.namespace)
      errors.push(field.invalid("involvedObject.namespace", namespace, "does not match event.namespace"));
  },
};

/** events.k8s.io/v1 shows the same events with other names. */
function eventToCore({
  regarding,
  note,
  deprecatedSource,
  deprecatedFirstTimestamp,
  deprecatedLastTimestamp,
  deprecatedCount,
  reportingController,
  ...rest
}: ApiObject): ApiObject {
  return {
    ...rest,
    apiVersion: "v1",
    ...(regarding ? { involvedObject: regarding } : { involvedObject: {} }),
    ...(note ? { message: note } : {}),
    source: deprecatedSource ?? {},
    firstTimestamp: deprecatedFirstTimestamp ?? null,
    lastTimestamp: deprecatedLastTimestamp ?? null,
    ...(deprecatedCount ? { count: deprecatedCount } : {}),
    reportingComponent: reportingController ?? "",
  };
}

function eventFromCore({
  involvedObject,
  message,
  source,
  firstTimestamp,
  lastTimestamp,
  count,
  reportingComponent,
  ...rest
}: ApiObject): ApiObject {
  return {
    ...rest,
    apiVersion: "events.k8s.io/v1",
    eventTime: rest["eventTime"] ?? null,
    ...(involvedObject ? { regarding: involvedObject } : {}),
    ...(message ? { note: message } : {}),
    ...(source ? { deprecatedSource: source } : {}),
    ...(firstTimestamp ? { deprecatedFirstTimestamp: firstTimestamp } : {}),
    ...(lastTimestamp ? { deprecatedLastTimestamp: lastTimestamp } : {}),
    ...(count ? { deprecatedCount: count } : {}),
    ...(reportingComponent ? { reportingController: reportingComponent } : {}),
  };
}

/** Of events.k8s.io/v1, stored as core events. */
export const eventConversion = { fromStored: eventFromCore, toStored: eventToCore };
