// LINKERD2_PROXY_CORES=2 on the built binary: two workers share both ports; counters add up, what the control plane says reaches
// both, and both drain.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { certifiedBy } from "../cases/testing/control-plane.ts";
import { Client, response, serveRequests } from "../cases/testing/http1.ts";
import { add, allow, server } from "../cases/testing/messages.ts";
import { canRunPods, id, type Node, Scene } from "../cases/testing/scene.ts";
import { parseExposition } from "../testing/exposition.ts";
import { until } from "../testing/processes.ts";
import { TapClient } from "../testing/tap.ts";

const it = test.if(canRunPods && availableParallelism() > 1);
const PORT = 8070;
const SLOW_PORT = 8071;
const OUTSIDE_PORT = 8170;
const TAP_PORT = 4190;
/** So many that both workers have some of them: all on one side is a chance of 2⁻²³. */
const CONNECTIONS = 24;
const REQUESTS = 60;
const DETECT = { detectMs: 10_000 };
const anyone = [allow("all", "anyone")];

let scene: Scene;
let node: Node;
/** Answers the requests that wait on the slow port. */
let release: () => void = () => {};

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("workers");
  node = await scene.pod({
    ports: [PORT, SLOW_PORT],
    env: { CORES: "2", TAP_SVC_NAME: id("tap"), IDENTITY_MIN_REFRESH: "300ms" },
  });
  for (const port of [PORT, SLOW_PORT]) node.control.servers.set(port, server("web", DETECT, anyone));
  await node.serveApp(PORT, ({ target }) => response(200, target));
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await node.serveApp(SLOW_PORT, () => released.then(() => response(200, "at last")));
  await scene.serve(scene.outside, { ip: "10.9.0.1", port: OUTSIDE_PORT }, (connection) => {
    void serveRequests(connection, () => response(200, "outside"));
  });
  node.service(OUTSIDE_PORT, add([{ ip: "10.9.0.1", port: OUTSIDE_PORT }]));
  node.start();
  await node.ready();
  await node.control.settled();
}, 60_000);

afterAll(() => {
  scene?.stop();
});

/** CPU of each worker's thread so far, clock ticks. */
function cpuOfWorkers(): number[] {
  const tasks = `/proc/${node.process.pid}/task`;
  const stats = readdirSync(tasks).map((thread) => readFileSync(`${tasks}/${thread}/stat`, "latin1"));
  const workers = stats.filter((stat) => stat.includes("(worker "));
  return workers.map((stat) => {
    const fields = stat.replace(/^.*\) /, "").split(" ");
    return Number(fields[11]) + Number(fields[12]);
  });
}

const several = <T>(make: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: CONNECTIONS }, make));

async function askOften(clients: readonly Client[]): Promise<void> {
  const one = async (client: Client): Promise<void> => {
    for (let n = 0; n < REQUESTS; n++) expect((await client.ask("GET /")).status).toBe(200);
  };
  await Promise.all(clients.map(one));
}

const hangUp = (clients: readonly Client[]): void => {
  for (const { raw } of clients) raw.socket.destroy();
};

it("both serve both sides, and what they count adds up exactly", async () => {
  const before = cpuOfWorkers();
  expect(before).toHaveLength(2);
  const inbound = await several(() => node.client(PORT));
  const outbound = await several(() => node.serviceClient(OUTSIDE_PORT));
  await askOften([...inbound, ...outbound]);
  const used = cpuOfWorkers().map((ticks, i) => ticks - (before[i] as number));
  for (const ticks of used) expect(ticks).toBeGreaterThan(0);

  const samples = parseExposition(await node.metrics());
  const total = CONNECTIONS * REQUESTS;
  const into = { direction: "inbound", target_port: String(PORT) };
  const out = { direction: "outbound", target_port: String(OUTSIDE_PORT) };
  for (const side of [into, out]) {
    expect(samples.sum("request_total", side)).toBe(total);
    expect(samples.sum("response_total", { ...side, status_code: "200", classification: "success" })).toBe(total);
    expect(samples.sum("response_latency_ms_count", side)).toBe(total);
    expect(samples.sum("response_latency_ms_bucket", { ...side, le: "+Inf" })).toBe(total);
    expect(samples.sum("tcp_open_total", { ...side, peer: "src" })).toBe(CONNECTIONS);
    expect(samples.sum("tcp_open_connections", { ...side, peer: "src" })).toBe(CONNECTIONS);
  }
  expect(samples.sum("inbound_http_authz_allow_total", { target_port: String(PORT) })).toBe(total);
  // One of each, however many threads.
  for (const name of ["process_cpu_seconds_total", "proxy_build_info", "identity_cert_refresh_count"]) expect(samples.series(name)).toBe(1);
  const page = await node.metrics();
  const headings = page.split("\n").filter((line) => line.startsWith("# TYPE "));
  expect(new Set(headings).size).toBe(headings.length);

  hangUp([...inbound, ...outbound]);
  const open = async () => parseExposition(await node.metrics()).sum("tcp_open_connections", { peer: "src", target_port: String(PORT) });
  await until("connections are counted as closed", async () => (await open()) === 0);
}, 30_000);

it("a policy reaches both", async () => {
  const clients = await several(() => node.client(PORT));
  const statuses = async () => new Set((await Promise.all(clients.map((client) => client.ask("GET /")))).map(({ status }) => status));
  expect(await statuses()).toEqual(new Set([200]));
  node.control.servers.set(PORT, server("web", DETECT, []));
  await node.control.settled();
  expect(await statuses()).toEqual(new Set([403]));
  node.control.servers.set(PORT, server("web", DETECT, anyone));
  await node.control.settled();
  expect(await statuses()).toEqual(new Set([200]));
  hangUp(clients);
}, 20_000);

it("a new certificate reaches both; a renewal is one", async () => {
  const serials = async () => {
    const connections = await several(() => node.dialMesh(PORT, { as: "client" }));
    const found = new Set(connections.map(({ tls }) => tls.getPeerX509Certificate()?.serialNumber));
    for (const { socket } of connections) socket.destroy();
    return found;
  };
  const before = await serials();
  expect(before.size).toBe(1);
  // The one that is used was issued for an hour; the proxy is made to ask again by starting anew with one that is soon over.
  const again = node.control.certifications.length;
  let times = 0;
  node.control.certify = (request) => certifiedBy(scene.ca, request, times++ === 0 ? 400 : 3_600_000);
  await node.process.stop();
  node.start();
  await node.ready();
  await node.shows("identity_cert_refresh_count 2");
  expect(node.control.certifications).toHaveLength(again + 2);
  const after = await serials();
  expect(after.size).toBe(1);
  expect(after).not.toEqual(before);
}, 30_000);

it("a filter of the log reaches both", async () => {
  const client = new Client(await node.local(4191));
  const setFilter = async (filter: string): Promise<void> => {
    expect((await client.ask("PUT /proxy-log-level", { host: "localhost" }, filter)).status).toBe(204);
  };
  await setFilter("warn,x=off");
  node.control.servers.set(PORT, server("other", DETECT, anyone));
  await node.control.settled();
  expect(node.log).not.toContain("server=other");
  await setFilter("warn,linkerd=info");
  node.control.servers.set(PORT, server("web", DETECT, anyone));
  for (const thread of ["02", "03"]) await node.said(new RegExp(`ThreadId\\(${thread}\\) .*policy changed.* port=${PORT} server=web`));
  client.raw.socket.destroy();
}, 20_000);

it("a tap sees what both serve, and no more than it asked for", async () => {
  const limit = 10;
  const port = await scene.door(() => node.dialMesh(TAP_PORT, { as: "tap" }));
  const tap = new TapClient(`127.0.0.1:${port}`);
  const observed = tap.observe({ limit, match: { match: { case: "all", value: {} } } });
  await observed.taken;
  const clients = await several(() => node.client(PORT));
  await askOften(clients);
  expect((await observed.end).code).toBe(0);
  const events = observed.events.map(({ event }) => (event.case === "http" ? event.value.event : null));
  const streams = (kind: string) => events.filter((event) => event?.case === kind).map((event) => event?.value?.id?.stream);
  for (const kind of ["requestInit", "responseInit", "responseEnd"]) {
    expect(streams(kind)).toHaveLength(limit);
    expect(new Set(streams(kind))).toEqual(new Set(streams("requestInit")));
  }
  hangUp(clients);
  tap.close();
}, 30_000);

it("SIGTERM: both finish what has begun, and the process ends well", async () => {
  const clients = await several(() => node.client(SLOW_PORT));
  for (const client of clients) client.send("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
  const begun = async () => parseExposition(await node.metrics()).sum("request_total", { target_port: String(SLOW_PORT) });
  await until("all requests have begun", async () => (await begun()) === CONNECTIONS);
  const ended = node.process.stop();
  await node.said("shutting down");
  await until("nothing new is taken", () =>
    node.dial(PORT).then(
      ({ socket }) => {
        socket.destroy();
        return false;
      },
      () => true,
    ),
  );
  release();
  for (const client of clients) expect(await client.answer()).toMatchObject({ status: 200, body: "at last" });
  expect(await ended).toBe(0);
  expect(node.process.internalErrors).toEqual([]);
}, 30_000);
