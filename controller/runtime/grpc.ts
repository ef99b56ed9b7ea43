// A gRPC server over clear-text HTTP/2: TLS is the sidecar's. Counts every call, drains on close.
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, type ConnectRouter, createContextKey, createContextValues, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { ControllerMetrics } from "./metrics.ts";

export type GrpcServer = {
  readonly port: number;
  /** Aborted when the server begins to close: streams end with OK then. */
  close(): Promise<void>;
};

/** Longest request message, in bytes: a certificate request with a token has a few KiB. */
export const maxRequestBytes = 256 * 1024;
/** How long open calls may go on after close began; then their connections are cut. */
const drainMs = 2_000;

/** Ends when the server closes; a streaming method ends its stream with OK then. */
export const shutdownSignal = createContextKey<AbortSignal>(new AbortController().signal, { description: "the server is closing" });

export async function serveGrpc({
  host = "0.0.0.0",
  port,
  routes,
  metrics,
}: {
  host?: string;
  port: number;
  routes: (router: ConnectRouter) => void;
  metrics?: ControllerMetrics | undefined;
}): Promise<GrpcServer> {
  const sessions = new Set<ServerHttp2Session>();
  const shutdown = new AbortController();
  const handler = connectNodeAdapter({
    routes,
    interceptors: metrics ? [countCalls(metrics)] : [],
    contextValues: () => createContextValues().set(shutdownSignal, shutdown.signal),
    // gRPC alone: what proxies speak.
    connect: false,
    grpcWeb: false,
    readMaxBytes: maxRequestBytes,
  });
  const server: Http2Server = createServer(handler as never);
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => session.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      server.on("error", () => {});
      resolve();
    });
  });
  let closing: Promise<void> | undefined;
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      closing ??= new Promise((resolve) => {
        shutdown.abort();
        const cut = setTimeout(() => {
          for (const session of sessions) session.destroy();
        }, drainMs);
        server.close(() => {
          clearTimeout(cut);
          resolve();
        });
        for (const session of sessions) session.close();
      });
      return closing;
    },
  };
}

/** Names of codes as Go's gRPC writes them in metrics. */
function codeName(error: unknown): string {
  if (error === undefined) return "OK";
  return Code[ConnectError.from(error).code] ?? "Unknown";
}

function countCalls(metrics: ControllerMetrics): Interceptor {
  return (next) => async (request) => {
    const labels = {
      grpc_type: request.stream ? "server_stream" : "unary",
      grpc_service: request.service.typeName,
      grpc_method: request.method.name,
    };
    const startedAt = performance.now();
    metrics.grpcStarted.inc(labels);
    metrics.grpcReceived.inc(labels);
    const done = (error?: unknown) => {
      metrics.grpcHandled.inc({ ...labels, grpc_code: codeName(error) });
      metrics.grpcSeconds.observe(labels, (performance.now() - startedAt) / 1000);
    };
    try {
      const response = await next(request);
      if (!response.stream) {
        metrics.grpcSent.inc(labels);
        done();
        return response;
      }
      const { message } = response;
      return {
        ...response,
        message: (async function* () {
          let failure: unknown;
          try {
            for await (const one of message) {
              metrics.grpcSent.inc(labels);
              yield one;
            }
          } catch (error) {
            failure = error;
            throw error;
          } finally {
            done(failure);
          }
        })(),
      };
    } catch (error) {
      done(error);
      throw error;
    }
  };
}
