// Power-of-two-choices over peak-EWMA load (spec proxy §6). Pure: clock and randomness are handed in.

/** RTT assumed of an endpoint never measured, ms. High enough that a measured fast one wins, low enough to be tried. */
export const DEFAULT_RTT_MS = 30;
/** Time constant of the moving average, ms. */
export const DEFAULT_DECAY_MS = 10_000;

/**
 * Load estimate of one endpoint: cost = estimate × (pending + 1). A latency above the estimate replaces it at once
 * (peak); below, the estimate decays towards it with the time since the last update. Reading the cost decays towards 0.
 */
export class PeakEwma {
  #estimateMs: number;
  #updatedMs: number;
  readonly #decayMs: number;
  /** Requests in flight: until the first response body frame, or the end. */
  pending = 0;

  constructor(options: { nowMs: number; defaultRttMs?: number; decayMs?: number }) {
    this.#estimateMs = options.defaultRttMs ?? DEFAULT_RTT_MS;
    this.#decayMs = options.decayMs ?? DEFAULT_DECAY_MS;
    this.#updatedMs = options.nowMs;
  }

  /** A request is over after `latencyMs`. Does not touch `pending`. */
  observe(latencyMs: number, nowMs: number): void {
    const elapsed = nowMs - this.#updatedMs;
    this.#updatedMs = nowMs;
    if (latencyMs > this.#estimateMs) {
      this.#estimateMs = latencyMs;
      return;
    }
    if (elapsed <= 0) return;
    const keep = Math.exp(-elapsed / this.#decayMs);
    this.#estimateMs = this.#estimateMs * keep + latencyMs * (1 - keep);
  }

  cost(nowMs: number): number {
    // Two reads in one millisecond cost one subtraction: the exponential is only paid when time has passed.
    if (nowMs - this.#updatedMs >= 1) this.observe(0, nowMs);
    return this.#estimateMs * (this.pending + 1);
  }

  get estimateMs(): number {
    return this.#estimateMs;
  }
}

/** So many items that more than one draw is tried before all are looked at. */
const MANY = 64;
const DRAWS = 8;

/** What the balancer picks from. */
export interface Balanced {
  readonly load: PeakEwma;
  /** False while the endpoint has no connection to give (H2) or is ejected. */
  readonly ready: boolean;
}

/**
 * Picks one of the ready items: two distinct ones at random, the cheaper wins, a tie goes to the first; null when none is
 * ready. `skip` is passed over when there is another (a request that just failed there).
 * @param random uniform in [0, 1)
 */
export function pickP2c<T extends Balanced>(items: readonly T[], nowMs: number, random: () => number, skip: T | null = null): T | null {
  const n = items.length;
  if (n === 0) return null;
  if (n === 1) {
    const only = items[0] as T;
    return only.ready ? only : null;
  }
  // Fast path: both drawn are ready, as they are nearly always. Of many, some draws cost less than looking at all.
  for (let draws = n > MANY ? DRAWS : 1; draws > 0; draws--) {
    const i = Math.floor(random() * n);
    let j = Math.floor(random() * (n - 1));
    if (j >= i) j++;
    const a = items[i] as T;
    const b = items[j] as T;
    if (a.ready && b.ready && a !== skip && b !== skip) return b.load.cost(nowMs) < a.load.cost(nowMs) ? b : a;
  }
  const ready = items.filter((item) => item.ready && item !== skip);
  if (ready.length === 0) return skip?.ready === true && items.includes(skip) ? skip : null;
  if (ready.length === 1) return ready[0] ?? null;
  const k = Math.floor(random() * ready.length);
  let m = Math.floor(random() * (ready.length - 1));
  if (m >= k) m++;
  const c = ready[k] as T;
  const d = ready[m] as T;
  return d.load.cost(nowMs) < c.load.cost(nowMs) ? d : c;
}
