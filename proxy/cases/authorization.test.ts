// Spec proxy §17, 17 to 26: who may, by the policy of a port, and what becomes of it when policy changes.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { http2Request } from "../testing/http2.ts";
import { until } from "../testing/processes.ts";
import type { Raw } from "../testing/wire.ts";
import { Client, response } from "./testing/http1.ts";
import { allow, server } from "./testing/messages.ts";
import { canRunPods, id, type Node, Scene, type Served } from "./testing/scene.ts";

const it = test.if(canRunPods);

const PORTS = { http: 8017, opaque: 8020, tcp: 8021, keepAlive: 8121, none: 8023, networks: 8024, suffix: 8025, any: 8125 };
const DETECT = { detectMs: 10_000 };
const friends = allow("friends", { identities: [id("friend")] });

let scene: Scene;
let node: Node;

const target = (port: number, at = node): string => `target_addr="${at.ip}:${port}",target_ip="${at.ip}",target_port="${port}"`;
const meshed = (name: string): string => `tls="true",client_id="${name}"`;
const plain = 'tls="no_identity",no_tls_reason="no_tls_from_remote"';
const skipped = 'tls="no_identity",no_tls_reason="port_skipped"';
let app: Served;

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("authorization");
  node = await scene.pod({ ports: Object.values(PORTS) });
  const { servers } = node.control;
  servers.set(PORTS.http, server("web", DETECT, [friends]));
  servers.set(PORTS.opaque, server("redis", "opaque", [allow("nowhere", "anyone", [{ net: "192.0.2.0/24" }])]));
  servers.set(PORTS.tcp, server("mysql", "opaque", [allow("all", "anyone")]));
  servers.set(PORTS.keepAlive, server("web", DETECT, [allow("all", "anyone")]));
  servers.set(PORTS.none, server("web", DETECT, []));
  servers.set(PORTS.networks, server("web", DETECT, [allow("near", "anyone", [{ net: "10.0.0.0/8", except: ["10.1.0.0/16"] }])]));
  servers.set(PORTS.suffix, server("web", DETECT, [allow("suffix", { suffixes: [["a", "b"]] })]));
  servers.set(PORTS.any, server("web", DETECT, [allow("any", "meshed")]));
  node.start();
  for (const port of [PORTS.keepAlive, PORTS.none, PORTS.networks, PORTS.suffix, PORTS.any])
    await node.serveApp(port, () => response(200, "in"));
  app = await node.serveApp(PORTS.http, () => response(200, "in"));
  await node.ready();
  await node.control.settled();
}, 60_000);

afterAll(() => {
  scene?.stop();
});

it("17.17 a mesh client that may not is told 403 and why; its connection stays", async () => {
  const client = await node.meshClient(PORTS.http, "other");
  for (let n = 0; n < 2; n++) {
    const answer = await client.ask("GET /");
    expect(answer.startLine).toBe("HTTP/1.1 403 Forbidden");
    expect([...answer.fields.keys()].sort()).toEqual(["content-length", "date", "l5d-proxy-error"]);
    expect(answer.fields.get("content-length")).toBe("0");
    expect(answer.fields.get("l5d-proxy-error")).toBe("unauthorized connection on server web");
  }
  await node.shows(`inbound_http_authz_deny_total{${target(PORTS.http)},srv_name="web",${meshed(id("other"))}} 2`);
  const friend = await (await node.meshClient(PORTS.http, "friend")).ask("GET /");
  expect(friend.status).toBe(200);
  await node.shows(`inbound_http_authz_allow_total{${target(PORTS.http)},srv_name="web",saz_name="friends",${meshed(id("friend"))}} 1`);
  // A denial is no error.
  expect(await node.series("inbound_http_errors_total")).toEqual([]);
});

it("17.18 a plaintext client is told 403 and nothing else", async () => {
  const client = await node.client(PORTS.http);
  const answer = await client.ask("GET /");
  expect(answer.startLine).toBe("HTTP/1.1 403 Forbidden");
  expect([...answer.fields.keys()].sort()).toEqual(["content-length", "date"]);
  expect((await client.ask("GET /")).status).toBe(403);
  await node.shows(`inbound_http_authz_deny_total{${target(PORTS.http)},srv_name="web",${plain}} 2`);
});

it("17.19 a gRPC call is told in gRPC", async () => {
  const before = app.connections;
  const session = await scene.http2Over(await node.dialMesh(PORTS.http, { as: "other" }));
  const answer = await http2Request(
    session,
    { ":method": "POST", ":path": "/pkg.Service/Call", "content-type": "application/grpc" },
    { body: "" },
  );
  expect(answer.headers[":status"]).toBe(200);
  expect(answer.headers["content-type"]).toBe("application/grpc");
  expect(answer.headers["content-length"]).toBe("0");
  expect(answer.headers["grpc-status"]).toBe("7");
  expect(answer.headers["grpc-message"]).toBe("unauthorized connection on server web");
  expect([answer.body, answer.rst]).toEqual(["", 0]);
  session.destroy();
  expect(app.connections).toBe(before);
});

it("17.20 an opaque port that may not be used closes, counted as denied and as no error", async () => {
  const redis = await node.serveRaw(PORTS.opaque, () => {});
  const client = await node.dial(PORTS.opaque);
  client.write("PING\r\n");
  expect(await client.closed).toBe("");
  await node.shows(`inbound_tcp_authz_deny_total{${target(PORTS.opaque)},srv_name="redis",${skipped}} 1`);
  expect(await node.series("inbound_tcp_errors_total")).toEqual([]);
  expect(redis.connections).toBe(0);
});

it("17.21 a change of policy cuts open TCP and refuses the next request", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(PORTS.tcp, (connection) => {
    connection.write("greeting");
    resolve(connection);
  });
  const tcp = await node.dial(PORTS.tcp);
  await tcp.until("greeting");
  await promise;
  const http = await node.client(PORTS.keepAlive);
  expect((await http.ask("GET /")).status).toBe(200);

  node.control.servers.set(PORTS.tcp, server("mysql", "opaque", [friends]));
  node.control.servers.set(PORTS.keepAlive, server("web", DETECT, [friends]));
  await node.control.settled();
  expect(await tcp.closed).toBe("greeting");
  await (await promise).closed;
  await node.shows(
    `inbound_tcp_authz_allow_total{${target(PORTS.tcp)},srv_name="mysql",saz_name="all",${skipped}} 1`,
    `inbound_tcp_authz_terminate_total{${target(PORTS.tcp)},srv_name="mysql",${skipped}} 1`,
  );
  expect((await http.ask("GET /")).status).toBe(403);
  node.control.servers.set(PORTS.keepAlive, server("web", DETECT, [allow("all", "anyone")]));
  await node.control.settled();
  expect((await http.ask("GET /")).status).toBe(200);
  http.raw.socket.destroy();
});

it("17.22 a port nobody speaks for is closed at accept where the default is deny", async () => {
  const closed = await scene.pod({ ports: [], env: { INBOUND_DEFAULT_POLICY: "deny" } });
  closed.control.servers.set(4191, server("admin", DETECT, [allow("probes", "anyone")]));
  closed.start();
  await closed.ready();
  const hidden = await closed.serveRaw(8022, () => {});
  const client = await closed.dial(8022);
  expect(await client.closed).toBe("");
  await closed.shows(`inbound_tcp_errors_total{error="unknown port denied",${target(8022, closed)}} 1`);
  expect(hidden.connections).toBe(0);
});

it("17.23 a policy of the API allows localhost, whatever else it says", async () => {
  // In the pod, from 127.0.0.1, through the inbound port: what loops back is redirected for once.
  const rule = `-o lo -p tcp -d ${node.ip} --dport ${PORTS.none} -m owner ! --uid-owner 2102 -j REDIRECT --to-port 4143`;
  node.pod.run("iptables", "-w", "5", "-t", "nat", "-I", "OUTPUT", ...rule.split(" "));
  const client = new Client(await scene.network.dialRaw(node.pod, { ip: node.ip, port: PORTS.none, from: "127.0.0.1" }));
  const answer = await client.ask("GET /");
  expect([answer.status, answer.body]).toEqual([200, "in"]);
  await node.shows(`inbound_http_authz_allow_total{${target(PORTS.none)},srv_name="web",saz_name="default:localhost",${plain}} 1`);
  expect((await (await node.client(PORTS.none)).ask("GET /")).status).toBe(403);
});

it("17.24 networks and their exceptions", async () => {
  const status = async (from: string): Promise<number> => (await (await node.client(PORTS.networks, from)).ask("GET /")).status;
  expect(await status("10.1.2.3")).toBe(403);
  expect(await status("10.2.2.3")).toBe(200);
  await node.shows(`inbound_http_authz_allow_total{${target(PORTS.networks)},srv_name="web",saz_name="near",${plain}} 1`);
});

it("17.25 suffixes of identities", async () => {
  const status = async (port: number, name: string): Promise<number> =>
    (await new Client(await node.dialMesh(port, { as: null, name })).ask("GET /")).status;
  expect(await status(PORTS.suffix, "x.a.b")).toBe(200);
  expect(await status(PORTS.suffix, "a.b")).toBe(403);
  expect(await status(PORTS.suffix, "xa.b")).toBe(403);
  // No parts: any identity of the mesh, and no stranger.
  for (const name of ["x.a.b", "a.b", "xa.b"]) expect(await status(PORTS.any, name)).toBe(200);
  expect((await (await node.client(PORTS.any)).ask("GET /")).status).toBe(403);
});

it("17.26 while the policy controller is away the default holds, later the last it said", async () => {
  const away = await scene.pod({ account: "away", ports: [8026], env: { POLICY_SVC_ADDR: "localhost.:8090" } });
  await away.serveApp(8026, () => response(200, "in"));
  away.start();
  await away.ready();
  const client = await away.client(8026);
  expect((await client.ask("GET /")).status).toBe(200);
  const byDefault = `${target(8026, away)},srv_name="default:all-unauthenticated",saz_name="default:all-unauthenticated",${plain}`;
  await away.shows(`inbound_http_authz_allow_total{${byDefault}} 1`);

  const policies = scene.controlPlane(away.pod, 8090);
  policies.servers.set(8026, server("web", DETECT, [friends]));
  await policies.start();
  await policies.servers.called(8026);
  await policies.settled();
  expect((await client.ask("GET /")).status).toBe(403);

  policies.stop();
  // Somebody who hangs up at once, to know that the proxy has noticed.
  const knocks = await scene.serve(away.pod, { ip: "127.0.0.1", port: 8090 }, ({ socket }) => socket.destroy());
  await until("the proxy has tried again", () => knocks.connections > 1);
  expect((await client.ask("GET /")).status).toBe(403);
  expect((await (await away.meshClient(8026, "friend")).ask("GET /")).status).toBe(200);
});
