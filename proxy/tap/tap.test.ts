// Taps from end to end: grpc-js → its own proxy → mTLS → the tap port of another, while requests pass (spec proxy §10, §17.56).
import { afterEach, beforeAll, expect, test } from "bun:test";
import { createServer, type RequestListener, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { TapEvent, TapEvent_Http } from "#api/tap_pb";
import { ObserveRequestSchema, TapEventSchema } from "#api/tap_pb";
import { Decoder } from "#hpack";
import type { Route } from "#profiles";
import type { Credentials } from "../contracts.ts";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { endpoint, FakeIdentity, profile } from "../testing/fakes.ts";
import { Frames, FrameType, frame, PREFACE, requestBlock, u32 } from "../testing/frames.ts";
import { http2App, http2Client, http2Request } from "../testing/http2.ts";
import { type Mesh, mesh, NAME, SERVICE } from "../testing/mesh.ts";
import { allowAll, allowOnly, denyAll } from "../testing/policies.ts";
import { TestProxy } from "../testing/proxies.ts";
import { type ObserveInit, TapClient, type TestTap, tapServer } from "../testing/tap.ts";
import { dialTls } from "../testing/tls.ts";
import { dialRaw } from "../testing/wire.ts";
import { MAX_CALLS, MAX_QUEUED_EVENTS, MAX_REQUEST_BYTES } from "./index.ts";

const TAP = "tap.ns";
const ALL: ObserveInit = { limit: 1, match: { match: { case: "all", value: {} } } };
const CALL = { ":method": "POST", ":path": "/io.linkerd.proxy.tap.Tap/Observe", "content-type": "application/grpc", te: "trailers" };
const WITH_HEADERS: ObserveInit["extract"] = { extract: { case: "http", value: { extract: { case: "headers", value: {} } } } };

/** POST of the Observe method, over http: static table and literals without indexing. */
const OBSERVE_BLOCK = Buffer.concat(
  [
    Buffer.of(0x83, 0x86, 0x04),
    "/io.linkerd.proxy.tap.Tap/Observe",
    Buffer.of(0x01),
    "server.ns",
    Buffer.of(0x0f, 0x10),
    "application/grpc",
  ].map((part) => (typeof part === "string" ? Buffer.concat([Buffer.of(part.length), Buffer.from(part)]) : part)),
);

let ca: TestCa;
beforeAll(async () => {
  ca = await createCa();
});
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0).reverse()) undo();
});

type Scene = Mesh & {
  readonly tapA: TestTap;
  readonly tapB: TestTap;
  /** The proxy of a client of the tap server. */
  proxyOf(tap: TestTap, identity?: string): Promise<TestProxy>;
  clientOf(tap: TestTap, identity?: string): Promise<TapClient>;
};

/** A mesh of A and B with a tap server each; a tap client comes through a proxy of its own. */
async function scene(options: { h2?: boolean } = {}): Promise<Scene> {
  const tapA = tapServer(new FakeIdentity("client.ns", await ca.issue("client.ns")), TAP);
  const tapB = tapServer(new FakeIdentity("server.ns", await ca.issue("server.ns")), TAP);
  const it = await mesh({ ca, a: { observers: tapA.observers }, b: { observers: tapB.observers }, ...options });
  cleanup.push(() => {
    it.stop();
    tapA.stop();
    tapB.stop();
  });
  const proxyOf: Scene["proxyOf"] = async (tap, identity = TAP) => {
    const proxy = new TestProxy({ identity: new FakeIdentity(identity, await ca.issue(identity)) });
    cleanup.push(() => proxy.stop());
    const dst = { ip: "10.0.0.9", port: 4190 };
    proxy.outboundDst = dst;
    const addr = { ip: "127.0.0.1", port: tap.port };
    const serverName = tap === tapA ? "client.ns" : "server.ns";
    proxy.discovery.setProfile(`${dst.ip}:${dst.port}`, profile({ endpoint: endpoint({ addr, identity: serverName, h2: true }) }));
    return proxy;
  };
  return {
    ...it,
    tapA,
    tapB,
    proxyOf,
    async clientOf(tap, identity) {
      const proxy = await proxyOf(tap, identity);
      const client = new TapClient(`127.0.0.1:${proxy.outboundListener.port}`);
      cleanup.push(() => client.close());
      return client;
    },
  };
}

/** Observe, said in bytes over mTLS. */
async function observeBytes(port: number, credentials: Credentials | null, init: ObserveInit = ALL): Promise<Frames> {
  const client = await dialTls({ port, serverName: "server.ns", credentials, ca: ca.pem });
  cleanup.push(() => client.tls.destroy());
  const request = toBinary(ObserveRequestSchema, create(ObserveRequestSchema, init));
  client.write(PREFACE);
  client.write(frame(FrameType.SETTINGS, 0, 0));
  client.write(frame(FrameType.HEADERS, 4, 1, OBSERVE_BLOCK));
  client.write(frame(FrameType.DATA, 1, 1, Buffer.concat([Buffer.of(0), u32(request.length), request])));
  return new Frames(client, "client");
}

/** The first header block of a connection. */
function decodeBlock(block: Buffer): Record<string, string> {
  const decoder = new Decoder();
  decoder.decode(block, 0, block.length);
  return Object.fromEntries(decoder.fields.slice(0, decoder.count).map(({ name, value }) => [name, value]));
}

const init = (event: TapEvent) => eventOf(event, "requestInit");
function eventOf<C extends NonNullable<TapEvent_Http["event"]["case"]>>(event: TapEvent | undefined, which: C) {
  const http = event?.event.value?.event;
  if (http?.case !== which) throw new Error(`expected ${which}, found ${http?.case}`);
  return http.value as Extract<TapEvent_Http["event"], { case: C }>["value"];
}
const kinds = (events: readonly TapEvent[]) => events.map((event) => event.event.value?.event.case);
const fields = (headers: { headers: { name: string; value: Uint8Array }[] } | undefined) =>
  headers?.headers.map(({ name, value }) => `${name}: ${Buffer.from(value).toString("latin1")}`);

/** Puts an HTTP/1 server behind B. */
async function app(it: Mesh, handler: RequestListener = hello): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  it.b.inboundDst = { ip: "127.0.0.1", port };
  it.b.policy(port, allowAll());
  return server;
}
const hello: RequestListener = (_request, response) => response.writeHead(200, { "x-app": "1", "content-length": "5" }).end("hello");

/** A request of the application beside A; resolves with its status. */
function get(it: Mesh, path: string, headers: Record<string, string> = {}): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  request({ host: "127.0.0.1", port: it.port, path, headers: { host: "web.ns", ...headers }, agent: false }, (response) => {
    response.resume();
    response.on("end", () => resolve(response.statusCode as number));
  })
    .on("error", reject)
    .end();
  return promise;
}

test("limit 1: exactly the three events of one request, then the end; on both sides of the mesh", async () => {
  const it = await scene();
  const [a, b] = [(await it.clientOf(it.tapA)).observe(ALL), (await it.clientOf(it.tapB)).observe(ALL)];
  await Promise.all([a.taken, b.taken]);
  const { port } = (await app(it)).address() as AddressInfo;
  expect(await get(it, "/books?page=2")).toBe(200);
  expect((await a.end).code).toBe(0);
  expect((await b.end).code).toBe(0);
  for (const { events } of [a, b]) {
    expect(kinds(events)).toEqual(["requestInit", "responseInit", "responseEnd"]);
    expect(init(events[0] as TapEvent)).toMatchObject({
      id: { base: 0, stream: 0n },
      method: { type: { case: "registered", value: 0 } },
      scheme: { type: { case: "registered", value: 0 } },
      authority: "web.ns",
      path: "/books",
    });
    expect(init(events[0] as TapEvent).headers).toBeUndefined();
    expect(eventOf(events[1], "responseInit")).toMatchObject({ id: { base: 0, stream: 0n }, httpStatus: 200 });
    const end = eventOf(events[2], "responseEnd");
    expect(end).toMatchObject({ id: { base: 0, stream: 0n }, responseBytes: 5n });
    expect(end.eos?.end.case).toBeUndefined();
    expect(end.sinceRequestInit).toBeDefined();
    expect(end.sinceResponseInit).toBeDefined();
  }
  for (const event of a.events)
    expect(event).toMatchObject({
      proxyDirection: 2,
      source: { ip: { ip: { case: "ipv4", value: 0x7f000001 } } },
      destination: { port: it.b.inboundListener.port },
      sourceMeta: { labels: { tls: "loopback" } },
      destinationMeta: { labels: { service: "web", tls: "true", server_id: "server.ns" } },
    });
  for (const event of b.events)
    expect(event).toMatchObject({
      proxyDirection: 1,
      destination: { ip: { ip: { case: "ipv4", value: 0x7f000001 } }, port },
      sourceMeta: { labels: { tls: "true", client_id: "client.ns" } },
      destinationMeta: { labels: { srv_name: "web", saz_name: "everyone", tls: "loopback" } },
    });
});

test("nothing is left when a call is over: the request path looks at null again", async () => {
  const it = await scene();
  const tap = (await it.clientOf(it.tapB)).observe(ALL);
  await tap.taken;
  expect(it.tapB.observers.attempts).not.toBeNull();
  await app(it);
  await get(it, "/");
  await tap.end;
  expect(it.tapB.observers.attempts).toBeNull();
  expect([it.tapB.taps.size, it.tapB.server.calls]).toEqual([0, 0]);
});

test("a client that goes away leaves nothing, in the middle of a request too", async () => {
  const it = await scene();
  const client = await it.clientOf(it.tapB);
  const tap = client.observe({ ...ALL, limit: 10 });
  await tap.taken;
  let answer = (): void => {};
  await app(it, (request, response) => {
    answer = () => hello(request, response);
  });
  const status = get(it, "/");
  await tap.until(1);
  tap.call.cancel();
  expect((await tap.end).code).toBe(1);
  const again = client.observe({ ...ALL, limit: 10 });
  await again.taken;
  expect([it.tapB.taps.size, it.tapB.server.calls]).toEqual([1, 1]);
  answer();
  expect(await status).toBe(200);
  again.call.cancel();
  client.close();
  await again.end;
  // The next call finds the server empty.
  const third = (await it.clientOf(it.tapB)).observe(ALL);
  await third.taken;
  expect([it.tapB.taps.size, it.tapB.server.calls]).toEqual([1, 1]);
});

test("who may not is told so: another identity, no certificate, no TLS", async () => {
  const it = await scene();
  const other = await (await it.clientOf(it.tapB, "other.ns")).observe(ALL).end;
  expect([other.code, other.details]).toEqual([16, "Unauthorized client"]);
  const plain = new TapClient(`127.0.0.1:${it.tapB.port}`);
  cleanup.push(() => plain.close());
  const status = await plain.observe(ALL).end;
  expect([status.code, status.details]).toEqual([16, "no_tls_from_remote"]);
  expect(it.tapB.server.calls).toBe(0);

  const anonymous = await observeBytes(it.tapB.port, null);
  const fields = decodeBlock((await anonymous.find(({ type, stream }) => type === FrameType.HEADERS && stream === 1)).payload);
  expect(fields).toMatchObject({ ":status": "200", "grpc-status": "16", "grpc-message": "Unauthorized client" });
});

test("another method is UNIMPLEMENTED, what is no gRPC is told so in HTTP, half a call ends", async () => {
  const it = await scene();
  const session = http2Client((await it.proxyOf(it.tapB)).outboundListener.port);
  cleanup.push(() => session.destroy());
  const status = async (changes: Record<string, string>, body = "\0\0\0\0\0") => {
    const { headers } = await http2Request(session, { ...CALL, ...changes }, { body });
    return [headers[":status"], headers["grpc-status"]];
  };
  // An empty request has no limit.
  expect(await status({})).toEqual([200, "3"]);
  expect(await status({ ":path": "/io.linkerd.proxy.tap.Tap/Other" })).toEqual([200, "12"]);
  expect(await status({ "content-type": "application/json" })).toEqual([415, undefined]);
  expect(await status({ ":method": "PUT" })).toEqual([405, undefined]);
  expect(await status({}, "\u0001\0\0\0\0")).toEqual([200, "12"]);
  expect(await status({}, "\0\0")).toEqual([200, "13"]);
});

test("somebody else's TLS and what is no HTTP/2 are closed", async () => {
  const it = await scene();
  const sni = dialTls({ port: it.tapB.port, serverName: "example.com", credentials: null, ca: ca.pem });
  await expect(sni).rejects.toThrow();
  const raw = await dialRaw(it.tapB.port);
  raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(await raw.closed).not.toContain("HTTP/1.1");
});

test("who says nothing is closed when the second of TLS detection is over", async () => {
  const it = await scene();
  expect(await (await dialRaw(it.tapB.port)).closed).toBe("");
});

test.each([
  ["limit 0", { ...ALL, limit: 0 }, "limit must be positive"],
  ["no match", { limit: 1 }, "missing required field"],
  ["a child that is invalid", { limit: 1, match: { match: { case: "not", value: {} } } }, "missing required field"],
  [
    "a port that is none",
    { limit: 1, match: { match: { case: "source", value: { match: { case: "ports", value: { min: 70000, max: 70001 } } } } } },
    "invalid port number",
  ],
] as [string, ObserveInit, string][])("INVALID_ARGUMENT: %s", async (_, request, message) => {
  const it = await scene();
  const status = await (await it.clientOf(it.tapB)).observe(request).end;
  expect([status.code, status.details]).toEqual([3, message]);
  expect(it.tapB.server.calls).toBe(0);
});

test("bytes that are no request, and a request at the bound and past it", async () => {
  const it = await scene();
  const client = await it.clientOf(it.tapB);
  expect((await client.observe(Uint8Array.of(0x12, 0x7f)).end).code).toBe(3);
  const sized = (bytes: number): Uint8Array => {
    const prefix = (length: number) =>
      toBinary(
        ObserveRequestSchema,
        create(ObserveRequestSchema, {
          limit: 1,
          match: {
            match: { case: "http", value: { match: { case: "path", value: { match: { case: "prefix", value: "x".repeat(length) } } } } },
          },
        }),
      );
    return prefix(bytes - (prefix(bytes - 100).length - (bytes - 100)));
  };
  expect(sized(MAX_REQUEST_BYTES).length).toBe(MAX_REQUEST_BYTES);
  const largest = client.observe(sized(MAX_REQUEST_BYTES));
  await largest.taken;
  largest.call.cancel();
  expect((await client.observe(sized(MAX_REQUEST_BYTES + 1)).end).code).toBe(8);
});

test("as many calls as the bound, one more is RESOURCE_EXHAUSTED", async () => {
  const it = await scene();
  const client = await it.clientOf(it.tapB);
  const calls = Array.from({ length: MAX_CALLS }, () => client.observe(ALL));
  await Promise.all(calls.map(({ taken }) => taken));
  expect((await client.observe(ALL).end).code).toBe(8);
  for (const { call } of calls) call.cancel();
  await Promise.all(calls.map(({ end }) => end));
});

test("headers and trailers when they are asked for; HTTP/2 with its pseudo-fields; grpc-status of trailers", async () => {
  const it = await scene();
  const grpc = await http2App((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc", "x-app": "1" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "7", "grpc-message": "no" }));
    stream.end("12345678");
  });
  cleanup.push(() => grpc.stop());
  it.b.inboundDst = { ip: "127.0.0.1", port: grpc.port };
  it.b.policy(grpc.port, allowAll("grpc"));
  const tap = (await it.clientOf(it.tapB)).observe({ ...ALL, extract: WITH_HEADERS });
  await tap.taken;
  const session = http2Client(it.port);
  cleanup.push(() => session.destroy());
  await http2Request(session, {
    ":method": "POST",
    ":path": "/svc/M?q",
    ":authority": "web.ns",
    "content-type": "application/grpc",
    "x-client": "é",
  });
  expect((await tap.end).code).toBe(0);
  const [request, response, end] = tap.events;
  expect(init(request as TapEvent)).toMatchObject({ path: "/svc/M", method: { type: { case: "registered", value: 1 } } });
  const shown = fields(init(request as TapEvent).headers) ?? [];
  expect(shown.slice(0, 4)).toEqual([":method: POST", ":scheme: http", ":authority: web.ns", ":path: /svc/M?q"]);
  expect(shown).toContain("l5d-client-id: client.ns");
  expect(fields(eventOf(response, "responseInit").headers)).toEqual(expect.arrayContaining([":status: 200", "x-app: 1"]));
  expect(eventOf(end, "responseEnd")).toMatchObject({ responseBytes: 8n, eos: { end: { case: "grpcStatusCode", value: 7 } } });
  expect(fields(eventOf(end, "responseEnd").trailers)).toEqual(["grpc-status: 7", "grpc-message: no"]);
});

test("an application's reset is the end's code; status of the head without trailers", async () => {
  const it = await scene();
  const tap = (await it.clientOf(it.tapB)).observe({ ...ALL, limit: 2 });
  await tap.taken;
  const client = await dialRaw(it.port);
  client.write(PREFACE);
  client.write(frame(FrameType.SETTINGS, 0, 0));
  client.write(frame(FrameType.HEADERS, 5, 1, requestBlock("/reset", "a")));
  const server = await it.app.accept();
  server.write(frame(FrameType.SETTINGS, 0, 0));
  const seen = new Frames(server, "server");
  const first = await seen.find(({ type }) => type === FrameType.HEADERS);
  server.write(frame(FrameType.RST_STREAM, 0, first.stream, u32(0xb)));
  await tap.until(2);
  client.write(frame(FrameType.HEADERS, 5, 3, requestBlock("/head", "a")));
  const second = await seen.find(({ type, stream }) => type === FrameType.HEADERS && stream !== first.stream);
  const grpcStatus = Buffer.concat([Buffer.of(0x88, 0x00, 11), Buffer.from("grpc-status"), Buffer.of(1, 0x35)]);
  server.write(frame(FrameType.HEADERS, 5, second.stream, grpcStatus));
  await tap.end;
  client.socket.destroy();
  expect(kinds(tap.events)).toEqual(["requestInit", "responseEnd", "requestInit", "responseInit", "responseEnd"]);
  const reset = eventOf(tap.events[1], "responseEnd");
  expect(reset.eos?.end).toEqual({ case: "resetErrorCode", value: 0xb });
  expect(reset.sinceResponseInit).toBeUndefined();
  expect(eventOf(tap.events[4], "responseEnd").eos?.end).toEqual({ case: "grpcStatusCode", value: 5 });
  expect(tap.events.map((event) => event.event.value?.event.value?.id?.stream)).toEqual([0n, 0n, 1n, 1n, 1n]);
});

test("a denied request gives no event, the next one does", async () => {
  const it = await scene();
  const tap = (await it.clientOf(it.tapB)).observe(ALL);
  await tap.taken;
  const { port } = (await app(it)).address() as AddressInfo;
  const policy = it.b.policy(port, denyAll());
  expect(await get(it, "/denied")).toBe(403);
  expect(tap.events).toEqual([]);
  policy.set(allowOnly(["client.ns"]));
  expect(await get(it, "/allowed")).toBe(200);
  await tap.end;
  expect(init(tap.events[0] as TapEvent).path).toBe("/allowed");
});

test("an endpoint that cannot be reached is seen as its 502", async () => {
  const it = await scene();
  const tap = (await it.clientOf(it.tapB)).observe(ALL);
  await tap.taken;
  it.app.stop();
  expect(await get(it, "/")).toBe(502);
  await tap.end;
  expect(kinds(tap.events)).toEqual(["requestInit", "responseInit", "responseEnd"]);
  expect(eventOf(tap.events[1], "responseInit").httpStatus).toBe(502);
});

test("every attempt of a retry is seen, with the labels of its route", async () => {
  const it = await scene();
  let requests = 0;
  await app(it, (_request, response) => void response.writeHead(requests++ === 0 ? 503 : 200, { "content-length": "0" }).end());
  const route: Route = {
    match: { kind: "path", regex: { matches: (path) => path === "/a" } },
    labels: [["route", "GET /a"]],
    classes: null,
    timeoutMs: null,
    retryable: true,
  };
  const retryBudget = { ratio: 0.2, minRetriesPerSecond: 10, ttlMs: 10_000 };
  it.a.discovery.setProfile(`${SERVICE.ip}:${SERVICE.port}`, profile({ fqn: NAME, routes: [route], retryBudget }));
  const byRoute: ObserveInit["match"] = { match: { case: "routeLabel", value: { key: "route", value: "GET /a" } } };
  const tap = (await it.clientOf(it.tapA)).observe({ limit: 2, match: byRoute });
  await tap.taken;
  expect(await get(it, "/b")).toBe(503);
  requests = 0;
  expect(await get(it, "/a")).toBe(200);
  await tap.end;
  expect(kinds(tap.events)).toEqual(["requestInit", "responseInit", "responseEnd", "requestInit", "responseInit", "responseEnd"]);
  expect([tap.events[1], tap.events[4]].map((event) => eventOf(event, "responseInit").httpStatus)).toEqual([503, 200]);
  expect(tap.events.map((event) => event.routeMeta?.labels["route"])).toEqual(Array(6).fill("GET /a"));
});

test("a queue that is full drops events; requests go on, and so does the tap once it is read", async () => {
  const it = await scene();
  await app(it);
  // A client whose windows take 64 KiB and which then says nothing; it needs no proxy of its own.
  const frames = await observeBytes(it.tapB.port, await ca.issue(TAP), { ...ALL, limit: 1_000_000, extract: WITH_HEADERS });
  const client = frames.connection;
  await frames.find(({ type, stream }) => type === FrameType.HEADERS && stream === 1);
  const big = "x".repeat(8_000);
  let requests = 0;
  const ask = async (): Promise<void> => expect(await get(it, `/${++requests}`, { "x-big": big })).toBe(200);
  // Three events each: the windows take about eight requests, what may be unsent as many, the queue the rest.
  for (let i = 0; i < MAX_QUEUED_EVENTS / 3 + 40; i++) await ask();
  const unread = requests;
  for (const stream of [0, 1]) client.write(frame(FrameType.WINDOW_UPDATE, 0, stream, u32(100_000_000)));
  const events = (): TapEvent[] => {
    const bytes = Buffer.concat(frames.all().flatMap(({ type, payload }) => (type === FrameType.DATA ? [payload] : [])));
    const out: TapEvent[] = [];
    for (let at = 0; at + 5 <= bytes.length && at + 5 + bytes.readUInt32BE(at + 1) <= bytes.length; at += 5 + bytes.readUInt32BE(at + 1))
      out.push(fromBinary(TapEventSchema, bytes.subarray(at + 5, at + 5 + bytes.readUInt32BE(at + 1))));
    return out;
  };
  const shown = () => events().flatMap((event) => (event.event.value?.event.case === "requestInit" ? [init(event)] : []));
  await ask();
  while (shown().at(-1)?.path !== `/${requests}`) await client.until((text) => text.length > 0 && shown().at(-1)?.path === `/${requests}`);
  expect(shown().length).toBeLessThan(requests);
  expect(shown().length).toBeGreaterThan(MAX_QUEUED_EVENTS / 3);
  expect(unread).toBeLessThan(requests);
  // Requests have the number they were matched with, shown or not.
  for (const { id, path } of shown()) expect(id?.stream).toBe(BigInt(Number(path.slice(1)) - 1));
}, 30_000);

test("the proxy that leaves ends its taps", async () => {
  const it = await scene();
  const tap = (await it.clientOf(it.tapB)).observe(ALL);
  await tap.taken;
  it.tapB.server.close();
  expect((await tap.end).code).toBe(14);
  expect(it.tapB.observers.attempts).toBeNull();
});
