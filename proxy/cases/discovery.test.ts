// Spec proxy §17, 35 to 42: where the outbound side sends what the application sends, by the word of discovery.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Code } from "@connectrpc/connect";
import { until } from "../testing/processes.ts";
import type { Raw } from "../testing/wire.ts";
import { type Client, request, response, serveRequests } from "./testing/http1.ts";
import { add, noEndpoints } from "./testing/messages.ts";
import { canRunPods, id, type Node, nameOf, Scene, SERVICE, type Served } from "./testing/scene.ts";

const it = test.if(canRunPods);
/** Fail-fast, ms. */
const DISPATCH_MS = 700;
const [ONE, TWO, THREE] = ["10.9.0.1", "10.9.0.2", "10.9.0.3"] as const;
/** A server whose address is one of the networks that are asked for. */
const KNOWN = "10.96.9.1";

let scene: Scene;
let node: Node;

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("discovery");
  node = await scene.proxy({ account: "client", env: { OUTBOUND_DISPATCH_TIMEOUT: `${DISPATCH_MS}ms` } });
}, 60_000);

afterAll(() => {
  scene?.stop();
});

const target = (ip: string, port: number): string => `target_addr="${ip}:${port}",target_ip="${ip}",target_port="${port}"`;
const notProvided = 'tls="no_identity",no_tls_reason="not_provided_by_service_discovery"';

/** A server without TLS that answers with its own address. */
const plain = (ip: string, port: number): Promise<Served> =>
  scene.serve(scene.outside, { ip, port }, (connection) => void serveRequests(connection, () => response(200, ip)));

/** A meshed peer that answers over HTTP/2 with its own address. */
async function meshed(ip: string, port: number): Promise<Served & { readonly requests: number }> {
  let requests = 0;
  const handle = await scene.http2((stream) => {
    requests++;
    stream.respond({ ":status": 200 });
    stream.end(ip);
  });
  const served = await scene.serveMesh(scene.outside, { ip, port, name: id("peer") }, handle);
  return {
    get connections() {
      return served.connections;
    },
    get open() {
      return served.open;
    },
    get requests() {
      return requests;
    },
    stop: served.stop,
  };
}

it("17.35 an address outside the networks is forwarded to, and nobody is asked", async () => {
  await plain(ONE, 8035);
  const client = await node.appClient(ONE, 8035);
  expect((await client.ask("GET /")).body).toBe(ONE);
  expect(node.control.profiles.count(`${ONE}:8035`)).toBe(0);
  const labels = `direction="outbound",${target(ONE, 8035)},${notProvided}`;
  await node.shows(
    `request_total{${labels}} 1`,
    `tcp_open_total{direction="outbound",peer="dst",${target(ONE, 8035)},${notProvided}} 1`,
    `tcp_open_total{direction="outbound",peer="src",${target(ONE, 8035)},tls="no_identity",no_tls_reason="loopback"} 1`,
  );
  client.raw.socket.destroy();
});

it("17.36 InvalidArgument is no profile, for good; Unavailable is no answer, and the connection closes", async () => {
  await plain(KNOWN, 8036);
  const client = await node.appClient(KNOWN, 8036);
  expect((await client.ask("GET /")).body).toBe(KNOWN);
  expect(node.control.profiles.count(`${KNOWN}:8036`)).toBe(1);
  // Detected: there are HTTP metrics.
  await node.shows(`request_total{direction="outbound",${target(KNOWN, 8036)},${notProvided}} 1`);
  client.raw.socket.destroy();

  const unasked = await plain(KNOWN, 8136);
  node.control.profiles.refuse(`${KNOWN}:8136`, Code.Unavailable);
  const waiting = await node.appDial(KNOWN, 8136);
  const since = performance.now();
  waiting.write(request("GET /"));
  expect(await waiting.closed).toBe("");
  expect(performance.now() - since).toBeGreaterThan(DISPATCH_MS * 0.9);
  waiting.socket.destroy();
  expect(unasked.connections).toBe(0);
  // It was asked for again and again.
  expect(node.control.profiles.count(`${KNOWN}:8136`)).toBeGreaterThan(1);
  await node.shows(`outbound_tcp_errors_total{${target(KNOWN, 8136)},error="failfast"} 1`);
});

it("17.37 an endpoint in the profile is dialed as it is, and its name is not resolved", async () => {
  await meshed(ONE, 8037);
  const endpoint = { ip: ONE, port: 8037, identity: id("peer"), h2: true, labels: { pod: "web-0", namespace: "ns" } };
  const { update } = add([endpoint]);
  const addrs = update?.case === "add" ? update.value.addrs : undefined;
  node.service(8037, null, { fullyQualifiedName: nameOf(8037), endpoint: addrs?.[0] as NonNullable<typeof addrs>[0] });
  const client = await node.serviceClient(8037);
  expect((await client.ask("GET /")).body).toBe(ONE);
  expect(node.control.endpoints.count(`${nameOf(8037)}:8037`)).toBe(0);
  const tls = `tls="true",server_id="${id("peer")}"`;
  await node.shows(
    `response_total{direction="outbound",${target(ONE, 8037)},${tls},dst_namespace="ns",dst_pod="web-0",status_code="200",classification="success"} 1`,
    `tcp_open_total{direction="outbound",peer="dst",${target(ONE, 8037)},${tls},dst_namespace="ns",dst_pod="web-0"} 1`,
  );
  client.raw.socket.destroy();
});

it("17.38 no endpoints: fail-fast, at once from then on, until there are some; TCP closes", async () => {
  node.service(8038, noEndpoints(true));
  const error = /^HTTP (Balancer|Logical) service in fail-fast$/;
  const ask = async () => {
    const client = await node.serviceClient(8038);
    const since = performance.now();
    const answer = await client.ask("GET /");
    client.raw.socket.destroy();
    return { answer, after: performance.now() - since };
  };
  const first = await ask();
  expect(first.answer.status).toBe(504);
  expect(first.answer.fields.get("l5d-proxy-error")).toMatch(error);
  expect(first.answer.fields.get("l5d-proxy-connection")).toBe("close");
  expect(first.after).toBeGreaterThan(DISPATCH_MS * 0.9);
  for (let n = 0; n < 3; n++) {
    const next = await ask();
    expect(next.answer.status).toBe(504);
    expect(next.answer.fields.get("l5d-proxy-error")).toMatch(error);
    expect(next.after).toBeLessThan(DISPATCH_MS);
  }
  await node.shows('outbound_http_errors_total{error="failfast"} 4');
  await meshed(ONE, 8038);
  node.control.endpoints.set(`${nameOf(8038)}:8038`, add([{ ip: ONE, port: 8038, identity: id("peer"), h2: true }]));
  await until("requests pass", async () => (await ask()).answer.status === 200);

  node.service(8138, noEndpoints(true), { opaqueProtocol: true });
  const tcp = await node.appDial(SERVICE, 8138);
  tcp.write("hello");
  expect(await tcp.closed).toBe("");
  tcp.socket.destroy();
});

it("17.39 after a reset the first message replaces the set; who stays keeps the connection, and nobody notices", async () => {
  const port = 8039;
  const [a, b, c] = await Promise.all([meshed(ONE, port), meshed(TWO, port), meshed(THREE, port)]);
  const at = (ip: string) => ({ ip, port, identity: id("peer"), h2: true });
  node.service(port, add([at(ONE), at(TWO)]));
  const answers: string[] = [];
  let on = true;
  // At the same time, since an endpoint that is busy costs more.
  const load = Promise.all(
    Array.from({ length: 6 }, async () => {
      const client = await node.serviceClient(port);
      while (on) {
        const answer = await client.ask("GET /");
        answers.push(`${answer.status} ${answer.body}`);
      }
      client.raw.socket.destroy();
    }),
  );
  await until("both serve", () => a.requests > 0 && b.requests > 0);

  const path = `${nameOf(port)}:${port}`;
  node.control.endpoints.begin(path, add([at(TWO), at(THREE)]));
  node.control.cut();
  await node.control.endpoints.called(path, 2);
  await until("the third serves", () => c.requests > 0);
  await until("the first is left", () => a.open === 0);
  const before = b.requests;
  await until("the second goes on", () => b.requests > before);
  on = false;
  await load;
  expect([a.connections, b.connections, c.connections]).toEqual([1, 1, 1]);
  expect(answers.filter((answer) => !answer.startsWith("200 "))).toEqual([]);
});

it("17.40 an endpoint at the pod's own address gets plain text on its own port", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  await node.serveApp(8040, ({ head }) => {
    resolve(head);
    return response(200, "self");
  });
  node.service(8040, add([{ ip: node.ip, port: 8040, identity: id("peer"), h2: true, transport: 4143, authority: "other.example:80" }]));
  const client = await node.serviceClient(8040);
  expect((await client.ask("GET /")).body).toBe("self");
  const head = await promise;
  expect(head).toStartWith("GET / HTTP/1.1\r\nhost: app\r\n");
  expect(head).not.toContain("l5d-orig-proto");
  await node.shows(
    `request_total{direction="outbound",authority="${nameOf(8040)}:8040",${target(node.ip, 8040)},tls="no_identity",no_tls_reason="loopback"} 1`,
  );
  client.raw.socket.destroy();
});

it("17.41 a split by weight, blind to health, under the apex's name", async () => {
  const port = 8041;
  const leaf = (name: string) => `${name}.ns.svc.cluster.local:${port}`;
  await Promise.all([plain(ONE, port), plain(TWO, port), plain(THREE, port)]);
  for (const [name, ip] of [
    ["a", ONE],
    ["b", TWO],
    ["c", THREE],
  ] as const)
    node.control.endpoints.set(leaf(name), add([{ ip, port }], { service: name }));
  node.service(port, null, {
    dstOverrides: [
      { authority: leaf("a"), weight: 9000 },
      { authority: leaf("b"), weight: 1000 },
      { authority: leaf("c"), weight: 0 },
    ],
  });
  const count = async (requests: number): Promise<Map<string, number>> => {
    const counts = new Map<string, number>();
    let left = requests;
    const caller = async (): Promise<void> => {
      let client: Client | null = null;
      while (left-- > 0) {
        client ??= await node.serviceClient(port);
        const answer = await client.ask("GET /");
        const what = answer.status === 200 ? answer.body : String(answer.status);
        counts.set(what, (counts.get(what) ?? 0) + 1);
        if (answer.fields.get("connection") !== "close") continue;
        client.raw.socket.destroy();
        client = null;
      }
      client?.raw.socket.destroy();
    };
    await Promise.all(Array.from({ length: 10 }, caller));
    return counts;
  };
  // One in ten of 600, give or take five standard deviations (7.3).
  const [REQUESTS, LEAST, MOST] = [600, 24, 96];
  const healthy = await count(REQUESTS);
  expect([...healthy.keys()].sort()).toEqual([ONE, TWO]);
  expect(healthy.get(TWO)).toBeGreaterThan(LEAST);
  expect(healthy.get(TWO)).toBeLessThan(MOST);
  expect(node.control.endpoints.count(leaf("c"))).toBe(0);

  const apex = `direction="outbound",authority="${nameOf(port)}:${port}"`;
  await node.shows(
    `request_total{${apex},${target(ONE, port)},${notProvided},dst_service="a"} ${healthy.get(ONE)}`,
    `request_total{${apex},${target(TWO, port)},${notProvided},dst_service="b"} ${healthy.get(TWO)}`,
  );

  node.control.endpoints.set(leaf("b"), noEndpoints(true));
  await node.control.settled();
  const broken = await count(REQUESTS);
  expect([...broken.keys()].sort()).toEqual([ONE, "504"]);
  expect(broken.get("504")).toBeGreaterThan(LEAST);
  expect(broken.get("504")).toBeLessThan(MOST);
});

it("17.42 an opaque service carries HTTP as bytes", async () => {
  const { promise, resolve } = Promise.withResolvers<Raw>();
  await scene.serveMesh(scene.outside, { ip: ONE, port: 8042, name: id("peer") }, resolve);
  node.service(8042, add([{ ip: ONE, port: 8042, identity: id("peer") }], { service: "opaque" }), { opaqueProtocol: true });
  const client = await node.appDial(SERVICE, 8042);
  const bytes = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-foo\r\nX-Foo: 1\r\n\r\n";
  client.write(bytes);
  const server = await promise;
  await server.until("\r\n\r\n");
  expect(server.text()).toBe(bytes);
  server.write("no HTTP");
  await client.until("no HTTP");
  client.socket.destroy();
  await node.shows(
    `tcp_open_total{direction="outbound",peer="dst",authority="${nameOf(8042)}:8042",${target(ONE, 8042)},tls="true",server_id="${id("peer")}",dst_service="opaque"} 1`,
  );
  expect(await node.series("request_total", nameOf(8042))).toEqual([]);
});
