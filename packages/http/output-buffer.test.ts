import { expect, test } from "bun:test";
import { OUTPUT_BYTES } from "./exchange.ts";
import { MAX_POOLED, OutputBuffer, OutputPool } from "./output-buffer.ts";

const bytes = (n: number, value: number): Uint8Array => new Uint8Array(n).fill(value);

function all(out: OutputBuffer, max = OUTPUT_BYTES): number[] {
  const taken: number[] = [];
  for (let part = out.take(max); part !== null; part = out.take(max)) taken.push(...part);
  return taken;
}

test("what is put in comes out, in order, however it is taken", () => {
  for (const max of [1, 7, 4096, OUTPUT_BYTES, 1 << 20]) {
    const out = new OutputBuffer(new OutputPool());
    const expected: number[] = [];
    for (const n of [1, 40, 500, 5000]) {
      const piece = Uint8Array.from({ length: n }, (_, i) => (i * 31 + n) & 255);
      out.append(piece, 0, n);
      expected.push(...piece);
      piece.fill(0);
    }
    expect(out.pending).toBe(expected.length);
    expect(all(out, max)).toEqual(expected);
    expect(out.take(max)).toBeNull();
  }
});

test("a part that was taken stays as it is while more is put in, until the next is taken", () => {
  const pool = new OutputPool();
  const out = new OutputBuffer(pool);
  out.append(bytes(60_000, 1), 0, 60_000);
  const part = out.take(30_000) as Uint8Array;
  out.append(bytes(90_000, 2), 0, 90_000);
  // Another connection of the process.
  const other = new OutputBuffer(pool);
  other.append(bytes(60_000, 3), 0, 60_000);
  expect(part).toEqual(bytes(30_000, 1));
  const rest = out.take(1 << 20) as Uint8Array;
  expect(rest.length).toBe(120_000);
  expect(rest.subarray(0, 30_000)).toEqual(bytes(30_000, 1));
  expect(rest.subarray(30_000)).toEqual(bytes(90_000, 2));
});

test("a large buffer that was handed out is nobody else's until the next take", () => {
  const pool = new OutputPool();
  const out = new OutputBuffer(pool);
  out.append(bytes(50_000, 1), 0, 50_000);
  const taken = out.take(OUTPUT_BYTES) as Uint8Array;
  out.append(bytes(50_000, 2), 0, 50_000);
  expect(taken).toEqual(bytes(50_000, 1));
  const next = out.take(OUTPUT_BYTES) as Uint8Array;
  expect(next).toEqual(bytes(50_000, 2));
  expect(out.take(OUTPUT_BYTES)).toBeNull();
  // Both are free now, and used again.
  const buffers = new Set([taken.buffer, next.buffer]);
  expect(buffers.has(pool.take().buffer as ArrayBuffer)).toBe(true);
  expect(buffers.has(pool.take().buffer as ArrayBuffer)).toBe(true);
});

test("a pool keeps a bounded number of its own buffers, and no others", () => {
  const pool = new OutputPool();
  const buffers = Array.from({ length: MAX_POOLED + 1 }, () => pool.take());
  for (const buffer of buffers) pool.give(buffer);
  pool.give(new Uint8Array(10));
  const again = Array.from({ length: MAX_POOLED + 1 }, () => pool.take());
  expect(again.filter((buffer) => buffers.includes(buffer)).length).toBe(MAX_POOLED);
  const small = Array.from({ length: MAX_POOLED + 1 }, () => pool.takeSmall());
  for (const buffer of small) pool.give(buffer);
  expect(Array.from(small, () => pool.takeSmall()).filter((buffer) => small.includes(buffer)).length).toBe(MAX_POOLED);
});

test("copies: large ones lie in a buffer of the pool, small and very large ones do not", () => {
  const pool = new OutputPool();
  for (const n of [0, 10, 49_152, 64 * 1024, 200_000]) {
    const copy = pool.copy(bytes(n, 7));
    expect(copy).toEqual(bytes(n, 7));
    pool.give(copy);
  }
  expect(pool.take().length).toBeGreaterThanOrEqual(OUTPUT_BYTES);
});

test("an idle connection holds nothing; small output is a copy, its buffer free for the next connection", () => {
  const pool = new OutputPool();
  const [one, other] = [new OutputBuffer(pool), new OutputBuffer(pool)];
  for (const n of [50_000, 100]) {
    one.append(bytes(n, 1), 0, n);
    all(one);
    expect(one.bytes.length).toBe(0);
  }
  one.append(bytes(100, 1), 0, 100);
  const taken = one.take(OUTPUT_BYTES);
  other.append(bytes(100, 2), 0, 100);
  expect(taken).toEqual(bytes(100, 1));
  expect(other.take(OUTPUT_BYTES)).toEqual(bytes(100, 2));
});
