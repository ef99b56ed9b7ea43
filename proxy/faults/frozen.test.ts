// Peers that are there and do nothing (spec hardening §5): a frozen application, a frozen proxy, a link that is down with nobody
// told, readers that do not read. Whoever waits for them waits; everybody else is served; memory stays; afterwards all goes on.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { ChildProcess } from "node:child_process";
import { serveHttp1 } from "../testing/apps.ts";
import { canRunPods, ProcessMesh, type ProxyProcess, SERVICE_IP, startLoadApp, until } from "../testing/processes.ts";
import { dialFrom, type PodServer, type PodSocket, requestFrom, serveIn } from "../testing/sockets.ts";

const it = test.if(canRunPods);
/** An application that can be frozen, and one beside it. */
const FROZEN = 8080;
const AWAKE = 8082;
const LARGE = 8083;
/** Nobody has asked for it yet. */
const NEW = 8084;
const LARGE_BYTES = 200 << 20;
/** Room for windows, buffers of the kernel's making, and the collector. */
const GROWTH_BYTES = 40 << 20;

let mesh: ProcessMesh;
let frozen: ChildProcess;
const servers: PodServer[] = [];

/** Sends 200 MB to whoever asks, as fast as it is taken; takes bodies of any length, not reading them while `lazy`. */
let lazy = false;
function large(connection: PodSocket): void {
  connection.onData = () => {
    if (!connection.text().includes("\r\n\r\n")) return;
    connection.onData = null;
    if (connection.text().startsWith("POST")) {
      if (lazy) connection.pause();
      return;
    }
    void (async () => {
      await connection.write(`HTTP/1.1 200 OK\r\ncontent-length: ${LARGE_BYTES}\r\n\r\n`);
      const piece = Buffer.alloc(64 << 10, "x");
      for (let sent = 0; sent < LARGE_BYTES && !connection.ended; sent += piece.length) await connection.write(piece);
    })();
  };
}

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({
    tag: `${process.pid}z`,
    ports: { [FROZEN]: {}, 8081: {}, [AWAKE]: {}, [LARGE]: {}, [NEW]: {} },
    env: () => ({ OUTBOUND_DISPATCH_TIMEOUT: "1s" }),
  });
  frozen = await startLoadApp(mesh.pods.b, { delayMs: 0, http1Port: FROZEN, grpcPort: 8081 });
  servers.push(serveHttp1(mesh.pods.b, AWAKE), serveHttp1(mesh.pods.b, NEW), serveIn(mesh.pods.b, LARGE, large));
}, 30_000);

afterAll(() => {
  for (const server of servers) server.stop();
  mesh?.close();
});

const ask = (port: number, timeoutMs = 20_000): Promise<number> =>
  requestFrom(mesh.pods.a, { host: SERVICE_IP, port, timeoutMs }).then(({ status }) => status);

function healthy(): void {
  for (const proxy of [mesh.a, mesh.b]) {
    expect(proxy.alive).toBe(true);
    expect(proxy.internalErrors).toEqual([]);
  }
}

it("a frozen application: its callers wait, others do not; thawed, it answers them all", async () => {
  expect(await ask(FROZEN)).toBe(200);
  frozen.kill("SIGSTOP");
  const waiting = Promise.all(Array.from({ length: 30 }, () => ask(FROZEN)));
  for (let i = 0; i < 20; i++) expect(await ask(AWAKE)).toBe(200);
  frozen.kill("SIGCONT");
  expect(new Set(await waiting)).toEqual(new Set([200]));
  healthy();
}, 30_000);

it("a frozen proxy at the other end: calls wait in it and are answered when it thaws", async () => {
  expect(await ask(AWAKE)).toBe(200);
  const { rssBytes } = mesh.a;
  mesh.b.child.kill("SIGSTOP");
  const waiting = Promise.all(Array.from({ length: 50 }, () => ask(AWAKE)));
  // The near proxy is well, and says so.
  for (let i = 0; i < 10; i++) expect((await mesh.a.admin("/live")).status).toBe(200);
  await Bun.sleep(500);
  mesh.b.child.kill("SIGCONT");
  expect(new Set(await waiting)).toEqual(new Set([200]));
  expect(mesh.a.rssBytes - rssBytes).toBeLessThan(GROWTH_BYTES);
  healthy();
}, 30_000);

it("a link that is down, nobody told: calls on the old connection wait, and go on when it is up", async () => {
  expect(await ask(AWAKE)).toBe(200);
  mesh.pods.b.run("ip", "link", "set", "eth0", "down");
  const waiting = Promise.all(Array.from({ length: 10 }, () => ask(AWAKE)));
  expect((await mesh.a.admin("/live")).status).toBe(200);
  // Pod b's other link is up.
  expect((await requestFrom(mesh.outsider, { host: "10.199.8.3", port: AWAKE })).status).toBe(200);
  await Bun.sleep(700);
  mesh.pods.b.run("ip", "link", "set", "eth0", "up");
  mesh.pods.b.run("ip", "route", "replace", "default", "via", mesh.pods.a.ip);
  expect(new Set(await waiting)).toEqual(new Set([200]));
  healthy();
}, 30_000);

it("a link that is down when connecting: callers are told, and are served when it is up", async () => {
  mesh.pods.b.run("ip", "link", "set", "eth0", "down");
  const words = await Promise.all(Array.from({ length: 5 }, () => ask(NEW)));
  for (const word of words) expect([503, 504]).toContain(word);
  mesh.pods.b.run("ip", "link", "set", "eth0", "up");
  mesh.pods.b.run("ip", "route", "replace", "default", "via", mesh.pods.a.ip);
  await until("served", async () => (await ask(NEW)) === 200);
  healthy();
}, 30_000);

it("clients that ask for much and do not read", async () => {
  const before = [mesh.a.rssBytes, mesh.b.rssBytes];
  const clients = await Promise.all(Array.from({ length: 20 }, () => dialFrom(mesh.pods.a, { host: SERVICE_IP, port: LARGE })));
  for (const client of clients) {
    client.pause();
    await client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  }
  await settled(mesh.a);
  for (let i = 0; i < 20; i++) expect(await ask(AWAKE)).toBe(200);
  [mesh.a, mesh.b].forEach((proxy, i) => {
    expect(proxy.rssBytes - (before[i] as number)).toBeLessThan(GROWTH_BYTES);
  });
  // One of them reads after all, and gets on.
  const reader = clients[0] as PodSocket;
  reader.resume();
  await until("bytes come", () => reader.received > 8 << 20);
  for (const client of clients) client.reset();
  healthy();
}, 30_000);

it("an application that is sent much and does not read", async () => {
  lazy = true;
  const before = [mesh.a.rssBytes, mesh.b.rssBytes];
  const clients = await Promise.all(Array.from({ length: 10 }, () => dialFrom(mesh.pods.a, { host: SERVICE_IP, port: LARGE })));
  const piece = Buffer.alloc(256 << 10, "y");
  for (const client of clients)
    void (async () => {
      await client.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${LARGE_BYTES}\r\n\r\n`);
      for (let sent = 0; sent < LARGE_BYTES && !client.ended; sent += piece.length) await client.write(piece);
    })();
  await settled(mesh.b);
  for (let i = 0; i < 20; i++) expect(await ask(AWAKE)).toBe(200);
  [mesh.a, mesh.b].forEach((proxy, i) => {
    expect(proxy.rssBytes - (before[i] as number)).toBeLessThan(GROWTH_BYTES);
  });
  for (const client of clients) client.reset();
  lazy = false;
  healthy();
}, 30_000);

it("nothing is left", async () => {
  for (const proxy of [mesh.a, mesh.b])
    await until(
      "connections are gone",
      async () => (await proxy.metrics()).sum("tcp_open_connections", { peer: "src", direction: "outbound" }) === 0,
    );
  for (const proxy of [mesh.a, mesh.b]) expect(await proxy.stop()).toBe(0);
}, 20_000);

/** Waits until a proxy has nothing more to do: its buffers are full. */
async function settled(proxy: ProxyProcess): Promise<void> {
  let cpu = -1;
  await until("the proxy rests", async () => {
    const rests = proxy.cpuMs - cpu < 30;
    cpu = proxy.cpuMs;
    await Bun.sleep(200);
    return rests;
  });
}
