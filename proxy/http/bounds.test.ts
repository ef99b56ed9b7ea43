// Bounds of the HTTP stack, at them and just past them: requests in flight, waiting, idle connections.
import { afterEach, beforeAll, expect, test } from "bun:test";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { endpoint, profile } from "../testing/fakes.ts";
import { mesh, NAME, SERVICE } from "../testing/mesh.ts";
import { TestProxy, type TestProxyOptions } from "../testing/proxies.ts";
import { dialRaw, type Raw, type RawServer, serveRaw } from "../testing/wire.ts";

let ca: TestCa;
beforeAll(async () => {
  ca = await createCa();
});
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

const GET = "GET / HTTP/1.1\r\nHost: web.ns\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: now\r\n\r\nok";

async function scene(
  outbound: TestProxyOptions["outbound"] = {},
  endpoints = true,
  more: Partial<TestProxyOptions> = {},
): Promise<{ proxy: TestProxy; app: RawServer; dial: () => Promise<Raw> }> {
  const proxy = new TestProxy({ identity: null, outbound: outbound ?? {}, ...more });
  const app = await serveRaw();
  cleanup.push(() => {
    proxy.stop();
    app.stop();
  });
  proxy.outboundDst = SERVICE;
  proxy.discovery.setProfile("10.0.0.1:80", profile({ fqn: NAME }));
  proxy.discovery.setEndpoints(`${NAME}:80`, endpoints ? [endpoint({ addr: { ip: "127.0.0.1", port: app.port } })] : []);
  return { proxy, app, dial: () => dialRaw(proxy.outboundListener.port) };
}

test("requests in flight: the one too many is refused, an answer makes room", async () => {
  const { app, dial } = await scene({ maxInFlight: 1 });
  const first = await dial();
  first.write(GET);
  const server = await app.accept();
  await server.until("\r\n\r\n");
  const second = await dial();
  second.write(GET);
  expect(await second.closed).toContain("l5d-proxy-error: HTTP Server service in fail-fast\r\n");
  server.write(OK);
  await first.until(/ok$/);
  first.write(GET);
  await server.until(/GET[\s\S]*GET[\s\S]*\r\n\r\n/);
});

test("requests that wait: the one too many is refused at once", async () => {
  const { proxy, app, dial } = await scene({ queueCapacity: 1, dispatchTimeoutMs: 5000 }, false);
  const first = await dial();
  first.write(GET);
  while (proxy.discovery.resolving.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const second = await dial();
  second.write(GET);
  expect(await second.closed).toContain("HTTP Balancer service in fail-fast");
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: { ip: "127.0.0.1", port: app.port } })]);
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write(OK);
  await first.until(/ok$/);
});

test("a client that gives up while it waits leaves its place", async () => {
  const { proxy, dial } = await scene({ queueCapacity: 1, dispatchTimeoutMs: 5000 }, false);
  const first = await dial();
  first.write(GET);
  while (proxy.discovery.resolving.length === 0) await new Promise((resolve) => setImmediate(resolve));
  first.socket.resetAndDestroy();
  // Until the place is free, others are refused; then one waits.
  for (;;) {
    const other = await dial();
    other.write(GET);
    const refused = await Promise.race([
      other.closed.then(() => true),
      new Promise<false>((resolve) => setTimeout(() => resolve(false), 100)),
    ]);
    if (!refused) break;
  }
});

test("idle connections to an endpoint: kept up to the bound, for the idle time", async () => {
  const { app, dial } = await scene({ maxIdleConnections: 1, cacheIdleMs: 150 });
  const clients = [await dial(), await dial()];
  const servers: Raw[] = [];
  for (const client of clients) {
    client.write(GET);
    const server = await app.accept();
    await server.until("\r\n\r\n");
    servers.push(server);
  }
  for (const [i, server] of servers.entries()) {
    server.write(OK);
    await clients[i]?.until(/ok$/);
  }
  // The second found the table full.
  await servers[1]?.closed;
  clients[0]?.write(GET);
  await servers[0]?.until(/GET[\s\S]*GET/);
  servers[0]?.write(OK);
  await servers[0]?.closed;
  expect(app.accepted).toBe(2);
});

test("a head that drips in is not waited for without end; a connection that is merely idle is", async () => {
  const { app, dial } = await scene({}, true, { headTimeoutMs: 40 });
  const slow = await dial();
  slow.write("GET / HTTP/1.1\r\nHost: web.ns\r\n");
  expect(await slow.closed).toBe("");
  const idle = await dial();
  for (let i = 0; i < 2; i++) {
    idle.write(GET);
    const server = i === 0 ? await app.accept() : null;
    if (server) server.socket.on("data", () => server.write(OK));
    if (server?.text().includes("\r\n\r\n")) server.write(OK);
    await idle.until((text) => text.split("\r\n\r\nok").length > i + 1);
    await new Promise((resolve) => setTimeout(resolve, 80));
  }
});

test("a request on a connection that the server has just closed goes on another", async () => {
  const { app, dial } = await scene();
  const client = await dial();
  client.write(GET);
  const first = await app.accept();
  await first.until("\r\n\r\n");
  first.write(OK);
  await client.until(/ok$/);
  first.socket.end();
  client.write(GET);
  const second = await app.accept();
  await second.until("\r\n\r\n");
  second.write(OK);
  await client.until(/ok[\s\S]*ok$/);
});

test("many requests at once share one connection between the proxies", async () => {
  const { a, b, app, port, stop } = await mesh({ ca });
  cleanup.push(stop);
  void (async () => {
    for (;;) {
      const server = await app.accept();
      server.socket.on("data", (chunk) => {
        for (const _ of chunk.toString("latin1").matchAll(/\r\n\r\n/g)) server.write(OK);
      });
    }
  })();
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      const client = await dialRaw(port);
      for (let i = 0; i < 10; i++) {
        client.write(GET);
        await client.until((text) => text.split("\r\n\r\nok").length > i + 1);
      }
      client.socket.destroy();
    }),
  );
  expect(a.ledger.sum("outbound", "dst", "open")).toBe(1);
  expect(b.ledger.sum("inbound", "response", "200", "success")).toBe(400);
  expect(a.ledger.sum("outbound", "failure")).toBe(0);
});
