// A proxy that has run out of file descriptors (spec hardening §5, "fd limit"): more connections than it may hold. It neither dies
// nor spins, those it holds are served, and when the others are gone it is as before.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { serveHttp1 } from "../testing/apps.ts";
import { canRunPods, ProcessMesh, SERVICE_IP, until } from "../testing/processes.ts";
import { dialFrom, type PodServer, type PodSocket, requestFrom } from "../testing/sockets.ts";

const it = test.if(canRunPods);
const PORT = 8080;
const LIMIT = 128;
const REQUEST = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

let mesh: ProcessMesh;
let app: PodServer;

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({
    tag: `${process.pid}d`,
    ports: { [PORT]: {} },
    wrap: () => ["prlimit", `--nofile=${LIMIT}:${LIMIT}`],
  });
  app = serveHttp1(mesh.pods.b, PORT);
}, 30_000);

afterAll(() => {
  app?.stop();
  mesh?.close();
});

const sides = {
  "inbound, from outside": { proxy: () => mesh.b, pod: () => mesh.outsider, host: () => mesh.pods.b.ip },
  "outbound, of the application": { proxy: () => mesh.a, pod: () => mesh.pods.a, host: () => SERVICE_IP },
};

for (const [name, side] of Object.entries(sides))
  it(name, async () => {
    const proxy = side.proxy();
    const at = { host: side.host(), port: PORT };
    expect((await requestFrom(side.pod(), at)).status).toBe(200);
    const before = proxy.openFds;

    // More than there are descriptors, one after the other; those that are refused learn it at once.
    const connections: PodSocket[] = [];
    for (let i = 0; i < LIMIT + 50; i++) {
      const connection = await dialFrom(side.pod(), at).catch(() => null);
      if (connection !== null) connections.push(connection);
    }
    await until("the proxy has taken what it takes", () => proxy.openFds >= LIMIT / 2);
    expect(proxy.openFds).toBeLessThan(LIMIT);
    // It does not spin on those it may not accept.
    const cpu = proxy.cpuMs;
    await Bun.sleep(400);
    expect(proxy.cpuMs - cpu).toBeLessThan(200);
    expect((await proxy.admin("/live")).status).toBe(200);

    // Those it holds are served, or told that they cannot be.
    const held = connections.filter((connection) => !connection.ended);
    expect(held.length).toBeGreaterThan(LIMIT / 4);
    for (const connection of held) void connection.write(REQUEST);
    await until("all are answered", () => held.every((connection) => connection.ended || connection.text() !== ""));
    const answered = held.filter((connection) => connection.text().startsWith("HTTP/1.1 200"));
    expect(answered.length).toBeGreaterThan(8);
    for (const connection of held) expect(connection.text()).toMatch(/^HTTP\/1\.1 (200|502|503|504) |^$/);
    expect(proxy.alive).toBe(true);

    for (const connection of connections) connection.reset();
    await until("all is as before", () => proxy.openFds <= before);
    for (let i = 0; i < 20; i++) expect((await requestFrom(side.pod(), at)).status).toBe(200);
    expect(proxy.internalErrors).toEqual([]);
    expect(proxy.log).toContain("too many open files");
  }, 30_000);
