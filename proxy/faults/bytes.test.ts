// What the network does to a stream of bytes (spec hardening §5): one byte at a time, ends in the middle of a record or frame, a
// bit turned, nothing for a while. Between the two built proxies, where the bytes are TLS, and on either side of them.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ByteRelay, type Harm } from "../testing/byte-relay.ts";
import { isLong } from "../testing/long.ts";
import { canRunPods, ProcessMesh, SERVICE_IP, until } from "../testing/processes.ts";
import { dialFrom, type PodServer, type PodSocket, requestFrom, serveIn } from "../testing/sockets.ts";

const it = test.if(canRunPods);
const PORT = 8080;
const BODY = "0123456789abcdef".repeat(200);
const ANSWER = `HTTP/1.1 200 OK\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;

let mesh: ProcessMesh;
let relay: ByteRelay;
let app: PodServer;
/** What the application does with a request. */
let answer: (connection: PodSocket) => void;

const plainly = (connection: PodSocket): void => void connection.write(ANSWER);

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({
    tag: `${process.pid}y`,
    ports: { [PORT]: {} },
    // Requests that find no endpoint learn it soon.
    env: () => ({ OUTBOUND_DISPATCH_TIMEOUT: "300ms" }),
  });
  answer = plainly;
  app = serveIn(mesh.pods.b, PORT, (connection) => {
    let heads = 0;
    connection.onData = () => {
      const seen = connection.text().split("\r\n\r\n").length - 1;
      for (; heads < seen; heads++) answer(connection);
    };
  });
  relay = new ByteRelay(mesh.outsider, PORT, { host: mesh.pods.b.ip, port: PORT });
  mesh.detour();
  await until("requests take the detour", async () => (await ask()) === "200" && relay.accepted > 0);
}, 30_000);

afterAll(() => {
  relay?.stop();
  app?.stop();
  mesh?.close();
});

/** Status of a request through both proxies, its body compared; or how it failed. */
async function ask(): Promise<string> {
  const response = await requestFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT, timeoutMs: 10_000 }).catch((error: Error) => error);
  if (response instanceof Error) return response.message;
  return response.status === 200 && response.body !== BODY ? "200 with another body" : String(response.status);
}

/** The next connection between the proxies meets this harm; then the harm is gone, and all is well. */
async function harmed(harm: Harm): Promise<string> {
  relay.cut();
  relay.harm = harm;
  const words = await Promise.all([ask(), ask(), ask()]);
  relay.harm = { kind: "none" };
  relay.cut();
  await until("all is well again", async () => (await ask()) === "200");
  for (const proxy of [mesh.a, mesh.b]) {
    expect(proxy.alive).toBe(true);
    expect(proxy.internalErrors).toEqual([]);
  }
  return [...new Set(words)].sort().join(" ");
}

it("between the proxies: one byte at a time, both ways", async () => {
  expect(await harmed({ kind: "bytewise" })).toBe("200");
}, 30_000);

// A hello is a few hundred bytes; the handshake is over after about 2,000, and requests and answers follow.
const OFFSETS = isLong ? [1, 5, 200, 700, 1500, 2500, 4000] : [5, 700, 2500];
for (const direction of ["forth", "back"] as const)
  for (const kind of ["reset", "end"] as const)
    it(`between the proxies: ${kind} in the middle, ${direction}`, async () => {
      for (const after of OFFSETS) {
        const words = await harmed({ kind, direction, after });
        // An answer that has begun can only end early.
        for (const word of words.split(/ (?=\d|the )/)) expect(word).toMatch(/^(200|502|503|504)$|within the answer/);
      }
    }, 30_000);

for (const direction of ["forth", "back"] as const)
  it(`between the proxies: a bit turned, ${direction}`, async () => {
    // In the record header, in the hello, in the certificate, in what is encrypted.
    for (const byte of isLong ? [0, 3, 60, 900, 2600] : [0, 900, 2600]) {
      const words = await harmed({ kind: "flip", direction, bit: byte * 8 + 1 });
      expect(words).not.toContain("another body");
    }
  }, 30_000);

it("between the proxies: nothing passes for a second, then everything arrives", async () => {
  relay.hold();
  const words = Promise.all(Array.from({ length: 20 }, ask));
  await Bun.sleep(1000);
  relay.release();
  expect(new Set(await words)).toEqual(new Set(["200"]));
}, 30_000);

it("an application that answers one byte at a time", async () => {
  answer = async (connection) => {
    for (const byte of ANSWER) await connection.write(byte).then(() => new Promise((resolve) => setImmediate(resolve)));
  };
  expect(await ask()).toBe("200");
  answer = plainly;
}, 30_000);

it("an application that resets in the middle of head and body", async () => {
  for (const bytes of [1, 20, 45, 60, ANSWER.length - 1]) {
    answer = async (connection) => {
      await connection.write(ANSWER.slice(0, bytes));
      await Bun.sleep(10);
      connection.reset();
    };
    expect(await ask()).toMatch(/^502$|within the answer/);
  }
  answer = plainly;
  expect(await ask()).toBe("200");
}, 30_000);

it("a client that asks one byte at a time after its first words", async () => {
  const request = `GET /slowly HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(500)}\r\n\r\n`;
  const connection = await dialFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT });
  await connection.write(request.slice(0, 16));
  for (const byte of request.slice(16)) await connection.write(byte).then(() => new Promise((resolve) => setImmediate(resolve)));
  await connection.until(BODY);
  connection.reset();
}, 30_000);

it("clients that leave in the middle of their request, or of the answer", async () => {
  const open = await mesh.a.openConnections();
  const clients = await Promise.all(Array.from({ length: 40 }, () => dialFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT })));
  for (const [i, client] of clients.entries()) {
    const request = "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345";
    await client.write(i % 2 === 0 ? request : "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    if (i % 4 === 0) await Bun.sleep(1);
    if (i % 3 === 0) client.close();
    else client.reset();
  }
  await until("they are forgotten", async () => (await mesh.a.openConnections()) <= open);
  expect(await ask()).toBe("200");
}, 30_000);

it("nothing is left", async () => {
  for (const proxy of [mesh.a, mesh.b]) {
    expect(proxy.internalErrors).toEqual([]);
    expect(await proxy.stop()).toBe(0);
  }
}, 20_000);
