// Spec proxy §17, 11 to 16: connections to the inbound port itself, which begin with a transport header.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { PREFACE } from "../testing/frames.ts";
import type { Raw } from "../testing/wire.ts";
import { request, response, serveRequests } from "./testing/http1.ts";
import { add, allow, remove, server } from "./testing/messages.ts";
import { type Caller, canRunPods, id, type Node, Scene } from "./testing/scene.ts";

const it = test.if(canRunPods);
const DETECT_MS = 600;
const ALPN = "transport.l5d.io/v1";
/** `transport.l5d.io/v1\r\n\r\n` */
const HEADER_PREFACE = "7472616e73706f72742e6c35642e696f2f76310d0a0d0a";
const SERVICE = "10.96.0.5";
const NAME = "web.ns.svc.cluster.local";
const PEER = "10.9.0.1";

let scene: Scene;
let node: Node;

const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");
const header = (message: string): Buffer =>
  Buffer.from(`${HEADER_PREFACE}${(message.length / 2).toString(16).padStart(8, "0")}${message}`, "hex");

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("direct");
  node = await scene.pod({ ports: [8080, 8081, 8082], env: { INBOUND_DETECT_TIMEOUT: `${DETECT_MS}ms` } });
  node.control.servers.set(8080, server("redis", "opaque", [allow("friends", { identities: [id("client")] })]));
  node.control.servers.set(8081, server("closed", "opaque", [allow("others", { identities: [id("other")] })]));
  node.control.servers.set(8082, server("web", { detectMs: 10_000 }, [allow("all", "anyone")]));
  for (const [port, opaque] of [
    [8080, true],
    [8081, false],
    [8082, true],
    [8083, false],
  ] as const) {
    node.control.profiles.set(`${SERVICE}:${port}`, { fullyQualifiedName: NAME, opaqueProtocol: opaque });
  }
  node.start();
  await node.ready();
  await node.control.settled();
}, 60_000);

afterAll(() => {
  scene?.stop();
});

const dial = (as: string | null = "client") => node.dialMesh(4143, { as, alpn: [ALPN] });

it("17.11 header and first bytes in one segment: the header's port, under its policy", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await node.serveRaw(8080, resolve);
  const client = await dial();
  expect(client.tls.alpnProtocol).toBe(ALPN);
  client.write(Buffer.concat([header("08903f"), Buffer.from("ping")]));
  const app = await promise;
  expect(await app.until("ping")).toBe("ping");
  app.write("pong");
  await client.until("pong");
  client.socket.destroy();
  const target = `target_addr="${node.ip}:8080",target_ip="${node.ip}",target_port="8080"`;
  await node.shows(
    `tcp_open_total{direction="inbound",peer="src",${target},tls="true",client_id="${id("client")}",srv_name="redis"} 1`,
    `tcp_read_bytes_total{direction="inbound",peer="src",${target},tls="true",client_id="${id("client")}",srv_name="redis"} 4`,
  );
  // One check, and no count of it.
  expect(await node.series("inbound_tcp_authz_allow_total")).toEqual([]);

  const denied = await node.serveRaw(8081, () => {});
  const refused = await dial();
  refused.write(Buffer.concat([header("08913f"), Buffer.from("ping")]));
  expect(await refused.closed).toBe("");
  expect(denied.connections).toBe(0);
});

it("17.12 without a client certificate a direct connection is closed before its header is read", async () => {
  // Nothing has been sent when it ends.
  const client = await dial(null);
  expect(await client.closed).toBe("");
});

it("17.13 a header that is none, or names no port, closes the connection", async () => {
  const altered = header("08903f");
  altered[0] = "T".charCodeAt(0);
  // Port 0, port 70000, no port, a message longer than a header may be.
  const long = Buffer.concat([Buffer.from(HEADER_PREFACE, "hex"), Buffer.of(0xff, 0xff, 0xff, 0xff)]);
  for (const bytes of [altered, header("0800"), header("08f0a204"), header(""), long]) {
    const client = await dial();
    client.write(bytes);
    expect(await client.closed).toBe("");
  }
});

it("17.14 a header that stalls closes the connection after the detect timeout", async () => {
  const client = await dial();
  client.write(header("08903f").subarray(0, 20));
  const since = performance.now();
  expect(await client.closed).toBe("");
  expect(performance.now() - since).toBeGreaterThan(DETECT_MS * 0.9);
});

/** A peer of the mesh behind its own inbound port; what comes with the connections. */
async function peer(ip: string, alpn: string | undefined, onConnection: (connection: Raw, caller: Caller) => void): Promise<void> {
  await scene.serveMesh(scene.outside, { ip, port: 4143, name: id("peer"), ...(alpn === undefined ? {} : { alpn }) }, onConnection);
}

it("17.15 the bytes of a header, with and without a session protocol", async () => {
  const seen: Raw[] = [];
  await peer(PEER, ALPN, (connection) => void seen.push(connection));
  for (const port of [8080, 8081, 8083]) {
    // All of them stand for the endpoint's port 8080.
    node.control.endpoints.set(`${NAME}:${port}`, add([{ ip: PEER, port: 8080, identity: id("peer"), transport: 4143 }]));
  }
  const bytes = async (n: number, length: number): Promise<string> => {
    const connection = seen[n] as Raw;
    await connection.until((text) => text.length >= length);
    return hex(connection.text().slice(0, length));
  };
  const arrived = async (n: number): Promise<void> => {
    while (seen.length < n) await new Promise((resolve) => setImmediate(resolve));
  };

  const tcp = await node.appDial(SERVICE, 8080);
  tcp.write("ping");
  await arrived(1);
  expect(await bytes(0, 34)).toBe(`${HEADER_PREFACE}0000000308903f${hex("ping")}`);
  tcp.socket.destroy();

  const session = await scene.http2Over(await node.appDial(SERVICE, 8081));
  session.request({ ":path": "/" }).on("error", () => {});
  await arrived(2);
  expect(await bytes(1, 34 + PREFACE.length)).toBe(`${HEADER_PREFACE}0000000708903f1a021200${hex(PREFACE)}`);
  session.destroy();

  const client = await node.appDial(SERVICE, 8083);
  client.write(request("GET /one"));
  await arrived(3);
  expect(await bytes(2, 34 + 8)).toBe(`${HEADER_PREFACE}0000000708903f1a020a00${hex("GET /one")}`);
  client.socket.destroy();
});

it("17.16 an opaque transport is dialed at its port, offers ALPN, and goes without a header where none was agreed", async () => {
  const first = Promise.withResolvers<{ connection: Raw; caller: Caller }>();
  await peer("10.9.0.2", ALPN, (connection, caller) => first.resolve({ connection, caller }));
  node.control.endpoints.set(`${NAME}:8082`, add([{ ip: "10.9.0.2", port: 9000, identity: id("peer"), transport: 4143 }]));
  const one = await node.appDial(SERVICE, 8082);
  one.write("hello");
  const { connection, caller } = await first.promise;
  expect(caller.name).toBe(node.identity);
  expect(caller.alpn).toBe(ALPN);
  await connection.until("hello");
  // Port 9000.
  expect(hex(connection.text())).toBe(`${HEADER_PREFACE}0000000308a846${hex("hello")}`);
  connection.write("welcome");
  await one.until("welcome");
  one.socket.destroy();

  const second = Promise.withResolvers<{ connection: Raw; caller: Caller }>();
  await peer("10.9.0.3", undefined, (connection, caller) => second.resolve({ connection, caller }));
  node.control.endpoints.set(`${NAME}:8082`, add([{ ip: "10.9.0.3", port: 9000, identity: id("peer"), transport: 4143 }]));
  node.control.endpoints.send(`${NAME}:8082`, remove([{ ip: "10.9.0.2", port: 9000 }]));
  await node.control.settled();
  const two = await node.appDial(SERVICE, 8082);
  two.write("hello");
  const plain = await second.promise;
  expect(plain.caller.alpn).toBe(null);
  expect(await plain.connection.until("hello")).toBe("hello");
  two.socket.destroy();
});

it("a header with a session protocol and no name is local HTTP (spec proxy §16, 7)", async () => {
  const app = await scene.serve(
    node.pod,
    { ip: node.ip, port: 8082 },
    (connection) => void serveRequests(connection, ({ fields }) => response(200, fields.get("l5d-client-id"))),
  );
  const client = await dial();
  // Port 8082, HTTP/1.
  client.write(Buffer.concat([header("08923f1a020a00"), Buffer.from(request("GET /"))]));
  expect(await client.until(id("client"))).toStartWith("HTTP/1.1 200 ");
  expect(app.connections).toBe(1);
  client.socket.destroy();
});
