// Spec proxy §17, 27 to 34: what becomes of a message's fields and version on its way.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { IncomingHttpHeaders } from "node:http2";
import { http2Request } from "../testing/http2.ts";
import type { Raw } from "../testing/wire.ts";
import { Client, type Request, response, serveRequests } from "./testing/http1.ts";
import { add, allow, server } from "./testing/messages.ts";
import { type Caller, canRunPods, id, type Node, Scene, SERVICE } from "./testing/scene.ts";

const it = test.if(canRunPods);
const PEER = "10.9.0.1";
const PLAIN = "10.9.0.2";

let scene: Scene;
let node: Node;

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("translation");
  node = await scene.pod({ ports: [8027, 8031, 8032] });
  for (const port of [8027, 8031, 8032]) node.control.servers.set(port, server("web", { detectMs: 10_000 }, [allow("all", "anyone")]));
  node.start();
  await node.ready();
  await node.control.settled();
}, 60_000);

afterAll(() => {
  scene?.stop();
});

type Seen = { readonly headers: IncomingHttpHeaders; readonly body: string };
type Peer = { readonly http2: Seen[]; readonly http1: { request: Request; caller: Caller }[]; connections(): number };

/** A meshed peer on a port, which answers 200 over HTTP/2 as an inbound proxy does, and over HTTP/1 what it is told. */
async function peer(
  port: number,
  respond: (request: Request) => string = () => response(200, "one"),
  fields: Record<string, string> = { "l5d-orig-proto": "HTTP/1.1" },
): Promise<Peer> {
  const seen: Peer["http2"] = [];
  const http1: Peer["http1"] = [];
  const overHttp2 = await scene.http2((stream, headers) => {
    let body = "";
    stream.on("data", (chunk: Buffer) => {
      body += chunk.toString("latin1");
    });
    stream.on("end", () => {
      seen.push({ headers, body });
      stream.respond({ ":status": 200, ...fields });
      stream.end("two");
    });
  });
  const served = await scene.serveMesh(scene.outside, { ip: PEER, port, name: id("peer") }, (connection: Raw, caller) => {
    const version = connection.until((text) => text.length > 3).catch(() => "");
    void version.then((text) => {
      if (text.startsWith("PRI")) overHttp2(connection);
      else
        void serveRequests(connection, (request) => {
          http1.push({ request, caller });
          return respond(request);
        });
    });
  });
  return { http2: seen, http1, connections: () => served.connections };
}

const hinted = (port: number) => add([{ ip: PEER, port, identity: id("peer"), h2: true }]);
const meshed = (port: number) => add([{ ip: PEER, port, identity: id("peer") }]);

it("17.27 l5d-client-id is the mesh's word only", async () => {
  await node.serveApp(8027, ({ fields }) => response(200, String(fields.get("l5d-client-id"))));
  const spoofed = { "l5d-client-id": "spoof" };
  expect((await (await node.client(8027)).ask("GET /", spoofed)).body).toBe("undefined");
  expect((await (await node.meshClient(8027, "x")).ask("GET /", spoofed)).body).toBe(id("x"));
  expect((await new Client(await node.dialMesh(8027, { as: null })).ask("GET /", spoofed)).body).toBe("undefined");
});

it("17.28 HTTP/1.1 travels as HTTP/2 and comes back as what it was", async () => {
  const { http2, http1 } = await peer(8128);
  node.service(8128, hinted(8128));
  const client = await node.serviceClient(8128);
  const answer = await client.ask("GET http://a/x", { host: "a" });
  expect([answer.startLine, answer.body]).toEqual(["HTTP/1.1 200 OK", "two"]);
  expect(answer.fields.has("l5d-orig-proto")).toBe(false);
  const first = http2[0]?.headers;
  expect([first?.[":method"], first?.[":path"], first?.[":authority"]]).toEqual(["GET", "/x", "a"]);
  expect(first?.["l5d-orig-proto"]).toBe("HTTP/1.1; absolute-form");

  const chunked = client.send("POST /y HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  expect((await chunked.answer()).status).toBe(200);
  expect(http2[1]?.body).toBe("abc");
  expect(http2[1]?.headers["l5d-orig-proto"]).toBe("HTTP/1.1");
  expect(http2[1]?.headers["transfer-encoding"]).toBeUndefined();
  expect(http2[1]?.headers[":path"]).toBe("/y");
  expect(http1).toEqual([]);
  client.raw.socket.destroy();
});

it("17.29 HTTP/1.0 travels as HTTP/2 and is answered as HTTP/1.0 can be read", async () => {
  const { http2 } = await peer(8129, undefined, { "l5d-orig-proto": "HTTP/1.0" });
  node.service(8129, hinted(8129));
  const client = await node.appDial(SERVICE, 8129);
  client.write("GET /z HTTP/1.0\r\n\r\n");
  const text = await client.closed;
  expect(text).toMatch(/^HTTP\/1\.0 200 OK\r\n/);
  expect(text).toEndWith("\r\n\r\ntwo");
  expect(text).not.toContain("transfer-encoding");
  expect(text).not.toContain("l5d-orig-proto");
  expect(http2[0]?.headers["l5d-orig-proto"]).toBe("HTTP/1.0");
  client.socket.destroy();
});

it("17.30 an upgrade goes on an HTTP/1 connection of its own, also with mTLS; h2c is no upgrade", async () => {
  const switching = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
  const { http2, http1, connections } = await peer(8130, ({ connection }) => {
    void connection.until("\0\x01").then(() => connection.write("\x02\0"));
    return switching;
  });
  node.service(8130, hinted(8130));
  const plain = await node.serviceClient(8130);
  expect((await plain.ask("GET /")).body).toBe("two");
  expect(connections()).toBe(1);

  const upgrading = await node.serviceClient(8130);
  const answer = await upgrading.ask("GET /chat", { connection: "Upgrade", upgrade: "websocket" });
  expect(answer.status).toBe(101);
  expect(answer.fields.get("upgrade")).toBe("websocket");
  expect(answer.fields.get("connection")?.toLowerCase()).toBe("upgrade");
  expect(connections()).toBe(2);
  expect(http1[0]?.caller.name).toBe(node.identity);
  expect(http1[0]?.request.fields.get("upgrade")).toBe("websocket");
  expect(http1[0]?.request.fields.has("l5d-orig-proto")).toBe(false);
  upgrading.send("\0\x01");
  await upgrading.raw.until("\x02\0");
  expect(upgrading.rest).toBe("\x02\0");

  const h2c = await plain.ask("GET /h2c", { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c", "http2-settings": "AAMAAABkAAQAAP__" });
  expect([h2c.status, h2c.body]).toEqual([200, "two"]);
  const headers = http2[1]?.headers ?? {};
  expect(headers[":path"]).toBe("/h2c");
  for (const name of ["upgrade", "connection", "http2-settings"]) expect(headers[name]).toBeUndefined();
  for (const client of [plain, upgrading]) client.raw.socket.destroy();
});

it("17.31 CONNECT is a tunnel; what is no request of HTTP/1 is 400", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  let connections = 0;
  await node.serveRaw(8031, (connection) => {
    connections++;
    resolve(connection);
  });
  const client = await node.client(8031);
  client.send("CONNECT host:443 HTTP/1.1\r\nhost: host:443\r\n\r\n");
  const app = await promise;
  expect(await app.until("\r\n\r\n")).toStartWith("CONNECT host:443 HTTP/1.1\r\n");
  app.write("HTTP/1.1 200 Connected\r\n\r\n");
  const answer = await client.answer(true);
  expect(answer.status).toBe(200);
  for (const name of ["content-length", "transfer-encoding"]) expect(answer.fields.has(name)).toBe(false);
  client.send("\x16up");
  await app.until("\x16up");
  app.write("\x16down");
  await client.raw.until("\x16down");
  expect(client.rest).toBe("\x16down");
  client.raw.socket.destroy();

  for (const line of ["CONNECT host:443 HTTP/1.0", "CONNECT /path HTTP/1.1", "GET host:443 HTTP/1.1"]) {
    const bad = await node.client(8031);
    expect([line, (await bad.send(`${line}\r\nhost: host:443\r\n\r\n`).answer()).status]).toEqual([line, 400]);
    bad.raw.socket.destroy();
  }
  expect(connections).toBe(1);
  expect((await node.series("request_total", ':8031"')).map((line) => line.replace(/^.* /, ""))).toEqual(["1"]);

  // The outbound side refuses the same.
  node.service(8131, hinted(8131));
  for (const line of ["CONNECT host:443 HTTP/1.0", "CONNECT /path HTTP/1.1", "GET host:443 HTTP/1.1"]) {
    const bad = await node.serviceClient(8131);
    expect([line, (await bad.send(`${line}\r\nhost: host:443\r\n\r\n`).answer()).status]).toEqual([line, 400]);
    bad.raw.socket.destroy();
  }
});

it("17.32 connection and what it names goes no further", async () => {
  const heads: string[] = [];
  await node.serveApp(8032, ({ head }) => {
    heads.push(head);
    return response(200);
  });
  const client = await node.client(8032);
  await client.ask("GET /", { connection: "x-foo", "x-foo": "1", "x-bar": "2", "keep-alive": "timeout=5", "proxy-connection": "close" });
  expect(heads).toEqual(["GET / HTTP/1.1\r\nhost: app\r\nx-bar: 2\r\n\r\n"]);
  client.raw.socket.destroy();
});

it("17.33 l5d-proxy-connection: close of a meshed peer closes the application's connection; of another nothing", async () => {
  await peer(8133, () => response(200, "bye", { "l5d-proxy-connection": "close" }), {
    "l5d-proxy-connection": "close",
    "l5d-orig-proto": "HTTP/1.1",
  });
  node.service(8133, meshed(8133));
  node.service(8233, add([{ ip: PEER, port: 8133, identity: id("peer"), h2: true }]));
  for (const [port, body] of [
    [8133, "bye"],
    [8233, "two"],
  ] as const) {
    const client = await node.serviceClient(port);
    const answer = await client.ask("GET /");
    expect([answer.status, answer.body]).toEqual([200, body]);
    expect(answer.fields.has("l5d-proxy-connection")).toBe(false);
    expect(answer.fields.get("connection")).toBe("close");
    await client.raw.closed;
    client.raw.socket.destroy();
  }

  await scene.serve(scene.outside, { ip: PLAIN, port: 8333 }, (connection) => {
    void serveRequests(connection, () => response(200, "stay", { "l5d-proxy-connection": "close" }));
  });
  node.service(8333, add([{ ip: PLAIN, port: 8333 }]));
  const client = await node.serviceClient(8333);
  for (let n = 0; n < 2; n++) {
    const answer = await client.ask("GET /");
    expect([answer.status, answer.body]).toEqual([200, "stay"]);
    expect(answer.fields.has("l5d-proxy-connection")).toBe(false);
    expect(answer.fields.has("connection")).toBe(false);
  }
  client.raw.socket.destroy();
});

it("17.34 l5d-require-id is held against the endpoint's identity and never forwarded", async () => {
  const { http2 } = await peer(8134);
  node.service(8134, hinted(8134));
  const client = await node.serviceClient(8134);
  expect((await client.ask("GET /mine", { "l5d-require-id": id("peer") })).status).toBe(200);
  expect(http2[0]?.headers["l5d-require-id"]).toBeUndefined();
  // A name that is none is dropped.
  expect((await client.ask("GET /mine", { "l5d-require-id": "not a name" })).status).toBe(200);
  expect(http2[1]?.headers["l5d-require-id"]).toBeUndefined();

  const refused = await client.ask("GET /theirs", { "l5d-require-id": "other" });
  expect(refused.status).toBe(502);
  expect(refused.fields.get("l5d-proxy-error")).toMatch(/^required id .*other.*; found .*peer\.ns\./);
  expect(refused.fields.get("connection")).toBe("close");
  await client.raw.closed;
  await node.shows('outbound_http_errors_total{error="identity required"} 1');

  const session = await scene.http2Over(await node.appDial(SERVICE, 8134));
  const call = await http2Request(session, {
    ":method": "POST",
    ":path": "/pkg.Service/Call",
    "content-type": "application/grpc",
    "l5d-require-id": "other",
  });
  expect([call.headers[":status"], call.headers["grpc-status"]]).toEqual([200, "14"]);
  await node.shows('outbound_http_errors_total{error="identity required"} 2');
  session.destroy();
  expect(http2.map(({ headers }) => headers[":path"])).toEqual(["/mine", "/mine"]);
});
