// The time, read once per event-loop turn: what a turn handles happened at one time.

/** Whoever runs something at the end of the turn (the transport's flush queue). */
export interface TurnEnd {
  schedule(item: { flushQueued: boolean; flush(): void }): void;
}

/** A clock whose `now()` is one read of the real one per turn, ms. */
export class TurnClock {
  flushQueued = false;
  #nowMs = 0;
  readonly #read: () => number;
  readonly #turnEnd: TurnEnd;

  constructor(options: { read: () => number; turnEnd: TurnEnd }) {
    this.#read = options.read;
    this.#turnEnd = options.turnEnd;
  }

  now(): number {
    if (!this.flushQueued) {
      this.#nowMs = this.#read();
      this.#turnEnd.schedule(this);
    }
    return this.#nowMs;
  }

  /** The turn is over: the next question reads anew. */
  flush(): void {}
}
