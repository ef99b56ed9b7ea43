// Port-forwards: many connections, large answers, refusals, and what may wait (spec cli §1.4).
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { KubeClient, Resources } from "#kube";
import { forwardPort, getFromPod, maxWaitingBytes, withPort } from "./port-forward.ts";
import { setPodStatus, startWorld, type World } from "./testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

let world: World;
const servers: Server[] = [];
const sockets = new Set<Socket>();

/** A server of the test; its connections are closed at the end. */
async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as { port: number }).port;
}

beforeAll(async () => {
  world = await startWorld();
  await world.client.create(
    { ...Resources.pods, namespace: "default" },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: { nodeName: "node", containers: [{ name: "c", image: "i" }] },
    },
  );
  await setPodStatus(world, "default", "p");
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  await world.close();
});

const target = (port: number) => ({ client: world.client, namespace: "default", pod: "p", port });

test("connections are independent, and carry bytes of any kind both ways", async () => {
  world.node.ports.set("default/p:7", await listen((socket) => socket.pipe(socket)));
  await withPort(target(7), async (port) => {
    const talk = async (seed: number) => {
      const socket = connect(port, "127.0.0.1");
      const sent = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * seed) & 255));
      socket.write(sent);
      const got: Buffer[] = [];
      for await (const chunk of socket) {
        got.push(chunk as Buffer);
        if (got.reduce((sum, { length }) => sum + length, 0) >= sent.length) break;
      }
      return Buffer.concat(got).equals(sent);
    };
    expect(await Promise.all([1, 3, 7].map(talk))).toEqual([true, true, true]);
  });
});

test("a pod, a port or a page that is not there is told in the server's words", async () => {
  const get = (pod: Partial<ReturnType<typeof target>>) => getFromPod({ ...target(8), ...pod }, { path: "/metrics", timeoutMs: 5000 });
  expect(get({})).rejects.toThrow("failed to connect to localhost:8 inside namespace: connection refused");
  expect(get({ pod: "none" })).rejects.toThrow('pods "none" not found');
  const eve = new KubeClient({ config: { ...world.client.config, impersonate: { user: "eve", groups: [] } } });
  expect(get({ client: eve })).rejects.toThrow('pods "p" is forbidden: User "eve" cannot get resource "pods/portforward"');
  const down = new KubeClient({ config: { server: "http://127.0.0.1:1", namespace: "default", context: "a", tls: {} } });
  expect(get({ client: down })).rejects.toThrow("http://127.0.0.1:1: ");
  const page = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("", { status: 503 }) });
  world.node.ports.set("default/p:9", page.port as number);
  expect(get({ port: 9 })).rejects.toThrow("GET /metrics: 503 Service Unavailable");
  world.node.ports.set("default/p:10", await listen(() => {}));
  expect(getFromPod(target(10), { path: "/metrics", timeoutMs: 50 })).rejects.toThrow("GET /metrics: no answer within 0.05 s");
  await page.stop(true);
});

test("what is sent before the tunnel stands waits up to its bound", async () => {
  const silent = await listen(() => {});
  const client = new KubeClient({ config: { server: `http://127.0.0.1:${silent}`, namespace: "default", context: "a", tls: {} } });
  const forward = await forwardPort({ ...target(7), client });
  const socket = connect(forward.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await new Promise<void>((resolve) => socket.write(Buffer.alloc(maxWaitingBytes), () => resolve()));
  expect(socket.destroyed).toBe(false);
  socket.write("x");
  await closed;
  expect(await forward.failure()).toBe("too much was sent before the tunnel to the pod stood");
  forward.close();
});

test("what a pod sends to a client that does not read waits up to its bound", async () => {
  world.node.ports.set(
    "default/p:11",
    await listen((socket) => {
      const more = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(1 << 20)));
      };
      socket.on("drain", more);
      more();
    }),
  );
  const forward = await forwardPort(target(11));
  const socket = connect(forward.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  // The failure is what ends the connection; a paused socket does not see it.
  let failure: string | null = null;
  while (failure === null) {
    failure = await forward.failure();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(failure).toBe("what the pod sent was not read");
  socket.destroy();
  forward.close();
});
