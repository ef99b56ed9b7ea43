// Budget arithmetic and the replay buffer at its bound.
import { expect, test } from "bun:test";
import { MAX_REPLAY_BYTES, ReplayBuffer, RetryBudget } from "./index.ts";

function budget(ratio: number, minRetriesPerSecond: number, ttlMs = 10_000) {
  const clock = { ms: 0 };
  return { clock, budget: new RetryBudget({ ratio, minRetriesPerSecond, ttlMs, now: () => clock.ms }) };
}

test("nothing deposited and no minimum: no retry", () => {
  expect(budget(0.2, 0).budget.withdraw()).toBe(false);
});

test("ratio 0.2: five answers pay for one retry", () => {
  const { budget: b } = budget(0.2, 0);
  for (let i = 0; i < 4; i++) b.deposit();
  expect(b.withdraw()).toBe(false);
  b.deposit();
  expect([b.withdraw(), b.withdraw()]).toEqual([true, false]);
});

test("ratio above one: an answer pays for several retries", () => {
  const { budget: b } = budget(2, 0);
  b.deposit();
  expect([b.withdraw(), b.withdraw(), b.withdraw()]).toEqual([true, true, false]);
});

test("the minimum rate is a reserve for the whole window", () => {
  const { budget: b } = budget(0, 10, 1000);
  const allowed = Array.from({ length: 12 }, () => b.withdraw());
  expect(allowed.filter(Boolean)).toHaveLength(10);
});

test("deposits are forgotten after the window", () => {
  const { budget: b, clock } = budget(1, 0);
  b.deposit();
  clock.ms = 9000;
  expect(b.withdraw()).toBe(true);
  b.deposit();
  clock.ms = 25_000;
  expect(b.withdraw()).toBe(false);
});

test("replay: exactly the bound is kept, one byte more is not", () => {
  const kept = new ReplayBuffer();
  kept.push(new Uint8Array(MAX_REPLAY_BYTES - 1), false, null);
  kept.push(Uint8Array.of(7), true, null);
  expect(kept.complete).toBe(true);
  const written: [number, boolean][] = [];
  kept.play({ write: (chunk, end) => void written.push([chunk.length, end]), trailers() {} });
  expect(written).toEqual([
    [MAX_REPLAY_BYTES - 1, false],
    [1, true],
  ]);
  const lost = new ReplayBuffer();
  lost.push(new Uint8Array(MAX_REPLAY_BYTES + 1), true, null);
  expect(lost.complete).toBe(false);
});

test("replay: trailers end it, and a body that goes on is left open", () => {
  const events: unknown[] = [];
  const sink = {
    write: (chunk: Uint8Array, end: boolean) => void events.push([...chunk, end]),
    trailers: (f: readonly string[]) => void events.push(f),
  };
  const withTrailers = new ReplayBuffer();
  withTrailers.push(Uint8Array.of(1), false, null);
  withTrailers.push(new Uint8Array(0), true, ["grpc-status", "0"]);
  withTrailers.play(sink);
  const open = new ReplayBuffer();
  open.push(Uint8Array.of(2), false, null);
  open.play(sink);
  expect(events).toEqual([
    [1, false],
    ["grpc-status", "0"],
    [2, false],
  ]);
});
