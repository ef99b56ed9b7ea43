// Sharp edges of the outbound side that no case of spec proxy §17 touches; numbers are those of §16.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { Code } from "@connectrpc/connect";
import { Frames, FrameType, frame, PREFACE, u32 } from "../testing/frames.ts";
import { http2Request } from "../testing/http2.ts";
import { until } from "../testing/processes.ts";
import type { Raw } from "../testing/wire.ts";
import { request, response, serveRequests } from "./testing/http1.ts";
import { add, BUDGET, duration, noEndpoints, remove, route } from "./testing/messages.ts";
import { type Caller, canRunPods, id, type Node, nameOf, Scene, SERVICE, type Served } from "./testing/scene.ts";

const it = test.if(canRunPods);
const DETECT_MS = 400;
const DISPATCH_MS = 700;
/** How long an original destination without connections is remembered. */
const IDLE_MS = 300;
const [ONE, TWO] = ["10.9.0.1", "10.9.0.2"] as const;

let scene: Scene;
let node: Node;

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("sharp-out");
  node = await scene.proxy({
    account: "client",
    env: {
      OUTBOUND_DETECT_TIMEOUT: `${DETECT_MS}ms`,
      OUTBOUND_DISPATCH_TIMEOUT: `${DISPATCH_MS}ms`,
      OUTBOUND_ROUTER_MAX_IDLE_AGE: `${IDLE_MS}ms`,
    },
  });
}, 60_000);

afterAll(() => {
  scene?.stop();
});

const plain = (ip: string, port: number): Promise<Served> =>
  scene.serve(scene.outside, { ip, port }, (connection) => void serveRequests(connection, () => response(200, ip)));

async function meshed(
  ip: string,
  port: number,
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<Served> {
  return scene.serveMesh(scene.outside, { ip, port, name: id("peer") }, await scene.http2(onStream));
}

const answering = (ip: string) => (stream: ServerHttp2Stream) => {
  stream.respond({ ":status": 200 });
  stream.end(ip);
};

it("16.2 a client that waits for the server becomes TCP after the detect timeout", async () => {
  await scene.serve(scene.outside, { ip: ONE, port: 8002 }, (connection) => connection.write("220 greeting\r\n"));
  node.service(8002, add([{ ip: ONE, port: 8002 }]));
  const client = await node.appDial(SERVICE, 8002);
  const since = performance.now();
  await client.until("220 greeting\r\n");
  expect(performance.now() - since).toBeGreaterThan(DETECT_MS * 0.9);
  client.socket.destroy();
});

it("16.8 an opaque transport at port 0 or 65535 is none", async () => {
  const { promise, resolve } = Promise.withResolvers<{ connection: Raw; caller: Caller }>();
  await scene.serveMesh(scene.outside, { ip: ONE, port: 8008, name: id("peer"), alpn: "transport.l5d.io/v1" }, (connection, caller) =>
    resolve({ connection, caller }),
  );
  node.service(8008, add([{ ip: ONE, port: 8008, identity: id("peer"), transport: 65535 }]), { opaqueProtocol: true });
  const client = await node.appDial(SERVICE, 8008);
  client.write("hello");
  const { connection, caller } = await promise;
  expect(await connection.until("hello")).toBe("hello");
  expect(caller.alpn).toBe(null);
  client.socket.destroy();
});

it("16.10 what an address is stays so while it is used; afterwards it is looked at anew", async () => {
  const port = 8010;
  await plain(ONE, port);
  const endpoints = add([{ ip: ONE, port }]);
  node.service(port, endpoints);
  const client = await node.serviceClient(port);
  expect((await client.ask("GET /")).status).toBe(200);
  node.service(port, endpoints, { opaqueProtocol: true });
  await node.control.settled();
  const second = await node.serviceClient(port);
  expect((await second.ask("GET /")).status).toBe(200);
  const labels = `direction="outbound",authority="${nameOf(port)}:${port}",target_addr="${ONE}:${port}",target_ip="${ONE}",target_port="${port}",tls="no_identity",no_tls_reason="not_provided_by_service_discovery"`;
  // Two requests of HTTP.
  await node.shows(`request_total{${labels}} 2`);
  for (const one of [client, second]) one.raw.socket.destroy();
  await until("it is forgotten", () => node.control.profiles.open(`${SERVICE}:${port}`) === 0);
  const third = await node.serviceClient(port);
  expect((await third.ask("GET /")).status).toBe(200);
  await node.shows(`request_total{${labels}} 2`);
  third.raw.socket.destroy();
});

it("16.11 a removal that comes first, and an addition of what is there, change nothing", async () => {
  const port = 8011;
  const path = `${nameOf(port)}:${port}`;
  const peer = await meshed(ONE, port, answering(ONE));
  const known = [{ ip: ONE, port, identity: id("peer"), h2: true, labels: { pod: "one" } }];
  node.service(port, add(known));
  const client = await node.serviceClient(port);
  expect((await client.ask("GET /")).status).toBe(200);
  node.control.endpoints.send(path, add(known));
  await node.control.settled();
  expect((await client.ask("GET /")).status).toBe(200);
  expect([peer.connections, peer.open]).toEqual([1, 1]);
  // A new stream that begins with a removal.
  node.control.endpoints.begin(path, remove(known));
  node.control.endpoints.fail(path, Code.Unavailable);
  await node.control.endpoints.called(path, 2);
  await node.control.settled();
  expect((await client.ask("GET /")).status).toBe(200);
  expect([peer.connections, peer.open]).toEqual([1, 1]);
  client.raw.socket.destroy();
});

it("16.12 no endpoints is never the original address; a name that may not be resolved is 500", async () => {
  // A server at the original address, which must not be asked.
  const server = await plain("10.96.9.1", 8012);
  node.control.profiles.set("10.96.9.1:8012", { fullyQualifiedName: nameOf(8012) });
  node.control.endpoints.set(`${nameOf(8012)}:8012`, noEndpoints(false));
  const client = await node.appClient("10.96.9.1", 8012);
  expect((await client.ask("GET /")).status).toBe(504);
  client.raw.socket.destroy();
  for (const [port, code] of [
    [8112, Code.InvalidArgument],
    [8212, Code.FailedPrecondition],
  ] as const) {
    node.service(port, null);
    node.control.endpoints.refuse(`${nameOf(port)}:${port}`, code);
    const refused = await node.serviceClient(port);
    const answer = await refused.ask("GET /");
    expect([port, answer.status, answer.fields.get("l5d-proxy-error")]).toEqual([port, 500, "unexpected error"]);
    refused.raw.socket.destroy();
  }
  expect(server.connections).toBe(0);
});

it("16.13 without networks nobody is asked about an address", async () => {
  const bare = await scene.proxy({ account: "bare", env: { DESTINATION_PROFILE_NETWORKS: null } });
  await plain("10.96.9.1", 8013);
  bare.control.profiles.set("10.96.9.1:8013", { fullyQualifiedName: nameOf(8013) });
  const client = await bare.appClient("10.96.9.1", 8013);
  expect((await client.ask("GET /")).body).toBe("10.96.9.1");
  expect(bare.control.profiles.count("10.96.9.1:8013")).toBe(0);
  client.raw.socket.destroy();
});

it("16.17 a budget begins anew with every profile that is sent", async () => {
  const port = 8017;
  let requests = 0;
  await scene.serve(scene.outside, { ip: ONE, port }, (connection) => {
    // Each second attempt succeeds.
    void serveRequests(connection, () => response(requests++ % 2 === 0 ? 503 : 200));
  });
  // Nothing is deposited; three may be taken.
  const profile = {
    routes: [route("budget", "/", { isRetryable: true })],
    retryBudget: { retryRatio: 0, minRetriesPerSecond: 1, ttl: duration(3000) },
  };
  node.service(port, add([{ ip: ONE, port }]), profile);
  const statuses = async (): Promise<number[]> => {
    const client = await node.serviceClient(port);
    const seen: number[] = [];
    for (let n = 0; n < 4; n++) seen.push((await client.ask("GET /")).status);
    client.raw.socket.destroy();
    return seen;
  };
  expect(await statuses()).toEqual([200, 200, 200, 503]);
  // The attempt that was left.
  requests = 0;
  node.service(port, null, { ...profile, routes: [...profile.routes, route("irrelevant", "/other")] });
  await node.control.settled();
  expect(await statuses()).toEqual([200, 200, 200, 503]);
});

it("16.19 a range of statuses needs both ends", async () => {
  const port = 8019;
  let requests = 0;
  await scene.serve(scene.outside, { ip: ONE, port }, (connection) => {
    void serveRequests(connection, () => response(requests++ === 0 ? 404 : 200));
  });
  const responseClasses = [{ condition: { match: { case: "status", value: { min: 404 } } }, isFailure: true }] as const;
  node.service(port, add([{ ip: ONE, port }]), {
    routes: [route("half", "/", { isRetryable: true, responseClasses: [...responseClasses] })],
    retryBudget: BUDGET,
  });
  const client = await node.serviceClient(port);
  expect((await client.ask("GET /")).status).toBe(404);
  await node.shows(
    `route_response_total{direction="outbound",dst="${nameOf(port)}:${port}",rt_route="half",status_code="404",classification="success"} 1`,
  );
  client.raw.socket.destroy();
});

it("16.20 and 16.21 what is a failure of gRPC", async () => {
  const port = 8020;
  const handle = await scene.http2((stream, headers) => {
    stream.resume();
    const status = headers["x-status"] as string;
    const code = headers["x-grpc"] as string | undefined;
    stream.respond({ ":status": Number(status), ...(code === undefined ? {} : { "grpc-status": code }) }, { endStream: true });
  });
  await scene.serve(scene.outside, { ip: ONE, port }, handle);
  node.service(port, add([{ ip: ONE, port }]));
  const session = await scene.http2Over(await node.appDial(SERVICE, port));
  const ask = async (type: string, status: number, code?: number): Promise<void> => {
    const fields = { "content-type": type, "x-status": String(status), ...(code === undefined ? {} : { "x-grpc": String(code) }) };
    await http2Request(session, fields);
  };
  const at = `direction="outbound",authority="${nameOf(port)}:${port}",target_addr="${ONE}:${port}",target_ip="${ONE}",target_port="${port}",tls="no_identity",no_tls_reason="not_provided_by_service_discovery"`;
  // With the plus the code decides and there being none is 0; without it HTTP does.
  await ask("application/grpc+proto", 503);
  await ask("application/grpc", 503);
  const expected = [
    `response_total{${at},status_code="503",classification="success",grpc_status="0"} 1`,
    `response_total{${at},status_code="503",classification="failure"} 1`,
  ];
  const failures = new Set([2, 4, 7, 13, 14, 15]);
  for (let code = 0; code <= 16; code++) {
    await ask("application/grpc", 200, code);
    expected.push(
      `response_total{${at},status_code="200",classification="${failures.has(code) ? "failure" : "success"}",grpc_status="${code}"} 1`,
    );
  }
  await node.shows(...expected);
  session.destroy();
});

it("16.25 and 16.26 a response without l5d-orig-proto is of the request's version; a reset of an upgraded one is 502, of a native one itself", async () => {
  const port = 8025;
  const ENHANCE_YOUR_CALM = 11;
  const handle = (connection: Raw): void => {
    // Frame by frame: settings, then what the path wants.
    const frames = new Frames(connection, "server");
    connection.write(frame(FrameType.SETTINGS, 0, 0));
    let answered = 0;
    connection.socket.on("data", () => {
      const requests = frames.all().filter(({ type }) => type === FrameType.HEADERS);
      for (; answered < requests.length; answered++) {
        const { stream } = requests[answered] as { stream: number };
        if (answered === 0) connection.write(frame(FrameType.HEADERS, 5, stream, Buffer.of(0x88)));
        else connection.write(frame(FrameType.RST_STREAM, 0, stream, u32(ENHANCE_YOUR_CALM)));
      }
    });
  };
  await scene.serveMesh(scene.outside, { ip: ONE, port, name: id("peer") }, handle);
  node.service(port, add([{ ip: ONE, port, identity: id("peer"), h2: true }]));
  const client = await node.serviceClient(port);
  expect((await client.ask("GET /")).startLine).toBe("HTTP/1.1 200 OK");
  const reset = await client.ask("GET /");
  expect(reset.status).toBe(502);
  client.raw.socket.destroy();

  const native = await node.appDial(SERVICE, port);
  native.write(Buffer.concat([Buffer.from(PREFACE), frame(FrameType.SETTINGS, 0, 0)]));
  // GET / of authority "a", by the static table.
  native.write(frame(FrameType.HEADERS, 5, 1, Buffer.of(0x82, 0x86, 0x84, 0x01, 0x01, 0x61)));
  const frames = new Frames(native, "client");
  // Its connection to the peer is another: the first request there is answered, the second reset.
  await frames.find(({ type, stream }) => (type === FrameType.HEADERS || type === FrameType.RST_STREAM) && stream === 1);
  native.write(frame(FrameType.HEADERS, 5, 3, Buffer.of(0x82, 0x86, 0x84, 0x01, 0x01, 0x61)));
  const rst = await frames.find(({ type, stream }) => type === FrameType.RST_STREAM && stream === 3);
  expect(rst.payload.readUInt32BE(0)).toBe(ENHANCE_YOUR_CALM);
  native.socket.destroy();
});

it("16.27 dead endpoints of HTTP/1 can be picked, what they did not take goes to another; those of HTTP/2 are not picked", async () => {
  // The reference answers 502 where there is another as well; no request is lost here.
  const port = 8027;
  await plain(ONE, port);
  const dead = { ip: TWO, port };
  node.service(port, add([dead]));
  const alone = await node.serviceClient(port);
  expect((await alone.ask("GET /")).status).toBe(502);
  alone.raw.socket.destroy();
  node.control.endpoints.set(`${nameOf(port)}:${port}`, add([{ ip: ONE, port }]));
  await node.control.settled();
  const client = await node.serviceClient(port);
  for (let n = 0; n < 50; n++) expect((await client.ask("GET /")).body).toBe(ONE);
  // A dial that failed counts as a slow answer: it is not tried again and again.
  const failures = async (): Promise<number> => {
    const lines = await node.series("response_total", `target_addr="${TWO}:${port}"`, 'status_code="502"');
    return Number(lines[0]?.replace(/^.* /, "") ?? 0);
  };
  expect(await failures()).toBeGreaterThanOrEqual(1);
  expect(await failures()).toBeLessThanOrEqual(3);
  client.raw.socket.destroy();

  await meshed(ONE, 8127, answering(ONE));
  const hinted = (ip: string) => ({ ip, port: 8127, identity: id("peer"), h2: true });
  node.service(8127, add([hinted(ONE), hinted(TWO)]));
  const other = await node.serviceClient(8127);
  for (let n = 0; n < 50; n++) expect((await other.ask("GET /")).body).toBe(ONE);
  other.raw.socket.destroy();
});

it("16.40 authority without port 80, dst with it", async () => {
  await plain(ONE, 80);
  node.service(80, add([{ ip: ONE, port: 80 }]), { routes: [route("any", "/")] });
  const client = await node.serviceClient(80);
  client.send(request("GET /"));
  expect((await client.answer()).status).toBe(200);
  expect(await node.series("request_total", `authority="${nameOf(80)}",`)).toHaveLength(1);
  await node.shows(`route_request_total{direction="outbound",dst="${nameOf(80)}:80",rt_route="any"} 1`);
  client.raw.socket.destroy();
});

it("16.41 latency is the time to the first byte, its sum in whole milliseconds", async () => {
  const port = 8041;
  const BODY_MS = 600;
  await scene.serve(scene.outside, { ip: ONE, port }, (connection) => {
    void serveRequests(connection, async () => {
      connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf");
      await Bun.sleep(BODY_MS);
      return "half";
    });
  });
  node.service(port, add([{ ip: ONE, port }]));
  const client = await node.serviceClient(port);
  expect((await client.ask("GET /")).body).toBe("halfhalf");
  const count = async () => (await node.series("response_latency_ms_count", nameOf(port)))[0]?.endsWith(" 1") ?? false;
  await until("it is counted", count);
  const [sum = ""] = await node.series("response_latency_ms_sum", nameOf(port));
  expect(sum).toMatch(/} \d+$/);
  expect(Number(sum.replace(/^.* /, ""))).toBeLessThan(BODY_MS);
  client.raw.socket.destroy();
});
