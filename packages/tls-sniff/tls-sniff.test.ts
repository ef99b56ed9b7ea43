// Server names out of real and hostile ClientHellos, whole and in every split.
import { expect, test } from "bun:test";
import { Duplex } from "node:stream";
import { connect } from "node:tls";
import { MAX_SNIFF_BYTES, sniff } from "./index.ts";

type HelloOptions = {
  name?: string | Buffer;
  nameType?: number;
  extensions?: Buffer;
  noExtensions?: boolean;
  recordVersion?: number;
  sessionId?: number;
};

const u16 = (n: number) => Buffer.of(n >> 8, n & 255);
const vector16 = (b: Buffer) => Buffer.concat([u16(b.length), b]);

function hello({ name, nameType = 0, extensions, noExtensions = false, recordVersion = 1, sessionId = 0 }: HelloOptions): Buffer {
  const list =
    name === undefined
      ? Buffer.alloc(0)
      : Buffer.concat([u16(0), vector16(vector16(Buffer.concat([Buffer.of(nameType), vector16(Buffer.from(name))])))]);
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 7),
    Buffer.of(sessionId),
    Buffer.alloc(sessionId, 1),
    vector16(Buffer.of(0x13, 1)),
    Buffer.of(1, 0),
    ...(noExtensions ? [] : [vector16(Buffer.concat([extensions ?? Buffer.alloc(0), list]))]),
  ]);
  const handshake = Buffer.concat([Buffer.of(1, 0), u16(body.length), body]);
  return Buffer.concat([Buffer.of(0x16, 3, recordVersion), u16(handshake.length), handshake]);
}

test("names, lower-cased; odd ones count as none", () => {
  const table: [HelloOptions, string | null][] = [
    [{ name: "web.ns.svc" }, "web.ns.svc"],
    [{ name: "WEB.ns" }, "web.ns"],
    [{ name: "web.", recordVersion: 3 }, null],
    [{ name: "1.2.3.4" }, null],
    [{ name: "héllo" }, null],
    [{ name: "a\0b" }, null],
    [{}, null],
    [{ noExtensions: true }, null],
    [{ name: "a.b", extensions: Buffer.concat([u16(51), vector16(Buffer.alloc(1300, 1))]) }, "a.b"],
    [{ name: "a.b", sessionId: 32 }, "a.b"],
  ];
  for (const [options, serverName] of table) expect(sniff(hello(options))).toEqual({ kind: "hello", serverName });
});

test("what is no ClientHello", () => {
  const good = hello({ name: "a.b" });
  const broken = (at: number, value: number) => {
    const copy = Buffer.from(good);
    copy[at] = value;
    return copy;
  };
  for (const bytes of [
    Buffer.from("GET / HTTP/1.1\r\n"),
    broken(1, 2),
    broken(2, 2),
    broken(5, 2),
    broken(6, 1),
    broken(10, 1),
    Buffer.concat([Buffer.of(0x16, 3, 1), u16(8193)]),
    hello({ name: "a.b", nameType: 1 }),
    // A vector that reaches beyond its container.
    broken(43, 250),
  ])
    expect(sniff(bytes)).toEqual({ kind: "absent" });
});

test("split-invariant: every prefix waits or gives the final answer", () => {
  for (const bytes of [
    hello({ name: "web.ns" }),
    hello({ name: "web.ns", nameType: 1 }),
    Buffer.concat([hello({ name: "a.b" }), Buffer.from("more")]),
  ]) {
    const final = sniff(bytes);
    for (let n = 0; n < bytes.length; n++) {
      const result = sniff(bytes.subarray(0, n));
      if (result.kind !== "need-more") expect<unknown>(result).toEqual(final);
    }
  }
});

test("the bound fits the largest record that is taken", () => {
  expect(MAX_SNIFF_BYTES).toBe(8192 + 5);
});

test("the hello of a real TLS client", async () => {
  const bytes = await new Promise<Buffer>((resolve) => {
    const socket = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        resolve(chunk as Buffer);
        done();
      },
    });
    connect({ socket, servername: "real.client.test" }).on("error", () => {});
  });
  expect(sniff(bytes)).toEqual({ kind: "hello", serverName: "real.client.test" });
});
