// What a request asks for: the resource, verb and options that its path, method and query say.
import type { HttpRequest } from "./http/listener.ts";
import { badRequest } from "./status.ts";

export interface RequestInfo {
  /** A request about resources, as opposed to /version, /healthz, discovery. */
  isResource: boolean;
  /** As RBAC names it: get, list, watch, create, update, patch, delete, deletecollection; for other paths the method in lower case. */
  verb: string;
  path: string;
  group: string;
  version: string;
  resource: string;
  /** "": cluster-wide, or all namespaces. */
  namespace: string;
  name: string;
  subresource: string;
  /** Path after the subresource, for proxies. */
  rest: string[];
}

const namespaceSubresources = new Set(["status", "finalize"]);

/** @throws {ApiError} 400 for a path that is not well encoded. */
export function requestInfo({ method, path, query }: Pick<HttpRequest, "method" | "path" | "query">): RequestInfo {
  let segments: string[];
  try {
    segments = path
      .split("/")
      .filter((segment) => segment !== "")
      .map(decodeURIComponent);
  } catch {
    throw badRequest(`malformed path ${path}`);
  }
  const info: RequestInfo = {
    isResource: false,
    verb: method.toLowerCase(),
    path,
    group: "",
    version: "",
    resource: "",
    namespace: "",
    name: "",
    subresource: "",
    rest: [],
  };
  let rest: string[];
  if (segments[0] === "api" && segments.length > 2) rest = segments.slice(1);
  else if (segments[0] === "apis" && segments.length > 3) {
    info.group = segments[1] as string;
    rest = segments.slice(2);
  } else return info;
  info.isResource = true;
  info.version = rest.shift() as string;
  if (
    rest[0] === "namespaces" &&
    rest.length > 2 &&
    !(info.group === "" && rest.length === 3 && namespaceSubresources.has(rest[2] as string))
  ) {
    info.namespace = rest[1] as string;
    rest = rest.slice(2);
  }
  [info.resource = "", info.name = "", info.subresource = "", ...info.rest] = rest;
  // A namespace object is named by itself.
  if (info.resource === "namespaces" && info.group === "") info.namespace = info.name;
  info.verb = verbOf(method, info.name !== "", query);
  return info;
}

function verbOf(method: string, named: boolean, query: string): string {
  switch (method) {
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return named ? "delete" : "deletecollection";
    case "GET":
    case "HEAD":
      if (named) return "get";
      return query.includes("watch") && ["true", "1"].includes(new URLSearchParams(query).get("watch") ?? "") ? "watch" : "list";
    default:
      return method.toLowerCase();
  }
}
