// What the sample's servers share: a gRPC server over clear-text HTTP/2, a Prometheus page, an end on SIGTERM.
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

/** A whole number from the environment; `fallback` when absent. Throws when it is no port. */
export function port(env: Record<string, string | undefined>, name: string, fallback: number): number {
  const value = Number(env[name] ?? fallback);
  if (!Number.isInteger(value) || value < 1 || value > 65535) throw new Error(`${name}: "${env[name]}" is not a port (1 to 65535)`);
  return value;
}

/** Serves gRPC on `port`; resolves when listening, to a function that drains and closes. */
export async function serveGrpc(port: number, routes: (router: ConnectRouter) => void): Promise<() => Promise<void>> {
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2Server(connectNodeAdapter({ routes }) as never);
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => session.destroy());
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "0.0.0.0", resolve));
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const session of sessions) session.close();
    });
}

/** Serves `/metrics` on `port`; `page` is asked at each scrape. */
export async function serveMetrics(port: number, page: () => string): Promise<() => void> {
  const server = createHttpServer((request, response) => {
    const found = request.url?.split("?")[0] === "/metrics";
    response.writeHead(found ? 200 : 404, { "content-type": "text/plain; version=0.0.4" }).end(found ? page() : "not found\n");
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "0.0.0.0", resolve));
  return () => {
    server.close();
    server.closeIdleConnections();
  };
}

/** Resolves at SIGTERM or SIGINT. */
export function terminated(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
}

/** Clients learn that this pod is going at the same time as the pod itself: for so long it still serves those that did not yet. */
const FAREWELL_MS = 500;

/** Resolves when a server that was told to end may close. */
export async function farewell(): Promise<void> {
  await terminated();
  await Bun.sleep(FAREWELL_MS);
}
