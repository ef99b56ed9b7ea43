// Spec proxy §17, 54, 55, 57 to 59: the admin port, expiry of series, the end of the process, an application that is away, and whom its
// connections are for.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { Frames, FrameType, frame, PREFACE, requestBlock } from "../testing/frames.ts";
import { http2Request } from "../testing/http2.ts";
import type { Raw } from "../testing/wire.ts";
import { Client, response, serveRequests } from "./testing/http1.ts";
import { add, allow, server } from "./testing/messages.ts";
import { canRunPods, id, type Node, nameOf, Scene } from "./testing/scene.ts";

const it = test.if(canRunPods);
const DETECT = { detectMs: 10_000 };
const anyone = [allow("all", "anyone")];
const PORTS = { http2: 8057, http1: 8157, tcp: 8257, refused: 8058, shared: 8059 };
/** Nobody asks for it, but for the case of expiry. */
const IDLE_PORT = 8055;
const RETAIN_MS = 1000;

let scene: Scene;
let node: Node;
let forgetful: Node;
let expired: Promise<void>;

const target = (at: Node, port: number): string => `target_addr="${at.ip}:${port}",target_ip="${at.ip}",target_port="${port}"`;
const plain = 'tls="no_identity",no_tls_reason="no_tls_from_remote"';

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("process");
  node = await scene.pod({ ports: Object.values(PORTS) });
  for (const port of Object.values(PORTS)) node.control.servers.set(port, server("web", DETECT, anyone));
  node.control.servers.set(PORTS.tcp, server("tcp", "opaque", anyone));
  forgetful = await scene.pod({
    ports: [IDLE_PORT],
    env: { METRICS_RETAIN_IDLE: `${RETAIN_MS}ms`, INBOUND_ROUTER_MAX_IDLE_AGE: "50ms", OUTBOUND_ROUTER_MAX_IDLE_AGE: "50ms" },
  });
  forgetful.control.servers.set(IDLE_PORT, server("web", DETECT, anyone));
  for (const one of [node, forgetful]) one.start();
  for (const one of [node, forgetful]) {
    await one.ready();
    await one.control.settled();
  }
  expired = expire();
  // It is awaited in its case.
  expired.catch(() => {});
}, 60_000);

afterAll(() => {
  scene?.stop();
});

/** A second and what it takes to notice: it begins with the file and is awaited at its end. */
async function expire(): Promise<void> {
  await forgetful.serveApp(IDLE_PORT, () => response(200));
  await scene.serve(scene.outside, { ip: "10.9.0.1", port: 8155 }, (connection) => {
    void serveRequests(connection, () => response(200));
  });
  forgetful.service(8155, add([{ ip: "10.9.0.1", port: 8155 }]));
  const clients = [await forgetful.client(IDLE_PORT), await forgetful.serviceClient(8155)];
  for (const client of clients) {
    expect((await client.ask("GET /")).status).toBe(200);
    client.raw.socket.destroy();
  }
  const inbound = `direction="inbound",authority="app",${target(forgetful, IDLE_PORT)},${plain},srv_name="web",saz_name="all"`;
  const transport = `direction="inbound",peer="src",${target(forgetful, IDLE_PORT)},${plain},srv_name="web"`;
  const lines = [`request_total{${inbound}} 1`, `tcp_open_total{${transport}} 1`];
  const present = async (): Promise<string[]> => {
    const page = `${await forgetful.metrics()}\n`;
    return [...lines.filter((line) => page.includes(`\n${line}\n`)), ...(page.includes(nameOf(8155)) ? ["outbound"] : [])];
  };
  // A scrape notes what has changed; from this one on, with every connection closed, nothing does.
  const server = `authority="${nameOf(8155)}:8155",target_addr="10.9.0.1:8155",target_ip="10.9.0.1",target_port="8155"`;
  const untold = 'tls="no_identity",no_tls_reason="not_provided_by_service_discovery"';
  await forgetful.shows(
    ...lines,
    `tcp_open_connections{${transport}} 0`,
    `tcp_open_connections{direction="outbound",peer="dst",${server},${untold}} 0`,
    'tcp_open_connections{direction="inbound",peer="dst",tls="no_identity",no_tls_reason="loopback"} 0',
  );
  const all = [...lines, "outbound"];
  expect(await present()).toEqual(all);
  await Bun.sleep(RETAIN_MS * 1.5);
  expect(await present()).toEqual(all);
  expect(await present()).toEqual([]);
  const second = await forgetful.metrics();
  // What was decided is remembered.
  const remembered = `inbound_http_authz_allow_total{${target(forgetful, IDLE_PORT)},srv_name="web",saz_name="all",${plain}} 1`;
  expect(second.split("\n").filter((line) => line === remembered)).toHaveLength(1);
}

/** What changes the process is asked of an address, not of a name that somebody's DNS may lead here. */
const HERE = { host: "localhost:4191" };

it("17.54 metrics in gzip; what changes the process is for localhost", async () => {
  const local = new Client(await node.local(4191));
  const zipped = await local.ask("GET /metrics", { "accept-encoding": "br, gzip" });
  expect([zipped.status, zipped.fields.get("content-encoding"), zipped.fields.get("content-type")]).toEqual([200, "gzip", "text/plain"]);
  expect(gunzipSync(Buffer.from(zipped.body, "latin1")).toString()).toContain("\nproxy_build_info{");
  const page = await local.ask("GET /metrics");
  expect(page.fields.has("content-encoding")).toBe(false);
  expect(page.body).toContain("\nproxy_build_info{");

  const remote = new Client(await node.dial(4191));
  for (const line of ["GET /proxy-log-level", "PUT /proxy-log-level", "POST /shutdown"]) {
    const answer = await remote.ask(line, HERE, line.startsWith("PUT") ? "debug" : "");
    expect([line, answer.status]).toEqual([line, 403]);
    expect(answer.body).toContain("localhost");
  }
  for (const path of ["/ready", "/live", "/metrics"]) expect([path, (await remote.ask(`GET ${path}`)).status]).toEqual([path, 200]);
  expect((await remote.ask("GET /tasks")).status).toBe(404);

  expect((await local.ask("GET /shutdown", HERE)).status).toBe(405);
  const level = await local.ask("GET /proxy-log-level", HERE);
  expect([level.status, level.body]).toEqual([200, "warn,linkerd=info"]);
  expect((await local.ask("PUT /proxy-log-level", HERE, "linkerd=nonsense")).status).toBe(400);
  expect((await local.ask("PUT /proxy-log-level", HERE, "warn,linkerd=debug")).status).toBe(204);
  expect((await local.ask("GET /proxy-log-level", HERE)).body).toBe("warn,linkerd=debug");
  expect((await local.ask("PUT /proxy-log-level", HERE, "warn,linkerd=info")).status).toBe(204);
  const wrong = await local.ask("POST /proxy-log-level", HERE);
  expect([wrong.status, wrong.fields.get("allow")]).toEqual([405, "GET, PUT"]);
  expect(node.process.alive).toBe(true);
  for (const client of [local, remote]) client.raw.socket.destroy();
});

it("17.58 an application that refuses is 502, told to the mesh, and the connection ends", async () => {
  const client = await node.meshClient(PORTS.refused, "client");
  const answer = await client.ask("GET /");
  expect(answer.status).toBe(502);
  expect(answer.fields.get("content-length")).toBe("0");
  expect(answer.fields.get("l5d-proxy-error")).toBeTruthy();
  expect(answer.fields.get("l5d-proxy-connection")).toBe("close");
  expect(answer.fields.get("connection")).toBe("close");
  await client.raw.closed;
  const labels = `direction="inbound",authority="app",${target(node, PORTS.refused)},tls="true",client_id="${id("client")}",srv_name="web",saz_name="all"`;
  await node.shows(`response_total{${labels},status_code="502",classification="failure"} 1`);
  // Handled where the application is asked: no error of the server.
  expect(await node.series("inbound_http_errors_total", `:${PORTS.refused}"`)).toEqual([]);

  const stranger = await node.client(PORTS.refused);
  const bare = await stranger.ask("GET /");
  expect([bare.status, [...bare.fields.keys()].sort()]).toEqual([502, ["connection", "content-length", "date"]]);

  const session = await scene.http2Over(await node.dialMesh(PORTS.refused, { as: "client" }));
  const goaway = new Promise<number>((resolve) => session.once("goaway", resolve));
  const call = await http2Request(
    session,
    { ":method": "POST", ":path": "/pkg.Service/Call", "content-type": "application/grpc" },
    { body: "" },
  );
  expect([call.headers[":status"], call.headers["grpc-status"]]).toEqual([200, "14"]);
  expect(await goaway).toBe(0);
  session.destroy();
});

it("17.59 connections to the application are never shared between client identities", async () => {
  const seen: { connection: number; client: string }[] = [];
  let connections = 0;
  await node.serveRaw(PORTS.shared, async (connection) => {
    const number = connections++;
    (
      await scene.http2((stream, headers) => {
        seen.push({ connection: number, client: String(headers["l5d-client-id"]) });
        stream.respond({ ":status": 200 });
        stream.end();
      })
    )(connection);
  });
  const sessions = [];
  for (const as of ["one", "two"]) sessions.push(await scene.http2Over(await node.dialMesh(PORTS.shared, { as })));
  for (let n = 0; n < 3; n++) for (const session of sessions) expect((await http2Request(session, {})).headers[":status"]).toBe(200);
  expect(connections).toBe(2);
  const by = (client: string) => [...new Set(seen.filter((one) => one.client === id(client)).map(({ connection }) => connection))];
  expect([by("one").length, by("two").length, seen.length]).toEqual([1, 1, 6]);
  expect(by("one")).not.toEqual(by("two"));
  for (const session of sessions) session.destroy();
});

it("17.57 SIGTERM: what has begun is finished, what idles is closed, nothing new is taken, a tunnel is waited for", async () => {
  const asked = Promise.withResolvers<() => void>();
  const handle = await scene.http2((stream) =>
    asked.resolve(() => {
      stream.respond({ ":status": 200 });
      stream.end("late");
    }),
  );
  await node.serveRaw(PORTS.http2, handle);
  await node.serveApp(PORTS.http1, () => response(200));
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(PORTS.tcp, resolve);

  const stream = await node.dial(PORTS.http2);
  stream.write(
    Buffer.concat([Buffer.from(PREFACE), frame(FrameType.SETTINGS, 0, 0), frame(FrameType.HEADERS, 5, 1, requestBlock("/slow", "app"))]),
  );
  const frames = new Frames(stream, "client");
  const idle = await node.client(PORTS.http1);
  expect((await idle.ask("GET /")).status).toBe(200);
  const tunnel = await node.dial(PORTS.tcp);
  tunnel.write("up");
  const app = await promise;
  await app.until("up");
  const answerNow = await asked.promise;

  const { process: proxy } = node;
  const exited = proxy.stop();
  // First that no more should come, then, once that has been heard, which was the last.
  const first = await frames.find(({ type }) => type === FrameType.GOAWAY);
  expect(first.payload.toString("hex")).toBe("7fffffff00000000");
  const ping = await frames.find(({ type }) => type === FrameType.PING);
  stream.write(frame(FrameType.PING, 1, 0, ping.payload));
  await frames.find(({ type, payload }) => type === FrameType.GOAWAY && payload.toString("hex") === "0000000100000000");
  expect((await idle.raw.closed).split("HTTP/1.1 ")).toHaveLength(2);
  idle.raw.socket.destroy();
  const refused = async (port: number): Promise<string | undefined> =>
    node.dial(port).then(
      ({ socket }) => {
        socket.destroy();
        return "taken";
      },
      (error: { code?: string }) => error.code,
    );
  for (const port of [PORTS.http2, PORTS.tcp, 4191]) expect([port, await refused(port)]).toEqual([port, "ECONNREFUSED"]);

  answerNow();
  const head = await frames.find(({ type, stream: on }) => type === FrameType.HEADERS && on === 1);
  expect(head.payload[0]).toBe(0x88);
  await frames.find(({ type, stream: on, flags }) => type === FrameType.DATA && on === 1 && (flags & 1) === 1);
  expect(stream.text()).toContain("late");
  await stream.closed;
  stream.socket.destroy();

  // The tunnel goes on.
  app.write("down");
  await tunnel.until("down");
  expect(proxy.alive).toBe(true);
  tunnel.socket.end();
  app.socket.end();
  expect(await exited).toBe(0);
});

it("17.55 series nobody holds are shown once more after their time and then no more", () => expired, 30_000);

it("17.54 localhost may end the process", async () => {
  await expired;
  const { process: proxy } = forgetful;
  const client = new Client(await forgetful.local(4191));
  const answer = await client.ask("POST /shutdown", HERE);
  expect([answer.status, answer.body]).toEqual([200, "shutdown\n"]);
  client.raw.socket.destroy();
  expect(await proxy.exited).toBe(0);
}, 30_000);
