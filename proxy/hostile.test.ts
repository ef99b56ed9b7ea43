// Clients and applications that break off at every point, endpoints that come and go: nothing is left behind, and good
// requests are still served.
import { expect, test } from "bun:test";
import { endpoint } from "./testing/fakes.ts";
import { http2Client } from "./testing/http2.ts";
import { mesh, NAME } from "./testing/mesh.ts";
import { allowAll } from "./testing/policies.ts";
import { dialRaw, type Raw } from "./testing/wire.ts";

/** A die with a seed (Lehmer): the same run every time, as far as the event loop lets it. */
function die(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (state * 48271) % 2147483647;
    return state % sides;
  };
}

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/** One answer of an application that may be broken in any way. */
function answer(app: Raw, roll: number): void {
  if (roll === 0) app.socket.destroy();
  else if (roll === 1) app.socket.resetAndDestroy();
  else if (roll === 2) {
    app.write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\npart");
    app.socket.end();
  } else if (roll === 3) app.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  else if (roll === 4) app.write("garbage\r\n\r\n");
  else if (roll === 5) app.write("HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  else app.write(OK);
}

async function settled(what: () => boolean): Promise<boolean> {
  for (let i = 0; i < 200 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  return what();
}

test("a mix of broken clients, broken applications and churn leaves nothing behind", async () => {
  const one = await mesh();
  const two = await mesh({ ca: one.ca });
  try {
    const roll = die(20261125);
    for (const { b, app } of [one, two]) {
      b.policy(app.port, allowAll());
      void (async () => {
        for (;;) {
          const connection = await app.accept();
          connection.socket.on("data", (chunk) => {
            for (const _ of chunk.toString("latin1").matchAll(/\r\n\r\n/g)) answer(connection, roll(16));
          });
        }
      })();
    }
    const first = endpoint({ addr: one.b.inboundAddr, identity: "server.ns", h2: true });
    const second = endpoint({ addr: two.b.inboundAddr, identity: "server.ns", h2: true });
    const unhinted = endpoint({ addr: two.b.inboundAddr, identity: "server.ns" });
    const sets = [[first], [first, second], [unhinted], [second], [first, unhinted]];
    const churn = setInterval(() => one.a.discovery.setEndpoints(`${NAME}:80`, sets[roll(sets.length)] ?? []), 10);

    const http1 = async (): Promise<void> => {
      for (let n = 0; n < 12; n++) {
        const client = await dialRaw(one.port);
        for (let i = 0; i < 4; i++) {
          const kind = roll(6);
          if (kind === 0) client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n${"x".repeat(roll(51))}`);
          else if (kind === 1) client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
          else client.write(GET);
          const end = roll(10);
          if (end === 0) client.socket.destroy();
          if (end === 1) client.socket.resetAndDestroy();
          const answered = client.until((text) => text.split("HTTP/1.1 ").length > i + 1).catch(() => {});
          await Promise.race([answered, new Promise((resolve) => setTimeout(resolve, 30))]);
          if (client.socket.destroyed) break;
        }
        client.socket.destroy();
      }
    };
    const http2 = async (): Promise<void> => {
      for (let n = 0; n < 6; n++) {
        const session = http2Client(one.port);
        await Promise.all(
          Array.from({ length: 8 }, () => {
            const stream = session.request({ ":path": "/", ":method": roll(2) === 0 ? "GET" : "POST", ":authority": "a" });
            const closed = new Promise<void>((resolve) => stream.on("close", () => resolve()));
            stream.on("error", () => {});
            stream.resume();
            stream.end(roll(2) === 0 ? "body" : undefined);
            setTimeout(() => stream.close(8), roll(40));
            return Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 100))]);
          }),
        );
        session.destroy();
      }
    };
    await Promise.all([http1(), http1(), http1(), http1(), http2(), http2()]);
    clearInterval(churn);
    one.a.discovery.setEndpoints(`${NAME}:80`, [first]);

    // Connections of clients are gone, and with them everything that was done for them.
    expect(await settled(() => one.a.drains.size === 0)).toBe(true);
    expect(await settled(() => one.a.outbound.inFlight === 0 && one.b.inbound.inFlight === 0 && two.b.inbound.inFlight === 0)).toBe(true);
    // One connection to the endpoint that is left; those of removed endpoints end when their streams have.
    expect(await settled(() => one.b.drains.size <= 1 && two.b.drains.size === 0)).toBe(true);

    let served = 0;
    for (let i = 0; i < 10; i++) {
      const client = await dialRaw(one.port);
      client.write(GET);
      await client.until(/^HTTP\/1.1 \d/);
      served++;
      client.socket.destroy();
    }
    expect(served).toBe(10);
  } finally {
    one.stop();
    two.stop();
  }
}, 20_000);
