// Spec proxy §17, 49 and 50: the outbound side of an ingress, and the inbound side of a gateway.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { IncomingHttpHeaders } from "node:http2";
import { http2Request } from "../testing/http2.ts";
import type { Raw } from "../testing/wire.ts";
import { response, serveRequests } from "./testing/http1.ts";
import { add, allow, server } from "./testing/messages.ts";
import { type Caller, canRunPods, id, type Node, Scene } from "./testing/scene.ts";

const it = test.if(canRunPods);
const NAME = "svc.ns.svc.cluster.local";
const [PLAIN, PEER] = ["10.9.0.1", "10.9.0.2"] as const;
const ALPN = "transport.l5d.io/v1";

let scene: Scene;
let ingress: Node;
let gateway: Node;

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("gateway");
  ingress = await scene.pod({ account: "ingress", env: { INGRESS_MODE: "true" } });
  gateway = await scene.pod({ account: "gateway", env: { INBOUND_GATEWAY_SUFFIXES: "svc.cluster.local." } });
  gateway.control.servers.set(4143, server("gateway", { detectMs: 10_000 }, [allow("callers", "meshed")]));
  for (const node of [ingress, gateway]) node.start();
  for (const node of [ingress, gateway]) {
    await node.ready();
    await node.control.settled();
  }
}, 60_000);

afterAll(() => {
  scene?.stop();
});

it("17.49 ingress mode: as it was asked without an override, balanced in the mesh with one, nothing but HTTP", async () => {
  const heads: string[] = [];
  const plain = await scene.serve(scene.outside, { ip: PLAIN, port: 8049 }, (connection) => {
    void serveRequests(connection, ({ head }) => {
      heads.push(head);
      return response(200, "origin");
    });
  });
  const callers: Caller[] = [];
  await scene.serveMesh(scene.outside, { ip: PEER, port: 8080, name: id("peer") }, (connection, caller) => {
    callers.push(caller);
    void serveRequests(connection, ({ head }) => {
      heads.push(head);
      return response(200, "mesh");
    });
  });
  ingress.control.profiles.set(`${NAME}:80`, { fullyQualifiedName: NAME });
  ingress.control.endpoints.set(`${NAME}:80`, add([{ ip: PEER, port: 8080, identity: id("peer") }], { service: "svc" }));

  const client = await ingress.appClient(PLAIN, 8049);
  expect((await client.ask("GET /plain", { host: "shop.example" })).body).toBe("origin");
  expect(heads[0]).toBe("GET /plain HTTP/1.1\r\nhost: shop.example\r\n\r\n");
  const target = (ip: string, port: number) => `target_addr="${ip}:${port}",target_ip="${ip}",target_port="${port}"`;
  await ingress.shows(
    `request_total{direction="outbound",${target(PLAIN, 8049)},tls="no_identity",no_tls_reason="ingress_without_override"} 1`,
  );

  // On the same connection.
  expect((await client.ask("GET /meshed", { host: "shop.example", "l5d-dst-override": `${NAME}:80` })).body).toBe("mesh");
  expect(heads[1]).toStartWith("GET /meshed HTTP/1.1\r\nhost: shop.example\r\n");
  expect(heads[1]).not.toContain("l5d-dst-override");
  expect(heads[1]).toContain(`l5d-dst-canonical: ${NAME}:80\r\n`);
  expect(callers.map(({ name }) => name)).toEqual([ingress.identity]);
  await ingress.shows(
    `request_total{direction="outbound",authority="${NAME}",${target(PEER, 8080)},tls="true",server_id="${id("peer")}",dst_service="svc"} 1`,
  );
  // A name with no profile, and an address, are none.
  for (const override of ["other.ns.svc.cluster.local:80", "10.9.0.1:8049", "example.com"]) {
    const bad = await ingress.appClient(PLAIN, 8049);
    const answer = await bad.ask("GET /bad", { "l5d-dst-override": override });
    expect([override, answer.status]).toEqual([override, 500]);
    // To an ingress the proxy says nothing about itself.
    expect([...answer.fields.keys()].filter((name) => name.startsWith("l5d-"))).toEqual([]);
    bad.raw.socket.destroy();
  }
  client.raw.socket.destroy();

  const { connections } = plain;
  const bytes = await ingress.appDial(PLAIN, 8049);
  bytes.write("SSH-2.0-OpenSSH_9.9\r\n\0\0\0");
  expect(await bytes.closed).toBe("");
  bytes.socket.destroy();
  expect(plain.connections).toBe(connections);
});

/** A transport header: port, name, session protocol (`http1`, `http2`, none). */
function header(port: number, name: string, protocol: "http1" | "http2" | null): Buffer {
  const session = { http1: [0x1a, 2, 0x0a, 0], http2: [0x1a, 2, 0x12, 0] };
  const message = Buffer.concat([
    Buffer.of(0x08, port, 0x12, name.length),
    Buffer.from(name),
    Buffer.from(protocol === null ? [] : session[protocol]),
  ]);
  return Buffer.concat([Buffer.from("transport.l5d.io/v1\r\n\r\n"), Buffer.of(0, 0, 0, message.length), message]);
}

it("17.50 a gateway routes what is named, says who for, and refuses loops and strangers", async () => {
  const seen: IncomingHttpHeaders[] = [];
  const handle = await scene.http2((stream, headers) => {
    seen.push(headers);
    stream.respond({ ":status": 200 });
    stream.end("endpoint");
  });
  const callers: Caller[] = [];
  await scene.serveMesh(scene.outside, { ip: PEER, port: 8050, name: id("endpoint") }, (connection, caller) => {
    callers.push(caller);
    handle(connection);
  });
  gateway.control.profiles.set(`${NAME}:80`, { fullyQualifiedName: NAME });
  gateway.control.endpoints.set(`${NAME}:80`, add([{ ip: PEER, port: 8050, identity: id("endpoint"), h2: true }]));

  const client = await gateway.dialMesh(4143, { as: "client", alpn: [ALPN] });
  client.write(header(80, NAME, "http2"));
  const session = await scene.http2Over(client);
  const answer = await http2Request(session, { ":path": "/through", ":authority": "whatever.example" });
  expect([answer.headers[":status"], answer.body]).toEqual([200, "endpoint"]);
  expect(callers.map(({ name }) => name)).toEqual([gateway.identity]);
  expect(seen[0]?.[":path"]).toBe("/through");
  expect(seen[0]?.["forwarded"]).toBe(`by=${gateway.identity};for=${id("client")};host=${NAME};proto=https`);

  const other = await http2Request(session, { ":path": "/again", forwarded: "by=another.gateway;for=somebody;host=x;proto=https" });
  expect(other.headers[":status"]).toBe(200);
  expect(seen[1]?.["forwarded"]).toBe(
    `by=another.gateway;for=somebody;host=x;proto=https, by=${gateway.identity};for=${id("client")};host=${NAME};proto=https`,
  );

  const loop = await http2Request(session, { ":path": "/loop", forwarded: `by=${gateway.identity};for=x;host=y;proto=https` });
  expect(loop.headers[":status"]).toBe(508);
  expect(loop.headers["l5d-proxy-error"]).toBe("gateway loop detected");
  const target = `target_addr="${gateway.ip}:4143",target_ip="${gateway.ip}",target_port="4143"`;
  await gateway.shows(`inbound_http_errors_total{error="gateway loop",${target},srv_name="gateway"} 1`);
  expect(seen.length).toBe(2);
  session.destroy();

  // Nobody, before anything is read.
  const nobody = await gateway.dialMesh(4143, { as: null, alpn: [ALPN] });
  expect(await nobody.closed).toBe("");
});

it("17.50 a gateway passes bytes to what is named, and HTTP/1", async () => {
  const opaque = "tcp.ns.svc.cluster.local";
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await scene.serveMesh(scene.outside, { ip: PEER, port: 8150, name: id("endpoint") }, resolve);
  gateway.control.profiles.set(`${opaque}:80`, { fullyQualifiedName: opaque, opaqueProtocol: true });
  gateway.control.endpoints.set(`${opaque}:80`, add([{ ip: PEER, port: 8150, identity: id("endpoint") }]));
  const client = await gateway.dialMesh(4143, { as: "client", alpn: [ALPN] });
  client.write(Buffer.concat([header(80, opaque, null), Buffer.from("ping")]));
  const endpoint = await promise;
  await endpoint.until("ping");
  endpoint.write("pong");
  await client.until("pong");
  client.socket.destroy();

  const one = "one.ns.svc.cluster.local";
  const heads: string[] = [];
  await scene.serveMesh(scene.outside, { ip: PEER, port: 8250, name: id("endpoint") }, (connection) => {
    void serveRequests(connection, ({ head }) => {
      heads.push(head);
      return response(200, "one");
    });
  });
  gateway.control.profiles.set(`${one}:80`, { fullyQualifiedName: one });
  gateway.control.endpoints.set(`${one}:80`, add([{ ip: PEER, port: 8250, identity: id("endpoint") }]));
  const http = await gateway.dialMesh(4143, { as: "client", alpn: [ALPN] });
  http.write(Buffer.concat([header(80, one, "http1"), Buffer.from("GET /one HTTP/1.1\r\nhost: whatever\r\n\r\n")]));
  expect(await http.until("one")).toStartWith("HTTP/1.1 200 ");
  expect(heads[0]).toContain(`\r\nhost: ${one}\r\n`);
  expect(heads[0]).toContain(`\r\nforwarded: by=${gateway.identity};for=${id("client")};host=${one};proto=https\r\n`);
  http.socket.destroy();

  // Outside the suffixes: 404 or 500 (spec proxy §16, 47).
  const bad = await gateway.dialMesh(4143, { as: "client", alpn: [ALPN] });
  bad.write(Buffer.concat([header(80, "svc.example.com", "http1"), Buffer.from("GET /one HTTP/1.1\r\nhost: whatever\r\n\r\n")]));
  expect(await bad.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 (404|500) /);
  bad.socket.destroy();
});
