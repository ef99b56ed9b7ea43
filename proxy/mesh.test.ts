// Two proxies between a client and a server that speak bytes: HTTP/1 over mTLS HTTP/2, in detail.
import { afterEach, beforeAll, expect, test } from "bun:test";
import { createCa, type TestCa } from "./testing/certificates.ts";
import { type Mesh, mesh } from "./testing/mesh.ts";
import { allowOnly, denyAll } from "./testing/policies.ts";
import { dialRaw } from "./testing/wire.ts";

let ca: TestCa;
beforeAll(async () => {
  ca = await createCa();
});
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

async function scene(options: Parameters<typeof mesh>[0] = {}): Promise<Mesh> {
  const made = await mesh({ ca, ...options });
  cleanup.push(() => made.stop());
  return made;
}

const GET = "GET /a?b HTTP/1.1\r\nHost: web.ns\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: now\r\n\r\nok";

test("a request and its answer: what the application sees, what the client sees", async () => {
  const { port, app, a, b } = await scene();
  const client = await dialRaw(port);
  client.write("GET /a?b HTTP/1.1\r\nHost: web.ns\r\nConnection: x-foo\r\nX-Foo: 1\r\nl5d-client-id: spoof\r\nX-Bar: 2\r\n\r\n");
  const server = await app.accept();
  const request = await server.until("\r\n\r\n");
  expect(request).toStartWith("GET /a?b HTTP/1.1\r\nhost: web.ns\r\n");
  expect(request).toContain("x-bar: 2\r\n");
  expect(request).toContain("l5d-client-id: client.ns\r\n");
  expect(request).toContain("l5d-dst-canonical: web.ns.svc.cluster.local:80\r\n");
  expect(request).not.toContain("x-foo");
  expect(request).not.toContain("spoof");
  expect(request).not.toContain("orig-proto");
  server.write("HTTP/1.1 200 Fine\r\nconnection: x-hop\r\nx-hop: 1\r\ncontent-length: 2\r\nx-end: 1\r\ndate: now\r\n\r\nok");
  const response = await client.until(/ok$/);
  expect(response).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  expect(response).toContain("x-end: 1\r\n");
  expect(response).not.toContain("x-hop");
  expect(response).not.toContain("orig-proto");
  expect(a.ledger.sum("outbound", "authority=web.ns.svc.cluster.local", "service=web", "server_id=server.ns", "request")).toBe(1);
  expect(b.ledger.sum("inbound", "client_id=client.ns", "srv=web", "saz=everyone", "response", "200", "success")).toBe(1);
  expect(b.ledger.sum("inbound", "http_allow", "client_id=client.ns")).toBe(1);
});

test("keep-alive: the second request of a connection goes on, and connections are reused on every hop", async () => {
  const { port, app, b } = await scene();
  const client = await dialRaw(port);
  client.write(GET);
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write(OK);
  await client.until(/ok$/);
  client.write(GET);
  await server.until(/\r\n\r\n.*\r\n\r\n/s);
  server.write(OK);
  await client.until(/ok.*ok$/s);
  expect(app.accepted).toBe(1);
  expect(b.ledger.sum("inbound", "src", "open")).toBe(1);
});

test("HTTP/1.0: answered as HTTP/1.0, on a connection of its own", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write("GET / HTTP/1.0\r\nHost: web.ns\r\n\r\n");
  const server = await app.accept();
  expect(await server.until("\r\n\r\n")).toStartWith("GET / HTTP/1.0\r\n");
  server.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  const response = await client.closed;
  expect(response).toStartWith("HTTP/1.0 200 OK\r\n");
  expect(response).toEndWith("ok");
});

test("absolute-form reaches the application as such", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write("GET http://web.ns/x HTTP/1.1\r\nHost: web.ns\r\n\r\n");
  const server = await app.accept();
  expect(await server.until("\r\n\r\n")).toStartWith("GET http://web.ns/x HTTP/1.1\r\n");
});

test("HEAD, 204, 304 and interim responses", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write("HEAD / HTTP/1.1\r\nHost: web.ns\r\n\r\n");
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write("HTTP/1.1 200 OK\r\ncontent-length: 123\r\ndate: now\r\n\r\n");
  expect(await client.until(/content-length: 123\r\n(.|\r\n)*\r\n/)).toStartWith("HTTP/1.1 200");
  client.write(GET);
  await server.until(/HEAD.*GET.*\r\n\r\n/s);
  server.write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\ndate: now\r\n\r\n");
  const text = await client.until(/204 No Content\r\n(.|\r\n)*\r\n\r\n/);
  expect(text).toContain("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
  client.write(GET);
  await server.until(/GET.*GET.*\r\n\r\n/s);
  server.write('HTTP/1.1 304 Not Modified\r\netag: "x"\r\ncontent-length: 9\r\ndate: now\r\n\r\n');
  await client.until(/304 Not Modified\r\n(.|\r\n)*etag: "x"(.|\r\n)*\r\n\r\n/);
});

test("Expect: 100-continue is the application's to answer", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write("POST / HTTP/1.1\r\nHost: web.ns\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  const server = await app.accept();
  expect(await server.until("\r\n\r\n")).toContain("expect: 100-continue\r\n");
  expect(client.text()).toBe("");
  server.write("HTTP/1.1 100 Continue\r\n\r\n");
  await client.until("HTTP/1.1 100 Continue\r\n\r\n");
  client.write("body");
  await server.until(/\r\n\r\nbody$/);
  server.write(OK);
  await client.until(/ok$/);
});

test("a chunked body with trailers streams both ways before its end", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write("POST / HTTP/1.1\r\nHost: web.ns\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  const server = await app.accept();
  await server.until("one");
  server.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n5\r\nearly\r\n");
  await client.until("early");
  client.write("3\r\ntwo\r\n0\r\nx-req: t\r\n\r\n");
  await server.until(/two\r\n0\r\nx-req: t\r\n\r\n$/);
  server.write("4\r\nlate\r\n0\r\nx-res: t\r\n\r\n");
  expect(await client.until(/late\r\n0\r\n(.|\r\n)*\r\n\r\n$/)).toContain("x-res: t");
});

test("an answer before the end of the request: the rest still arrives, and connections go on", async () => {
  const { port, app, b } = await scene();
  const client = await dialRaw(port);
  client.write("POST / HTTP/1.1\r\nHost: web.ns\r\nContent-Length: 8\r\n\r\nhalf");
  const server = await app.accept();
  await server.until(/half$/);
  server.write(OK);
  await client.until(/ok$/);
  client.write("rest");
  await server.until(/halfrest$/);
  client.write(GET);
  await server.until(/GET \/a\?b[\s\S]*\r\n\r\n$/);
  server.write(OK);
  await client.until(/ok[\s\S]*ok$/);
  expect(app.accepted).toBe(1);
  expect(b.ledger.sum("inbound", "src", "open")).toBe(1);
});

test("megabytes both ways through backpressure", async () => {
  const { port, app } = await scene();
  const size = 4 << 20;
  const client = await dialRaw(port);
  client.write(`POST / HTTP/1.1\r\nHost: web.ns\r\nContent-Length: ${size}\r\n\r\n`);
  client.write(new Uint8Array(size).fill(97));
  const server = await app.accept();
  await server.until(/a{4194304}$/);
  server.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\ndate: now\r\n\r\n`);
  server.write(new Uint8Array(size).fill(98));
  await client.until(/b{4194304}$/);
});

test("a WebSocket upgrade becomes a tunnel with half-close", async () => {
  const { port, app, a } = await scene();
  const client = await dialRaw(port);
  client.write("GET /ws HTTP/1.1\r\nHost: web.ns\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  const server = await app.accept();
  const request = await server.until("\r\n\r\n");
  expect(request.toLowerCase()).toContain("upgrade: websocket\r\n");
  expect(request.toLowerCase()).toContain("connection: upgrade\r\n");
  server.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
  const answer = await client.until(/\r\n\r\nhello$/);
  expect(answer).toStartWith("HTTP/1.1 101 Switching Protocols\r\n");
  expect(answer.toLowerCase()).toContain("upgrade: websocket\r\n");
  client.write("\x81\x00\xffping");
  await server.until("\x81\x00\xffping");
  client.socket.end();
  await server.closed;
  server.write("last words");
  server.socket.end();
  expect(await client.closed).toEndWith("last words");
  expect(a.ledger.sum("outbound", "dst", "server_id=server.ns", "open")).toBeGreaterThanOrEqual(1);
});

test("a refused upgrade leaves an ordinary response", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write("GET /ws HTTP/1.1\r\nHost: web.ns\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\ndate: now\r\n\r\nno");
  expect(await client.until(/no$/)).toStartWith("HTTP/1.1 400");
});

test("CONNECT becomes a tunnel", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write("CONNECT web.ns:443 HTTP/1.1\r\nHost: web.ns:443\r\n\r\n");
  const server = await app.accept();
  expect(await server.until("\r\n\r\n")).toStartWith("CONNECT web.ns:443 HTTP/1.1\r\n");
  server.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  expect(await client.until("\r\n\r\n")).not.toContain("content-length");
  client.write("raw");
  await server.until(/raw$/);
});

test("h2c is never honoured", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write(
    "GET / HTTP/1.1\r\nHost: web.ns\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
  );
  const server = await app.accept();
  const request = await server.until("\r\n\r\n");
  expect(request.toLowerCase()).not.toContain("upgrade");
  expect(request.toLowerCase()).not.toContain("http2-settings");
});

test("a denied request: 403 with the reason for mesh clients, and the connection lives on", async () => {
  const { port, app, b } = await scene();
  const policy = b.policy(app.port, denyAll("locked"));
  const client = await dialRaw(port);
  client.write(GET);
  const refused = await client.until("\r\n\r\n");
  expect(refused).toStartWith("HTTP/1.1 403 Forbidden\r\n");
  expect(refused).toContain("l5d-proxy-error: unauthorized connection on server locked\r\n");
  expect(refused).not.toContain("connection: close");
  expect(b.ledger.sum("inbound", "http_deny", "srv=locked", "client_id=client.ns")).toBe(1);
  expect(b.ledger.sum("inbound", "http_error")).toBe(0);
  policy.set(allowOnly(["client.ns"], "open"));
  client.write(GET);
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write(OK);
  await client.until(/ok$/);
  expect(b.ledger.sum("inbound", "http_allow", "srv=open", "saz=friends")).toBe(1);
});

test("an application that refuses connections: 502, the reason, and the client's connection ends", async () => {
  const { port, app, a, b } = await scene();
  app.stop();
  const client = await dialRaw(port);
  client.write(GET);
  const answer = await client.closed;
  expect(answer).toStartWith("HTTP/1.1 502 Bad Gateway\r\n");
  expect(answer).toContain("connection: close\r\n");
  expect(answer).toContain("l5d-proxy-error: ");
  expect(answer).not.toContain("l5d-proxy-connection");
  expect(b.ledger.sum("inbound", "response", "502", "failure")).toBe(1);
  expect(b.ledger.sum("inbound", "http_error")).toBe(0);
  expect(a.ledger.sum("outbound", "response", "502", "failure")).toBe(1);
});

test("an application that dies within its response: the client's connection breaks", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write(GET);
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart");
  await client.until("part");
  server.socket.destroy();
  expect(await client.closed).toEndWith("part");
});

test("a client that goes away takes its request back", async () => {
  const { port, app } = await scene();
  const client = await dialRaw(port);
  client.write(GET);
  const server = await app.accept();
  await server.until("\r\n\r\n");
  client.socket.resetAndDestroy();
  await server.closed;
});

test("identity of a client is never shared on the application's connections", async () => {
  const { app, b, ca: root } = await scene();
  const first = await mesh({ ca: root, a: {} });
  cleanup.push(() => first.stop());
  const { FakeIdentity, endpoint } = await import("./testing/fakes.ts");
  const other = await mesh({ ca: root, a: { identity: new FakeIdentity("other.ns", await root.issue("other.ns")) } });
  cleanup.push(() => other.stop());
  for (const scene of [first, other])
    scene.a.discovery.setEndpoints("web.ns.svc.cluster.local:80", [endpoint({ addr: b.inboundAddr, identity: "server.ns", h2: true })]);
  const seen: string[] = [];
  for (const { port } of [first, other]) {
    const client = await dialRaw(port);
    client.write(GET);
    const server = await app.accept();
    const request = await server.until("\r\n\r\n");
    seen.push(/l5d-client-id: (\S+)/.exec(request)?.[1] ?? "");
    server.write(OK);
    await client.until(/ok$/);
  }
  expect(seen).toEqual(["client.ns", "other.ns"]);
  expect(app.accepted).toBe(2);
});
