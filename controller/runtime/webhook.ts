// HTTPS server of an admission webhook: AdmissionReview in, answer out; its certificate is read again when the mount changes (spec control-plane §1.5).
import { readFileSync } from "node:fs";
import type { Logger } from "./log.ts";
import type { ControllerMetrics } from "./metrics.ts";
import { watchMount } from "./mount.ts";

export type AdmissionRequest = {
  readonly uid: string;
  readonly kind: { readonly group?: string; readonly version?: string; readonly kind: string };
  readonly namespace?: string;
  readonly name?: string;
  readonly operation?: string;
  readonly object?: unknown;
  readonly oldObject?: unknown;
  readonly userInfo?: { readonly username?: string };
  readonly dryRun?: boolean;
};

export type AdmissionAnswer = {
  readonly allowed: boolean;
  /** Shown to the user when not allowed. */
  readonly message?: string;
  /** HTTP status of the refusal; default 403. */
  readonly code?: number;
  readonly patch?: readonly unknown[];
  /** Shown by kubectl, also when allowed. */
  readonly warnings?: readonly string[];
};

export type AdmissionHandler = (request: AdmissionRequest) => AdmissionAnswer | Promise<AdmissionAnswer>;

/** Bodies of this size and more are refused, in bytes. */
export const maxReviewBytes = 10 * 1024 * 1024;
/** Most warnings of one answer, and longest warning, in characters; the API server cuts what is longer (256 together are advised). */
export const maxWarnings = 16;

type Review = { readonly status: number; readonly body?: unknown };

/** One exchange, without HTTP. A handler that throws refuses the object with the error's message: nothing half-injected slips through. */
export async function review(body: string, handle: AdmissionHandler, log: Logger): Promise<Review> {
  let parsed: { apiVersion?: string; kind?: string; request?: AdmissionRequest };
  try {
    parsed = JSON.parse(body) as typeof parsed;
  } catch (error) {
    return { status: 400, body: { error: `the review is not JSON: ${(error as Error).message}` } };
  }
  const { request } = parsed ?? {};
  if (typeof request !== "object" || request === null || !request.uid || typeof request.kind?.kind !== "string")
    return { status: 400, body: { error: "the review has no request with uid and kind" } };
  let answer: AdmissionAnswer;
  try {
    answer = await handle(request);
  } catch (error) {
    log.error("admission failed", {
      kind: request.kind.kind,
      namespace: request.namespace,
      name: request.name,
      error: (error as Error).message,
    });
    answer = { allowed: false, message: (error as Error).message, code: 500 };
  }
  const { allowed, message, code = 403, patch, warnings } = answer;
  return {
    status: 200,
    body: {
      apiVersion: parsed.apiVersion ?? "admission.k8s.io/v1",
      kind: parsed.kind ?? "AdmissionReview",
      response: {
        uid: request.uid,
        allowed,
        ...(message === undefined ? {} : { status: { message, ...(allowed ? {} : { code, reason: "Invalid" }) } }),
        ...(patch && patch.length > 0 ? { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") } : {}),
        ...(warnings && warnings.length > 0 ? { warnings: warnings.slice(0, maxWarnings) } : {}),
      },
    },
  };
}

export type WebhookServer = { readonly port: number; close(): Promise<void> };

export type WebhookOptions = {
  readonly host?: string;
  readonly port: number;
  readonly certFile: string;
  readonly keyFile: string;
  readonly handle: AdmissionHandler;
  readonly log: Logger;
  readonly metrics?: ControllerMetrics | undefined;
  /** Only `POST /` is served, anything else is 404; default: every path and method. */
  readonly strict?: boolean;
};

/**
 * Serves until closed. A changed certificate takes effect for new connections: a second server takes the port over, the first ends its requests.
 * @throws when certificate or key cannot be used at the start.
 */
export function serveWebhook({
  host = "0.0.0.0",
  port,
  certFile,
  keyFile,
  handle,
  log,
  metrics,
  strict = false,
}: WebhookOptions): WebhookServer {
  const fetch = async (request: Request): Promise<Response> => {
    const startedAt = performance.now();
    const response = await answer(request);
    const labels = { code: String(response.status), method: request.method.toLowerCase() };
    metrics?.httpRequests.inc(labels);
    metrics?.httpSeconds.observe(labels, (performance.now() - startedAt) / 1000);
    return response;
  };
  const answer = async (request: Request): Promise<Response> => {
    if (strict && (request.method !== "POST" || new URL(request.url).pathname !== "/"))
      return new Response("404 not found\n", { status: 404 });
    const body = await request.text();
    if (Buffer.byteLength(body) >= maxReviewBytes)
      return new Response(`the body is longer than ${maxReviewBytes} bytes\n`, { status: 500 });
    if (body === "") {
      log.warning("received an empty payload");
      return new Response("");
    }
    const { status, body: answered } = await review(body, handle, log);
    return Response.json(answered, { status });
  };
  const read = () => ({ cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") });
  const listen = (tls: { cert: string; key: string }, on: number) =>
    Bun.serve({ hostname: host, port: on, tls, reusePort: true, idleTimeout: 30, maxRequestBodySize: maxReviewBytes + 1024 * 1024, fetch });
  let current = read();
  let server = listen(current, port);
  const bound = server.port as number;
  const stopWatching = watchMount([certFile, keyFile], () => {
    try {
      const next = read();
      if (next.cert === current.cert && next.key === current.key) return;
      const before = server;
      server = listen(next, bound);
      current = next;
      void before.stop();
      log.info("reloaded the TLS certificate", { file: certFile });
    } catch (error) {
      log.warning("the new TLS certificate cannot be used; the old one stays", { file: certFile, error: (error as Error).message });
    }
  });
  return {
    port: bound,
    async close() {
      stopWatching();
      await server.stop(true);
    },
  };
}
