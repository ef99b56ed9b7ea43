// The admin server of a controller: liveness, readiness, metrics (spec control-plane §11).

export type Admin = { readonly port: number; close(): Promise<void> };

/**
 * Serves `/ping` and `/live`, `/ready` (503 while `ready` says no), `/metrics` when there are some. Resolves when listening.
 * @throws when the address is taken.
 */
export function serveAdmin({
  host = "0.0.0.0",
  port,
  ready = () => true,
  metrics,
}: {
  host?: string;
  port: number;
  ready?: () => boolean;
  metrics?: { metrics(): Promise<string>; contentType: string } | undefined;
}): Admin {
  const server = Bun.serve({
    hostname: host,
    port,
    idleTimeout: 60,
    async fetch(request) {
      switch (new URL(request.url).pathname) {
        case "/ping":
          return new Response("pong\n");
        case "/live":
          return new Response("live\n");
        case "/ready":
          return ready() ? new Response("ok\n") : new Response("not ready\n", { status: 503 });
        case "/metrics":
          if (metrics) return new Response(await metrics.metrics(), { headers: { "content-type": metrics.contentType } });
      }
      return new Response("404 page not found\n", { status: 404 });
    },
  });
  return { port: server.port as number, close: () => server.stop(true) };
}
