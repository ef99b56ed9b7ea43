// What every stack of the data plane shares: the turn, the clock, coarse timers, randomness. One per process.
import { TimerWheel, TurnClock } from "#stack";
import { FlushQueue, UserTimeout } from "./transport/index.ts";

export type Runtime = {
  readonly flushQueue: FlushQueue;
  /** Monotonic ms, read once per event-loop turn. */
  readonly clock: { now(): number };
  readonly wheel: TimerWheel;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Absent: the kernel's stays. */
  readonly userTimeout?: { set(fd: number, ms: number): void; bound(begin: () => void, ms: number): void };
};

/** @param onError a fault of the proxy itself, on one connection or timer; the rest goes on */
export function createRuntime(onError: (error: unknown) => void): Runtime {
  const flushQueue = new FlushQueue({ defer: (run) => void setImmediate(run), onError });
  let pending: ReturnType<typeof setTimeout> | undefined;
  const wheel = new TimerWheel({
    now: () => performance.now(),
    schedule(fire, ms) {
      clearTimeout(pending);
      pending = setTimeout(fire, Math.ceil(ms));
    },
    onError,
  });
  return {
    flushQueue,
    clock: new TurnClock({ read: () => performance.now(), turnEnd: flushQueue }),
    wheel,
    random: Math.random,
    userTimeout: new UserTimeout(),
  };
}
