// Spec proxy §17, 1 to 10: what the inbound side makes of a connection's first bytes.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer } from "node:net";
import { createCa } from "../testing/certificates.ts";
import { Frames, FrameType, frame, PREFACE } from "../testing/frames.ts";
import { clientHello } from "../testing/tls.ts";
import type { Raw } from "../testing/wire.ts";
import { Client, request, response } from "./testing/http1.ts";
import { allow, server } from "./testing/messages.ts";
import { canRunPods, id, type Node, Scene, secure } from "./testing/scene.ts";

const it = test.if(canRunPods);
const DETECT_MS = 600;

/** Ports of the pod, a case each. */
const PORTS = {
  one: 8001,
  two: 8002,
  three: 8003,
  silent: 8004,
  meshed: 8005,
  split: 8006,
  foreign: 8007,
  tls: 8008,
  identity: 8009,
  bad: 8010,
  alpn: 8011,
};

let scene: Scene;
let node: Node;

const target = (port: number): string => `target_addr="${node.ip}:${port}",target_ip="${node.ip}",target_port="${port}"`;
const plain = 'tls="no_identity",no_tls_reason="no_tls_from_remote"';

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("detection");
  node = await scene.pod({ ports: Object.values(PORTS), env: { INBOUND_DETECT_TIMEOUT: `${DETECT_MS}ms` } });
  for (const port of Object.values(PORTS)) node.control.servers.set(port, server("web", { detectMs: 10_000 }, [allow("all", "anyone")]));
  node.control.servers.set(PORTS.meshed, server("web", { detectMs: DETECT_MS }, [allow("all", "anyone")]));
  node.control.servers.set(PORTS.tls, server("web", { detectMs: 10_000 }, [allow("encrypted", "tls")]));
  node.control.servers.set(PORTS.identity, server("web", { detectMs: 10_000 }, [allow("known", "meshed")]));
  node.start();
  await node.ready();
  await node.control.settled();
}, 60_000);

afterAll(() => {
  scene?.stop();
});

it("17.1 a request head in one segment is HTTP/1", async () => {
  await node.serveApp(PORTS.one, () => response(200, "one"));
  const client = await node.client(PORTS.one);
  const answer = await client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer();
  expect([answer.status, answer.body]).toEqual([200, "one"]);
  const labels = `direction="inbound",authority="a",${target(PORTS.one)},${plain},srv_name="web",saz_name="all"`;
  await node.shows(`request_total{${labels}} 1`, `response_total{${labels},status_code="200",classification="success"} 1`);
});

it("17.2 eight bytes of a request in the first segment are opaque", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(PORTS.two, resolve);
  const client = await node.dial(PORTS.two);
  client.write("GET / HT");
  const app = await promise;
  await app.until("GET / HT");
  client.write("TP/1.1\r\nHost: a\r\n\r\n");
  await app.until("\r\n\r\n");
  expect(app.text()).toBe("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  app.write("whatever");
  app.socket.end();
  expect(await client.closed).toBe("whatever");
  client.socket.end();
  await node.shows(
    `inbound_tcp_authz_allow_total{${target(PORTS.two)},srv_name="web",saz_name="all",${plain}} 1`,
    `tcp_close_total{direction="inbound",peer="src",${target(PORTS.two)},${plain},srv_name="web",errno=""} 1`,
  );
  expect(await node.series("request_total", `:${PORTS.two}"`)).toEqual([]);
});

it("17.3 the preface of HTTP/2 is HTTP/2", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(PORTS.three, resolve);
  const client = await node.dial(PORTS.three);
  client.write(PREFACE);
  client.write(frame(FrameType.SETTINGS, 0, 0));
  // SETTINGS of a server and the acknowledgement of ours.
  const frames = new Frames(client, "client");
  expect((await frames.find(({ type, flags }) => type === FrameType.SETTINGS && flags === 0)).stream).toBe(0);
  expect((await frames.find(({ type, flags }) => type === FrameType.SETTINGS && flags === 1)).payload.length).toBe(0);
  // GET / of authority "a", by the static table.
  client.write(frame(FrameType.HEADERS, 5, 1, Buffer.of(0x82, 0x86, 0x84, 0x01, 0x01, 0x61)));
  const app = await promise;
  expect(await app.until(PREFACE)).toStartWith(PREFACE);
  client.socket.destroy();
});

it("17.4 a client that says nothing is closed after the detect timeout", async () => {
  const app = await node.serveRaw(PORTS.silent, () => {});
  const client = await node.dial(PORTS.silent);
  const since = performance.now();
  expect(await client.closed).toBe("");
  expect(performance.now() - since).toBeGreaterThan(DETECT_MS * 0.9);
  await node.shows(`inbound_tcp_errors_total{error="tls detection timeout",${target(PORTS.silent)}} 1`);
  expect(app.connections).toBe(0);
});

it("17.5 a mesh client that says nothing is opaque after the policy's timeout", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(PORTS.meshed, (connection) => {
    connection.write("greeting\n");
    resolve(connection);
  });
  const client = await node.dialMesh(PORTS.meshed, { as: "client" });
  await client.until("greeting\n");
  client.write("thanks");
  await (await promise).until("thanks");
  client.socket.destroy();
  expect(await node.series("request_total", `:${PORTS.meshed}"`)).toEqual([]);
  await node.shows(
    `inbound_tcp_authz_allow_total{${target(PORTS.meshed)},srv_name="web",saz_name="all",tls="true",client_id="${id("client")}"} 1`,
  );
});

/** Port of a relay that sends the first chunk, as a ClientHello is, byte by byte; the kernel gets each alone. */
async function byteByByte(port: number): Promise<number> {
  const relay = createServer(async (client) => {
    client.pause();
    const onward = (await node.dial(port)).socket;
    client.once("data", async (hello: Buffer) => {
      client.pause();
      for (const byte of hello) {
        await new Promise<void>((resolve) => void onward.write(Buffer.of(byte), () => resolve()));
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.pipe(onward);
    });
    client.on("error", () => onward.destroy());
    client.on("close", () => onward.destroy());
    onward.pipe(client);
    client.resume();
  });
  scene.onStop(() => relay.close());
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  return (relay.address() as { port: number }).port;
}

it("17.6 a ClientHello byte by byte is terminated as mesh TLS", async () => {
  await node.serveApp(PORTS.split, ({ fields }) => response(200, fields.get("l5d-client-id")));
  const port = await byteByByte(PORTS.split);
  const socket = await scene.dialLoopback(port);
  const secured = await secure(socket, { ca: scene.ca.pem, serverName: node.identity, credentials: await scene.credentials(id("client")) });
  expect((await new Client(secured).ask("GET /")).body).toBe(id("client"));
  secured.socket.destroy();
});

it("17.7 TLS of another server name passes as it is", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(PORTS.foreign, resolve);
  const hello = await clientHello("example.com");
  const client = await node.dial(PORTS.foreign);
  client.write(hello);
  const app = await promise;
  await app.until((text) => text.length >= hello.length);
  expect(app.text()).toBe(hello.toString("latin1"));
  app.write("answer");
  await client.until("answer");
  client.socket.destroy();
  await node.shows(
    `inbound_tcp_authz_allow_total{${target(PORTS.foreign)},srv_name="web",saz_name="all",tls="opaque",sni="example.com"} 1`,
    `tcp_open_total{direction="inbound",peer="src",${target(PORTS.foreign)},tls="opaque",sni="example.com",srv_name="web"} 1`,
  );
});

it("17.8 without a client certificate: TLS is enough where it is asked for, an identity is not there", async () => {
  for (const port of [PORTS.tls, PORTS.identity])
    await node.serveApp(port, ({ fields }) => response(200, `client ${fields.get("l5d-client-id")}`));
  const encrypted = new Client(await node.dialMesh(PORTS.tls, { as: null }));
  const allowed = await encrypted.ask("GET /");
  expect([allowed.status, allowed.body]).toEqual([200, "client undefined"]);
  const denied = await new Client(await node.dialMesh(PORTS.identity, { as: null })).ask("GET /");
  expect(denied.status).toBe(403);
  await node.shows(
    `request_total{direction="inbound",authority="app",${target(PORTS.tls)},tls="true",client_id="",srv_name="web",saz_name="encrypted"} 1`,
    `inbound_http_authz_deny_total{${target(PORTS.identity)},srv_name="web",tls="true",client_id=""} 1`,
  );
});

it("17.9 a certificate of another root fails the handshake", async () => {
  const app = await node.serveApp(PORTS.bad, () => response(200));
  const stranger = await (await createCa("another root")).issue(id("client"));
  const socket = await scene.network.dial(scene.outside, { ip: node.ip, port: PORTS.bad });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  // TLS 1.3 lets a client believe it is done before the server has read its certificate.
  const spoken = await secure(socket, { ca: scene.ca.pem, serverName: node.identity, credentials: stranger }).then(
    async (secured) => {
      secured.write(request("GET /"));
      return secured.closed;
    },
    () => "",
  );
  expect(spoken).toBe("");
  socket.destroy();
  await closed;
  await node.shows(`inbound_tcp_errors_total{error="i/o",${target(PORTS.bad)}} 1`);
  expect(app.connections).toBe(0);
});

it("17.10 ALPN of a client gets no answer on an ordinary port", async () => {
  await node.serveApp(PORTS.alpn, () => response(200, "served"));
  const client = await node.dialMesh(PORTS.alpn, { as: "client", alpn: ["h2"] });
  expect(client.tls.alpnProtocol).toBe(false);
  expect((await new Client(client).ask("GET /")).body).toBe("served");
});
