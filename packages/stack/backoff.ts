// Delays between attempts: doubling from a minimum to a maximum, with jitter (spec proxy §4.7). Pure.

export type Backoff = {
  readonly minMs: number;
  readonly maxMs: number;
  /** Uniform extra in [0, jitter × base]; 0 to 100. */
  readonly jitter: number;
};

/** Delay before attempt `failures` + 1 after `failures` ≥ 1 failures in a row, ms; never above the maximum. */
export function backoffMs(backoff: Backoff, failures: number, random: () => number): number {
  const base = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(30, failures - 1));
  return Math.min(backoff.maxMs, base + random() * backoff.jitter * base);
}
