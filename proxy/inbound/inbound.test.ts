// The inbound side alone: detection, TLS, authorization, direct connections, the admin port. Cases of spec proxy §17.
import { afterEach, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import type { ServerPolicy } from "#policy";
import { encodeTransportHeader } from "#transport-header";
import type { Credentials } from "../contracts.ts";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { FakeIdentity } from "../testing/fakes.ts";
import { Frames, FrameType, frame, OK_BLOCK, PREFACE, requestBlock, u32 } from "../testing/frames.ts";
import { http2App, http2Client, http2Request } from "../testing/http2.ts";
import { allowAll, allowOnly, denyAll } from "../testing/policies.ts";
import { TestProxy, type TestProxyOptions } from "../testing/proxies.ts";
import { clientHello, dialTls } from "../testing/tls.ts";
import { dialRaw, type RawServer, raw, serveRaw } from "../testing/wire.ts";

const ME = "server.ns";
let ca: TestCa;
let mine: Credentials;
let friend: Credentials;
beforeAll(async () => {
  ca = await createCa();
  mine = await ca.issue(ME);
  friend = await ca.issue("friend.ns");
});
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

type Scene = { proxy: TestProxy; app: RawServer; port: number; policy: ReturnType<TestProxy["policy"]> };
async function scene(policy: ServerPolicy = allowAll(), options: Partial<TestProxyOptions> = {}): Promise<Scene> {
  const proxy = new TestProxy({ identity: new FakeIdentity(ME, mine), ...options });
  const app = await serveRaw();
  cleanup.push(() => {
    proxy.stop();
    app.stop();
  });
  proxy.inboundDst = { ip: "127.0.0.1", port: app.port };
  return { proxy, app, port: proxy.inboundListener.port, policy: proxy.policy(app.port, policy) };
}

const mesh = (port: number, credentials: Credentials | null = friend, alpn?: string[]) =>
  dialTls({ port, serverName: ME, credentials, ca: ca.pem, ...(alpn === undefined ? {} : { alpn }) });
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: now\r\n\r\nok";

// --- detection (cases 1 to 10) ---

test("plain HTTP/1 in one segment is HTTP", async () => {
  const { proxy, app, port } = await scene();
  const client = await dialRaw(port);
  client.write(GET);
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write(OK);
  await client.until(/ok$/);
  expect(proxy.ledger.sum("inbound", "request", "no_tls_from_remote", "authority=a")).toBe(1);
  expect(proxy.ledger.sum("inbound", "src", "no_tls_from_remote", "read")).toBe(GET.length);
});

test("a first segment of eight bytes is opaque, and its bytes arrive as they are", async () => {
  const { proxy, app, port } = await scene();
  const client = await dialRaw(port);
  client.write("GET / HT");
  const server = await app.accept();
  await server.until("GET / HT");
  client.write("TP/1.1\r\nHost: a\r\n\r\n");
  await server.until("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(proxy.ledger.sum("inbound", "request")).toBe(0);
  expect(proxy.ledger.sum("inbound", "tcp_allow")).toBe(1);
});

test("prior-knowledge HTTP/2 reaches an HTTP/2 application, trailers and all", async () => {
  const { proxy, port } = await scene();
  const app = await http2App((stream, headers) => {
    expect(headers["l5d-client-id"]).toBeUndefined();
    stream.respond({ ":status": 200, "content-type": "text/plain" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "1" }));
    stream.end("hello");
  });
  proxy.inboundDst = { ip: "127.0.0.1", port: app.port };
  proxy.policy(app.port, allowAll());
  const session = http2Client(port);
  cleanup.push(() => {
    session.destroy();
    app.stop();
  });
  for (let i = 0; i < 2; i++) {
    const answer = await http2Request(session, { "l5d-client-id": "spoof" });
    expect(answer.headers[":status"]).toBe(200);
    expect([answer.body, answer.trailers["x-end"]]).toEqual(["hello", "1"]);
  }
  expect(app.sessions).toBe(1);
});

test("plaintext that says nothing is closed after the TLS detection timeout", async () => {
  const { proxy, app, port } = await scene(allowAll(), { inbound: { detectTimeoutMs: 40 } });
  const client = await dialRaw(port);
  expect(await client.closed).toBe("");
  expect(proxy.ledger.sum("inbound", "tcp_error", "tls_detection_timeout")).toBe(1);
  expect(app.accepted).toBe(0);
});

test("a mesh client that waits for the server is opaque after the HTTP detection timeout", async () => {
  const { app, port } = await scene(allowAll("web", { kind: "detect", timeoutMs: 40 }));
  const client = await mesh(port);
  const server = await app.accept();
  server.write("220 ready");
  await client.until("220 ready");
});

test("a ClientHello byte by byte is still terminated", async () => {
  const { app, port, proxy } = await scene();
  // A relay that breaks the first 300 bytes into single segments.
  const relay = await serveRaw((client) => {
    void dialRaw(port).then((upstream) => {
      let sent = 0;
      client.socket.on("data", (chunk) => {
        for (const byte of sent < 300 ? chunk : []) upstream.write(Uint8Array.of(byte));
        if (sent >= 300) upstream.write(chunk);
        sent += chunk.length;
      });
      upstream.socket.on("data", (chunk) => client.write(chunk));
    });
  });
  cleanup.push(() => relay.stop());
  const client = await mesh(relay.port);
  client.write(GET);
  await (await app.accept()).until("l5d-client-id: friend.ns");
  expect(proxy.ledger.sum("inbound", "request", "client_id=friend.ns")).toBe(1);
});

test("TLS for someone else passes through untouched", async () => {
  const { app, port, proxy } = await scene();
  void dialTls({ port, serverName: "example.com", credentials: null, ca: ca.pem }).catch(() => {});
  const server = await app.accept();
  const hello = await server.until("example.com");
  expect(hello.charCodeAt(0)).toBe(0x16);
  expect(proxy.ledger.sum("inbound", "tcp_allow", "sni=example.com")).toBe(1);
  expect(proxy.ledger.sum("inbound", "src", "sni=example.com", "open")).toBe(1);
});

test("own name without a client certificate: terminated, anonymous", async () => {
  const { app, port, proxy } = await scene();
  const client = await mesh(port, null);
  client.write(GET.replace("Host", "l5d-client-id: spoof\r\nHost"));
  const request = await (await app.accept()).until("\r\n\r\n");
  expect(request).not.toContain("l5d-client-id");
  expect(proxy.ledger.sum("inbound", "http_allow", "client_id=")).toBe(1);
});

test("a client certificate of another root fails the handshake", async () => {
  const { port, proxy } = await scene();
  const stranger = await (await createCa("other")).issue("friend.ns");
  const client = await mesh(port, stranger).catch(() => null);
  if (client !== null) expect(await client.closed).toBe("");
  expect(proxy.ledger.sum("inbound", "tcp_error", "i/o")).toBe(1);
});

test("a ClientHello with any byte wrong leaves nothing behind", async () => {
  const { port, proxy } = await scene();
  const hello = await clientHello(ME);
  const clients: Awaited<ReturnType<typeof dialRaw>>[] = [];
  for (let at = 0; at < hello.length; at++) {
    const wrong = Buffer.from(hello);
    wrong[at] = (wrong[at] as number) ^ 0xff;
    const client = await dialRaw(port);
    client.write(wrong);
    if (clients.push(client) % 64 === 0) for (const each of clients.splice(0)) each.socket.resetAndDestroy();
  }
  for (const each of clients) each.socket.resetAndDestroy();
  const deadline = performance.now() + 5000;
  while (proxy.drains.size > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(proxy.drains.size).toBe(0);
});

test("an ALPN that ordinary ports do not know is no reason to fail", async () => {
  const { app, port } = await scene();
  const client = await mesh(port, friend, ["h2"]);
  expect(client.tls.alpnProtocol).toBe(false);
  client.write(GET);
  await (await app.accept()).until("\r\n\r\n");
});

test("a certificate that was rotated is the one new connections see", async () => {
  const identity = new FakeIdentity(ME, mine);
  const { app, port } = await scene(allowAll(), { identity });
  const before = await mesh(port);
  const next = await ca.issue(ME);
  identity.rotate(next);
  const after = await mesh(port);
  expect(after.tls.getPeerCertificate().serialNumber).not.toBe(before.tls.getPeerCertificate().serialNumber);
  before.write(GET);
  await (await app.accept()).until("\r\n\r\n");
});

test("without identity TLS is not even looked for", async () => {
  const { app, port, proxy } = await scene(allowAll(), { identity: null });
  const client = await dialRaw(port);
  client.write(GET);
  await (await app.accept()).until("\r\n\r\n");
  expect(proxy.ledger.sum("inbound", "request", "disabled")).toBe(1);
});

test("a port declared HTTP/1 is HTTP/1 at once: a first segment of eight bytes is no reason for doubt", async () => {
  const { app, port, proxy } = await scene(allowAll("web", { kind: "http1" }));
  const client = await dialRaw(port);
  client.write("GET / HT");
  client.write("TP/1.1\r\nHost: a\r\n\r\n");
  await (await app.accept()).until("\r\n\r\n");
  expect(proxy.ledger.sum("inbound", "http_allow")).toBe(1);
});

test("a port declared HTTP/1 still takes upgraded HTTP/2 from mesh peers", async () => {
  const { app, port } = await scene(allowAll("web", { kind: "http1" }));
  const client = await mesh(port);
  client.write(PREFACE);
  client.write(frame(FrameType.SETTINGS, 0, 0));
  const literal = (name: string, value: string) =>
    Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), Buffer.of(value.length), Buffer.from(value)]);
  client.write(frame(FrameType.HEADERS, 5, 1, Buffer.concat([requestBlock("/up", "a"), literal("l5d-orig-proto", "HTTP/1.1")])));
  expect(await (await app.accept()).until("\r\n\r\n")).toStartWith("GET /up HTTP/1.1\r\n");
});

test("a port declared HTTP/2 is HTTP/2 without detection: anything else is a protocol error", async () => {
  const { app, port } = await scene(allowAll("web", { kind: "http2" }));
  const client = await dialRaw(port);
  client.write(GET);
  const answer = await client.closed;
  expect(new Frames({ ...client, text: () => answer }, "client").all().some((f) => f.type === FrameType.GOAWAY)).toBe(true);
  expect(app.accepted).toBe(0);
});

test("a port declared TLS: the application's own TLS passes, authorized as a connection", async () => {
  const { app, port, proxy, policy } = await scene(allowAll("tls", { kind: "tls" }));
  void dialTls({ port, serverName: "app.example.com", credentials: null, ca: ca.pem }).catch(() => {});
  await (await app.accept()).until("app.example.com");
  expect(proxy.ledger.sum("inbound", "tcp_allow", "srv=tls", "sni=app.example.com")).toBe(1);
  expect(proxy.ledger.sum("inbound", "src", "open")).toBe(0);
  policy.set(denyAll("tls", { kind: "tls" }));
  const refused = await dialRaw(port);
  refused.write(GET);
  expect(await refused.closed).toBe("");
});

test("an upgraded request that HTTP/1 could read in two ways is a stream error, and nothing goes on", async () => {
  const { app, port } = await scene();
  const client = await mesh(port);
  client.write(PREFACE);
  client.write(frame(FrameType.SETTINGS, 0, 0));
  const literal = (name: string, value: string) =>
    Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), Buffer.of(value.length), Buffer.from(value)]);
  client.write(
    frame(
      FrameType.HEADERS,
      5,
      1,
      Buffer.concat([requestBlock("/x", "a"), literal("l5d-orig-proto", "HTTP/1.1"), literal("host", "other.example")]),
    ),
  );
  const reset = await new Frames(client, "client").find((f) => f.type === FrameType.RST_STREAM || f.type === FrameType.HEADERS);
  expect(reset.stream).toBe(1);
  expect(app.accepted).toBe(0);
});

// --- direct connections (cases 11 to 16) ---

const TRANSPORT = ["transport.l5d.io/v1"];

test("direct: the header's port is reached and its policy asked; bytes in the same segment belong to the stream", async () => {
  const { proxy, app, port, policy } = await scene(allowOnly(["friend.ns"]));
  proxy.inboundDst = null;
  const client = await mesh(port, friend, TRANSPORT);
  expect(client.tls.alpnProtocol).toBe(TRANSPORT[0] as string);
  client.write(Buffer.concat([encodeTransportHeader({ port: app.port, name: null, protocol: null }), Buffer.from("ping")]));
  const server = await app.accept();
  await server.until(/^ping$/);
  server.write("pong");
  await client.until("pong");
  expect(proxy.ledger.sum("inbound", "src", "client_id=friend.ns", `127.0.0.1:${app.port}`, "read")).toBe(4);
  expect(proxy.ledger.sum("inbound", "tcp_allow")).toBe(0);
  // Checked once: a change of the policy does not cut it.
  policy.set(denyAll());
  client.write("more");
  await server.until("more");
});

test("direct: a session protocol without a name is local HTTP", async () => {
  const { proxy, app, port } = await scene();
  proxy.inboundDst = null;
  const client = await mesh(port, friend, TRANSPORT);
  client.write(Buffer.concat([encodeTransportHeader({ port: app.port, name: null, protocol: "http1" }), Buffer.from(GET)]));
  await (await app.accept()).until("l5d-client-id: friend.ns");
  expect(proxy.ledger.sum("inbound", "http_allow")).toBe(1);
});

test("direct: who is not authorized is closed", async () => {
  const { proxy, app, port } = await scene(allowOnly(["other.ns"]));
  proxy.inboundDst = null;
  const client = await mesh(port, friend, TRANSPORT);
  client.write(encodeTransportHeader({ port: app.port, name: null, protocol: null }));
  expect(await client.closed).toBe("");
  expect(app.accepted).toBe(0);
});

test("direct: no identity, plaintext, a bad header, a header that does not come: closed", async () => {
  const { proxy, app, port } = await scene(allowAll(), { inbound: { detectTimeoutMs: 60 } });
  proxy.inboundDst = null;
  const anonymous = await mesh(port, null, TRANSPORT);
  expect(await anonymous.closed).toBe("");
  const plain = await dialRaw(port);
  plain.write(GET);
  expect(await plain.closed).toBe("");
  const wrong = await mesh(port, friend, TRANSPORT);
  wrong.write("transport.l5d.io/v2\r\n\r\n");
  expect(await wrong.closed).toBe("");
  const silent = await mesh(port, friend, TRANSPORT);
  expect(await silent.closed).toBe("");
  expect(app.accepted).toBe(0);
});

test("direct: a port outside the policy under default deny is closed", async () => {
  const { proxy, port } = await scene();
  proxy.inboundDst = null;
  const client = await mesh(port, friend, TRANSPORT);
  client.write(encodeTransportHeader({ port: 9, name: null, protocol: null }));
  expect(await client.closed).toBe("");
  expect(proxy.ledger.sum("inbound", "tcp_error", "unknown_port_denied", "127.0.0.1:9")).toBe(1);
});

// --- authorization (cases 17 to 26) ---

test("403 for a mesh client names the Server; for a plain one it says nothing; the connection lives on", async () => {
  const { port, app, proxy } = await scene(allowOnly(["x.ns"], "locked"));
  const client = await mesh(port);
  client.write(GET + GET);
  const answer = await client.until(/403.*403.*\r\n\r\n/s);
  expect(answer).toContain("l5d-proxy-error: unauthorized connection on server locked\r\n");
  const plain = await dialRaw(port);
  plain.write(GET);
  const bare = await plain.until("\r\n\r\n");
  expect(bare).toStartWith("HTTP/1.1 403 Forbidden\r\n");
  expect(bare).toContain("content-length: 0\r\n");
  expect(bare).not.toContain("l5d-");
  expect(app.accepted).toBe(0);
  expect(proxy.ledger.sum("inbound", "http_deny", "srv=locked")).toBe(3);
});

test("a denied gRPC call is answered in gRPC's way", async () => {
  const { port } = await scene(denyAll("locked"));
  const session = http2Client(port);
  cleanup.push(() => session.destroy());
  const answer = await http2Request(session, { ":method": "POST", "content-type": "application/grpc" }, { body: "x" });
  expect(answer.headers[":status"]).toBe(200);
  expect(answer.headers["grpc-status"]).toBe("7");
  expect(answer.headers["grpc-message"]).toBeUndefined();
});

test("an opaque port: denied is closed and no error; allowed is cut when the policy changes", async () => {
  const { port, app, policy, proxy } = await scene(denyAll("db", { kind: "opaque" }));
  const refused = await dialRaw(port);
  refused.write("x");
  expect(await refused.closed).toBe("");
  expect(proxy.ledger.sum("inbound", "tcp_deny", "srv=db", "port_skipped")).toBe(1);
  expect(proxy.ledger.sum("inbound", "tcp_error")).toBe(0);
  policy.set(allowAll("db", { kind: "opaque" }));
  const client = await dialRaw(port);
  const server = await app.accept();
  server.write("220 hello");
  await client.until("220 hello");
  policy.set(allowAll("db2", { kind: "opaque" }));
  client.write("still here");
  await server.until("still here");
  policy.set(denyAll("db3", { kind: "opaque" }));
  await client.closed;
  await server.closed;
  expect(proxy.ledger.sum("inbound", "tcp_terminate", "srv=db3")).toBe(1);
  expect(proxy.ledger.sum("inbound", "src", "open")).toBe(0);
});

test("a policy change refuses the next request of an open connection, and lets it in again", async () => {
  const { port, app, policy } = await scene();
  const client = await dialRaw(port);
  client.write(GET);
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write(OK);
  await client.until(/ok$/);
  policy.set(denyAll());
  client.write(GET);
  await client.until(/403 Forbidden(.|\r\n)*\r\n\r\n$/);
  policy.set(allowAll());
  client.write(GET);
  await server.until(/GET.*GET.*\r\n\r\n/s);
});

test("an unknown port under default deny is closed at accept", async () => {
  const { port, proxy } = await scene();
  proxy.inboundDst = { ip: "127.0.0.1", port: 9 };
  const client = await dialRaw(port);
  expect(await client.closed).toBe("");
  expect(proxy.ledger.sum("inbound", "tcp_error", "unknown_port_denied")).toBe(1);
});

test("an address that is not ours is closed before anything is read", async () => {
  const { port, proxy } = await scene(allowAll(), { inbound: { allowedIps: new Set(["10.1.1.1"]) } });
  const client = await dialRaw(port);
  expect(await client.closed).toBe("");
  expect(proxy.ledger.sum("inbound", "tcp_error", "unexpected")).toBe(1);
});

// --- the application's side ---

test("connect refused: 502 for a plain client, its connection closed", async () => {
  const { port, app, proxy } = await scene();
  app.stop();
  const client = await dialRaw(port);
  client.write(GET);
  const answer = await client.closed;
  expect(answer).toStartWith("HTTP/1.1 502 Bad Gateway\r\n");
  expect(answer).toContain("connection: close\r\n");
  expect(answer).not.toContain("l5d-");
  expect(proxy.ledger.sum("inbound", "response", "502", "failure")).toBe(1);
});

test("connect refused, HTTP/2: 502 or gRPC 14, then GOAWAY", async () => {
  const { port, app } = await scene();
  app.stop();
  const session = http2Client(port);
  cleanup.push(() => session.destroy());
  const gone = new Promise<void>((resolve) => session.on("goaway", () => resolve()));
  const grpc = await http2Request(session, { ":method": "POST", "content-type": "application/grpc+proto" }, { body: "x" });
  expect([grpc.headers[":status"], grpc.headers["grpc-status"]]).toEqual([200, "14"]);
  await gone;
});

test("an HTTP/2 application's reset reaches the client with its code, and the client's reaches it", async () => {
  const { app, port, proxy } = await scene();
  const client = await dialRaw(port);
  client.write(PREFACE);
  client.write(frame(FrameType.SETTINGS, 0, 0));
  client.write(frame(FrameType.HEADERS, 5, 1, requestBlock("/reset", "a")));
  const server = await app.accept();
  server.write(frame(FrameType.SETTINGS, 0, 0));
  const seen = new Frames(server, "server");
  const got = new Frames(client, "client");
  const first = await seen.find((f) => f.type === FrameType.HEADERS);
  server.write(frame(FrameType.RST_STREAM, 0, first.stream, u32(0xb)));
  expect((await got.find((f) => f.type === FrameType.RST_STREAM && f.stream === 1)).payload).toEqual(u32(0xb));
  client.write(frame(FrameType.HEADERS, 5, 3, requestBlock("/cancel", "a")));
  const second = await seen.find((f) => f.type === FrameType.HEADERS && f.stream !== first.stream);
  server.write(frame(FrameType.HEADERS, 4, second.stream, OK_BLOCK));
  await got.find((f) => f.type === FrameType.HEADERS && f.stream === 3);
  client.write(frame(FrameType.RST_STREAM, 0, 3, u32(0x8)));
  expect((await seen.find((f) => f.type === FrameType.RST_STREAM && f.stream === second.stream)).payload).toEqual(u32(0x8));
  expect(proxy.ledger.sum("inbound", "failure", "error=h2(ENHANCE_YOUR_CALM)")).toBe(1);
  expect(proxy.ledger.sum("inbound", "response", "200", "success")).toBe(1);
});

test("a loop to the inbound port itself is refused", async () => {
  const { port, proxy } = await scene();
  proxy.policy(port, allowAll());
  // A port that is the listener's, reached as if it were the application's.
  const client = await mesh(port, friend);
  proxy.inboundDst = null;
  client.socket.destroy();
  const direct = await mesh(port, friend, TRANSPORT);
  direct.write(Buffer.concat([encodeTransportHeader({ port, name: null, protocol: "http1" }), Buffer.from(GET)]));
  const answer = await direct.closed;
  expect(answer).toStartWith("HTTP/1.1 500 ");
  expect(answer).toContain("l5d-proxy-error: unexpected error\r\n");
});

test("names a client makes up do not make series without end", async () => {
  const { port, app, proxy } = await scene();
  const client = await dialRaw(port);
  const answered = serveOk(app);
  for (let i = 0; i < 300; i++) {
    client.write(`GET / HTTP/1.1\r\nHost: made-up-${i}.test\r\n\r\n`);
    await client.until((text) => text.split("\r\n\r\nok").length > i + 1);
  }
  answered();
  const authorities = new Set([...proxy.ledger.counts.keys()].map((key) => /authority=(\S+)/.exec(key)?.[1]).filter(Boolean));
  expect(authorities.size).toBeLessThanOrEqual(257);
});

/** Answers every request of every connection; returns the stop. */
function serveOk(app: RawServer): () => void {
  let stopped = false;
  const loop = async (): Promise<void> => {
    const server = await app.accept();
    server.socket.on("data", (chunk) => {
      for (const _ of chunk.toString("latin1").matchAll(/\r\n\r\n/g)) server.write(OK);
    });
    if (!stopped) void loop();
  };
  void loop();
  return () => {
    stopped = true;
  };
}

// --- the admin port ---

test("admin: answered here, counted and governed like any inbound port", async () => {
  const handled: string[] = [];
  const { proxy } = await scene(allowAll(), {
    admin: {
      handle: (request) => {
        handled.push(`${request.method} ${request.path} ${request.clientIp} ${request.clientId} ${Buffer.from(request.body)}`);
        return { status: 200, headers: [["content-type", "text/plain"]], body: "ready\n" };
      },
    },
  });
  const port = proxy.adminListener?.port ?? 0;
  const policy = proxy.policy(port, allowAll("admin"));
  const plain = await dialRaw(port);
  plain.write("GET /ready?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(await plain.until("ready\n")).toContain("content-type: text/plain\r\n");
  plain.write("PUT /proxy-log-level HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nwarn");
  await plain.until(/ready\n.*ready\n/s);
  const meshed = await mesh(port);
  meshed.write("HEAD /ready HTTP/1.1\r\nHost: a\r\n\r\n");
  await meshed.until("\r\n\r\n");
  policy.set(denyAll("admin"));
  plain.write(GET);
  await plain.until("403 Forbidden");
  expect(handled).toEqual(["GET /ready 127.0.0.1 null ", "PUT /proxy-log-level 127.0.0.1 null warn", "HEAD /ready 127.0.0.1 friend.ns "]);
  expect(proxy.ledger.sum("inbound", "request", "srv=admin", "authority=null")).toBe(3);
});

test("admin: each client is known by its own address", async () => {
  const { proxy } = await scene(allowAll(), {
    admin: { handle: ({ clientIp }) => ({ status: 200, headers: [], body: `from ${clientIp};` }) },
  });
  const port = proxy.adminListener?.port ?? 0;
  proxy.policy(port, allowAll("admin"));
  for (const localAddress of ["127.0.0.1", "127.0.0.2", "127.0.0.1"]) {
    const client = raw(connect({ host: "127.0.0.1", port, localAddress }));
    client.write(GET);
    expect(await client.until(";")).toEndWith(`from ${localAddress};`);
    client.socket.destroy();
  }
});

test("admin: a body beyond the bound is 413", async () => {
  const { proxy } = await scene(allowAll(), { admin: { handle: () => ({ status: 204, headers: [], body: "" }) } });
  const port = proxy.adminListener?.port ?? 0;
  proxy.policy(port, allowAll("admin"));
  const send = async (bytes: number): Promise<string> => {
    const client = await dialRaw(port);
    client.write(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n${"x".repeat(bytes)}`);
    return (await client.until(/HTTP\/1.1 \d+/)).slice(9, 12);
  };
  expect([await send(65_536), await send(65_537)]).toEqual(["204", "413"]);
});
