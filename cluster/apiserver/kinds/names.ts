// The rules for names, labels and selectors that all kinds share, with the real server's messages.
import { isDnsLabel, isDnsSubdomain, isLabelKey, isLabelValue } from "#kube";
import { type FieldError, field } from "../status.ts";
import type { ObjectMeta } from "./resource.ts";

const subdomainMessage =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const labelMessage =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const label1035Message =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const keyMessage =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const valueMessage =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

export const dnsSubdomain = (name: string) =>
  name.length > 253 ? "must be no more than 253 characters" : isDnsSubdomain(name) ? undefined : subdomainMessage;
export const dnsLabel = (name: string) =>
  name.length > 63 ? "must be no more than 63 characters" : isDnsLabel(name) ? undefined : labelMessage;
export const dns1035Label = (name: string) =>
  name.length > 63 ? "must be no more than 63 characters" : /^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(name) ? undefined : label1035Message;
/** RBAC names and the like: anything that can be one segment of a path. */
export const pathSegment = (name: string) =>
  name === "." || name === ".."
    ? `may not be '${name}'`
    : name.includes("/")
      ? "may not contain '/'"
      : name.includes("%")
        ? "may not contain '%'"
        : undefined;

/** Annotations of one object together, as in Kubernetes. */
export const maxAnnotationBytes = 256 * 1024;

export function validateMetadata(metadata: ObjectMeta, checkName: (name: string) => string | undefined, errors: FieldError[]): void {
  const { name, generateName, labels, annotations, ownerReferences, finalizers } = metadata;
  if (!name) {
    if (generateName === undefined) errors.push(field.required("metadata.name", "name or generateName is required"));
  } else {
    const wrong = checkName(name);
    if (wrong) errors.push(field.invalid("metadata.name", name, wrong));
  }
  validateLabels(labels, "metadata.labels", errors);
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    if (!isLabelKey(key.toLowerCase()) && !isLabelKey(key)) errors.push(field.invalid("metadata.annotations", key, keyMessage));
    bytes += key.length + value.length;
  }
  if (bytes > maxAnnotationBytes) errors.push(field.tooLong("metadata.annotations", maxAnnotationBytes));
  let controllers = 0;
  for (const [index, owner] of (ownerReferences ?? []).entries()) {
    const at = `metadata.ownerReferences[${index}]`;
    for (const key of ["apiVersion", "kind", "name", "uid"] as const)
      if (!owner[key])
        errors.push(field.invalid(`${at}.${key}`, owner[key] ?? "", `${key === "apiVersion" ? "version" : key} must not be empty`));
    if (owner.controller && ++controllers > 1)
      errors.push(field.invalid("metadata.ownerReferences", owner, "Only one reference can have Controller set to true"));
  }
  for (const [index, finalizer] of (finalizers ?? []).entries()) {
    if (!isLabelKey(finalizer)) errors.push(field.invalid(`metadata.finalizers[${index}]`, finalizer, keyMessage));
  }
}

export function validateLabels(labels: unknown, at: string, errors: FieldError[]): void {
  for (const [key, value] of Object.entries((labels ?? {}) as Record<string, string>)) {
    if (!isLabelKey(key)) errors.push(field.invalid(at, key, keyMessage));
    if (!isLabelValue(value)) errors.push(field.invalid(at, value, value.length > 63 ? "must be no more than 63 bytes" : valueMessage));
  }
}

interface LabelSelectorLike {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key?: string; operator?: string; values?: string[] }[];
}

export function validateSelector(selector: LabelSelectorLike | undefined, at: string, errors: FieldError[]): void {
  validateLabels(selector?.matchLabels, `${at}.matchLabels`, errors);
  for (const [index, one] of (selector?.matchExpressions ?? []).entries()) {
    const here = `${at}.matchExpressions[${index}]`;
    if (!isLabelKey(one.key ?? "")) errors.push(field.invalid(`${here}.key`, one.key ?? "", keyMessage));
    switch (one.operator) {
      case "In":
      case "NotIn":
        if (!one.values?.length) errors.push(field.required(`${here}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
        break;
      case "Exists":
      case "DoesNotExist":
        if (one.values?.length)
          errors.push(field.forbidden(`${here}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        break;
      default:
        errors.push(field.invalid(`${here}.operator`, one.operator ?? "", "not a valid selector operator"));
    }
    for (const value of one.values ?? []) if (!isLabelValue(value)) errors.push(field.invalid(`${here}.values`, value, valueMessage));
  }
}

export const isEmptySelector = (selector: LabelSelectorLike | undefined) =>
  Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0;

/** Does a LabelSelector object match? An empty one matches everything, an absent one nothing. */
export function selectorMatches(selector: LabelSelectorLike | undefined, labels: Record<string, string> | undefined): boolean {
  if (!selector) return false;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labels?.[key] !== value) return false;
  for (const { key = "", operator, values = [] } of selector.matchExpressions ?? []) {
    const value = labels?.[key];
    if (operator === "In" && (value === undefined || !values.includes(value))) return false;
    if (operator === "NotIn" && value !== undefined && values.includes(value)) return false;
    if (operator === "Exists" && value === undefined) return false;
    if (operator === "DoesNotExist" && value !== undefined) return false;
  }
  return true;
}

/** A LabelSelector object in the text form of list requests. */
export function selectorText(selector: LabelSelectorLike | undefined): string {
  if (!selector) return "";
  const parts = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    if (operator === "In") parts.push(`${key} in (${[...values].sort().join(",")})`);
    else if (operator === "NotIn") parts.push(`${key} notin (${[...values].sort().join(",")})`);
    else if (operator === "Exists") parts.push(`${key}`);
    else if (operator === "DoesNotExist") parts.push(`!${key}`);
  }
  return parts.sort().join(",");
}
