// Connections that a drain finds before anybody knows what they carry, in a proxy of this process.
import { afterEach, expect, test } from "bun:test";
import { UNDECIDED_GRACE_MS } from "./drain.ts";
import { mesh } from "./testing/mesh.ts";
import { dialRaw } from "./testing/wire.ts";

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

async function scene() {
  const scene = await mesh();
  cleanup.push(scene.stop);
  const client = await dialRaw(scene.port);
  while (scene.a.drains.size === 0) await new Promise((resolve) => setImmediate(resolve));
  return { ...scene, client };
}

test("a connection that speaks up in time is served once, and then ends", async () => {
  const { a, app, client } = await scene();
  const drained = a.drains.drain();
  client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const server = await app.accept();
  await server.until("\r\n\r\n");
  server.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  expect(await client.closed).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close\r\n[\s\S]*ok$/);
  await drained;
});

test("one that says nothing is closed after the grace, not before", async () => {
  const { a, client } = await scene();
  const begun = performance.now();
  const drained = a.drains.drain();
  expect(await client.closed).toBe("");
  await drained;
  expect(performance.now() - begun).toBeGreaterThan(UNDECIDED_GRACE_MS - 100);
});

test("a drain that waits says for what, from time to time", async () => {
  const { a, app, client } = await scene();
  client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const server = await app.accept();
  await server.until("\r\n\r\n");
  const { promise: twice, resolve } = Promise.withResolvers<void>();
  const said: string[] = [];
  const drained = a.drains.drain((connections, described) => {
    if (said.push(`${connections}: ${described}`) === 2) resolve();
  }, 10);
  await twice;
  for (const line of said) expect(line).toMatch(/^1: HTTP\/1 \(requests: 1\) from 127\.0\.0\.1:\d+$/);
  server.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  await client.closed;
  await drained;
  const before = said.length;
  await Bun.sleep(30);
  expect(said.length).toBe(before);
});

test("one that leaves is not waited for", async () => {
  const { a, client } = await scene();
  const drained = a.drains.drain();
  client.socket.resetAndDestroy();
  await drained;
});

test("once it is known what a connection carries it is a member as that, and as nothing else", async () => {
  const { a, app, client } = await scene();
  client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await (await app.accept()).until("\r\n\r\n");
  expect(a.drains.size).toBe(1);
  client.socket.resetAndDestroy();
  while (a.drains.size > 0) await new Promise((resolve) => setImmediate(resolve));
});
