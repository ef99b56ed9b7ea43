// Routes of a service profile: which requests they take, and what counts as their failure (spec proxy §5). Pure.
import type { RE2JS } from "re2js";

/** A condition on a request, compiled. */
export type RequestMatch =
  | { readonly kind: "method"; readonly method: string }
  /** Against the path without query, the whole of it. */
  | { readonly kind: "path"; readonly regex: PathRegex }
  | { readonly kind: "all" | "any"; readonly of: readonly RequestMatch[] }
  | { readonly kind: "not"; readonly of: RequestMatch };

export type ResponseMatch =
  | { readonly kind: "status"; readonly min: number; readonly max: number }
  | { readonly kind: "all" | "any"; readonly of: readonly ResponseMatch[] }
  | { readonly kind: "not"; readonly of: ResponseMatch };

export type ResponseClass = { readonly match: ResponseMatch; readonly isFailure: boolean };

export type Route = {
  readonly match: RequestMatch;
  /** `metrics_labels`, sorted by key: `rt_*`. */
  readonly labels: ReadonlyArray<readonly [key: string, value: string]>;
  /** Null: the default classification. */
  readonly classes: ResponseClasses | null;
  /** Until response headers, ms; null = none. */
  readonly timeoutMs: number | null;
  readonly retryable: boolean;
};

/** Of a profile message; shared by its routes (spec proxy §5.5). */
export type RouteBudget = { readonly ratio: number; readonly minRetriesPerSecond: number; readonly ttlMs: number };

/** A linear-time regular expression; {@link compilePath} makes one. */
export interface PathRegex {
  matches(path: string): boolean;
}

/** The first route, in list order, that takes the request; null = none. `path` without query. */
export function matchRoute(routes: readonly Route[], method: string, path: string): Route | null {
  for (const route of routes) if (matches(route.match, method, path)) return route;
  return null;
}

function matches(match: RequestMatch, method: string, path: string): boolean {
  switch (match.kind) {
    case "method":
      return match.method === method;
    case "path":
      return match.regex.matches(path);
    case "all":
      return match.of.every((one) => matches(one, method, path));
    case "any":
      return match.of.some((one) => matches(one, method, path));
    case "not":
      return !matches(match.of, method, path);
    default:
      return match satisfies never;
  }
}

/** The classes of one route; the first that matches decides. */
export class ResponseClasses {
  readonly #classes: readonly ResponseClass[];

  constructor(classes: readonly ResponseClass[]) {
    this.#classes = classes;
  }

  /** True success, false failure, null when no class matches. */
  classify(status: number): boolean | null {
    for (const { match, isFailure } of this.#classes) if (matchesStatus(match, status)) return !isFailure;
    return null;
  }
}

function matchesStatus(match: ResponseMatch, status: number): boolean {
  switch (match.kind) {
    case "status":
      return status >= match.min && status <= match.max;
    case "all":
      return match.of.every((one) => matchesStatus(one, status));
    case "any":
      return match.of.some((one) => matchesStatus(one, status));
    case "not":
      return !matchesStatus(match.of, status);
    default:
      return match satisfies never;
  }
}

/** Longest pattern that is compiled: a profile is input. */
export const MAX_PATTERN_CHARS = 4096;
/** Deepest nesting of conditions that is compiled. */
export const MAX_MATCH_DEPTH = 16;

/** The engine of regular expressions, handed in: it is heavy, and most proxies never meet a route. */
export type RegexEngine = Pick<typeof RE2JS, "compile">;

/**
 * A pattern of the wire: trimmed and anchored at both ends where it is not yet (spec proxy §5.1). RE2's dialect: no
 * look-around, no back-references, linear time.
 * @throws {Error} when it is too long or invalid.
 */
export function compilePath(engine: RegexEngine, pattern: string): PathRegex {
  let text = pattern.trim();
  if (text.length > MAX_PATTERN_CHARS) throw new Error(`path regex of ${text.length} characters; at most ${MAX_PATTERN_CHARS}`);
  if (!text.startsWith("^")) text = `^${text}`;
  if (!text.endsWith("$")) text = `${text}$`;
  const compiled = engine.compile(text);
  return { matches: (path) => compiled.matcher(path).find() };
}
