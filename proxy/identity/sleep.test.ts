import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { JUMP_MS, LOOK_MS, sleepUnlessMoved } from "./sleep.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** Clocks that a test moves; time passes with the fake timers. */
function world(ms: number) {
  let now = 0;
  let moved = 0;
  let over = false;
  const stop = new AbortController();
  void sleepUnlessMoved({ wall: () => now + moved, monotonic: () => now }, ms, stop.signal).then(() => {
    over = true;
  });
  return {
    stop,
    move: (by: number) => {
      moved += by;
    },
    /** Whether the sleep is over after so much more time. */
    async after(passed: number): Promise<boolean> {
      for (let left = passed; left > 0; left -= 100) {
        const step = Math.min(100, left);
        now += step;
        jest.advanceTimersByTime(step);
      }
      await Promise.resolve();
      await Promise.resolve();
      return over;
    },
  };
}

test.each([100, LOOK_MS, LOOK_MS + 1, 7 * LOOK_MS + 300])("it takes %d ms when nothing happens", async (ms) => {
  const { after } = world(ms);
  expect(await after(ms - 1)).toBe(false);
  expect(await after(1)).toBe(true);
});

test.each([JUMP_MS, -JUMP_MS, 25 * 3_600_000, -25 * 3_600_000])("the wall clock moved by %d ms ends it at the next look", async (by) => {
  const { after, move } = world(60_000_000);
  expect(await after(LOOK_MS + 100)).toBe(false);
  move(by);
  expect(await after(LOOK_MS - 200)).toBe(false);
  expect(await after(100)).toBe(true);
});

test("a correction is none", async () => {
  const { after, move } = world(60_000_000);
  for (let i = 0; i < 20; i++) {
    move(JUMP_MS - 1);
    expect(await after(LOOK_MS)).toBe(false);
  }
});

test("given up", async () => {
  const { after, stop } = world(60_000_000);
  stop.abort();
  expect(await after(1)).toBe(true);
});
