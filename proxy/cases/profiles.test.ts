// Spec proxy §17, 43 to 48: routes, retries, budgets, timeouts, response classes.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { IncomingHttpHeaders } from "node:http2";
import { http2Request } from "../testing/http2.ts";
import { type Request, request, response, serveRequests } from "./testing/http1.ts";
import { add, BUDGET, duration, type Profile, type Route, route } from "./testing/messages.ts";
import { canRunPods, type Node, nameOf, Scene, SERVICE } from "./testing/scene.ts";

const it = test.if(canRunPods);
const SERVER = "10.9.0.1";
/** More than this of a body is not kept for another attempt. */
const REPLAY_BYTES = 65536;

let scene: Scene;
let node: Node;

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("profiles");
  node = await scene.proxy({ account: "client" });
}, 60_000);

afterAll(() => {
  scene?.stop();
});

/** A service with one server that answers with these statuses, then 200, and its profile. */
async function service(port: number, statuses: number[], profile: Profile): Promise<Request[]> {
  const requests: Request[] = [];
  await scene.serve(scene.outside, { ip: SERVER, port }, (connection) => {
    void serveRequests(connection, (request) => {
      requests.push(request);
      return response(statuses.shift() ?? 200, request.target);
    });
  });
  node.service(port, add([{ ip: SERVER, port }]), profile);
  return requests;
}

const labels = (port: number, name: string): string => `direction="outbound",dst="${nameOf(port)}:${port}",rt_route="${name}"`;
const success = 'status_code="200",classification="success"';
const failure = (status: number): string => `status_code="${status}",classification="failure"`;
const retried = (name: string, rest: Route = {}): Profile => ({
  routes: [route(name, "/a/.*", { isRetryable: true, ...rest })],
  retryBudget: BUDGET,
});

it("17.43 a failure is tried again; each attempt and the request are counted; a route is a whole path without its query", async () => {
  const port = 8043;
  const requests = await service(port, [503], {
    ...retried("a"),
    routes: [
      {
        ...route("a", "", { isRetryable: true }),
        condition: {
          match: {
            case: "all",
            value: {
              matches: [
                { match: { case: "method", value: { type: { case: "registered", value: 0 } } } },
                { match: { case: "path", value: { regex: "/a/.*" } } },
              ],
            },
          },
        },
      },
    ],
  });
  const client = await node.serviceClient(port);
  const answer = await client.ask("GET /a/1");
  expect([answer.status, answer.body]).toEqual([200, "/a/1"]);
  expect(requests.length).toBe(2);
  const at = labels(port, "a");
  await node.shows(
    `route_request_total{${at}} 1`,
    `route_response_total{${at},${success}} 1`,
    `route_actual_request_total{${at}} 2`,
    `route_actual_response_total{${at},${failure(503)}} 1`,
    `route_actual_response_total{${at},${success}} 1`,
    `route_retryable_total{${at}} 1`,
  );
  for (const line of ["GET /a/1?x", "GET /b/a/1", "POST /a/1"]) expect((await client.ask(line)).status).toBe(200);
  await node.shows(`route_request_total{${at}} 2`, `route_response_total{${at},${success}} 2`);
  expect(await node.series("route_request_total", nameOf(port))).toHaveLength(1);
  client.raw.socket.destroy();
});

it("17.44 a body of 65536 bytes is sent again as it was; one byte more is not", async () => {
  const port = 8044;
  const statuses: number[] = [];
  const requests = await service(port, statuses, retried("body"));
  const body = (length: number): string => Buffer.alloc(length, "0123456789abcdefghijklmnopqrstuvwxyz").toString("latin1");
  const client = await node.serviceClient(port);

  statuses.push(503);
  expect((await client.ask("POST /a/kept", {}, body(REPLAY_BYTES))).status).toBe(200);
  expect(requests.length).toBe(2);
  for (const { head } of requests) expect(head).toContain(`content-length: ${REPLAY_BYTES}\r\n`);
  for (const sent of requests) expect(sent.body === body(REPLAY_BYTES)).toBe(true);

  statuses.push(503);
  expect((await client.ask("POST /a/known", {}, body(REPLAY_BYTES + 1))).status).toBe(503);
  expect(requests.length).toBe(3);
  expect(requests[2]?.body === body(REPLAY_BYTES + 1)).toBe(true);

  statuses.push(503);
  const long = body(REPLAY_BYTES + 1);
  const chunks = [long.slice(0, 30_000), long.slice(30_000, REPLAY_BYTES), long.slice(REPLAY_BYTES)];
  client.send(request("POST /a/chunked", { "transfer-encoding": "chunked" }));
  for (const chunk of chunks) client.send(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
  client.send("0\r\n\r\n");
  expect((await client.answer()).status).toBe(503);
  expect(requests.length).toBe(4);
  expect(requests[3]?.body === long).toBe(true);
  await node.shows(
    `route_retryable_total{${labels(port, "body")}} 1`,
    `route_actual_request_total{${labels(port, "body")}} 4`,
    `route_response_total{${labels(port, "body")},${failure(503)}} 2`,
  );
  client.raw.socket.destroy();
});

it("17.44 a chunked body of 65536 bytes is sent again as well", async () => {
  const port = 8144;
  const requests = await service(port, [503], retried("chunked"));
  const client = await node.serviceClient(port);
  const half = Buffer.alloc(REPLAY_BYTES / 2, "abc").toString("latin1");
  client.send(request("POST /a/chunked", { "transfer-encoding": "chunked" }));
  for (const chunk of [half, half]) client.send(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
  client.send("0\r\n\r\n");
  expect((await client.answer()).status).toBe(200);
  expect(requests.map(({ body }) => body === half + half)).toEqual([true, true]);
  client.raw.socket.destroy();
});

it("17.45 without a budget nothing is tried again, nor with an empty one", async () => {
  const { retryBudget: _, ...unbudgeted } = retried("none");
  const first = await service(8045, [503], unbudgeted);
  const one = await node.serviceClient(8045);
  expect((await one.ask("GET /a/1")).status).toBe(503);
  expect(first.length).toBe(1);
  await node.shows(`route_response_total{${labels(8045, "none")},${failure(503)}} 1`);
  expect(await node.series("route_retryable_total", nameOf(8045))).toEqual([]);

  const second = await service(8145, [503, 503, 503], {
    ...retried("empty"),
    retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 0, ttl: duration(10_000) },
  });
  const two = await node.serviceClient(8145);
  expect((await two.ask("GET /a/1")).status).toBe(503);
  expect(second.length).toBe(1);
  await node.shows(`route_retryable_total{${labels(8145, "empty")},skipped="no_budget"} 1`);
  for (const client of [one, two]) client.raw.socket.destroy();
});

it("17.46 a timeout ends the wait for a response head, and no body", async () => {
  const port = 8046;
  const timeoutMs = 400;
  let late = () => {};
  await scene.serve(scene.outside, { ip: SERVER, port }, (connection) => {
    void serveRequests(connection, ({ target }) => {
      if (target === "/a/never") return null;
      late = () => connection.write("late");
      return "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    });
  });
  node.service(port, add([{ ip: SERVER, port }]), { routes: [route("slow", "/a/.*", { timeout: duration(timeoutMs) })] });
  const client = await node.serviceClient(port);
  const since = performance.now();
  const answer = await client.ask("GET /a/never");
  expect(performance.now() - since).toBeGreaterThan(timeoutMs * 0.9);
  expect(answer.status).toBe(504);
  expect(answer.fields.get("l5d-proxy-error")).toBe("HTTP response timeout after 400ms");
  expect(answer.fields.get("connection")).toBe("close");
  await node.shows(
    `route_response_total{${labels(port, "slow")},classification="failure",error="timeout"} 1`,
    'outbound_http_errors_total{error="response timeout"} 1',
  );

  const patient = await node.serviceClient(port);
  patient.send(request("GET /a/body"));
  await patient.raw.until("\r\n\r\n");
  await Bun.sleep(timeoutMs * 1.5);
  late();
  const whole = await patient.answer();
  expect([whole.status, whole.body]).toEqual([200, "late"]);
  await node.shows(`route_response_total{${labels(port, "slow")},${success}} 1`);
  for (const one of [client, patient]) one.raw.socket.destroy();
});

it("17.47 what a class calls a failure is one, and is tried again", async () => {
  const port = 8047;
  const responseClasses = [{ condition: { match: { case: "status", value: { min: 404, max: 404 } } }, isFailure: true }] as const;
  const requests = await service(port, [404], retried("classed", { responseClasses: [...responseClasses] }));
  const client = await node.serviceClient(port);
  expect((await client.ask("GET /a/1")).status).toBe(200);
  expect(requests.length).toBe(2);
  await node.shows(
    `route_actual_response_total{${labels(port, "classed")},${failure(404)}} 1`,
    `route_actual_response_total{${labels(port, "classed")},${success}} 1`,
    `route_response_total{${labels(port, "classed")},${success}} 1`,
    `route_retryable_total{${labels(port, "classed")}} 1`,
  );
  client.raw.socket.destroy();
});

it("17.48 a gRPC failure in the head is tried again; in the trailers it is counted only", async () => {
  const port = 8048;
  const seen: IncomingHttpHeaders[] = [];
  const handle = await scene.http2((stream, headers) => {
    seen.push(headers);
    stream.resume();
    const head = { ":status": 200, "content-type": "application/grpc" };
    if (headers[":path"] === "/a/head" && seen.length === 1) {
      stream.respond({ ...head, "grpc-status": "14" }, { endStream: true });
      return;
    }
    stream.respond(head, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": headers[":path"] === "/a/trailers" ? "14" : "0" }));
    stream.end("data");
  });
  await scene.serve(scene.outside, { ip: SERVER, port }, handle);
  node.service(port, add([{ ip: SERVER, port }]), retried("grpc"));
  const session = await scene.http2Over(await node.appDial(SERVICE, port));
  const call = (path: string) =>
    http2Request(session, { ":method": "POST", ":path": path, "content-type": "application/grpc" }, { body: "call" });
  const first = await call("/a/head");
  expect([first.headers[":status"], first.body, first.trailers["grpc-status"]]).toEqual([200, "data", "0"]);
  expect(seen.length).toBe(2);
  const second = await call("/a/trailers");
  expect([second.headers[":status"], second.body, second.trailers["grpc-status"]]).toEqual([200, "data", "14"]);
  expect(seen.length).toBe(3);
  const at = labels(port, "grpc");
  await node.shows(
    `route_actual_response_total{${at},status_code="200",classification="failure",grpc_status="14"} 2`,
    `route_response_total{${at},status_code="200",classification="failure",grpc_status="14"} 1`,
    `route_response_total{${at},status_code="200",classification="success",grpc_status="0"} 1`,
    `route_retryable_total{${at}} 1`,
  );
  session.destroy();
});
