// Keeps the process small: the runtime's collector alone lets garbage of short-lived connections pile up for minutes, and keeps what
// the last busy time needed until the next.

/** How often it is looked, ms. */
export const LOOK_MS = 2000;
/** Turns with output between two looks, up to which a proxy counts as idle: probes, scrapes and the control plane make a few. */
export const IDLE_TURNS = 40;
/** Turns since the last collection that make another worth its milliseconds when idle. */
export const WORTH_TURNS = 500;
/** Growth of the process since its last collection that makes another worth its milliseconds when busy, bytes… */
export const WORTH_BYTES = 12 * 1024 * 1024;
/** …and the least time between two of those, ms: a pause of some milliseconds a minute is in nobody's p99.9. */
export const BUSY_INTERVAL_MS = 30_000;

export type MemoryKeeperOptions = {
  /** Event-loop turns that had output, so far. */
  readonly turns: () => number;
  /** Resident bytes of the process. */
  readonly rss: () => number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** A full collection: some milliseconds. */
  readonly collect: () => void;
};

export class MemoryKeeper {
  readonly #options: MemoryKeeperOptions;
  #lastLook = 0;
  #turns = Number.NEGATIVE_INFINITY;
  #bytes: number;
  #atMs: number;

  constructor(options: MemoryKeeperOptions) {
    this.#options = options;
    this.#bytes = options.rss();
    this.#atMs = options.now();
  }

  /** To be called every {@link LOOK_MS}. */
  look(): void {
    const turns = this.#options.turns();
    const idle = turns - this.#lastLook <= IDLE_TURNS;
    this.#lastLook = turns;
    if (idle ? turns - this.#turns >= WORTH_TURNS : this.#grown) this.#collect(turns);
  }

  get #grown(): boolean {
    return this.#options.now() - this.#atMs >= BUSY_INTERVAL_MS && this.#options.rss() - this.#bytes >= WORTH_BYTES;
  }

  #collect(turns: number): void {
    this.#options.collect();
    this.#turns = turns;
    this.#atMs = this.#options.now();
    this.#bytes = this.#options.rss();
  }
}
