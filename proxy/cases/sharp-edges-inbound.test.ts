// Sharp edges of the inbound side that no case of spec proxy §17 touches; numbers are those of §16.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { http2Request } from "../testing/http2.ts";
import { until } from "../testing/processes.ts";
import type { Raw } from "../testing/wire.ts";
import { Client, response } from "./testing/http1.ts";
import { allow, route, server } from "./testing/messages.ts";
import { canRunPods, id, type Node, Scene } from "./testing/scene.ts";

const it = test.if(canRunPods);
const DETECT = { detectMs: 10_000 };
const anyone = [allow("all", "anyone")];
const friends = [allow("friends", { identities: [id("friend")] })];
const PROFILE_WAIT_MS = 300;

const PORTS = {
  token: 8001,
  loopback: 8004,
  header: 8009,
  profile: 8015,
  origProto: 8022,
  dead: 8025,
  pooled: 8029,
  absent: 8032,
  malformed: 8132,
  ended: 8232,
  exempt: 8034,
  opaque: 8042,
  casing: 8046,
};

let scene: Scene;
let node: Node;
/** Everything refused by default, and nothing kept for the next request. */
let strict: Node;

const target = (port: number, at = node): string => `target_addr="${at.ip}:${port}",target_ip="${at.ip}",target_port="${port}"`;
const plain = 'tls="no_identity",no_tls_reason="no_tls_from_remote"';

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("sharp-in");
  node = await scene.pod({
    ports: Object.values(PORTS),
    env: { DESTINATION_PROFILE_INITIAL_TIMEOUT: `${PROFILE_WAIT_MS}ms`, INBOUND_DETECT_TIMEOUT: "2s" },
  });
  for (const port of Object.values(PORTS)) node.control.servers.set(port, server("web", DETECT, anyone));
  for (const port of [PORTS.exempt, PORTS.opaque]) node.control.servers.set(port, server("tcp", "opaque", anyone));
  node.control.servers.refuse(PORTS.absent, Code.NotFound);
  node.control.servers.refuse(PORTS.ended, Code.FailedPrecondition);
  strict = await scene.pod({
    account: "strict",
    ports: [8145],
    env: { INBOUND_DEFAULT_POLICY: "all-authenticated", MAX_IDLE_CONNS_PER_ENDPOINT: "0" },
  });
  strict.control.servers.set(4191, server("admin", DETECT, friends));
  strict.control.servers.set(8145, server("web", DETECT, anyone));
  for (const one of [node, strict]) one.start();
  await node.ready();
  await node.control.settled();
  await until("the other is certified", () => strict.log.includes("certified identity"));
  await strict.control.servers.called(4191);
  await strict.control.settled();
}, 60_000);

afterAll(() => {
  scene?.stop();
});

it("16.1 fourteen token characters look like HTTP/1", async () => {
  await node.serveApp(PORTS.token, ({ method }) => response(200, method));
  const client = await node.client(PORTS.token);
  client.send("ABCDEFGHIJKLMN");
  // Only when the first read is over.
  await node.shows(`tcp_read_bytes_total{direction="inbound",peer="src",${target(PORTS.token)},${plain},srv_name="web"} 14`);
  client.send("OP / HTTP/1.1\r\nhost: app\r\n\r\n");
  expect((await client.answer()).body).toBe("ABCDEFGHIJKLMNOP");
  expect(await node.series("request_total", `:${PORTS.token}"`)).toHaveLength(1);
  client.raw.socket.destroy();
});

it("16.4 the application is dialed at the original address, never on loopback", async () => {
  const app = await scene.serve(node.pod, { ip: "127.0.0.1", port: PORTS.loopback }, () => {});
  const client = await node.client(PORTS.loopback);
  expect((await client.ask("GET /")).status).toBe(502);
  expect(app.connections).toBe(0);
  client.raw.socket.destroy();
});

it("16.9 a header in many segments, its last one with the first payload", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(PORTS.header, resolve);
  const client = await node.dialMesh(4143, { as: "client", alpn: ["transport.l5d.io/v1"] });
  // Port 8009.
  const bytes = Buffer.concat([
    Buffer.from("transport.l5d.io/v1\r\n\r\n"),
    Buffer.of(0, 0, 0, 3, 0x08, 0xc9, 0x3e),
    Buffer.from("payload"),
  ]);
  for (let at = 0; at < bytes.length; ) {
    const next = at < 28 ? at + 1 : bytes.length;
    await new Promise<void>((written) => void client.socket.write(bytes.subarray(at, next), () => written()));
    at = next;
  }
  expect(await (await promise).until("payload")).toBe("payload");
  client.socket.destroy();
});

it("16.15 a profile is waited for so long and no longer, and one without a name is none", async () => {
  const { control } = node;
  await node.serveApp(PORTS.profile, () => response(200, "served"));
  const ask = async (name: string): Promise<number> => {
    const client = await node.client(PORTS.profile);
    const since = performance.now();
    expect((await client.ask("GET /a", { host: name })).status).toBe(200);
    client.raw.socket.destroy();
    return performance.now() - since;
  };
  const routes = [route("inbound", "/a")];
  control.profiles.refuse("silent.ns.svc.cluster.local:80", "silence");
  expect(await ask("silent.ns.svc.cluster.local")).toBeGreaterThan(PROFILE_WAIT_MS * 0.9);
  control.profiles.set("nameless.ns.svc.cluster.local:80", { routes });
  await ask("nameless.ns.svc.cluster.local");
  expect(await node.series("route_request_total")).toEqual([]);
  control.profiles.set("named.ns.svc.cluster.local:80", { fullyQualifiedName: "named.ns.svc.cluster.local", routes });
  await ask("named.ns.svc.cluster.local");
  const labels = 'direction="inbound",dst="named.ns.svc.cluster.local:80",rt_route="inbound"';
  await node.shows(`route_request_total{${labels}} 1`, `route_response_total{${labels},status_code="200",classification="success"} 1`);
  // The one that was silent has come: it serves from then on.
  control.profiles.set("silent.ns.svc.cluster.local:80", { fullyQualifiedName: "silent.ns.svc.cluster.local", routes });
  await control.settled();
  await ask("silent.ns.svc.cluster.local");
  await node.shows('route_request_total{direction="inbound",dst="silent.ns.svc.cluster.local:80",rt_route="inbound"} 1');
  // A name outside the suffixes is not asked for.
  await ask("elsewhere.example");
  expect(control.profiles.count("elsewhere.example:80")).toBe(0);
});

it("16.22 l5d-orig-proto and l5d-dst-canonical are believed of anybody", async () => {
  const heads: string[] = [];
  await node.serveApp(PORTS.origProto, ({ head }) => {
    heads.push(head);
    return response(200, "one");
  });
  const session = await scene.http2Over(await node.dial(PORTS.origProto));
  const ask = (fields: Record<string, string>) => http2Request(session, { ":authority": "a.example", ...fields });
  const answer = await ask({ "l5d-orig-proto": "HTTP/1.1", "l5d-dst-canonical": "canonical.example:80" });
  expect([answer.headers[":status"], answer.body, answer.headers["l5d-orig-proto"]]).toEqual([200, "one", "HTTP/1.1"]);
  expect(heads[0]).toStartWith("GET / HTTP/1.1\r\n");
  expect(heads[0]).toContain("\r\nl5d-dst-canonical: canonical.example:80\r\n");
  expect(heads[0]).not.toContain("l5d-orig-proto");
  expect(await node.series("request_total", 'authority="canonical.example"')).toHaveLength(1);
  const absolute = await ask({ ":path": "/p", "l5d-orig-proto": "HTTP/1.1; absolute-form" });
  expect(absolute.headers[":status"]).toBe(200);
  expect(heads[1]).toStartWith("GET http://a.example/p HTTP/1.1\r\n");
  session.destroy();
});

it("16.25 an error made here carries no l5d-orig-proto", async () => {
  const session = await scene.http2Over(await node.dialMesh(PORTS.dead, { as: "client" }));
  const answer = await http2Request(session, { "l5d-orig-proto": "HTTP/1.1" });
  expect(answer.headers[":status"]).toBe(502);
  expect(answer.headers["l5d-orig-proto"]).toBeUndefined();
  session.destroy();
});

it("16.29 requests of HTTP/1.0 and without Host share no connection to the application", async () => {
  const heads: string[] = [];
  const app = await node.serveApp(PORTS.pooled, ({ head }) => {
    heads.push(head);
    return response(200, "x");
  });
  const pooled = await node.client(PORTS.pooled);
  for (let n = 1; n <= 2; n++) expect((await pooled.ask("GET /")).status).toBe(200);
  expect(app.connections).toBe(1);
  for (let n = 2; n <= 3; n++) {
    const old = await node.dial(PORTS.pooled);
    old.write("GET /old HTTP/1.0\r\nhost: app\r\n\r\n");
    expect(await old.closed).toEndWith("\r\n\r\nx");
    old.socket.destroy();
    expect(app.connections).toBe(n);
  }
  const hostless = await node.dial(PORTS.pooled);
  hostless.write("GET /hostless HTTP/1.0\r\n\r\n");
  expect(await hostless.closed).toEndWith("\r\n\r\nx");
  expect(app.connections).toBe(4);
  expect(heads.at(-1)).not.toContain("host:");
  for (const one of [pooled.raw, hostless]) one.socket.destroy();
});

it("16.31 the admin port is under policy like any other", async () => {
  const stranger = await strict.client(4191);
  for (const path of ["/live", "/ready", "/metrics"]) expect([path, (await stranger.ask(`GET ${path}`)).status]).toEqual([path, 403]);
  const friend = await strict.meshClient(4191, "friend");
  expect((await friend.ask("GET /ready")).body).toBe("ready\n");
  // Localhost may by every policy of the API.
  expect((await new Client(await strict.local(4191)).ask("GET /live")).body).toBe("live\n");
  const labels = `target_addr="0.0.0.0:4191",target_ip="0.0.0.0",target_port="4191",srv_name="admin"`;
  await strict.shows(`inbound_http_authz_deny_total{${labels},${plain}} 3`);
  stranger.raw.socket.destroy();
});

it("16.32 NotFound is asked again, FailedPrecondition is not, and what cannot be read changes nothing", async () => {
  const { servers } = node.control;
  for (const port of [PORTS.absent, PORTS.malformed, PORTS.ended]) await node.serveApp(port, () => response(200));
  const status = async (port: number): Promise<number> => {
    const client = await node.client(port);
    const answer = await client.ask("GET /");
    client.raw.socket.destroy();
    return answer.status;
  };
  await servers.called(PORTS.absent, 3);
  expect(await status(PORTS.absent)).toBe(200);
  servers.begin(PORTS.absent, server("web", DETECT, friends));
  await servers.called(PORTS.absent, servers.count(PORTS.absent) + 1);
  await node.control.settled();
  expect(await status(PORTS.absent)).toBe(403);

  expect(servers.count(PORTS.ended)).toBe(1);
  expect(await status(PORTS.ended)).toBe(200);

  // No name in the labels.
  servers.send(PORTS.malformed, { ...server("web", DETECT, friends), labels: {} });
  await node.control.settled();
  expect(await status(PORTS.malformed)).toBe(200);
});

it("16.33 a default policy does not know localhost", async () => {
  const port = 8133;
  await strict.serveApp(port, () => response(200));
  const rule = `-o lo -p tcp -d ${strict.ip} --dport ${port} -m owner ! --uid-owner 2102 -j REDIRECT --to-port 4143`;
  strict.pod.run("iptables", "-w", "5", "-t", "nat", "-I", "OUTPUT", ...rule.split(" "));
  const client = new Client(await scene.network.dialRaw(strict.pod, { ip: strict.ip, port, from: "127.0.0.1" }));
  expect((await client.ask("GET /")).status).toBe(403);
  expect((await (await strict.meshClient(port, "anybody")).ask("GET /")).status).toBe(200);
  client.raw.socket.destroy();
});

it("16.34 a direct connection stays when policy changes", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(PORTS.exempt, resolve);
  const client = await node.dialMesh(4143, { as: "client", alpn: ["transport.l5d.io/v1"] });
  // Port 8034.
  client.write(Buffer.concat([Buffer.from("transport.l5d.io/v1\r\n\r\n"), Buffer.of(0, 0, 0, 3, 0x08, 0xe2, 0x3e), Buffer.from("up")]));
  const app = await promise;
  await app.until("up");
  node.control.servers.set(PORTS.exempt, server("tcp", "opaque", friends));
  await node.control.settled();
  app.write("down");
  await client.until("down");
  client.write("more");
  await app.until("upmore");
  expect(await node.series("inbound_tcp_authz_terminate_total")).toEqual([]);
  client.socket.destroy();
});

it("16.36 the key file holds its public key", () => {
  const der = readFileSync(join(scene.directory, node.pod.namespace, "key.p8"));
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  // The point of P-256 without compression: 65 bytes at the end of the SPKI.
  const point = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-65);
  expect(der.includes(point)).toBe(true);
});

it("16.39 an empty list of addresses is a mistake", async () => {
  const run = await node.pod.output(
    "env",
    "-i",
    "LINKERD2_PROXY_INBOUND_IPS=",
    "LINKERD2_PROXY_IDENTITY_DISABLED=1",
    scene.binary,
    "proxy",
  );
  expect([run.status, run.stdout]).toEqual([64, ""]);
  expect(run.stderr).toContain("LINKERD2_PROXY_INBOUND_IPS");
});

it("16.42 a port declared opaque has no series of its clients", async () => {
  await node.serveRaw(PORTS.opaque, (connection) => connection.write("hello"));
  const client = await node.dial(PORTS.opaque);
  await client.until("hello");
  const skipped = 'tls="no_identity",no_tls_reason="port_skipped"';
  await node.shows(`inbound_tcp_authz_allow_total{${target(PORTS.opaque)},srv_name="tcp",saz_name="all",${skipped}} 1`);
  expect(await node.series("tcp_open_total", `:${PORTS.opaque}"`)).toEqual([]);
  client.socket.destroy();
});

it("16.45 MAX_IDLE_CONNS_PER_ENDPOINT is the inbound one", async () => {
  const app = await strict.serveApp(8145, () => response(200));
  const client = await strict.client(8145);
  for (let n = 1; n <= 3; n++) {
    expect((await client.ask("GET /")).status).toBe(200);
    expect(app.connections).toBe(n);
  }
  client.raw.socket.destroy();
});

it("16.46 names go out in lower case, and a response has a date", async () => {
  const heads: string[] = [];
  await node.serveApp(PORTS.casing, ({ head }) => {
    heads.push(head);
    return "HTTP/1.1 200 Told\r\nContent-Length: 0\r\nX-Answer: Yes\r\n\r\n";
  });
  const client = await node.client(PORTS.casing);
  client.send("GET / HTTP/1.1\r\nHost: App\r\nX-ASK: Please\r\n\r\n");
  const answer = await client.answer();
  expect(heads[0]).toBe("GET / HTTP/1.1\r\nhost: App\r\nx-ask: Please\r\n\r\n");
  const lines = answer.head.split("\r\n").slice(1, -2).sort();
  expect(lines).toEqual(["content-length: 0", `date: ${answer.fields.get("date")}`, "x-answer: Yes"]);
  expect(answer.fields.get("date")).toMatch(/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
  client.raw.socket.destroy();
});
