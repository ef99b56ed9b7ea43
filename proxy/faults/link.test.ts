// A bad network between the pods (spec hardening §5): packets late, lost, twice, out of order, damaged. TCP makes them good again;
// what it costs is time, never an answer. The link is a pair of TUN devices with a process in between, as few kernels have netem.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { ImpairedLink } from "../testing/impaired-link.ts";
import { runLong } from "../testing/long.ts";
import type { Impairment } from "../testing/packet-relay.ts";
import { canRunPods, Load, ProcessMesh, SERVICE_IP, startLoadApp, until } from "../testing/processes.ts";
import { type PodServer, requestFrom, serveIn } from "../testing/sockets.ts";

const it = test.if(canRunPods);
const HTTP = 8080;
const GRPC = 8081;
const LARGE = 8082;
/** A mebibyte in which no two lines are the same. */
const body = Array.from({ length: 1 << 14 }, (_, i) => createHash("sha256").update(String(i)).digest("hex")).join("");

let mesh: ProcessMesh;
let app: PodServer;
let link: ImpairedLink;

beforeAll(async () => {
  if (!canRunPods) return;
  link = new ImpairedLink();
  mesh = await ProcessMesh.start({
    tag: `${process.pid}w`,
    ports: { [HTTP]: {}, [GRPC]: {}, [LARGE]: {} },
    link: link.join,
    env: () => ({ OUTBOUND_CONNECT_TIMEOUT: "5s", OUTBOUND_DISPATCH_TIMEOUT: "15s" }),
  });
  await startLoadApp(mesh.pods.b, { delayMs: 0, http1Port: HTTP, grpcPort: GRPC });
  app = serveIn(mesh.pods.b, LARGE, (connection) => {
    connection.onData = () => void connection.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  });
}, 30_000);

afterAll(() => {
  app?.stop();
  mesh?.close();
  link?.close();
});

async function holds(impairment: Impairment, requests: number): Promise<void> {
  await link.set(impairment);
  const loads = [
    new Load(mesh.pods.a, { protocol: "http1", host: SERVICE_IP, port: HTTP, rate: 40, connections: 4 }),
    new Load(mesh.pods.a, { protocol: "grpc", host: SERVICE_IP, port: GRPC, rate: 40, connections: 1 }),
  ];
  const large = requestFrom(mesh.pods.a, { host: SERVICE_IP, port: LARGE, timeoutMs: 25_000 });
  for (const load of loads) await until("traffic", async () => (await load.report()).sent >= requests, 25_000);
  for (const load of loads) {
    const { sent, ok, failed } = await load.stop();
    expect({ ok, failed }).toEqual({ ok: sent, failed: {} });
  }
  const answer = await large;
  expect(answer.status).toBe(200);
  expect(answer.body === body).toBe(true);
  await link.set({});
  for (const proxy of [mesh.a, mesh.b]) {
    expect(proxy.alive).toBe(true);
    expect(proxy.internalErrors).toEqual([]);
  }
}

it(
  "late, lost, twice, out of order and damaged at once",
  () => holds({ delayMs: 4, jitterMs: 3, loss: 0.02, duplicate: 0.02, corrupt: 0.02, reorder: 0.1, seed: 7 }, 40),
  40_000,
);

const each: readonly Impairment[] = [
  { delayMs: 50 },
  { delayMs: 20, jitterMs: 20 },
  { loss: 0.05 },
  { loss: 0.2 },
  { duplicate: 0.5 },
  { corrupt: 0.1 },
  { delayMs: 10, reorder: 0.5 },
];
for (const impairment of each) runLong(JSON.stringify(impairment), () => holds({ ...impairment, seed: 11 }, 200), 60_000);
