// The end of a proxy under load (spec hardening §4, "Drain"; spec proxy §1.8): another one takes its pod over, the old one is told
// to end. No request is lost, HTTP/1 or gRPC, at either side; streams and bodies that have begun are finished.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { isLong, runLong } from "../testing/long.ts";
import { canRunPods, Load, ProcessMesh, SERVICE_IP, startLoadApp, until } from "../testing/processes.ts";
import { dialFrom, type PodServer, serveIn } from "../testing/sockets.ts";

const it = test.if(canRunPods);
const HTTP = 8080;
const GRPC = 8081;
const SLOW = 8082;
/** 500 a second in the long run. */
const RATE = isLong ? 250 : 60;
const SECONDS = isLong ? 10 : 0.5;

let mesh: ProcessMesh;
let slow: PodServer;
/** Ends the answer of the slow application. */
let finish: () => void = () => {};

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({ tag: `${process.pid}g`, ports: { [HTTP]: {}, [GRPC]: {}, [SLOW]: {} } });
  await startLoadApp(mesh.pods.b, { delayMs: 20, http1Port: HTTP, grpcPort: GRPC });
  slow = serveIn(mesh.pods.b, SLOW, (connection) => {
    connection.onData = () => {
      void connection.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegun");
      finish = () => void connection.write("ended");
    };
  });
}, 30_000);

afterAll(() => {
  slow?.stop();
  mesh?.close();
});

// By the second; a busy machine would be taken for a fault.
runLong(
  "proxies replaced under load lose nothing",
  async () => {
    const loads = [
      new Load(mesh.pods.a, { protocol: "http1", host: SERVICE_IP, port: HTTP, rate: RATE, connections: 8 }),
      new Load(mesh.pods.a, { protocol: "grpc", host: SERVICE_IP, port: GRPC, rate: RATE, connections: 2 }),
    ];
    const more = async (): Promise<void> => {
      const before = await Promise.all(loads.map((load) => load.report()));
      for (const [i, load] of loads.entries())
        await until("traffic flows", async () => (await load.report()).sent > (before[i]?.sent ?? 0) + RATE * SECONDS, 30_000);
    };
    await more();
    for (const who of isLong ? (["b", "a", "b", "a"] as const) : (["b", "a"] as const)) {
      expect(await mesh.replaceProxy(who)).toBe(0);
      await more();
    }
    for (const load of loads) {
      const { sent, ok, failed } = await load.stop();
      expect({ ok, failed }).toEqual({ ok: sent, failed: {} });
    }
    expect(mesh.a.internalErrors).toEqual([]);
    expect(mesh.b.internalErrors).toEqual([]);
  },
  240_000,
);

it("an answer that has begun is finished before the process ends; new connections are refused", async () => {
  for (const who of ["a", "b"] as const) {
    const client = await dialFrom(mesh.pods.a, { host: SERVICE_IP, port: SLOW });
    await client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await client.until("begun");
    const old = who === "a" ? mesh.a : mesh.b;
    const ended = mesh.replaceProxy(who);
    await until("the old proxy drains", () => old.log.includes("shutting down"));
    expect(old.alive).toBe(true);
    finish();
    await client.until("begunended");
    expect(await ended).toBe(0);
    client.reset();
  }
}, 30_000);
