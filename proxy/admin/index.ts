// The admin port's answers (spec proxy §1.7). What changes the process is for this machine alone.
import { isLoopback, parseIp, splitAuthority } from "#addr";
import type { Log } from "#log";
import type { AdminHandler, AdminResponse } from "../contracts.ts";

export { registerProcessMetrics, type ShownIdentity } from "./process.ts";

export type AdminHandlerOptions = {
  /** The page of metrics. */
  readonly page: () => string | Promise<string>;
  readonly log: Log;
  /** Called with each filter that is set. */
  readonly onFilter?: (filter: string) => Promise<unknown> | undefined;
  /** Resolves as soon as all threads answer; default: who answers lives. */
  readonly live?: () => Promise<unknown>;
  /** True once the first certificate is installed; stays so. */
  readonly ready: () => boolean;
  /** Begins the drain; null: not from here. */
  readonly shutdown: (() => void) | null;
};

type Request = Parameters<AdminHandler["handle"]>[0];

const TEXT = "text/plain";

export function createAdminHandler(options: AdminHandlerOptions): AdminHandler {
  return {
    handle(request) {
      switch (request.path) {
        case "/metrics":
          return metrics(request, options.page());
        case "/ready":
          return options.ready() ? text(200, "ready\n") : text(503, "not ready\n");
        case "/live":
          return options.live === undefined ? LIVE : options.live().then(() => LIVE);
        case "/proxy-log-level":
          return local(request) ?? logLevel(request, options);
        case "/shutdown":
          // The method first: `GET` is wrong from anywhere.
          return request.method === "POST" ? (local(request) ?? shutdown(options.shutdown)) : notAllowed();
        default:
          return { status: 404, headers: [], body: "" };
      }
    },
  };
}

function metrics(request: Request, page: string | Promise<string>): AdminResponse | Promise<AdminResponse> {
  return typeof page === "string" ? exposition(request, page) : page.then((text) => exposition(request, text));
}

function exposition(request: Request, page: string): AdminResponse {
  const headers: [string, string][] = [["content-type", TEXT]];
  if (!request.headers.all("accept-encoding").some((value) => value.includes("gzip"))) return { status: 200, headers, body: page };
  return { status: 200, headers: [...headers, ["content-encoding", "gzip"]], body: Bun.gzipSync(Buffer.from(page)) };
}

/**
 * A refusal for clients elsewhere, and for pages in a browser: through a forwarded port they come from here, but they send
 * Origin, or the name they were led here by (Linkerd CVE-2024-40632).
 */
function local(request: Request): AdminResponse | null {
  if (!isLoopback(request.clientIp)) return text(403, "Requests are only permitted from localhost.");
  if (request.headers.get("origin") !== undefined) return text(403, `${request.path} may not be called by a web page\n`);
  if (!namesThisMachine(request.headers.get("host")))
    return text(403, `${request.path} may not be called by another name than localhost\n`);
  return null;
}

/** An address or `localhost`: a name that somebody else's DNS leads here comes from a page of theirs, or through the application. */
function namesThisMachine(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = splitAuthority(host)?.host ?? host;
  return name.toLowerCase() === "localhost" || parseIp(name) !== null;
}

function logLevel(request: Request, { log, onFilter }: AdminHandlerOptions): AdminResponse | Promise<AdminResponse> {
  if (log.disabled) return { status: 404, headers: [], body: "" };
  if (request.method === "GET") return text(200, log.filter);
  if (request.method !== "PUT") return notAllowed("GET", "PUT");
  try {
    log.setFilter(new TextDecoder("utf-8", { fatal: true }).decode(request.body).trim());
  } catch (error) {
    return text(400, error instanceof RangeError ? error.message : "the filter is not UTF-8");
  }
  const done: AdminResponse = { status: 204, headers: [], body: "" };
  return onFilter?.(log.filter)?.then(() => done) ?? done;
}

function shutdown(now: (() => void) | null): AdminResponse {
  if (now === null) return text(404, "shutdown endpoint is not enabled\n");
  now();
  return text(200, "shutdown\n");
}

function text(status: number, body: string): AdminResponse {
  return { status, headers: [["content-type", TEXT]], body };
}

const LIVE = text(200, "live\n");

function notAllowed(...methods: string[]): AdminResponse {
  return { status: 405, headers: methods.map((method) => ["allow", method] as const), body: "" };
}
