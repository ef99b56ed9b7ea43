// SPDY frames and port forwarding, against a client made of the same codec and zlib.
import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeHeaders, encodeHeaders, maxControlBytes, maxHeaderBytes, SpdyServer } from "./spdy.ts";
import { SpdyClient as Client } from "./testing.ts";

type Event = [string, ...unknown[]];

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

function server() {
  const events: Event[] = [];
  const written: Buffer[] = [];
  const spdy = new SpdyServer({
    onStream: (id, headers) => {
      events.push(["stream", id, Object.fromEntries(headers)]);
      spdy.reply(id);
    },
    onData: (id, data, isLast) => events.push(["data", id, data.toString("utf8"), isLast]),
    onReset: (id) => events.push(["reset", id]),
    onEnd: (reason) => events.push(["end", reason]),
    write: (bytes) => written.push(Buffer.from(bytes)),
  });
  const client = new Client();
  open.push(spdy, client);
  return { spdy, events, written, client };
}

describe("SpdyServer", () => {
  test("streams, data, half close, reset, ping; headers share one context", async () => {
    const { spdy, events, written, client } = server();
    await spdy.push(await client.syn(1, { streamtype: "error", port: "80", requestid: "0" }, 1));
    await spdy.push(await client.syn(3, { Streamtype: "data", port: "80", requestid: "0" }));
    await spdy.push(Client.data(3, "hello"));
    await spdy.push(Client.data(3, "", true));
    await spdy.push(Client.frame(3, Buffer.from([0, 0, 0, 3, 0, 0, 0, 5])));
    await spdy.push(Client.frame(6, Buffer.from([0, 0, 0, 9])));
    await spdy.push(Client.frame(9, Buffer.from([0, 0, 0, 3, 0, 0, 1, 0])));
    expect(events).toEqual([
      ["stream", 1, { streamtype: "error", port: "80", requestid: "0" }],
      ["data", 1, "", true],
      ["stream", 3, { streamtype: "data", port: "80", requestid: "0" }],
      ["data", 3, "hello", false],
      ["data", 3, "", true],
      ["reset", 3],
    ]);
    spdy.data(3, Buffer.from("answer"), true);
    while (written.length < 4) await new Promise((resolve) => setImmediate(resolve));
    const types = written.map((frame) =>
      frame[0]! & 0x80 ? `control ${frame.readUInt16BE(2)}` : `data ${frame.readUInt32BE(0)} ${frame[4]} ${frame.subarray(8)}`,
    );
    expect(types).toEqual(["control 2", "control 2", "control 6", "data 3 1 answer"]);
    for (const reply of written.slice(0, 2)) expect(decodeHeaders(await client.inflater.run(reply.subarray(12))).size).toBe(0);
  });

  test("bytes may come in any pieces", async () => {
    const { spdy, events, client } = server();
    const all = Buffer.concat([await client.syn(1, { streamtype: "data" }), Client.data(1, "abc"), Client.data(1, "def", true)]);
    await Promise.all([...all].map((byte) => spdy.push(Uint8Array.of(byte))));
    expect(events.map(([kind]) => kind)).toEqual(["stream", "data", "data"]);
  });

  test("long data is sent in frames of bounded length", async () => {
    const { spdy, written } = server();
    spdy.data(1, Buffer.alloc(100_000), true);
    while (written.length < 4) await new Promise((resolve) => setImmediate(resolve));
    expect(written.map((frame) => frame.length - 8)).toEqual([32_768, 32_768, 32_768, 1_696]);
    expect(written.map((frame) => frame[4])).toEqual([0, 0, 0, 1]);
  });

  test("a control frame at the bound is taken, one past it ends the connection", async () => {
    const fine = server();
    await fine.spdy.push(Client.frame(4, Buffer.alloc(maxControlBytes)));
    expect(fine.events).toEqual([]);
    const over = server();
    await over.spdy.push(Client.frame(4, Buffer.alloc(maxControlBytes + 1)));
    expect(over.events[0]?.[0]).toBe("end");
  });

  test("headers that grow past the bound when decompressed end the connection", async () => {
    const at = server();
    await at.spdy.push(await at.client.syn(1, { a: "x".repeat(maxHeaderBytes - 13) }));
    expect(at.events[0]?.[0]).toBe("stream");
    const over = server();
    await over.spdy.push(await over.client.syn(1, { a: "x".repeat(maxHeaderBytes - 12) }));
    expect(over.events).toEqual([["end", `header block of more than ${maxHeaderBytes} bytes`]]);
  });

  test("another version, damaged compression, and GOAWAY end the connection; nothing throws", async () => {
    for (const bytes of [
      Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0]),
      Client.frame(1, Buffer.concat([Buffer.alloc(10), Buffer.from("not zlib")])),
      Client.frame(1, Buffer.alloc(3)),
      Client.frame(7, Buffer.alloc(8)),
    ]) {
      const { spdy, events } = server();
      await spdy.push(bytes);
      expect(events.map(([kind]) => kind)).toEqual(["end"]);
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
        const { spdy } = server();
        await spdy.push(bytes);
        spdy.close();
      }),
      { numRuns: 50 },
    );
  });

  test("header blocks", () => {
    const headers = new Map([
      ["a", "1"],
      ["ü", "ß"],
    ]);
    expect(decodeHeaders(encodeHeaders(headers))).toEqual(headers);
    expect(() => decodeHeaders(Buffer.from([0, 0, 0, 1, 0, 0, 0, 9, 1]))).toThrow("ends early");
  });
});
