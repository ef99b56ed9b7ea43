// Peers that are gone without a word, as when their node loses power: requests to another proxy are not held for minutes, and watches
// of the control plane notice (spec proxy §1.6, §15). On the built binary; packets are dropped in a namespace of the test's own.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect as dialLoopback, type Socket } from "node:net";
import { ControlPlane } from "./cases/testing/control-plane.ts";
import { response } from "./cases/testing/http1.ts";
import { add, allow, server } from "./cases/testing/messages.ts";
import { canRunPods, id, type Node, Scene } from "./cases/testing/scene.ts";
import { until } from "./testing/processes.ts";

const it = test.if(canRunPods);
const PORT = 8090;
const PEER = { ip: "10.9.0.1", port: 8190 };
const DEAD = { ip: "10.9.0.3", port: 8191 };
const POLICY = { ip: "10.9.0.2", port: 8090 };
/** The shortest there is: the kernel's clock of it counts seconds. */
const TIMEOUT = { OUTBOUND_CONNECT_USER_TIMEOUT: "1s", OUTBOUND_CONNECT_KEEPALIVE: "1s", OUTBOUND_CONNECT_TIMEOUT: "300ms" };
const DETECT = { detectMs: 10_000 };

let scene: Scene;
let node: Node;
let policies: ControlPlane;

const drop = (how: "-I" | "-D", ip: string): void => {
  scene.outside.run("iptables", "-w", "5", how, "INPUT", "-d", ip, "-j", "DROP");
  scene.outside.run("iptables", "-w", "5", how, "OUTPUT", "-s", ip, "-j", "DROP");
};

/** A control plane that is reached by mesh TLS, elsewhere. */
async function remoteControlPlane(at: { ip: string; port: number }, name: string): Promise<ControlPlane> {
  let port = 0;
  const control = new ControlPlane(scene.ca, async (listener) => {
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    port = (listener.address() as { port: number }).port;
  });
  scene.onStop(() => control.stop());
  await control.start();
  await scene.serveMesh(scene.outside, { ...at, name }, ({ socket, text }) => {
    const plain: Socket = dialLoopback(port, "127.0.0.1");
    plain.write(Buffer.from(text(), "latin1"));
    for (const [from, to] of [
      [socket, plain],
      [plain, socket],
    ] as const) {
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  return control;
}

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("vanished");
  policies = await remoteControlPlane(POLICY, id("policy"));
  node = await scene.pod({
    ports: [PORT],
    env: { ...TIMEOUT, POLICY_SVC_ADDR: `${POLICY.ip}:${POLICY.port}`, POLICY_SVC_NAME: id("policy") },
  });
  policies.servers.set(PORT, server("web", DETECT, [allow("all", "anyone")]));
  await node.serveApp(PORT, () => response(200, "app"));
  node.start();
  await node.ready();
  await policies.servers.called(PORT);
  await policies.settled();
}, 60_000);

afterAll(() => {
  scene?.stop();
});

it("a proxy that vanished: requests under way fail soon, and go again when it is back", async () => {
  const serve = await scene.http2((stream) => {
    stream.respond({ ":status": 200 });
    stream.end("peer");
  });
  const peers = await scene.serveMesh(scene.outside, { ...PEER, name: id("peer") }, serve);
  node.service(PEER.port, add([{ ...PEER, identity: id("peer"), h2: true }]));
  const client = await node.serviceClient(PEER.port);
  expect(await client.ask("GET /")).toMatchObject({ status: 200, body: "peer" });
  expect(peers.connections).toBe(1);

  drop("-I", PEER.ip);
  try {
    const begun = performance.now();
    const answer = await client.ask("GET /lost");
    expect([502, 503, 504]).toContain(answer.status);
    expect(performance.now() - begun).toBeLessThan(10_000);
  } finally {
    drop("-D", PEER.ip);
  }
  const again = await node.serviceClient(PEER.port);
  for (;;) {
    const { status, body } = await again.ask("GET /");
    if (status === 200) {
      expect(body).toBe("peer");
      break;
    }
    // Until the next attempt to connect.
    expect([503, 504]).toContain(status);
  }
}, 30_000);

it("endpoints that answer nothing: what is given up keeps no descriptor", async () => {
  drop("-I", DEAD.ip);
  try {
    node.service(DEAD.port, add([DEAD]));
    const before = node.process.openFds;
    const ask = async (): Promise<void> => expect((await (await node.serviceClient(DEAD.port)).ask("GET /")).status).toBe(504);
    await Promise.all(Array.from({ length: 20 }, ask));
    // The kernel alone would try for two minutes.
    await until("all are closed", () => node.process.openFds <= before, 10_000);
  } finally {
    drop("-D", DEAD.ip);
  }
}, 30_000);

it("a policy controller that vanished: the watch notices, and hears at once what has changed", async () => {
  const client = await node.client(PORT);
  expect((await client.ask("GET /")).status).toBe(200);
  const watches = policies.servers.count(PORT);

  drop("-I", POLICY.ip);
  try {
    await node.said(`control-plane service is not reachable addr=${POLICY.ip}:${POLICY.port}`);
    policies.servers.set(PORT, server("web", DETECT, []));
    // What was known holds.
    expect((await client.ask("GET /")).status).toBe(200);
  } finally {
    drop("-D", POLICY.ip);
  }
  await policies.servers.called(PORT, watches + 1);
  await node.said(/policy changed.* port=8090 server=web[\s\S]*policy changed.* port=8090 server=web/);
  expect((await client.ask("GET /")).status).toBe(403);
}, 30_000);
