// One request about a resource, on its way through the server.
import type { User } from "./auth/user.ts";
import type { HttpRequest } from "./http/listener.ts";
import type { Served } from "./registry.ts";
import type { RequestInfo } from "./request.ts";
import { ApiError, type GroupResource } from "./status.ts";

export interface Call {
  request: HttpRequest;
  info: RequestInfo;
  query: URLSearchParams;
  user: User;
  served: Served;
  /** Become Warning headers. */
  warnings: Set<string>;
}

export const groupResource = ({ served: { resource } }: Pick<Call, "served">): GroupResource => ({
  group: resource.group,
  resource: resource.plural,
});

/** @throws {ApiError} 400 for a value other than `All`. */
export function isDryRun(query: URLSearchParams, options?: { dryRun?: string[] }): boolean {
  const values = [...query.getAll("dryRun"), ...(options?.dryRun ?? [])].filter((value) => value !== "");
  for (const value of values)
    if (value !== "All")
      throw new ApiError(400, "BadRequest", `dryRun: Unsupported value: ${JSON.stringify(value)}: supported values: "All"`);
  return values.length > 0;
}

/** Warnings of one answer; more are dropped. */
const maxWarnings = 50;

/** RFC 9111-style `299 - "text"`. */
export function warningHeaders(warnings: Set<string>): string[] {
  return [...warnings].slice(0, maxWarnings).map((text) => `299 - "${text.replace(/[\r\n\t]+/g, " ").replace(/[\\"]/g, "\\$&")}"`);
}
