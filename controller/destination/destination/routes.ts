// A ServiceProfile's spec as messages of io.linkerd.proxy.destination (spec control-plane §3.3, §4.1). Says what is wrong by field.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RequestMatchSchema, ResponseMatchSchema, RetryBudgetSchema, RouteSchema, WeightedDstSchema } from "#api/destination_pb";
import { HttpMethod_Registered } from "#api/http_types_pb";
import { parseGoDuration, parseQuantity } from "#inject";

export type ProfileSpec = {
  readonly routes: MessageInitShape<typeof RouteSchema>[];
  readonly retryBudget: MessageInitShape<typeof RetryBudgetSchema>;
  /** Authorities as written. */
  readonly dstOverrides: readonly { readonly authority: string; readonly weight: number }[];
};

/** A profile that cannot be served; names the field. */
export class ProfileError extends Error {
  override readonly name = "ProfileError";
}

export const defaultRetryBudget: MessageInitShape<typeof RetryBudgetSchema> = {
  retryRatio: 0.2,
  minRetriesPerSecond: 10,
  ttl: { seconds: 10n, nanos: 0 },
};

/** Deepest nesting of a condition. */
export const maxConditionDepth = 32;

type Raw = Record<string, unknown>;
const isRecord = (value: unknown): value is Raw => typeof value === "object" && value !== null && !Array.isArray(value);
const fail = (message: string): never => {
  throw new ProfileError(message);
};
const items = (value: unknown, field: string): unknown[] =>
  value === undefined || value === null ? [] : Array.isArray(value) ? value : fail(`${field}: expected a list`);

/** @throws {ProfileError} */
export function translateProfile(spec: unknown): ProfileSpec {
  if (spec === undefined || spec === null) return { routes: [], retryBudget: defaultRetryBudget, dstOverrides: [] };
  if (!isRecord(spec)) return fail("spec: expected a mapping");
  return {
    routes: items(spec["routes"], "spec.routes").map((route, i) => translateRoute(route, `spec.routes[${i}]`)),
    retryBudget: translateBudget(spec["retryBudget"]),
    dstOverrides: items(spec["dstOverrides"], "spec.dstOverrides").map((one, i) => {
      const at = `spec.dstOverrides[${i}]`;
      if (!isRecord(one) || typeof one["authority"] !== "string" || one["authority"] === "") return fail(`${at}.authority: required`);
      return { authority: one["authority"], weight: decimillis(one["weight"], `${at}.weight`) };
    }),
  };
}

/** A weight in milli-units times ten: `1` is 10000, `500m` is 5000. @throws {ProfileError} */
export function decimillis(value: unknown, field: string): number {
  const amount = typeof value === "number" ? value : typeof value === "string" ? parseQuantity(value) : undefined;
  if (amount === undefined || amount < 0) return fail(`${field}: ${JSON.stringify(value)} is not a weight`);
  return Math.min(Math.round(amount * 10_000), 0xffff_ffff);
}

export function overrideMessages(
  overrides: readonly { readonly authority: string; readonly weight: number }[],
  port: number,
): MessageInitShape<typeof WeightedDstSchema>[] {
  return overrides.map(({ authority, weight }) => ({ authority: authority.includes(":") ? authority : `${authority}:${port}`, weight }));
}

function translateBudget(budget: unknown): MessageInitShape<typeof RetryBudgetSchema> {
  if (budget === undefined || budget === null) return defaultRetryBudget;
  if (!isRecord(budget)) return fail("spec.retryBudget: expected a mapping");
  const { retryRatio = 0, minRetriesPerSecond = 0, ttl } = budget;
  const ms = typeof ttl === "string" ? parseGoDuration(ttl) : undefined;
  if (ms === undefined) return fail(`spec.retryBudget.ttl: ${JSON.stringify(ttl)} is not a duration`);
  if (typeof retryRatio !== "number") return fail(`spec.retryBudget.retryRatio: ${JSON.stringify(retryRatio)} is not a number`);
  if (typeof minRetriesPerSecond !== "number" || minRetriesPerSecond < 0 || !Number.isInteger(minRetriesPerSecond))
    return fail(`spec.retryBudget.minRetriesPerSecond: ${JSON.stringify(minRetriesPerSecond)} is not a number of retries`);
  return { retryRatio, minRetriesPerSecond: Math.min(minRetriesPerSecond, 0xffff_ffff), ttl: durationMessage(ms) };
}

export function durationMessage(ms: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

function translateRoute(route: unknown, at: string): MessageInitShape<typeof RouteSchema> {
  if (!isRecord(route)) return fail(`${at}: expected a mapping`);
  if (typeof route["name"] !== "string") return fail(`${at}.name: required`);
  // Empty, zero and what cannot be read: no timeout.
  const timeout = typeof route["timeout"] === "string" ? (parseGoDuration(route["timeout"]) ?? 0) : 0;
  return {
    condition: requestMatch(route["condition"], `${at}.condition`, 0),
    responseClasses: items(route["responseClasses"], `${at}.responseClasses`).map((one, i) => {
      const field = `${at}.responseClasses[${i}]`;
      if (!isRecord(one)) return fail(`${field}: expected a mapping`);
      return { condition: responseMatch(one["condition"], `${field}.condition`, 0), isFailure: one["isFailure"] === true };
    }),
    metricsLabels: { route: route["name"] },
    isRetryable: route["isRetryable"] === true,
    ...(timeout > 0 ? { timeout: durationMessage(timeout) } : {}),
  };
}

function requestMatch(value: unknown, at: string, depth: number): MessageInitShape<typeof RequestMatchSchema> {
  if (depth > maxConditionDepth) return fail(`${at}: nested deeper than ${maxConditionDepth}`);
  if (!isRecord(value)) return fail(`${at}: required`);
  const matches: MessageInitShape<typeof RequestMatchSchema>[] = [];
  const seq = (name: string) => items(value[name], `${at}.${name}`).map((one, i) => requestMatch(one, `${at}.${name}[${i}]`, depth + 1));
  if (value["all"] !== undefined && value["all"] !== null) matches.push({ match: { case: "all", value: { matches: seq("all") } } });
  if (value["any"] !== undefined && value["any"] !== null) matches.push({ match: { case: "any", value: { matches: seq("any") } } });
  if (value["method"]) matches.push({ match: { case: "method", value: methodMessage(String(value["method"])) } });
  if (value["not"] !== undefined && value["not"] !== null)
    matches.push({ match: { case: "not", value: requestMatch(value["not"], `${at}.not`, depth + 1) } });
  if (value["pathRegex"]) matches.push({ match: { case: "path", value: { regex: String(value["pathRegex"]) } } });
  return matches.length === 0
    ? fail(`${at}: a match must have a field set`)
    : matches.length === 1
      ? (matches[0] as MessageInitShape<typeof RequestMatchSchema>)
      : { match: { case: "all", value: { matches } } };
}

function responseMatch(value: unknown, at: string, depth: number): MessageInitShape<typeof ResponseMatchSchema> {
  if (depth > maxConditionDepth) return fail(`${at}: nested deeper than ${maxConditionDepth}`);
  if (!isRecord(value)) return fail(`${at}: required`);
  const matches: MessageInitShape<typeof ResponseMatchSchema>[] = [];
  const seq = (name: string) => items(value[name], `${at}.${name}`).map((one, i) => responseMatch(one, `${at}.${name}[${i}]`, depth + 1));
  if (value["all"] !== undefined && value["all"] !== null) matches.push({ match: { case: "all", value: { matches: seq("all") } } });
  if (value["any"] !== undefined && value["any"] !== null) matches.push({ match: { case: "any", value: { matches: seq("any") } } });
  const { status } = value;
  if (status !== undefined && status !== null) {
    if (!isRecord(status)) return fail(`${at}.status: expected a mapping`);
    const bound = (name: string): number => {
      const code = status[name] ?? 0;
      if (typeof code !== "number" || (code !== 0 && !(Number.isInteger(code) && code >= 100 && code <= 599)))
        return fail(`${at}.status.${name}: ${JSON.stringify(code)} is not a status (100 to 599)`);
      return code;
    };
    const [min, max] = [bound("min"), bound("max")];
    if (min !== 0 && max !== 0 && max < min) return fail(`${at}.status: max must not be less than min`);
    if (min === 0 && max === 0) return fail(`${at}.status: min or max is required`);
    matches.push({ match: { case: "status", value: { min: min || max, max: max || min } } });
  }
  if (value["not"] !== undefined && value["not"] !== null)
    matches.push({ match: { case: "not", value: responseMatch(value["not"], `${at}.not`, depth + 1) } });
  return matches.length === 0
    ? fail(`${at}: a match must have a field set`)
    : matches.length === 1
      ? (matches[0] as MessageInitShape<typeof ResponseMatchSchema>)
      : { match: { case: "all", value: { matches } } };
}

function methodMessage(text: string): {
  type: { case: "registered"; value: HttpMethod_Registered } | { case: "unregistered"; value: string };
} {
  const name = text.toUpperCase();
  const registered = (HttpMethod_Registered as unknown as Record<string, HttpMethod_Registered | undefined>)[name];
  return typeof registered === "number"
    ? { type: { case: "registered", value: registered } }
    : { type: { case: "unregistered", value: name } };
}
