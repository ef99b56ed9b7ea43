// Service profiles at work: routes, retries, timeouts, response classes; ingress mode; gateways. Cases of spec proxy §17, 43 to 50.
import { afterEach, beforeAll, expect, test } from "bun:test";
import { ResponseClasses, type Route } from "#profiles";
import { encodeTransportHeader } from "#transport-header";
import type { Profile } from "../contracts.ts";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { endpoint, FakeIdentity, profile } from "../testing/fakes.ts";
import { http2App, http2Client, http2Request } from "../testing/http2.ts";
import { mesh, NAME, SERVICE } from "../testing/mesh.ts";
import { allowAll } from "../testing/policies.ts";
import { TestProxy, type TestProxyOptions } from "../testing/proxies.ts";
import { dialTls } from "../testing/tls.ts";
import { dialRaw, type Raw, type RawServer, serveRaw } from "../testing/wire.ts";

let ca: TestCa;
beforeAll(async () => {
  ca = await createCa();
});
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

const BUDGET = { ratio: 0.2, minRetriesPerSecond: 10, ttlMs: 10_000 };
const route = (init: Partial<Route> = {}): Route => ({
  match: { kind: "path", regex: { matches: (path) => /^\/a\/.*$/.test(path) } },
  labels: [["route", "GET /a"]],
  classes: null,
  timeoutMs: null,
  retryable: true,
  ...init,
});

type Scene = { proxy: TestProxy; app: RawServer; client: Raw };
async function scene(init: Partial<Profile>, onRequest: (n: number, connection: Raw, text: string) => void): Promise<Scene> {
  const proxy = new TestProxy({ identity: null });
  let requests = 0;
  const app = await serveRaw((connection) => {
    let text = "";
    connection.socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      const complete = /^[\s\S]*?\r\n\r\n/.exec(text)?.[0];
      if (complete === undefined) return;
      const length = Number(/content-length: (\d+)/.exec(complete)?.[1] ?? 0);
      const chunked = complete.includes("transfer-encoding: chunked");
      if (chunked ? !text.endsWith("0\r\n\r\n") : text.length < complete.length + length) return;
      const request = text;
      text = "";
      onRequest(requests++, connection, request);
    });
  });
  cleanup.push(() => {
    proxy.stop();
    app.stop();
  });
  proxy.outboundDst = SERVICE;
  proxy.discovery.setProfile("10.0.0.1:80", profile({ fqn: NAME, retryBudget: BUDGET, ...init }));
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: { ip: "127.0.0.1", port: app.port } })]);
  return { proxy, app, client: await dialRaw(proxy.outboundListener.port) };
}

const reply = (connection: Raw, status: number, body = "x"): void =>
  connection.write(`HTTP/1.1 ${status} S\r\ncontent-length: ${body.length}\r\ndate: now\r\n\r\n${body}`);
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: web.ns\r\n\r\n`;
/** Status lines received so far. */
const statuses = (text: string): number[] => [...text.matchAll(/HTTP\/1.1 (\d+)/g)].map((m) => Number(m[1]));

test("503 then 200: the client sees 200; one request, two attempts, one retry", async () => {
  const { proxy, client } = await scene({ routes: [route()] }, (n, connection) => reply(connection, n === 0 ? 503 : 200));
  client.write(get("/a/1?x"));
  expect(statuses(await client.until(/x$/))).toEqual([200]);
  const sum = (...words: string[]) => proxy.ledger.sum("outbound", `${NAME}:80`, ...words);
  expect([sum("route", "request"), sum("route", "success"), sum("route", "failure")]).toEqual([1, 1, 0]);
  expect([sum("actual", "request"), sum("actual", "success"), sum("actual", "failure"), sum("retryable")]).toEqual([2, 1, 1, 1]);
});

test("another path has no route: no retry, no route metrics", async () => {
  const { proxy, client } = await scene({ routes: [route()] }, (_n, connection) => reply(connection, 503));
  client.write(get("/b/a/1"));
  expect(statuses(await client.until(/x$/))).toEqual([503]);
  expect(proxy.ledger.sum("outbound", "route")).toBe(0);
});

test("bodies of 64 KiB are repeated byte for byte; one byte more is sent once", async () => {
  const bodies: string[] = [];
  const { client } = await scene({ routes: [route()] }, (n, connection, text) => {
    bodies.push(text.slice(text.indexOf("\r\n\r\n") + 4));
    reply(connection, n === 0 ? 503 : 200);
  });
  const body = Array.from({ length: 65_536 }, (_, i) => String.fromCharCode(97 + (i % 26))).join("");
  client.write(`POST /a/1 HTTP/1.1\r\nHost: web.ns\r\nContent-Length: 65536\r\n\r\n${body}`);
  expect(statuses(await client.until(/x$/))).toEqual([200]);
  expect(bodies).toEqual([body, body]);
});

test("a body too large to keep: its attempt is finished, its answer is final", async () => {
  for (const head of ["Content-Length: 65537\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n10001\r\n"]) {
    const { client, proxy } = await scene({ routes: [route()] }, (_n, connection) => reply(connection, 503));
    client.write(`POST /a/1 HTTP/1.1\r\nHost: web.ns\r\n${head}${"y".repeat(65_537)}${head.includes("chunked") ? "\r\n0\r\n\r\n" : ""}`);
    expect(statuses(await client.until(/x$/))).toEqual([503]);
    expect(proxy.ledger.sum("outbound", "actual", "request")).toBe(1);
  }
});

test("no budget in the profile: never; an empty one: counted as such", async () => {
  const none = await scene({ routes: [route()], retryBudget: null }, (_n, connection) => reply(connection, 503));
  none.client.write(get("/a/1"));
  expect(statuses(await none.client.until(/x$/))).toEqual([503]);
  expect(none.proxy.ledger.sum("outbound", "no_budget")).toBe(0);
  const empty = await scene({ routes: [route()], retryBudget: { ...BUDGET, minRetriesPerSecond: 0 } }, (_n, connection) =>
    reply(connection, 503),
  );
  empty.client.write(get("/a/1"));
  expect(statuses(await empty.client.until(/x$/))).toEqual([503]);
  expect(empty.proxy.ledger.sum("outbound", "no_budget")).toBe(1);
});

test("a route's timeout ends at response headers", async () => {
  const late = await scene({ routes: [route({ timeoutMs: 40, retryable: false })] }, () => {});
  late.client.write(get("/a/1"));
  const answer = await late.client.closed;
  expect(answer).toStartWith("HTTP/1.1 504 ");
  expect(answer).toContain("l5d-proxy-error: HTTP response timeout after 40ms\r\n");
  expect(late.proxy.ledger.sum("outbound", "route", "response", "0", "failure", "error=timeout")).toBe(1);
  expect(late.proxy.ledger.sum("outbound", "http_error", "response_timeout")).toBe(1);
  const finish = Promise.withResolvers<void>();
  const slow = await scene({ routes: [route({ timeoutMs: 40 })] }, (_n, connection) => {
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhe");
    void finish.promise.then(() => connection.write("ad"));
  });
  slow.client.write(get("/a/1"));
  await slow.client.until(/he$/);
  await new Promise((resolve) => setTimeout(resolve, 80));
  finish.resolve();
  await slow.client.until(/head$/);
});

test("response classes decide failure and retry", async () => {
  const classes = new ResponseClasses([{ match: { kind: "status", min: 404, max: 404 }, isFailure: true }]);
  const { proxy, client } = await scene({ routes: [route({ classes })] }, (n, connection) => reply(connection, n === 0 ? 404 : 200));
  client.write(get("/a/1"));
  expect(statuses(await client.until(/x$/))).toEqual([200]);
  expect(proxy.ledger.sum("outbound", "actual", "response", "404", "failure")).toBe(1);
});

test("gRPC: a failure in headers is retried, one in trailers is not", async () => {
  const proxy = new TestProxy({ identity: null });
  let calls = 0;
  const app = await http2App((stream, headers) => {
    calls++;
    stream.resume();
    if (headers[":path"] === "/a/headers") {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": calls === 1 ? "14" : "0" }, { endStream: true });
      return;
    }
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "14" }));
    stream.end("data");
  });
  cleanup.push(() => {
    proxy.stop();
    app.stop();
  });
  proxy.outboundDst = SERVICE;
  proxy.discovery.setProfile("10.0.0.1:80", profile({ fqn: NAME, retryBudget: BUDGET, routes: [route()] }));
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: { ip: "127.0.0.1", port: app.port } })]);
  const session = http2Client(proxy.outboundListener.port);
  cleanup.push(() => session.destroy());
  const call = { ":method": "POST", "content-type": "application/grpc+proto" };
  const first = await http2Request(session, { ...call, ":path": "/a/headers" }, { body: "x" });
  expect([first.headers["grpc-status"], calls]).toEqual(["0", 2]);
  const second = await http2Request(session, { ...call, ":path": "/a/trailers" }, { body: "x" });
  expect([second.trailers["grpc-status"], calls]).toEqual(["14", 3]);
  expect(proxy.ledger.sum("outbound", "route", "response", "failure", "grpc=14")).toBe(1);
});

test("inbound, a profile names routes and no more", async () => {
  const { a, b, app, port } = await mesh({ ca }).then((made) => {
    cleanup.push(() => made.stop());
    return made;
  });
  b.discovery.setProfile(`${NAME}:80`, profile({ fqn: NAME, routes: [route()] }));
  const client = await dialRaw(port);
  for (let i = 0; i < 2; i++) {
    client.write(get("/a/1"));
    const peer = i === 0 ? await app.accept() : null;
    if (peer) {
      peer.socket.on("data", () => reply(peer, 500));
      if (peer.text().includes("\r\n\r\n")) reply(peer, 500);
    }
    await client.until((text) => statuses(text).length > i);
  }
  expect(b.ledger.sum("inbound", "route", `${NAME}:80`, "request")).toBe(2);
  expect(a.ledger.sum("outbound", "route")).toBe(0);
});

// --- ingress mode (case 49) ---

test("ingress: without override to the original destination; with it balanced by name; nothing but HTTP", async () => {
  const made = await mesh({ ca, a: { outbound: { ingress: true, informational: false } } });
  cleanup.push(() => made.stop());
  const { a, b, app, port } = made;
  const plain = await serveRaw((connection) => connection.socket.on("data", () => reply(connection, 200, "plain")));
  cleanup.push(() => plain.stop());
  a.outboundDst = { ip: "127.0.0.1", port: plain.port };
  a.discovery.setProfile(`${NAME}:80`, profile({ fqn: NAME }));
  const client = await dialRaw(port);
  client.write(get("/"));
  await client.until(/plain$/);
  expect(a.ledger.sum("outbound", "request", "ingress_without_override")).toBe(1);
  client.write(get("/x").replace("Host", `l5d-dst-override: ${NAME}:80\r\nHost`));
  const peer = await app.accept();
  const request = await peer.until("\r\n\r\n");
  expect(request).not.toContain("l5d-dst-override");
  expect(request).toContain(`l5d-dst-canonical: ${NAME}:80\r\n`);
  reply(peer, 200, "meshed");
  await client.until(/meshed$/);
  expect(b.ledger.sum("inbound", "http_allow", "client_id=client.ns")).toBe(1);
  client.write(get("/x").replace("Host", "l5d-dst-override: elsewhere.example:80\r\nHost"));
  expect(await client.closed).toContain("HTTP/1.1 500 ");
  const raw = await dialRaw(port);
  raw.write("not http at all\n");
  expect(await raw.closed).toBe("");
});

// --- gateways (case 50) ---

type GatewayScene = { gateway: TestProxy; app: RawServer; dial: (id: string) => Promise<Raw> };
async function gatewayScene(): Promise<GatewayScene> {
  const gateway = new TestProxy({
    identity: new FakeIdentity("gateway.ns", await ca.issue("gateway.ns")),
    gatewaySuffix: "svc.cluster.local",
  } as TestProxyOptions);
  const app = await serveRaw();
  cleanup.push(() => {
    gateway.stop();
    app.stop();
  });
  gateway.policy(gateway.inboundListener.port, allowAll("gateway"));
  gateway.discovery.setProfile(`${NAME}:80`, profile({ fqn: NAME }));
  gateway.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: { ip: "127.0.0.1", port: app.port } })]);
  return {
    gateway,
    app,
    dial: async (id) =>
      dialTls({
        port: gateway.inboundListener.port,
        serverName: "gateway.ns",
        credentials: await ca.issue(id),
        ca: ca.pem,
        alpn: ["transport.l5d.io/v1"],
      }),
  };
}
const header = (protocol: "http1" | "http2" | null, name: string | null = NAME) => encodeTransportHeader({ port: 80, name, protocol });

test("gateway: HTTP by name, forwarded as the last hop says", async () => {
  const { gateway, app, dial } = await gatewayScene();
  const client = await dial("remote.ns");
  client.write(Buffer.concat([header("http1"), Buffer.from(get("/"))]));
  const peer = await app.accept();
  const request = await peer.until("\r\n\r\n");
  expect(request).toContain("forwarded: by=gateway.ns;for=remote.ns;host=web.ns.svc.cluster.local;proto=https\r\n");
  expect(request).toContain("host: web.ns.svc.cluster.local\r\n");
  reply(peer, 200, "through");
  await client.until(/through$/);
  expect(gateway.ledger.sum("inbound", "http_allow", "srv=gateway", "client_id=remote.ns")).toBe(1);
  expect(gateway.ledger.sum("outbound", "request", `authority=${NAME}`)).toBe(1);
});

test("gateway: a second pass is a loop; a name that may not be served is refused", async () => {
  const { gateway, app, dial } = await gatewayScene();
  const client = await dial("remote.ns");
  client.write(Buffer.concat([header("http1"), Buffer.from(get("/").replace("Host", "forwarded: by=gateway.ns;for=x\r\nHost"))]));
  const loop = await client.closed;
  expect(loop).toStartWith("HTTP/1.1 508 ");
  expect(loop).toContain("l5d-proxy-error: gateway loop detected\r\n");
  const stranger = await dial("remote.ns");
  stranger.write(Buffer.concat([header("http1", "example.com"), Buffer.from(get("/"))]));
  await stranger.until(/^HTTP\/1.1 404 /);
  expect(gateway.ledger.sum("inbound", "http_error", "gateway_loop")).toBe(1);
  expect(gateway.ledger.sum("inbound", "http_error", "gateway_domain_invalid")).toBe(1);
  expect(app.accepted).toBe(0);
});

test("gateway: opaque bytes by name", async () => {
  const { gateway, app, dial } = await gatewayScene();
  const client = await dial("remote.ns");
  client.write(Buffer.concat([header(null), Buffer.from("ping")]));
  const peer = await app.accept();
  await peer.until(/^ping$/);
  peer.write("pong");
  await client.until("pong");
  expect(gateway.ledger.sum("inbound", "tcp_allow", "srv=gateway")).toBe(1);
});
