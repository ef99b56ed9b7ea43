// Coarse timers on a clock the test owns; what is built on them.
import { expect, test } from "bun:test";
import { backoffMs, FailFast, IdleCache, TICK_MS, Timer, TimerWheel, TurnClock } from "./index.ts";

/** A runtime of one timer whose clock is moved by hand. */
function world() {
  let nowMs = 1000;
  let fire: (() => void) | null = null;
  let at = 0;
  let wakes = 0;
  const errors: unknown[] = [];
  const wheel = new TimerWheel({
    now: () => nowMs,
    schedule(run, ms) {
      fire = run;
      at = nowMs + ms;
    },
    onError: (error) => void errors.push(error),
  });
  return {
    wheel,
    errors,
    now: () => nowMs,
    get wakes() {
      return wakes;
    },
    advance(ms: number) {
      const until = nowMs + ms;
      while (fire !== null && at <= until) {
        const run = fire;
        fire = null;
        nowMs = Math.max(nowMs, at);
        wakes++;
        run();
      }
      nowMs = until;
    },
  };
}

test("a timer fires once, never early, at most a tick late", () => {
  const w = world();
  let fired = 0;
  const timer = new Timer(w.wheel, { onTimer: () => void fired++ });
  timer.start(100);
  w.advance(99);
  expect(fired).toBe(0);
  w.advance(1 + TICK_MS);
  expect(fired).toBe(1);
  w.advance(10_000);
  expect(fired).toBe(1);
  expect(w.wheel.size).toBe(0);
});

test("timers beyond one round of the wheel keep their time; a quiet wheel wakes nobody", () => {
  const w = world();
  const fired: number[] = [];
  for (const ms of [20_000, 5, 4096, 86_400_000]) new Timer(w.wheel, { onTimer: () => void fired.push(ms) }).start(ms);
  w.advance(5 + TICK_MS);
  expect(fired).toEqual([5]);
  w.advance(4100);
  expect(fired).toEqual([5, 4096]);
  w.advance(20_000);
  expect(fired).toEqual([5, 4096, 20_000]);
  w.advance(86_400_000);
  expect(fired).toHaveLength(4);
  const before = w.wakes;
  w.advance(86_400_000);
  expect(w.wakes).toBe(before);
});

test("an owner may stop and restart others of the same slot while it is told", () => {
  const w = world();
  const fired: string[] = [];
  const a: Timer = new Timer(w.wheel, {
    onTimer() {
      fired.push("a");
      if (fired.length > 1) return;
      b.stop();
      c.start(50);
      a.start(50);
    },
  });
  const b: Timer = new Timer(w.wheel, { onTimer: () => void fired.push("b") });
  const c: Timer = new Timer(w.wheel, { onTimer: () => void fired.push("c") });
  for (const timer of [a, b, c]) timer.start(10);
  w.advance(10 + TICK_MS);
  expect(fired).toEqual(["a"]);
  w.advance(50 + TICK_MS);
  expect(fired.slice(1).sort()).toEqual(["a", "c"]);
});

test("an owner that throws stops no other timer", () => {
  const w = world();
  let fired = 0;
  new Timer(w.wheel, {
    onTimer() {
      throw new Error("broken");
    },
  }).start(10);
  for (const ms of [10, 500]) new Timer(w.wheel, { onTimer: () => void fired++ }).start(ms);
  w.advance(600);
  expect([fired, w.errors.length]).toEqual([2, 1]);
});

test("the clock of a turn is read once", () => {
  let reads = 0;
  const queue: { flushQueued: boolean; flush(): void }[] = [];
  const clock = new TurnClock({
    read: () => ++reads,
    turnEnd: {
      schedule(item) {
        item.flushQueued = true;
        queue.push(item);
      },
    },
  });
  expect([clock.now(), clock.now()]).toEqual([1, 1]);
  for (const item of queue.splice(0)) {
    item.flushQueued = false;
    item.flush();
  }
  expect([clock.now(), clock.now()]).toEqual([2, 2]);
});

test("an idle entry ages from its last release and is disposed once", () => {
  const w = world();
  const disposed: string[] = [];
  const cache = new IdleCache({
    wheel: w.wheel,
    idleMs: 5000,
    now: w.now,
    create: (key) => `v-${key}`,
    dispose: (v) => void disposed.push(v),
  });
  const entry = cache.get("a");
  entry.hold();
  w.advance(60_000);
  expect(cache.get("a")).toBe(entry);
  entry.release();
  w.advance(4000);
  entry.hold();
  entry.release();
  w.advance(4900);
  expect(disposed).toEqual([]);
  w.advance(200);
  expect(disposed).toEqual(["v-a"]);
  expect(cache.get("a")).not.toBe(entry);
});

test("a touch keeps an entry for the idle age", () => {
  const w = world();
  const disposed: string[] = [];
  const cache = new IdleCache({ wheel: w.wheel, idleMs: 5000, now: w.now, create: (key) => key, dispose: (v) => void disposed.push(v) });
  const entry = cache.get("a");
  w.advance(4000);
  entry.touch(w.now());
  w.advance(4900);
  expect(entry.alive).toBe(true);
  w.advance(200);
  expect([entry.alive, disposed]).toEqual([false, ["a"]]);
});

test("fail-fast: fails after being unready for the whole time, recovers at once", () => {
  const w = world();
  const changes: boolean[] = [];
  const failFast = new FailFast({ wheel: w.wheel, timeoutMs: 3000, onChange: (failing) => void changes.push(failing) });
  failFast.unready();
  w.advance(2900);
  failFast.unready();
  expect(failFast.failing).toBe(false);
  w.advance(100 + TICK_MS);
  expect(failFast.failing).toBe(true);
  failFast.ready();
  failFast.unready();
  w.advance(1000);
  failFast.ready();
  w.advance(10_000);
  expect(changes).toEqual([true, false]);
});

test("backoff doubles, is capped, jitters upwards only", () => {
  const backoff = { minMs: 100, maxMs: 500, jitter: 0.1 };
  expect([1, 2, 3, 4, 99].map((n) => backoffMs(backoff, n, () => 0))).toEqual([100, 200, 400, 500, 500]);
  expect(backoffMs(backoff, 1, () => 0.999999)).toBeCloseTo(110, 3);
});
