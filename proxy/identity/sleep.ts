// Waits for a time of the wall clock, which may be moved and, while a machine sleeps, goes on without the timers.

export type Clocks = {
  /** Wall clock, ms since the epoch. */
  readonly wall: () => number;
  /** Monotonic, ms; goes as timers do. */
  readonly monotonic: () => number;
};

/** The clocks are compared this often, ms. */
export const LOOK_MS = 5000;
/** Wall and monotonic clock apart by this much since the last look: the wall clock was moved, ms. Corrections of NTP are smaller. */
export const JUMP_MS = 10_000;

/** Resolves after `ms`; at once when `signal` is aborted; and within {@link LOOK_MS} of a jump of the wall clock. */
export function sleepUnlessMoved(clocks: Clocks, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let left = ms;
    let wall = clocks.wall();
    let monotonic = clocks.monotonic();
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const look = (): void => {
      const [wallNow, monotonicNow] = [clocks.wall(), clocks.monotonic()];
      const passed = monotonicNow - monotonic;
      const moved = Math.abs(wallNow - wall - passed) >= JUMP_MS;
      left -= passed;
      wall = wallNow;
      monotonic = monotonicNow;
      if (left <= 0 || moved) end();
      else timer = setTimeout(look, Math.min(LOOK_MS, Math.ceil(left)));
    };
    if (signal.aborted) end();
    else {
      signal.addEventListener("abort", end);
      timer = setTimeout(look, Math.min(LOOK_MS, Math.max(0, ms)));
    }
  });
}
