// How the built binary ends beyond spec proxy §1.8: a second signal, a grace period when one is set, the endpoint switched off. With
// one thread and with workers.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { Client, response } from "./cases/testing/http1.ts";
import { allow, server } from "./cases/testing/messages.ts";
import { canRunPods, type Node, Scene } from "./cases/testing/scene.ts";
import { parseExposition } from "./testing/exposition.ts";
import { until } from "./testing/processes.ts";
import type { Raw } from "./testing/wire.ts";

const HTTP_PORT = 8065;
const TCP_PORT = 8066;
const GRACE_MS = 400;
const threads = availableParallelism() > 1 ? [1, 2] : [1];
const cases = test.if(canRunPods).each(threads.map((count) => [count] as const));

let scene: Scene;

beforeAll(async () => {
  if (canRunPods) scene = await Scene.start("shutdown");
}, 60_000);

afterAll(() => {
  scene?.stop();
});

/** A proxy with a request that its application answers when told to, and a tunnel. */
async function busy(cores: number, env: Record<string, string> = {}) {
  const node: Node = await scene.pod({ ports: [HTTP_PORT, TCP_PORT], env: { CORES: String(cores), ...env } });
  node.control.servers.set(HTTP_PORT, server("web", { detectMs: 10_000 }, [allow("all", "anyone")]));
  node.control.servers.set(TCP_PORT, server("tcp", "opaque", [allow("all", "anyone")]));
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  await node.serveApp(HTTP_PORT, () => released.then(() => response(200, "at last")));
  await node.serveRaw(TCP_PORT, (connection) => {
    connection.write("hello");
    connection.socket.on("end", () => connection.socket.end());
  });
  node.start();
  await node.ready();
  await node.control.settled();
  const client = await node.client(HTTP_PORT);
  client.send("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
  const tunnel: Raw = await node.dial(TCP_PORT);
  await tunnel.until("hello");
  const begun = async () => parseExposition(await node.metrics()).sum("request_total", { target_port: String(HTTP_PORT) }) === 1;
  await until("the request has begun", begun);
  return { node, client, tunnel, release };
}

cases(
  "%d threads: a second signal is nothing special",
  async (cores) => {
    const { node, client, tunnel, release } = await busy(cores);
    const ended = node.process.stop();
    await node.said("shutting down");
    node.process.child.kill("SIGTERM");
    node.process.child.kill("SIGINT");
    release();
    expect(await client.answer()).toMatchObject({ status: 200, body: "at last" });
    expect(node.process.alive).toBe(true);
    tunnel.socket.destroy();
    expect(await ended).toBe(0);
  },
  20_000,
);

cases(
  "%d threads: with a grace period, what is left after it is cut",
  async (cores) => {
    const { node, client, tunnel } = await busy(cores, { SHUTDOWN_GRACE_PERIOD: `${GRACE_MS}ms` });
    const begun = performance.now();
    expect(await node.process.stop()).toBe(0);
    expect(performance.now() - begun).toBeGreaterThan(GRACE_MS * 0.9);
    await Promise.all([client.raw.closed, tunnel.closed]);
    expect(node.log).toContain("the time to shut down is over");
    expect(node.process.internalErrors).toEqual([]);
  },
  20_000,
);

cases(
  "%d threads: the endpoint can be switched off, and ends the process otherwise",
  async (cores) => {
    for (const enabled of [false, true]) {
      const node = await scene.proxy({ env: { CORES: String(cores), SHUTDOWN_ENDPOINT_ENABLED: String(enabled) } });
      const local = new Client(await node.local(4191));
      expect((await local.ask("POST /shutdown", { host: "localhost" })).status).toBe(enabled ? 200 : 404);
      if (enabled) expect(await node.process.exited).toBe(0);
      else expect((await local.ask("GET /live")).status).toBe(200);
    }
  },
  20_000,
);
