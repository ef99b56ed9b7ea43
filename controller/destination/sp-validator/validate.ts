// Rules for ServiceProfiles at admission (spec control-plane §4.1): strict fields, names, durations, conditions.
import { parseGoDuration, parseQuantity } from "#inject";
import { isDnsSubdomain, type KubeObject } from "#kube";
import type { AdmissionAnswer, AdmissionRequest } from "../../runtime/index.ts";

type Raw = Record<string, unknown>;
const isRecord = (value: unknown): value is Raw => typeof value === "object" && value !== null && !Array.isArray(value);

/** Deepest nesting of a condition; most mistakes told of one profile. */
export const maxConditionDepth = 32;
export const maxMistakes = 20;

/** What is wrong with a ServiceProfile, each line beginning with the field; empty: nothing. */
export function profileMistakes(object: KubeObject): string[] {
  const check = new Check();
  const { name = "" } = object.metadata;
  if (!isDnsSubdomain(name)) check.add("metadata.name", `${JSON.stringify(name)} is not a DNS name`);
  const raw = object as unknown as Raw;
  check.fields(raw, "", ["apiVersion", "kind", "metadata", "spec", "status"]);
  const { spec } = raw;
  if (spec === undefined || spec === null) return check.mistakes;
  if (!check.record(spec, "spec")) return check.mistakes;
  check.fields(spec, "spec", ["routes", "retryBudget", "dstOverrides", "opaquePorts"]);
  // Declared by the CRD, never served: the Service's annotation or a Server says it (quirk Q12).
  if (spec["opaquePorts"] !== undefined)
    check.add("spec.opaquePorts", "not supported: annotate the Service with config.linkerd.io/opaque-ports, or make a Server");
  check.list(spec["routes"], "spec.routes", (route, at) => routeMistakes(check, route, at));
  budgetMistakes(check, spec["retryBudget"]);
  check.list(spec["dstOverrides"], "spec.dstOverrides", (override, at) => {
    if (!check.record(override, at)) return;
    check.fields(override, at, ["authority", "weight"]);
    const { authority, weight } = override;
    if (typeof authority !== "string" || authority === "") check.add(`${at}.authority`, "required");
    const amount = typeof weight === "number" ? weight : typeof weight === "string" ? parseQuantity(weight) : undefined;
    if (weight === undefined) check.add(`${at}.weight`, "required");
    else if (amount === undefined || amount < 0) check.add(`${at}.weight`, `${JSON.stringify(weight)} is not a weight`);
  });
  return check.mistakes;
}

function routeMistakes(check: Check, route: unknown, at: string): void {
  if (!check.record(route, at)) return;
  check.fields(route, at, ["name", "condition", "responseClasses", "isRetryable", "timeout"]);
  const { name, condition, timeout } = route;
  if (typeof name !== "string" || name === "") check.add(`${at}.name`, "a route must have a name");
  if (condition === undefined || condition === null) check.add(`${at}.condition`, "a route must have a condition");
  else requestMistakes(check, condition, `${at}.condition`, 0);
  check.boolean(route["isRetryable"], `${at}.isRetryable`);
  if (timeout !== undefined && timeout !== "") check.duration(timeout, `${at}.timeout`);
  check.list(route["responseClasses"], `${at}.responseClasses`, (responseClass, field) => {
    if (!check.record(responseClass, field)) return;
    check.fields(responseClass, field, ["condition", "isFailure"]);
    check.boolean(responseClass["isFailure"], `${field}.isFailure`);
    if (responseClass["condition"] === undefined || responseClass["condition"] === null)
      check.add(`${field}.condition`, "a response class must have a condition");
    else responseMistakes(check, responseClass["condition"], `${field}.condition`, 0);
  });
}

function requestMistakes(check: Check, match: unknown, at: string, depth: number): void {
  if (!check.depth(depth, at) || !check.record(match, at)) return;
  check.fields(match, at, ["all", "any", "not", "method", "pathRegex"]);
  for (const field of ["method", "pathRegex"])
    if (match[field] !== undefined && typeof match[field] !== "string") check.add(`${at}.${field}`, "expected a string");
  combined(check, match, at, depth, requestMistakes);
  if (
    !["all", "any", "not"].some((field) => match[field] !== undefined && match[field] !== null) &&
    !match["method"] &&
    !match["pathRegex"]
  )
    check.add(at, "a request match must have a field set");
}

function responseMistakes(check: Check, match: unknown, at: string, depth: number): void {
  if (!check.depth(depth, at) || !check.record(match, at)) return;
  check.fields(match, at, ["all", "any", "not", "status"]);
  combined(check, match, at, depth, responseMistakes);
  const { status } = match;
  if (!["all", "any", "not", "status"].some((field) => match[field] !== undefined && match[field] !== null))
    check.add(at, "a response match must have a field set");
  if (status === undefined || status === null || !check.record(status, `${at}.status`)) return;
  check.fields(status, `${at}.status`, ["min", "max"]);
  const code = (name: string): number => {
    const value = status[name] ?? 0;
    if (typeof value === "number" && (value === 0 || (Number.isInteger(value) && value >= 100 && value <= 599))) return value;
    check.add(`${at}.status.${name}`, `${JSON.stringify(value)} is not a status (100 to 599)`);
    return 0;
  };
  const [min, max] = [code("min"), code("max")];
  if (min !== 0 && max !== 0 && max < min) check.add(`${at}.status.max`, `${max} is less than min ${min}`);
  if (status["min"] === undefined && status["max"] === undefined) check.add(`${at}.status`, "a range must have min or max");
}

function combined(
  check: Check,
  match: Raw,
  at: string,
  depth: number,
  inner: (check: Check, match: unknown, at: string, depth: number) => void,
): void {
  for (const field of ["all", "any"]) check.list(match[field], `${at}.${field}`, (one, where) => inner(check, one, where, depth + 1));
  if (match["not"] !== undefined && match["not"] !== null) inner(check, match["not"], `${at}.not`, depth + 1);
}

function budgetMistakes(check: Check, budget: unknown): void {
  if (budget === undefined || budget === null || !check.record(budget, "spec.retryBudget")) return;
  check.fields(budget, "spec.retryBudget", ["retryRatio", "minRetriesPerSecond", "ttl"]);
  const { retryRatio, minRetriesPerSecond, ttl } = budget;
  if (retryRatio !== undefined && typeof retryRatio !== "number")
    check.add("spec.retryBudget.retryRatio", `${JSON.stringify(retryRatio)} is not a number`);
  else if (typeof retryRatio === "number" && retryRatio < 0) check.add("spec.retryBudget.retryRatio", "must not be negative");
  if (
    minRetriesPerSecond !== undefined &&
    !(typeof minRetriesPerSecond === "number" && Number.isInteger(minRetriesPerSecond) && minRetriesPerSecond >= 0)
  )
    check.add("spec.retryBudget.minRetriesPerSecond", `${JSON.stringify(minRetriesPerSecond)} is not a number of retries`);
  if (ttl === undefined || ttl === "") check.add("spec.retryBudget.ttl", "required");
  else check.duration(ttl, "spec.retryBudget.ttl");
}

class Check {
  readonly mistakes: string[] = [];

  add(field: string, message: string): void {
    if (this.mistakes.length < maxMistakes) this.mistakes.push(`${field}: ${message}`);
    else if (this.mistakes.length === maxMistakes) this.mistakes.push("and more");
  }

  fields(value: Raw, at: string, known: readonly string[]): void {
    for (const name of Object.keys(value)) if (!known.includes(name)) this.add(at === "" ? name : `${at}.${name}`, "unknown field");
  }

  /** False beyond the bound of nesting. */
  depth(depth: number, at: string): boolean {
    if (depth > maxConditionDepth) this.add(at, `nested deeper than ${maxConditionDepth}`);
    return depth <= maxConditionDepth;
  }

  record(value: unknown, at: string): value is Raw {
    if (isRecord(value)) return true;
    this.add(at, "expected a mapping");
    return false;
  }

  list(value: unknown, at: string, each: (item: unknown, at: string) => void): void {
    if (value === undefined || value === null) return;
    if (!Array.isArray(value)) this.add(at, "expected a list");
    else for (const [i, item] of value.entries()) each(item, `${at}[${i}]`);
  }

  boolean(value: unknown, at: string): void {
    if (value !== undefined && typeof value !== "boolean") this.add(at, `${JSON.stringify(value)} is not a boolean`);
  }

  duration(value: unknown, at: string): void {
    if (typeof value !== "string" || parseGoDuration(value) === undefined)
      this.add(at, `${JSON.stringify(value)} is not a duration (such as 300ms, 1.5s)`);
  }
}

/** The answer to a review; other kinds pass. */
export function admitProfile(request: AdmissionRequest): AdmissionAnswer {
  if (request.kind.kind !== "ServiceProfile") return { allowed: true };
  const object = request.object as KubeObject | undefined | null;
  if (!isRecord(object) || !isRecord(object["metadata"]))
    return { allowed: false, code: 400, message: "the review carries no ServiceProfile" };
  const mistakes = profileMistakes(object);
  if (mistakes.length === 0) return { allowed: true };
  return {
    allowed: false,
    code: 400,
    message: `ServiceProfile "${object.metadata.name ?? request.name ?? ""}" is invalid: ${mistakes.join("; ")}`,
  };
}
