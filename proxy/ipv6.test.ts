// IPv6 end to end on the built binary: listeners on `[::]` and `[::1]`, redirected by ip6tables, clients, policy networks, endpoints
// and a control plane of both families (spec proxy §1.2, §2).
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { Client, response, serveRequests } from "./cases/testing/http1.ts";
import { add, allow, server } from "./cases/testing/messages.ts";
import { canRunPods, id, type Node, Scene, secure, type TlsRaw } from "./cases/testing/scene.ts";
import { type Pod, PROXY_UID } from "./testing/namespaces.ts";
import { until } from "./testing/processes.ts";
import type { Raw } from "./testing/wire.ts";

const PORT = 8060;
const CLOSED_PORT = 8061;
const OUTSIDE_PORT = 8160;
const POD = "fd00:199::2";
const FRIEND = "fd00:1::3";
const STRANGER = "fd00:2::3";
const SERVER = "fd00:9::1";
const SERVICE = "fd00:96::1";
const ALPN = "transport.l5d.io/v1";
const DETECT = { detectMs: 10_000 };

/** Null: it does; else what is missing. */
function lacksIpv6Nat(): string | null {
  if (!canRunPods) return "no root, or no iptables";
  const namespace = `fairlead-${process.pid}-v6`;
  if (spawnSync("ip", ["netns", "add", namespace]).status !== 0) return "no network namespaces";
  try {
    const args = ["netns", "exec", namespace, "ip6tables", "-w", "5", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT"];
    const { status, stderr, error } = spawnSync("ip", args, { encoding: "utf8" });
    return status === 0 ? null : `no ip6tables nat: ${error?.message ?? stderr.trim()}`;
  } finally {
    spawnSync("ip", ["netns", "delete", namespace]);
  }
}

const missing = lacksIpv6Nat();
if (missing !== null) console.log(`IPv6 is not tried here: ${missing}`);
const it = test.if(missing === null);

let scene: Scene;
let node: Node;

/** What addPod does, in the other family. */
function addIpv6(pod: Pod, outside: Pod): void {
  const ip = (where: Pod, ...args: string[]) => where.run("ip", "-6", ...args);
  ip(outside, "addr", "add", "fd00:199::1/64", "dev", "pod1", "nodad");
  for (const address of [FRIEND, STRANGER, SERVER]) ip(outside, "addr", "add", `${address}/128`, "dev", "lo");
  ip(pod, "addr", "add", `${POD}/64`, "dev", "eth0", "nodad");
  ip(pod, "route", "add", "default", "via", "fd00:199::1");
  const nat = (...args: string[]) => pod.run("ip6tables", "-w", "5", "-t", "nat", ...args);
  nat("-A", "OUTPUT", "-m", "owner", "--uid-owner", String(PROXY_UID), "-j", "RETURN");
  nat("-A", "OUTPUT", "-o", "lo", "-j", "RETURN");
  nat("-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT", "--to-port", "4140");
  nat("-A", "PREROUTING", "-p", "tcp", "-m", "multiport", "--dports", "4190,4191", "-j", "RETURN");
  nat("-A", "PREROUTING", "-p", "tcp", "-j", "REDIRECT", "--to-port", "4143");
}

beforeAll(async () => {
  if (missing !== null) return;
  scene = await Scene.start("ipv6");
  node = await scene.pod({
    ports: [PORT, CLOSED_PORT],
    env: {
      OUTBOUND_LISTEN_ADDR: "[::1]:4140",
      INBOUND_LISTEN_ADDR: "[::]:4143",
      ADMIN_LISTEN_ADDR: "[::]:4191",
      INBOUND_IPS: `10.199.1.2,${POD}`,
      DESTINATION_PROFILE_NETWORKS: "fd00:96::/64",
      IDENTITY_SVC_ADDR: "[::1]:8096",
    },
  });
  addIpv6(node.pod, scene.outside);
  const { control, pod } = node;
  const { ControlPlane } = await import("./cases/testing/control-plane.ts");
  const identity = new ControlPlane(scene.ca, (listener) => scene.network.listen(pod, { ip: "::1", port: 8096 }, listener));
  scene.onStop(() => identity.stop());
  await identity.start();
  const friends = { net: "fd00:1::/32", except: ["fd00:1::8000:0:0:0/65"] };
  control.servers.set(
    PORT,
    server("web", DETECT, [allow("friends", "anyone", [friends, { net: "10.1.2.0/24" }]), allow("mesh", "meshed", [{ net: "::/0" }])]),
  );
  control.servers.set(CLOSED_PORT, server("closed", DETECT, [allow("v4", "anyone")]));
  for (const ip of [POD, node.ip])
    await scene.serve(pod, { ip, port: PORT }, (connection) => void serveRequests(connection, ({ target }) => response(200, target)));
  node.start();
  await node.ready();
  await control.settled();
}, 60_000);

afterAll(() => {
  scene?.stop();
});

const from = (ip: string, port = PORT): Promise<Raw> => scene.network.dialRaw(scene.outside, { ip: POD, port, from: ip });

async function mesh(port: number, options: { alpn?: readonly string[] } = {}): Promise<TlsRaw> {
  const socket = await scene.network.dial(scene.outside, { ip: POD, port, from: STRANGER });
  return secure(socket, { ca: scene.ca.pem, serverName: node.identity, credentials: await scene.credentials(id("client")), ...options });
}

const target = `target_addr="[${POD}]:${PORT}",target_ip="${POD}",target_port="${PORT}"`;

it("inbound: original destinations and clients of both families on one listener, networks of policies", async () => {
  const client = new Client(await from(FRIEND));
  expect(await client.ask("GET /v6")).toMatchObject({ status: 200, body: "/v6" });
  const plain = 'tls="no_identity",no_tls_reason="no_tls_from_remote"';
  await node.shows(`request_total{direction="inbound",authority="app",${target},${plain},srv_name="web",saz_name="friends"} 1`);

  expect((await new Client(await from(STRANGER)).ask("GET /")).status).toBe(403);
  // 10.1.2.3 comes to the same listener as ::ffff:10.1.2.3.
  expect((await (await node.client(PORT, "10.1.2.3")).ask("GET /v4")).status).toBe(200);
  expect((await (await node.client(PORT, "10.2.2.3")).ask("GET /v4")).status).toBe(403);
  const v4 = `target_addr="${node.ip}:${PORT}",target_ip="${node.ip}",target_port="${PORT}"`;
  await node.shows(`request_total{direction="inbound",authority="app",${v4},${plain},srv_name="web",saz_name="friends"} 1`);
  // 0.0.0.0/0 is no network of IPv6.
  expect((await new Client(await from(FRIEND, CLOSED_PORT)).ask("GET /")).status).toBe(403);
});

it("inbound: mesh TLS, and an address that is none of the pod's", async () => {
  const client = new Client(await mesh(PORT));
  expect((await client.ask("GET /mesh")).status).toBe(200);
  await node.shows(
    `request_total{direction="inbound",authority="app",${target},tls="true",client_id="${id("client")}",srv_name="web",saz_name="mesh"} 1`,
  );
  node.pod.run("ip", "-6", "addr", "add", "fd00:199::3/64", "dev", "eth0", "nodad");
  const stray = await scene.network.dialRaw(scene.outside, { ip: "fd00:199::3", port: PORT });
  await stray.closed;
  await node.shows(
    `inbound_tcp_errors_total{error="unexpected",target_addr="[fd00:199::3]:${PORT}",target_ip="fd00:199::3",target_port="${PORT}"} 1`,
  );
});

it("inbound: a direct connection leads to the IPv6 address it came to", async () => {
  const client = await mesh(4143, { alpn: [ALPN] });
  // The header: port 8060 and no more, bytes to come.
  const message = Buffer.from([0x08, 0xfc, 0x3e]);
  client.write(Buffer.concat([Buffer.from(`${ALPN}\r\n\r\n`), Buffer.from([0, 0, 0, message.length]), message]));
  client.write("GET /direct HTTP/1.1\r\nhost: app\r\n\r\n");
  expect(await client.until("/direct")).toStartWith("HTTP/1.1 200 ");
  client.socket.destroy();
});

it("outbound: profiles and endpoints by IPv6 address, mesh TLS, and what is known to nobody", async () => {
  const peers = await scene.serveMesh(scene.outside, { ip: SERVER, port: OUTSIDE_PORT, name: id("peer") }, (connection) => {
    void serveRequests(connection, () => response(200, "peer"));
  });
  await scene.serve(scene.outside, { ip: SERVER, port: OUTSIDE_PORT + 1 }, (connection) => {
    void serveRequests(connection, () => response(200, "plain"));
  });
  const name = "svc.ns.svc.cluster.local";
  node.control.profiles.set(`[${SERVICE}]:80`, { fullyQualifiedName: name });
  node.control.endpoints.set(`${name}:80`, add([{ ip: SERVER, port: OUTSIDE_PORT, identity: id("peer") }]));
  const client = await node.appClient(SERVICE, 80);
  expect(await client.ask("GET /", { host: `[${SERVICE}]` })).toMatchObject({ status: 200, body: "peer" });
  expect(peers.connections).toBe(1);
  const labels = `target_addr="[${SERVER}]:${OUTSIDE_PORT}",target_ip="${SERVER}",target_port="${OUTSIDE_PORT}"`;
  await node.shows(`request_total{direction="outbound",authority="${name}",${labels},tls="true",server_id="${id("peer")}"} 1`);

  const unknown = await node.appClient(SERVER, OUTSIDE_PORT + 1);
  expect(await unknown.ask("GET /", { host: `[${SERVER}]:${OUTSIDE_PORT + 1}` })).toMatchObject({ status: 200, body: "plain" });
  expect(node.control.profiles.count(`[${SERVER}]:${OUTSIDE_PORT + 1}`)).toBe(0);
});

it("admin: [::1] is this machine, other addresses are not", async () => {
  const at = (ip: string, pod: Pod) => scene.network.dialRaw(pod, { ip, port: 4191 }).then((raw) => new Client(raw));
  expect((await (await at("::1", node.pod)).ask("GET /proxy-log-level", { host: "[::1]:4191" })).status).toBe(200);
  expect((await (await at(POD, scene.outside)).ask("GET /proxy-log-level", { host: `[${POD}]:4191` })).status).toBe(403);
  expect((await (await at(POD, scene.outside)).ask("GET /ready")).status).toBe(200);
  expect((await (await at("127.0.0.1", node.pod)).ask("GET /proxy-log-level", { host: "127.0.0.1:4191" })).status).toBe(200);
});

it("SIGTERM ends it well", async () => {
  const ended = node.process.stop();
  await until("the end", () => !node.process.alive);
  expect(await ended).toBe(0);
  expect(node.process.internalErrors).toEqual([]);
}, 15_000);
