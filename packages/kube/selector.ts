// Label selectors, as Kubernetes reads them.
import type { LabelSelector } from "./types.ts";

type Labels = Readonly<Record<string, string>> | undefined;

/**
 * True when `labels` satisfy every requirement of `selector`; an empty selector takes all, an absent one nothing.
 * An unknown operator takes nothing; {@link selectorMistakes} names it.
 */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (!selector) return false;
  const have = labels ?? {};
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (!Object.hasOwn(have, key) || have[key] !== value) return false;
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const present = Object.hasOwn(have, key);
    const value = have[key] as string;
    switch (operator) {
      case "In":
        if (!present || !values.includes(value)) return false;
        break;
      case "NotIn":
        if (present && values.includes(value)) return false;
        break;
      case "Exists":
        if (!present) return false;
        break;
      case "DoesNotExist":
        if (present) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

/** True when the selector has no requirement: it takes everything. */
export function isEmptySelector(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0;
}

/** What is wrong with a selector of unknown shape, each line beginning with the field, in the words of the API server. Empty: nothing. */
export function selectorMistakes(value: unknown, field: string): string[] {
  if (!isRecord(value)) return [`${field}: expected a label selector, found ${describe(value)}`];
  const mistakes: string[] = [];
  for (const name of Object.keys(value))
    if (name !== "matchLabels" && name !== "matchExpressions") mistakes.push(`${field}.${name}: unknown field`);
  const labels = value["matchLabels"];
  if (labels !== undefined && labels !== null) {
    if (!isRecord(labels)) mistakes.push(`${field}.matchLabels: expected a mapping, found ${describe(labels)}`);
    else {
      for (const [key, label] of Object.entries(labels)) {
        if (!isLabelKey(key)) mistakes.push(`${field}.matchLabels: ${JSON.stringify(key)} is not a label key`);
        if (typeof label !== "string") mistakes.push(`${field}.matchLabels[${key}]: expected a string, found ${describe(label)}`);
        else if (!isLabelValue(label)) mistakes.push(`${field}.matchLabels[${key}]: ${JSON.stringify(label)} is not a label value`);
      }
    }
  }
  const expressions = value["matchExpressions"];
  if (expressions !== undefined && expressions !== null) {
    if (!Array.isArray(expressions)) mistakes.push(`${field}.matchExpressions: expected a list, found ${describe(expressions)}`);
    else for (const [index, one] of expressions.entries()) mistakes.push(...expressionMistakes(one, `${field}.matchExpressions[${index}]`));
  }
  return mistakes;
}

function expressionMistakes(one: unknown, at: string): string[] {
  if (!isRecord(one)) return [`${at}: expected a mapping, found ${describe(one)}`];
  const mistakes: string[] = [];
  const { key, operator, values } = one;
  for (const name of Object.keys(one)) if (!["key", "operator", "values"].includes(name)) mistakes.push(`${at}.${name}: unknown field`);
  if (typeof key !== "string" || key === "") mistakes.push(`${at}.key: required`);
  else if (!isLabelKey(key)) mistakes.push(`${at}.key: ${JSON.stringify(key)} is not a label key`);
  const list = values ?? [];
  if (!Array.isArray(list)) mistakes.push(`${at}.values: expected a list, found ${describe(values)}`);
  switch (operator) {
    case "In":
    case "NotIn":
      if (Array.isArray(list) && list.length === 0) mistakes.push(`${at}.values: must not be empty when operator is In or NotIn`);
      break;
    case "Exists":
    case "DoesNotExist":
      if (Array.isArray(list) && list.length > 0) mistakes.push(`${at}.values: must be empty when operator is Exists or DoesNotExist`);
      break;
    default:
      mistakes.push(
        `${at}.operator: ${operator === undefined ? "required" : `${JSON.stringify(operator)} is not one of`} In, NotIn, Exists, DoesNotExist`,
      );
  }
  if (Array.isArray(list)) {
    list.forEach((value: unknown, index) => {
      if (typeof value !== "string") mistakes.push(`${at}.values[${index}]: expected a string, found ${describe(value)}`);
      else if (!isLabelValue(value)) mistakes.push(`${at}.values[${index}]: ${JSON.stringify(value)} is not a label value`);
    });
  }
  return mistakes;
}

const namePattern = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const subdomainPattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** `[prefix/]name`: a DNS subdomain of at most 253 characters, and a name of at most 63. */
export function isLabelKey(key: string): boolean {
  const slash = key.indexOf("/");
  if (slash < 0) return namePattern.test(key);
  const prefix = key.slice(0, slash);
  return prefix.length <= 253 && subdomainPattern.test(prefix) && namePattern.test(key.slice(slash + 1));
}

/** Empty, or at most 63 characters that begin and end with a letter or digit. */
export function isLabelValue(value: string): boolean {
  return value === "" || namePattern.test(value);
}

/** A DNS-1123 subdomain of at most 253 characters: what most object names must be. */
export function isDnsSubdomain(name: string): boolean {
  return name.length <= 253 && subdomainPattern.test(name);
}

/** A DNS-1123 label: at most 63 of lower-case letters, digits and `-`. */
export function isDnsLabel(name: string): boolean {
  return name.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name);
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const describe = (value: unknown) =>
  value === undefined || value === null
    ? "nothing"
    : Array.isArray(value)
      ? "a list"
      : typeof value === "object"
        ? "a mapping"
        : `${typeof value} ${JSON.stringify(value)}`;
