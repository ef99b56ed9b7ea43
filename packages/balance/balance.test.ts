// Choice and load on a clock and a die the test owns.
import { expect, test } from "bun:test";
import { DEFAULT_RTT_MS, PeakEwma, pickP2c } from "./index.ts";

const item = (name: string, rtt: number, ready = true) => ({ name, ready, load: new PeakEwma({ nowMs: 0, defaultRttMs: rtt }) });
/** A die that shows the given numbers in turn. */
const die =
  (...values: number[]) =>
  () =>
    values.shift() ?? 0;

test("of two drawn the cheaper wins, a tie goes to the first", () => {
  const a = item("a", 10);
  const b = item("b", 20);
  const c = item("c", 10);
  expect(pickP2c([a, b, c], 0, die(0, 0))?.name).toBe("a");
  expect(pickP2c([b, a, c], 0, die(0, 0))?.name).toBe("a");
  expect(pickP2c([a, b, c], 0, die(0, 0.9))?.name).toBe("a");
});

test("pending requests multiply the cost", () => {
  const a = item("a", 10);
  const b = item("b", 15);
  a.load.pending = 1;
  expect(pickP2c([a, b], 0, die(0, 0))?.name).toBe("b");
});

test("only ready ones are picked; one that refused is passed over while there is another", () => {
  const a = item("a", 1);
  const b = item("b", 99);
  const dead = item("c", 1, false);
  expect(pickP2c([dead], 0, Math.random)).toBeNull();
  expect(pickP2c([], 0, Math.random)).toBeNull();
  expect(pickP2c([a, dead, dead], 0, die(0.4, 0.9))?.name).toBe("a");
  for (let i = 0; i < 20; i++) expect(pickP2c([a, b, dead], 0, Math.random, a)?.name).toBe("b");
  expect(pickP2c([a], 0, Math.random, a)?.name).toBe("a");
  expect(pickP2c([a, dead], 0, Math.random, a)?.name).toBe("a");
});

test("the estimate jumps to a peak and decays to what is measured", () => {
  const load = new PeakEwma({ nowMs: 0 });
  expect(load.estimateMs).toBe(DEFAULT_RTT_MS);
  load.observe(200, 0);
  expect(load.estimateMs).toBe(200);
  load.observe(100, 10_000);
  expect(load.estimateMs).toBeCloseTo(100 + 100 * Math.exp(-1), 6);
});

test("reading the cost decays towards zero", () => {
  const load = new PeakEwma({ nowMs: 0, defaultRttMs: 100 });
  expect(load.cost(0)).toBe(100);
  expect(load.cost(10_000)).toBeCloseTo(100 / Math.E, 6);
});

test("over many picks the load is even among equals", () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const items = Array.from({ length: 5 }, (_, i) => item(String(i), 10));
  const counts = new Map<string, number>();
  for (let i = 0; i < 5000; i++) {
    const picked = pickP2c(items, 0, random);
    if (picked) counts.set(picked.name, (counts.get(picked.name) ?? 0) + 1);
  }
  for (const { name } of items) expect(counts.get(name) ?? 0).toBeGreaterThan(500);
});

test("of many, where few are ready: only those, the cheaper of two", () => {
  const items = Array.from({ length: 1000 }, (_, i) => item(String(i), i === 500 ? 1 : 50, i % 100 === 0));
  const picked = new Set(Array.from({ length: 2000 }, () => pickP2c(items, 0, Math.random)?.name));
  expect(picked).toEqual(new Set(["0", "100", "200", "300", "400", "500", "600", "700", "800", "900"]));
});
