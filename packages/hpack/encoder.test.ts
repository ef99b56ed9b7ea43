import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Decoder, Encoder, MAX_SENSITIVE_NAMES, SensitiveNames } from "./index.ts";
import { decodeAll, List, toHex, writeList } from "./testing.ts";

const pairs = (list: List): string[] => {
  const result: string[] = [];
  for (let i = 0; i < list.fields.length; i += 2) result.push(`${list.fields[i]}: ${list.fields[i + 1]}`);
  return result;
};

const unmarked = (lines: string[]): string[] => lines.map((line) => line.replace(/^!/, ""));

const request = (path: string, ...more: string[]): List =>
  new List(":method", "GET", ":scheme", "http", ":authority", "web.test", ":path", path, "user-agent", "agent/1.0", ...more);

describe("what is indexed", () => {
  test("a head that repeats: literals, then into the table, then a byte a field", () => {
    const encoder = new Encoder();
    const decoder = new Decoder();
    const sizes: number[] = [];
    for (let i = 0; i < 5; i++) {
      const block = encoder.encode(request("/api"), writeList).slice();
      expect(decodeAll(decoder, block)).toEqual(pairs(request("/api")));
      sizes.push(block.length);
    }
    expect(sizes.slice(2)).toEqual([5, 5, 5]);
    expect([decoder.generation, encoder.generation]).toEqual([3, 3]);
  });

  test("values that never repeat leave the table alone", () => {
    const encoder = new Encoder();
    for (let i = 0; i < 10; i++) encoder.encode(request("/api"), writeList);
    const { generation, tableBytes } = encoder;
    for (let i = 0; i < 1000; i++) encoder.encode(request(`/api/${i}`, "x-request-id", `${i}-${i}`), writeList);
    expect([encoder.generation, encoder.tableBytes]).toEqual([generation, tableBytes]);
  });

  test("dates are not, however often they come", () => {
    const encoder = new Encoder();
    for (let i = 0; i < 5; i++) encoder.encode(new List(":status", "200", "date", "Tue, 01 Jan 2030 00:00:00 GMT"), writeList);
    expect(encoder.tableBytes).toBe(0);
  });

  test("what is larger than half the table is not", () => {
    const encoder = new Encoder();
    const list = (n: number): List => new List("x", "~".repeat(n));
    for (let i = 0; i < 3; i++) encoder.encode(list(2048 - 33 + 1), writeList);
    expect(encoder.tableBytes).toBe(0);
    for (let i = 0; i < 3; i++) encoder.encode(list(2048 - 33), writeList);
    expect(encoder.tableBytes).toBe(2048);
  });

  test("a working set larger than the table does not churn", () => {
    const encoder = new Encoder();
    const decoder = new Decoder();
    const heads = Array.from({ length: 100 }, (_, i) => request(`/api/${"path".repeat(8)}/${i}`, "x-tenant", `tenant number ${i}`));
    const run = (rounds: number): void => {
      for (let round = 0; round < rounds; round++) {
        for (const head of heads) expect(decodeAll(decoder, encoder.encode(head, writeList))).toEqual(pairs(head));
      }
    };
    run(10);
    const before = encoder.generation;
    run(100);
    // 10,000 blocks: once in 256, and what it had saved up.
    expect(encoder.generation - before).toBeLessThanOrEqual(10_000 / 256 + 8 + 1);
    expect(encoder.tableBytes).toBeGreaterThan(3800);
  });
});

test("a name of many values has a share of the table", () => {
  const encoder = new Encoder();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 60; i++) encoder.encode(new List(":status", "200", "content-length", String(1000 + i)), writeList);
  }
  // 16 freely, 8 at the price of eviction, 50 bytes each.
  expect(encoder.tableBytes).toBe((16 + 8) * 50);
  for (let i = 0; i < 3; i++) encoder.encode(new List("x-late", "still finds room"), writeList);
  expect(encoder.encode(new List("x-late", "still finds room"), writeList).length).toBe(1);
});

describe("sensitive fields", () => {
  const sent = (encoder: Encoder, ...fields: string[]): string[] =>
    decodeAll(new Decoder(), encoder.encode(new List(...fields), writeList));

  test("credentials and short cookies are never indexed", () => {
    const encoder = new Encoder();
    for (let i = 0; i < 3; i++) {
      expect(sent(encoder, "authorization", "Bearer x", "proxy-authorization", "Basic y", "cookie", "short=1")).toEqual([
        "!authorization: Bearer x",
        "!proxy-authorization: Basic y",
        "!cookie: short=1",
      ]);
    }
    expect(encoder.tableBytes).toBe(0);
    expect(sent(encoder, "cookie", "a cookie of twenty b")).toEqual(["cookie: a cookie of twenty b"]);
  });

  test("what came never indexed goes on so, also when it was in the table, and in kept blocks", () => {
    const sensitive = new SensitiveNames();
    const encoder = new Encoder({ sensitive });
    const head = new List("x-token", "abc", ":path", "/");
    for (let i = 0; i < 4; i++) encoder.encode(head, writeList);
    expect(encoder.tableBytes).toBe(42);
    sensitive.add("x-token");
    for (let i = 0; i < 4; i++) expect(toHex(encoder.encode(head, writeList)).slice(0, 2)).toBe("1f");
    const fixed = new List("accept-encoding", "gzip, deflate");
    for (let i = 0; i < 4; i++) encoder.encode(fixed, writeList);
    sensitive.add("accept-encoding");
    expect(decodeAll(new Decoder(), encoder.encode(fixed, writeList))).toEqual(["!accept-encoding: gzip, deflate"]);
  });

  test("names beyond the bound: every field is sensitive", () => {
    const sensitive = new SensitiveNames();
    for (let i = 0; i < MAX_SENSITIVE_NAMES; i++) sensitive.add(`x-${i}`);
    expect([sensitive.has("x-0"), sensitive.has("x-y")]).toEqual([true, false]);
    sensitive.add("x-0");
    expect(sensitive.has("x-y")).toBe(false);
    sensitive.add("x-more");
    expect([sensitive.has("x-more"), sensitive.has("x-y")]).toEqual([true, true]);
  });
});

describe("kept blocks", () => {
  test("a head is written once per state of the table", () => {
    const encoder = new Encoder();
    let written = 0;
    const write = (to: Encoder, list: List): void => {
      written++;
      writeList(to, list);
    };
    const head = request("/kept");
    for (let i = 0; i < 20; i++) encoder.encode(head, write);
    // Literals, into the table, and once for good.
    expect(written).toBe(3);
    for (let i = 0; i < 2; i++) encoder.encode(new List("x", "new"), write);
    encoder.encode(head, write);
    expect(written).toBe(6);
    for (let i = 0; i < 20; i++) encoder.encode(head, write);
    expect(written).toBe(6);
  });

  test("a head that is sent on many connections is written a few times on each", () => {
    const encoders = Array.from({ length: 50 }, () => new Encoder());
    const decoders = encoders.map(() => new Decoder());
    let written = 0;
    const head = request("/shared");
    for (let i = 0; i < 20; i++) {
      encoders.forEach((encoder, at) => {
        const block = encoder.encode(head, (to, list) => {
          written++;
          writeList(to, list);
        });
        expect(decodeAll(decoders[at] as Decoder, block)).toEqual(pairs(head));
      });
    }
    expect(written).toBeLessThanOrEqual(50 * 4);
  });

  test("lists without a slot", () => {
    const encoder = new Encoder();
    let written = 0;
    const trailers = new List("grpc-status", "0");
    for (let i = 0; i < 20; i++) {
      const block = encoder.encodeShared(trailers, (to, list) => {
        written++;
        writeList(to, list);
      });
      if (i > 2) expect(block.length).toBe(1);
    }
    expect(written).toBe(3);
  });
});

describe("the peer's table size", () => {
  test("is told at the beginning of the next block, the smallest first", () => {
    const encoder = new Encoder();
    encoder.setPeerTableSize(0);
    encoder.setPeerTableSize(2048);
    expect(toHex(encoder.encodeOnce(new List(":method", "GET"), writeList))).toBe("203fe10f82");
    encoder.setPeerTableSize(65_536);
    expect(toHex(encoder.encodeOnce(new List(":method", "GET"), writeList))).toBe("3fe11f82");
    encoder.setPeerTableSize(1 << 20);
    expect(toHex(encoder.encodeOnce(new List(":method", "GET"), writeList))).toBe("82");
  });

  test("a smaller one evicts", () => {
    const encoder = new Encoder();
    for (let i = 0; i < 3; i++) encoder.encode(request("/"), writeList);
    expect(encoder.tableBytes).toBeGreaterThan(50);
    encoder.setPeerTableSize(50);
    expect(encoder.tableBytes).toBeLessThanOrEqual(50);
    const decoder = new Decoder();
    encoder.setPeerTableSize(0);
    expect(decodeAll(decoder, encoder.encode(request("/"), writeList))).toEqual(pairs(request("/")));
  });

  test("none at all", () => {
    const encoder = new Encoder({ maxTableBytes: 0 });
    const decoder = new Decoder();
    for (let i = 0; i < 4; i++) expect(decodeAll(decoder, encoder.encode(request("/x"), writeList))).toEqual(pairs(request("/x")));
    expect(decoder.tableBytes).toBe(0);
  });
});

test("chars beyond latin1 cannot smuggle others", () => {
  expect(decodeAll(new Decoder(), new Encoder().encode(new List("x", "a\u010ab\u0000"), writeList))).toEqual(["x: a?b\u0000"]);
});

test("any lists, any table sizes: what is sent is what is read", () => {
  const name = fc.constantFrom(":path", ":method", "cookie", "authorization", "date", "x-a", "x-b", "x-c", "content-type");
  const value = fc.oneof(
    fc.constantFrom("", "GET", "/", "a", "b", "c"),
    fc.uint8Array({ maxLength: 400 }).map((b) => Buffer.from(b).toString("latin1")),
  );
  const step = fc.oneof(
    { weight: 10, arbitrary: fc.array(fc.tuple(name, value), { maxLength: 12 }).map((list) => ({ list: list.flat(), again: 3 })) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 5000 }).map((size) => ({ size })) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const encoder = new Encoder();
      const decoder = new Decoder();
      for (const one of steps) {
        if ("size" in one) {
          encoder.setPeerTableSize(Math.min(one.size, 4096));
          continue;
        }
        const list = new List(...one.list);
        for (let i = 0; i < one.again; i++) {
          expect(unmarked(decodeAll(decoder, encoder.encode(list, writeList)))).toEqual(pairs(list));
          expect(decoder.tableBytes).toBe(encoder.tableBytes);
        }
      }
    }),
    { numRuns: 300 },
  );
});
