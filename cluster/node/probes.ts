// Probes and HTTP hooks: one attempt of each kind, and the worker that repeats a probe by its thresholds.
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import type { ContainerSpec, Handler, HttpGetAction, Probe } from "./types.ts";

export interface ProbeResult {
  ok: boolean;
  /** As the kubelet words it in its Unhealthy events. */
  message: string;
}

/** How to reach a container. */
export interface ProbeTarget {
  podIP: string;
  container: ContainerSpec;
  exec(argv: string[], timeoutMs: number): Promise<{ code: number | undefined; output: string }>;
}

/** Output of a probe that is kept for messages. */
const maxMessage = 1_024;
const userAgent = "kube-probe/1.34";

/** One attempt. Never throws. */
export async function runHandler(handler: Handler, target: ProbeTarget, timeoutMs: number): Promise<ProbeResult> {
  try {
    if (handler.exec) {
      const { code, output } = await target.exec(handler.exec.command ?? [], timeoutMs);
      if (code === undefined)
        return {
          ok: false,
          message: `command timed out: ${JSON.stringify((handler.exec.command ?? []).join(" "))} timed out after ${timeoutMs / 1000}s`,
        };
      return { ok: code === 0, message: output.slice(0, maxMessage) };
    }
    if (handler.httpGet) return await httpGet(handler.httpGet, target, timeoutMs);
    if (handler.tcpSocket)
      return await tcpConnect(handler.tcpSocket.host || target.podIP, portOf(handler.tcpSocket.port, target.container), timeoutMs);
    if (handler.grpc) return await grpcCheck(target.podIP, handler.grpc.port, handler.grpc.service ?? "", timeoutMs);
    return { ok: false, message: "missing probe handler" };
  } catch (error) {
    return { ok: false, message: (error as Error).message };
  }
}

/** @throws {RangeError} for a name that the container's ports do not have. */
export function portOf(port: number | string, container: ContainerSpec): number {
  if (typeof port === "number") return port;
  const named = container.ports?.find((one) => one.name === port)?.containerPort ?? (/^\d+$/.test(port) ? Number(port) : undefined);
  if (named === undefined) throw new RangeError(`couldn't find port: ${JSON.stringify(port)} in container ${container.name}`);
  return named;
}

async function httpGet(
  { path = "/", port, host, scheme = "HTTP", httpHeaders = [] }: HttpGetAction,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeResult> {
  const url = `${scheme.toLowerCase()}://${host || target.podIP}:${portOf(port, target.container)}${path.startsWith("/") ? path : `/${path}`}`;
  const headers = new Headers({ "user-agent": userAgent, accept: "*/*", connection: "close" });
  for (const { name, value } of httpHeaders) headers.set(name, value);
  let response: Response;
  try {
    const init = {
      headers,
      redirect: "manual",
      keepalive: false,
      signal: AbortSignal.timeout(timeoutMs),
      tls: { rejectUnauthorized: false },
    };
    response = await fetch(url, init as unknown as RequestInit);
  } catch (error) {
    const { name, code, message } = error as Error & { code?: string };
    const isRefused = code === "ECONNREFUSED" || code === "ConnectionRefused";
    const { host: authority } = new URL(url);
    const cause =
      name === "TimeoutError"
        ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        : isRefused
          ? `dial tcp ${authority}: connect: connection refused`
          : message;
    return { ok: false, message: `Get ${JSON.stringify(url)}: ${cause}` };
  }
  const body = await response.text().catch(() => "");
  if (response.status >= 200 && response.status < 400) return { ok: true, message: body.slice(0, maxMessage) };
  return { ok: false, message: `HTTP probe failed with statuscode: ${response.status}` };
}

function tcpConnect(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (result: ProbeResult) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end({ ok: false, message: `dial tcp ${host}:${port}: i/o timeout` }), timeoutMs);
    socket.on("connect", () => end({ ok: true, message: "" }));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      end({
        ok: false,
        message: `dial tcp ${host}:${port}: ${error.code === "ECONNREFUSED" ? "connect: connection refused" : error.message}`,
      }),
    );
  });
}

/** grpc.health.v1.Health/Check: success is status SERVING (1). */
function grpcCheck(host: string, port: number, service: string, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${host}:${port}`);
    const end = (result: ProbeResult) => {
      clearTimeout(timer);
      session.destroy();
      resolve(result);
    };
    const timer = setTimeout(
      () => end({ ok: false, message: `timeout: failed to connect service "${host}:${port}" within ${timeoutMs / 1000}s` }),
      timeoutMs,
    );
    session.on("error", (error: Error) => end({ ok: false, message: error.message }));
    const name = Buffer.from(service, "utf8");
    const message = name.length > 0 ? Buffer.concat([Buffer.from([0x0a, name.length]), name]) : Buffer.alloc(0);
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": userAgent,
    });
    const chunks: Buffer[] = [];
    let status = "";
    const note = (headers: Record<string, unknown>) => {
      if (headers["grpc-status"] !== undefined) status = String(headers["grpc-status"]);
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", (error: Error) => end({ ok: false, message: error.message }));
    stream.on("end", () => {
      const body = Buffer.concat(chunks).subarray(5);
      const health = body[0] === 0x08 ? body[1] : 0;
      if (status !== "" && status !== "0") end({ ok: false, message: `error: health rpc failed: code = ${status}` });
      else if (health === 1) end({ ok: true, message: "service healthy" });
      else end({ ok: false, message: `service unhealthy (responded with ${JSON.stringify(health === 2 ? "NOT_SERVING" : "UNKNOWN")})` });
    });
    stream.end(Buffer.concat([prefix, message]));
  });
}

export type ProbeKind = "startup" | "readiness" | "liveness";

export interface ProbeWorkerOptions {
  kind: ProbeKind;
  probe: Probe;
  attempt(timeoutMs: number): Promise<ProbeResult>;
  /** The state that the thresholds have settled on changed. */
  onChange(ok: boolean): void;
  /** A readiness probe's state to begin with; default false. True when an earlier agent had seen the container ready. */
  isReady?: boolean;
  /** Each failure that counts. */
  onFailure(message: string): void;
}

/** A readiness probe that has not succeeded yet is tried more often, so that pods are ready sooner: "executed at times other than the configured period" (Kubernetes documentation). */
const eagerFirstMs = 100;

/**
 * Repeats a probe: first after `initialDelaySeconds` (0), then each `periodSeconds` (10); `timeoutSeconds` (1); the state becomes good after
 * `successThreshold` (1) and bad after `failureThreshold` (3) in a row. Starts as: readiness bad, liveness good, startup bad.
 */
export class ProbeWorker {
  readonly #options: ProbeWorkerOptions;
  readonly #periodMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isStopped = false;
  #state: boolean;
  #hasSucceeded = false;
  #successes = 0;
  #failures = 0;
  #nextCountedAt = 0;
  #eagerMs = eagerFirstMs;

  constructor(options: ProbeWorkerOptions) {
    this.#options = options;
    this.#periodMs = Math.max(1, options.probe.periodSeconds ?? 10) * 1000;
    this.#state = options.kind === "liveness" || options.isReady === true;
    this.#hasSucceeded = options.isReady === true;
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#run(), (this.#options.probe.initialDelaySeconds ?? 0) * 1000);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    const { probe, kind, attempt, onChange, onFailure } = this.#options;
    const startedAt = performance.now();
    const result = await attempt((probe.timeoutSeconds ?? 1) * 1000);
    if (this.#isStopped) return;
    const now = performance.now();
    const isEager = kind === "readiness" && !this.#hasSucceeded;
    // Between the probe's own times an early attempt may succeed, but its failure says nothing.
    const counts = !isEager || startedAt >= this.#nextCountedAt;
    if (counts) this.#nextCountedAt = startedAt + this.#periodMs;
    if (result.ok) {
      this.#failures = 0;
      this.#successes++;
      this.#hasSucceeded = true;
      if (this.#successes >= (probe.successThreshold ?? 1) && !this.#state) {
        this.#state = true;
        onChange(true);
      }
    } else if (counts) {
      this.#successes = 0;
      this.#failures++;
      onFailure(result.message);
      if (this.#failures >= (probe.failureThreshold ?? 3)) {
        this.#failures = 0;
        // A startup or liveness probe that failed is told each time: the container is to be restarted.
        if (this.#state || kind !== "readiness") {
          this.#state = false;
          onChange(false);
        }
      }
    }
    if (this.#isStopped || (kind === "startup" && this.#state)) return;
    let waitMs = Math.max(0, startedAt + this.#periodMs - now);
    if (isEager && !this.#hasSucceeded) {
      waitMs = Math.min(waitMs, this.#eagerMs);
      this.#eagerMs = Math.min(this.#eagerMs * 1.5, this.#periodMs);
    }
    this.#timer = setTimeout(() => void this.#run(), waitMs);
  }
}
