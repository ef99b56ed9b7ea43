// A token bucket against one kind of abuse. The clock is read only when the bucket is empty.

export type BudgetLimit = {
  /** Tokens at the beginning and at most. */
  readonly burst: number;
  /** Tokens that come back by time. */
  readonly perSecond: number;
};

export class Budget {
  readonly #limit: BudgetLimit;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  /** `now` in milliseconds, monotone. */
  constructor(limit: BudgetLimit, now: () => number) {
    this.#limit = limit;
    this.#now = now;
    this.#tokens = limit.burst;
    this.#filledAt = -1;
  }

  /** Takes a token; false when there is none. */
  spend(): boolean {
    // Time counts from the first use.
    if (this.#filledAt < 0) this.#filledAt = this.#now();
    if (this.#tokens < 1) {
      const now = this.#now();
      this.#tokens = Math.min(this.#limit.burst, this.#tokens + ((now - this.#filledAt) * this.#limit.perSecond) / 1000);
      this.#filledAt = now;
      if (this.#tokens < 1) return false;
    }
    this.#tokens--;
    return true;
  }

  /** Useful work earns tokens back. */
  earn(tokens: number): void {
    if (this.#tokens < this.#limit.burst) this.#tokens = Math.min(this.#limit.burst, this.#tokens + tokens);
  }
}
