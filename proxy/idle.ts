// Gives memory back when there is nothing to do: the collector alone would keep what the last busy time needed until the next.

/** How often it is looked, ms. */
export const LOOK_MS = 2000;
/** Turns with output between two looks, up to which a proxy counts as idle: probes, scrapes and the control plane make a few. */
export const IDLE_TURNS = 40;
/** Turns since the last collection that make another worth its milliseconds. */
export const WORTH_TURNS = 500;

export class IdleCollector {
  readonly #turns: () => number;
  readonly #collect: () => void;
  #lastLook = 0;
  #lastCollection = Number.NEGATIVE_INFINITY;

  /** @param turns event-loop turns that had output, so far; `collect` takes some milliseconds */
  constructor(options: { turns: () => number; collect: () => void }) {
    this.#turns = options.turns;
    this.#collect = options.collect;
  }

  /** To be called every {@link LOOK_MS}. */
  look(): void {
    const turns = this.#turns();
    const idle = turns - this.#lastLook <= IDLE_TURNS;
    this.#lastLook = turns;
    if (!idle || turns - this.#lastCollection < WORTH_TURNS) return;
    this.#lastCollection = turns;
    this.#collect();
  }
}
