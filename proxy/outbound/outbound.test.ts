// The outbound side alone: discovery, forwarding, balancing, failures. Cases of spec proxy §17.
import { afterEach, beforeAll, expect, test } from "bun:test";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { endpoint, FakeIdentity, profile } from "../testing/fakes.ts";
import { Frames, FrameType, frame, OK_BLOCK, PREFACE, requestBlock, u32 } from "../testing/frames.ts";
import { http2App, http2Client, http2Request } from "../testing/http2.ts";
import { type Mesh, mesh, NAME, SERVICE } from "../testing/mesh.ts";
import { TestProxy, type TestProxyOptions } from "../testing/proxies.ts";
import { dialRaw, type Raw, type RawServer, serveRaw } from "../testing/wire.ts";

let ca: TestCa;
let identity: () => FakeIdentity;
beforeAll(async () => {
  ca = await createCa();
  const credentials = await ca.issue("client.ns");
  identity = () => new FakeIdentity("client.ns", credentials);
});
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

function start(options: Partial<TestProxyOptions> = {}): TestProxy {
  const proxy = new TestProxy({ identity: identity(), ...options });
  cleanup.push(() => proxy.stop());
  proxy.outboundDst = SERVICE;
  return proxy;
}

async function server(onConnection?: (connection: Raw) => void): Promise<RawServer> {
  const made = await serveRaw(onConnection);
  cleanup.push(() => made.stop());
  return made;
}

/** Answers every request with a text. */
const answering = (text: string) => (connection: Raw) => {
  connection.socket.on("data", (chunk) => {
    for (const _ of chunk.toString("latin1").matchAll(/\r\n\r\n/g))
      connection.write(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\ndate: now\r\n\r\n${text}`);
  });
};

const at = (port: number) => ({ ip: "127.0.0.1", port });
const GET = "GET / HTTP/1.1\r\nHost: web.ns\r\n\r\n";
const logical = (proxy: TestProxy): void => proxy.discovery.setProfile("10.0.0.1:80", profile({ fqn: NAME }));

async function scene(options: Parameters<typeof mesh>[0] = {}): Promise<Mesh> {
  const made = await mesh({ ca, ...options });
  cleanup.push(() => made.stop());
  return made;
}

// --- discovery and forwarding (cases 35 to 37, 40, 42) ---

test("outside the profile networks nothing is asked: forwarded as it is", async () => {
  const proxy = start();
  const app = await server(answering("plain"));
  proxy.discovery.networks = () => false;
  proxy.outboundDst = at(app.port);
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  await client.until(/plain$/);
  expect(proxy.ledger.sum("outbound", "request", "authority=null", "not_provided_by_service_discovery")).toBe(1);
});

test("no profile: forwarded with detection", async () => {
  const proxy = start();
  const app = await server(answering("plain"));
  proxy.outboundDst = at(app.port);
  proxy.discovery.setProfile(`127.0.0.1:${app.port}`, null);
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  await client.until(/plain$/);
  expect(proxy.ledger.sum("outbound", "request")).toBe(1);
});

test("discovery that does not answer: the connection is closed after the dispatch timeout", async () => {
  const proxy = start({ outbound: { dispatchTimeoutMs: 40 } });
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  expect(await client.closed).toBe("");
  expect(proxy.ledger.sum("outbound", "tcp_error", "failfast", "10.0.0.1:80")).toBe(1);
});

test("a connection that waits for discovery loses no byte", async () => {
  const proxy = start();
  const app = await server(answering("late"));
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  proxy.discovery.setProfile("10.0.0.1:80", profile({ endpoint: endpoint({ addr: at(app.port) }) }));
  await client.until(/late$/);
});

test("a profile's endpoint: mTLS to it with its labels, no resolution", async () => {
  const { a, b, app, port } = await scene();
  a.discovery.setProfile(
    "10.0.0.1:80",
    profile({ fqn: NAME, endpoint: endpoint({ addr: b.inboundAddr, identity: "server.ns", h2: true, labels: [["pod", "web-0"]] }) }),
  );
  const client = await dialRaw(port);
  client.write(GET);
  const peer = await app.accept();
  expect(await peer.until("\r\n\r\n")).not.toContain("l5d-dst-canonical");
  expect(a.ledger.sum("outbound", "request", "authority=null", "server_id=server.ns", "pod=web-0")).toBe(1);
  expect(a.discovery.resolving).toEqual([]);
});

test("an endpoint of this very pod is reached in plain, at its own port", async () => {
  const proxy = start({ outbound: { localIps: new Set(["127.0.0.1"]) } });
  const app = await server(answering("self"));
  proxy.discovery.setProfile(
    "10.0.0.1:80",
    profile({ endpoint: endpoint({ addr: at(app.port), identity: "me.ns", h2: true, opaqueTransportPort: 4143 }) }),
  );
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  await client.until(/self$/);
  expect(proxy.ledger.sum("outbound", "request", "loopback")).toBe(1);
});

test("loopback targets are refused where the guard is on", async () => {
  const proxy = start({ dial: { refuseLoopback: true } });
  const app = await server();
  proxy.outboundDst = at(app.port);
  proxy.discovery.setProfile(`127.0.0.1:${app.port}`, null);
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  expect(await client.closed).toStartWith("HTTP/1.1 502 Bad Gateway\r\n");
  expect(app.accepted).toBe(0);
});

test("an opaque profile: HTTP bytes are TCP", async () => {
  const proxy = start();
  const app = await server(answering("raw"));
  proxy.discovery.setProfile("10.0.0.1:80", profile({ fqn: NAME, opaque: true }));
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(app.port) })]);
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  await client.until(/raw$/);
  expect(proxy.ledger.sum("outbound", "request")).toBe(0);
  expect(proxy.ledger.sum("outbound", "dst", `authority=${NAME}`, "open")).toBe(1);
});

test("opaque TCP between proxies: the transport header, server speaks first, half-close kept", async () => {
  const { a, b, app, port } = await scene();
  b.inboundDst = null;
  a.discovery.setProfile("10.0.0.1:80", profile({ fqn: NAME, opaque: true }));
  a.discovery.setEndpoints(`${NAME}:80`, [
    endpoint({ addr: at(app.port), identity: "server.ns", opaqueTransportPort: b.inboundListener.port }),
  ]);
  const client = await dialRaw(port);
  const peer = await app.accept();
  peer.write("220 ready");
  await client.until("220 ready");
  client.write("QUIT");
  client.socket.end();
  expect(await peer.closed).toBe("QUIT");
  peer.write("221 bye");
  peer.socket.end();
  expect(await client.closed).toBe("220 ready221 bye");
  expect(a.ledger.sum("outbound", "dst", "server_id=server.ns", "wrote")).toBe(4);
  expect(b.ledger.sum("inbound", "src", "client_id=client.ns", "read")).toBe(4);
});

test("HTTP to an opaque-transport endpoint goes by the header too", async () => {
  const { a, b, app, port } = await scene();
  b.inboundDst = null;
  a.discovery.setEndpoints(`${NAME}:80`, [
    endpoint({ addr: at(app.port), identity: "server.ns", h2: true, opaqueTransportPort: b.inboundListener.port }),
  ]);
  const client = await dialRaw(port);
  client.write(GET);
  const peer = await app.accept();
  await peer.until("l5d-client-id: client.ns");
});

// --- balancing and failure (cases 38, 39, 41) ---

test("no endpoints: 504 after the dispatch timeout, at once from then on, until there are some", async () => {
  const proxy = start({ outbound: { dispatchTimeoutMs: 60 } });
  logical(proxy);
  proxy.discovery.setEndpoints(`${NAME}:80`, []);
  const ask = async (): Promise<string> => {
    const client = await dialRaw(proxy.outboundListener.port);
    client.write(GET);
    return client.closed;
  };
  const first = await ask();
  expect(first).toStartWith("HTTP/1.1 504 Gateway Timeout\r\n");
  expect(first).toContain("l5d-proxy-error: HTTP Balancer service in fail-fast\r\n");
  expect(first).toContain("l5d-proxy-connection: close\r\n");
  await ask();
  expect(proxy.ledger.sum("outbound", "http_error", "failfast")).toBe(2);
  const app = await server(answering("back"));
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(app.port) })]);
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  await client.until(/back$/);
});

test("TCP without endpoints is closed", async () => {
  const proxy = start({ outbound: { dispatchTimeoutMs: 40 } });
  proxy.discovery.setProfile("10.0.0.1:80", profile({ fqn: NAME, opaque: true }));
  proxy.discovery.setEndpoints(`${NAME}:80`, []);
  const client = await dialRaw(proxy.outboundListener.port);
  expect(await client.closed).toBe("");
  expect(proxy.ledger.sum("outbound", "tcp_error", "failfast")).toBe(1);
});

test("a resolution that failed: 500", async () => {
  const proxy = start();
  logical(proxy);
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  while (proxy.discovery.resolving.length === 0) await new Promise((resolve) => setImmediate(resolve));
  proxy.discovery.send(`${NAME}:80`, { kind: "failed", message: "no such name" });
  // Also who has waited for it.
  expect(await client.closed).toStartWith("HTTP/1.1 500 ");
  const again = await dialRaw(proxy.outboundListener.port);
  again.write(GET);
  expect(await again.closed).toStartWith("HTTP/1.1 500 ");
});

test("endpoints added, kept and removed: kept connections are untouched", async () => {
  const proxy = start();
  logical(proxy);
  const one = await server(answering("one"));
  const two = await server(answering("two"));
  const three = await server(answering("three"));
  const set = (...apps: RawServer[]) =>
    proxy.discovery.setEndpoints(
      `${NAME}:80`,
      apps.map((app) => endpoint({ addr: at(app.port) })),
    );
  set(one, two);
  const ask = async (): Promise<string> => {
    const client = await dialRaw(proxy.outboundListener.port);
    client.write(GET);
    const text = await client.until(/(one|two|three)$/);
    client.socket.destroy();
    return /(one|two|three)$/.exec(text)?.[1] ?? "";
  };
  const seen = new Set<string>();
  for (let i = 0; i < 30; i++) seen.add(await ask());
  expect([...seen].sort()).toEqual(["one", "two"]);
  const before = two.accepted;
  set(two, three);
  seen.clear();
  for (let i = 0; i < 30; i++) seen.add(await ask());
  expect(seen).toContain("two");
  expect(seen).not.toContain("one");
  expect(two.accepted).toBe(before);
  set(three);
  expect(await ask()).toBe("three");
});

test("a dead endpoint beside a live one fails no request", async () => {
  const proxy = start();
  logical(proxy);
  const dead = await server();
  dead.stop();
  const live = await server(answering("live"));
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(dead.port) }), endpoint({ addr: at(live.port) })]);
  for (let i = 0; i < 20; i++) {
    const client = await dialRaw(proxy.outboundListener.port);
    client.write(GET);
    await client.until(/live$/);
    client.socket.destroy();
  }
  // Each attempt counts as a request of an endpoint: one or two found the dead one, then it is passed over for a while.
  expect(proxy.ledger.sum("outbound", "request")).toBeLessThanOrEqual(22);
  const alone = start();
  logical(alone);
  alone.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(dead.port) })]);
  const client = await dialRaw(alone.outboundListener.port);
  client.write(GET);
  expect(await client.closed).toStartWith("HTTP/1.1 502 Bad Gateway\r\n");
});

test("an endpoint that refuses a stream: another one gets the request", async () => {
  const proxy = start();
  logical(proxy);
  // Accepts the connection, and tells with GOAWAY that it has processed nothing.
  const leaving = await server((connection) => {
    connection.write(frame(FrameType.SETTINGS, 0, 0));
    void new Frames(connection, "server")
      .find((f) => f.type === FrameType.HEADERS)
      .then(() => connection.write(frame(FrameType.GOAWAY, 0, 0, Buffer.concat([u32(0), u32(0)]))))
      .catch(() => {});
  });
  const staying = await http2App((stream) => {
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on("end", () => {
      stream.respond({ ":status": 200 });
      stream.end(`stayed x${bytes}`);
    });
  });
  cleanup.push(() => staying.stop());
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(leaving.port) }), endpoint({ addr: at(staying.port) })]);
  const session = http2Client(proxy.outboundListener.port);
  cleanup.push(() => session.destroy());
  for (let i = 0; i < 10; i++) {
    const answer = await http2Request(session, { ":method": "POST" }, { body: "x".repeat(1000) });
    expect([answer.headers[":status"], answer.body]).toEqual([200, "stayed x1000"]);
  }
});

test("weights of a split are obeyed, blind to health; the apex name stays in the labels", async () => {
  const proxy = start({ outbound: { dispatchTimeoutMs: 30 } });
  const a = await server(answering("aa"));
  proxy.discovery.setProfile(
    "10.0.0.1:80",
    profile({
      fqn: NAME,
      targets: [
        { addr: { name: "a.ns.svc.cluster.local", port: 80 }, weight: 8000 },
        { addr: { name: "b.ns.svc.cluster.local", port: 80 }, weight: 2000 },
      ],
    }),
  );
  proxy.discovery.setEndpoints("a.ns.svc.cluster.local:80", [endpoint({ addr: at(a.port), labels: [["service", "a"]] })]);
  proxy.discovery.setEndpoints("b.ns.svc.cluster.local:80", []);
  let failed = 0;
  for (let i = 0; i < 200; i++) {
    const client = await dialRaw(proxy.outboundListener.port);
    client.write(GET);
    const text = await client.until(/aa$|504[\s\S]*\r\n\r\n/);
    if (text.includes("504")) failed++;
    client.socket.destroy();
  }
  expect(failed).toBeGreaterThan(10);
  expect(failed).toBeLessThan(80);
  expect(proxy.ledger.sum("outbound", "request", `authority=${NAME}`, "service=a")).toBe(200 - failed);
});

test("endpoints come and go under load: no request fails", async () => {
  const { a, b, app, port } = await scene();
  const second = await mesh({ ca });
  cleanup.push(() => second.stop());
  for (const apps of [app, second.app])
    void (async () => {
      for (;;) answering("ok")(await apps.accept());
    })();
  second.b.policy(second.app.port, (await import("../testing/policies.ts")).allowAll());
  const one = endpoint({ addr: b.inboundAddr, identity: "server.ns", h2: true });
  const two = endpoint({ addr: second.b.inboundAddr, identity: "server.ns", h2: true });
  const sets = [[one], [one, two], [two], [two, one]];
  let done = 0;
  const load = Array.from({ length: 8 }, async () => {
    const client = await dialRaw(port);
    for (let i = 0; i < 50; i++) {
      client.write(GET);
      await client.until((text) => text.split("\r\n\r\nok").length > i + 1);
      done++;
    }
  });
  const churn = (async () => {
    for (let i = 0; done < 400; i++) {
      a.discovery.setEndpoints(`${NAME}:80`, sets[i % sets.length] ?? []);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  await Promise.all([...load, churn]);
  expect(done).toBe(400);
  expect(a.ledger.sum("outbound", "failure")).toBe(0);
});

// --- headers and errors (cases 33, 34) ---

test("l5d-require-id that is not met: 502, gRPC 14, counted, never forwarded", async () => {
  const { a, app, port } = await scene();
  const client = await dialRaw(port);
  client.write(GET.replace("Host", "l5d-require-id: other.ns\r\nHost"));
  const answer = await client.closed;
  expect(answer).toStartWith("HTTP/1.1 502 ");
  expect(answer).toContain("l5d-proxy-error: required id other.ns; found server.ns\r\n");
  expect(a.ledger.sum("outbound", "http_error", "identity_required")).toBe(1);
  const session = http2Client(port);
  cleanup.push(() => session.destroy());
  const grpc = await http2Request(
    session,
    { ":method": "POST", "content-type": "application/grpc", "l5d-require-id": "other.ns" },
    { body: "" },
  );
  expect([grpc.headers[":status"], grpc.headers["grpc-status"]]).toEqual([200, "14"]);
  const good = await dialRaw(port);
  good.write(GET.replace("Host", "l5d-require-id: server.ns\r\nHost"));
  expect(await (await app.accept()).until("\r\n\r\n")).not.toContain("require-id");
});

test("l5d-proxy-connection: close of a meshed peer closes the application's connection; of others it is only taken off", async () => {
  const { app, port } = await scene();
  const client = await dialRaw(port);
  client.write(GET);
  const peer = await app.accept();
  await peer.until("\r\n\r\n");
  peer.write("HTTP/1.1 200 OK\r\nl5d-proxy-connection: close\r\ncontent-length: 2\r\n\r\nok");
  const answer = await client.closed;
  expect(answer).toContain("connection: close\r\n");
  expect(answer).not.toContain("l5d-proxy-connection");
  const proxy = start();
  const plain = await server((connection) => {
    connection.socket.on("data", () => connection.write("HTTP/1.1 200 OK\r\nl5d-proxy-connection: close\r\ncontent-length: 2\r\n\r\nok"));
  });
  proxy.discovery.setProfile("10.0.0.1:80", profile({ endpoint: endpoint({ addr: at(plain.port) }) }));
  const other = await dialRaw(proxy.outboundListener.port);
  other.write(GET);
  expect(await other.until(/ok$/)).not.toContain("close");
});

test("informational headers that are disabled: neither own nor the peer's", async () => {
  const proxy = start({ outbound: { informational: false, dispatchTimeoutMs: 30 } });
  const app = await server((connection) => {
    connection.socket.on("data", () => connection.write("HTTP/1.1 200 OK\r\nl5d-proxy-error: peer\r\ncontent-length: 2\r\n\r\nok"));
  });
  logical(proxy);
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(app.port) })]);
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  expect(await client.until(/ok$/)).not.toContain("l5d-");
  proxy.discovery.setEndpoints(`${NAME}:80`, []);
  client.write(GET);
  expect(await client.closed).not.toContain("l5d-");
});

test("an authority override: its authority, no host of the client", async () => {
  const proxy = start();
  const app = await server(answering("ok"));
  logical(proxy);
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(app.port), authorityOverride: "other.example:8080" })]);
  const client = await dialRaw(proxy.outboundListener.port);
  const peer = app.accept();
  client.write(GET);
  await client.until(/ok$/);
  void peer;
});

test("HTTP/2 clients: gRPC through both proxies with trailers, and errors as trailers", async () => {
  const { b, port } = await scene();
  const app = await http2App((stream, headers) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": headers[":path"] === "/fail" ? "13" : "0" }));
    stream.on("data", (chunk: Buffer) => stream.write(chunk));
    stream.on("end", () => stream.end());
  });
  cleanup.push(() => app.stop());
  b.inboundDst = at(app.port);
  b.policy(app.port, (await import("../testing/policies.ts")).allowAll());
  const session = http2Client(port);
  cleanup.push(() => session.destroy());
  const call = { ":method": "POST", "content-type": "application/grpc+proto", te: "trailers" };
  const good = await http2Request(session, { ...call, ":path": "/ok" }, { body: "x".repeat(200_000) });
  expect([good.body.length, good.trailers["grpc-status"]]).toEqual([200_000, "0"]);
  const bad = await http2Request(session, { ...call, ":path": "/fail" }, { body: "y" });
  expect([bad.headers[":status"], bad.trailers["grpc-status"]]).toEqual([200, "13"]);
  expect(b.ledger.sum("inbound", "response", "200", "failure", "grpc=13")).toBe(1);
  expect(b.ledger.sum("inbound", "response", "200", "success", "grpc=0")).toBe(1);
});

test("a gRPC response that breaks off midway ends in trailers", async () => {
  const proxy = start();
  logical(proxy);
  const app = await server((connection) => {
    connection.write(frame(FrameType.SETTINGS, 0, 0));
    void new Frames(connection, "server")
      .find((f) => f.type === FrameType.HEADERS)
      .then((f) => {
        connection.write(frame(FrameType.HEADERS, 4, f.stream, OK_BLOCK));
        connection.write(frame(FrameType.DATA, 0, f.stream, Buffer.from("part")));
        setTimeout(() => connection.socket.destroy(), 20);
      })
      .catch(() => {});
  });
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(app.port) })]);
  const session = http2Client(proxy.outboundListener.port);
  cleanup.push(() => session.destroy());
  const answer = await http2Request(session, { ":method": "POST", "content-type": "application/grpc" }, { body: "x" });
  expect([answer.body, answer.trailers["grpc-status"]]).toEqual(["part", "14"]);
});

test("HTTP/2 resets pass through two proxies both ways", async () => {
  const { b, app, port } = await scene();
  b.inboundDst = at(app.port);
  const client = await dialRaw(port);
  client.write(PREFACE);
  client.write(frame(FrameType.SETTINGS, 0, 0));
  client.write(frame(FrameType.HEADERS, 5, 1, requestBlock("/x", "web.ns")));
  const peer = await app.accept();
  peer.write(frame(FrameType.SETTINGS, 0, 0));
  const request = await new Frames(peer, "server").find((f) => f.type === FrameType.HEADERS);
  peer.write(frame(FrameType.RST_STREAM, 0, request.stream, u32(0x2)));
  const reset = await new Frames(client, "client").find((f) => f.type === FrameType.RST_STREAM);
  expect(reset.payload).toEqual(u32(0x2));
});

test("an HTTP/2 reset of an upgraded request is a 502 for the HTTP/1 client", async () => {
  const proxy = start();
  logical(proxy);
  const app = await server((connection) => {
    connection.write(frame(FrameType.SETTINGS, 0, 0));
    void new Frames(connection, "server")
      .find((f) => f.type === FrameType.HEADERS)
      .then((f) => connection.write(frame(FrameType.RST_STREAM, 0, f.stream, u32(0x2))))
      .catch(() => {});
  });
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(app.port), h2: true })]);
  const client = await dialRaw(proxy.outboundListener.port);
  client.write(GET);
  expect(await client.closed).toStartWith("HTTP/1.1 502 ");
});

// --- drain (case 57) ---

test("drain: what is in progress is finished, idle connections end, tunnels are waited for", async () => {
  const { a, app, port } = await scene();
  const busy = await dialRaw(port);
  busy.write(GET);
  const peer = await app.accept();
  await peer.until("\r\n\r\n");
  const idle = await dialRaw(port);
  idle.write("GET /idle HTTP/1.1\r\nHost: web.ns\r\n\r\n");
  const other = await app.accept();
  await other.until("/idle");
  other.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  await idle.until(/ok$/);
  let drained = false;
  const done = a.drains.drain().then(() => {
    drained = true;
  });
  await idle.closed;
  expect(drained).toBe(false);
  peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  expect(await busy.closed).toContain("connection: close\r\n");
  await done;
});

test("a proxy that leaves refuses what its application did not get, and another endpoint gets it", async () => {
  const { a, b, app, port } = await scene();
  const second = await mesh({ ca });
  cleanup.push(() => second.stop());
  void (async () => {
    for (;;) answering("other")(await second.app.accept());
  })();
  app.stop();
  const one = endpoint({ addr: b.inboundAddr, identity: "server.ns", h2: true });
  const two = endpoint({ addr: second.b.inboundAddr, identity: "server.ns", h2: true });
  a.discovery.setEndpoints(`${NAME}:80`, [one]);
  const warm = await dialRaw(port);
  warm.write(GET);
  expect(await warm.closed).toContain("502");
  a.discovery.setEndpoints(`${NAME}:80`, [one, two]);
  void b.drains.drain();
  for (let i = 0; i < 10; i++) {
    const client = await dialRaw(port);
    client.write(GET);
    await client.until(/other$/);
    client.socket.destroy();
  }
});

test("an endpoint that dies with a request in hand: a GET goes elsewhere once, a POST is a 502", async () => {
  const proxy = start();
  logical(proxy);
  let killed = 0;
  const dying = await server((connection) => {
    connection.socket.on("data", () => {
      killed++;
      connection.socket.resetAndDestroy();
    });
  });
  const living = await server(answering("alive"));
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: at(dying.port) }), endpoint({ addr: at(living.port) })]);
  for (let i = 0; i < 10; i++) {
    const client = await dialRaw(proxy.outboundListener.port);
    client.write(GET);
    await client.until(/alive$/);
    client.socket.destroy();
  }
  const before = killed;
  let failed = 0;
  for (let i = 0; i < 20; i++) {
    const client = await dialRaw(proxy.outboundListener.port);
    client.write("POST / HTTP/1.1\r\nHost: web.ns\r\nContent-Length: 0\r\n\r\n");
    const text = await client.until(/alive$|HTTP\/1.1 502/);
    if (text.includes("502")) failed++;
    client.socket.destroy();
  }
  // Sent once, wherever it went.
  expect(failed).toBe(killed - before);
});
