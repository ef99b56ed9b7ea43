// The admin port's answers (spec proxy §1.7). What changes the process is for this machine alone.
import { gzipSync } from "node:zlib";
import { isLoopback } from "#addr";
import type { Log } from "#log";
import type { Registry } from "#metrics";
import type { AdminHandler, AdminResponse } from "../contracts.ts";

export { registerProcessMetrics, type ShownIdentity } from "./process.ts";

export type AdminHandlerOptions = {
  readonly registry: Registry;
  readonly log: Log;
  /** True once the first certificate is installed; stays so. */
  readonly ready: () => boolean;
  /** Begins the drain. */
  readonly shutdown: () => void;
};

type Request = Parameters<AdminHandler["handle"]>[0];

const TEXT = "text/plain";

export function createAdminHandler(options: AdminHandlerOptions): AdminHandler {
  return {
    handle(request) {
      switch (request.path) {
        case "/metrics":
          return metrics(request, options.registry);
        case "/ready":
          return options.ready() ? text(200, "ready\n") : text(503, "not ready\n");
        case "/live":
          return text(200, "live\n");
        case "/proxy-log-level":
          return local(request) ?? logLevel(request, options.log);
        case "/shutdown":
          return local(request) ?? shutdown(request, options.shutdown);
        default:
          return { status: 404, headers: [], body: "" };
      }
    },
  };
}

function metrics(request: Request, registry: Registry): AdminResponse {
  const page = registry.print(performance.now());
  const headers: [string, string][] = [["content-type", TEXT]];
  if (!request.headers.get("accept-encoding")?.includes("gzip")) return { status: 200, headers, body: page };
  return { status: 200, headers: [...headers, ["content-encoding", "gzip"]], body: gzipSync(page) };
}

/** A refusal for clients elsewhere, and for pages in a browser here: they send Origin, or a Host that is a name. */
function local(request: Request): AdminResponse | null {
  if (!isLoopback(request.clientIp)) return text(403, `${request.path} may only be called from localhost\n`);
  if (request.headers.get("origin") !== undefined) return text(403, `${request.path} may not be called by a web page\n`);
  return null;
}

function logLevel(request: Request, log: Log): AdminResponse {
  if (request.method === "GET") return text(200, `${log.filter}\n`);
  if (request.method !== "PUT") return notAllowed("GET", "PUT");
  try {
    log.setFilter(new TextDecoder("utf-8", { fatal: true }).decode(request.body).trim());
  } catch (error) {
    return text(400, `${(error as Error).message}\n`);
  }
  return { status: 204, headers: [], body: "" };
}

function shutdown(request: Request, now: () => void): AdminResponse {
  if (request.method !== "POST") return notAllowed("POST");
  now();
  return text(200, "shutdown\n");
}

function text(status: number, body: string): AdminResponse {
  return { status, headers: [["content-type", TEXT]], body };
}

function notAllowed(...methods: string[]): AdminResponse {
  return { status: 405, headers: methods.map((method) => ["allow", method] as const), body: "" };
}
