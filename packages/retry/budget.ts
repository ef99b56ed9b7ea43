// How many retries a service profile allows: a share of the requests plus a constant rate (spec proxy §5.5, tower's budget). Pure.

export type BudgetOptions = {
  /** Retries per request, 0 to 1000. */
  readonly ratio: number;
  /** Retries per second that are always allowed, 0 to 2³¹−1. */
  readonly minRetriesPerSecond: number;
  /** Window over which deposits count, ms; 1 s to 60 s. */
  readonly ttlMs: number;
  /** Monotonic ms. */
  readonly now: () => number;
};

const SLOTS = 10;

export class RetryBudget {
  readonly #now: () => number;
  readonly #deposit: number;
  readonly #withdraw: number;
  readonly #reserve: number;
  readonly #slotMs: number;
  readonly #slots = new Float64Array(SLOTS);
  #index = 0;
  #slotStart: number;
  #current = 0;

  constructor(options: BudgetOptions) {
    const { ratio, minRetriesPerSecond, ttlMs } = options;
    this.#now = options.now;
    this.#deposit = ratio === 0 ? 0 : ratio <= 1 ? 1 : 1000;
    this.#withdraw = ratio === 0 ? 1 : ratio <= 1 ? Math.floor(1 / ratio) : Math.floor(1000 / ratio);
    this.#reserve = minRetriesPerSecond * Math.floor(ttlMs / 1000) * this.#withdraw;
    this.#slotMs = ttlMs / SLOTS;
    this.#slotStart = options.now();
  }

  /** A request ended with an answer that is not retried. */
  deposit(): void {
    this.#expire();
    this.#current += this.#deposit;
  }

  /** True when a retry is allowed; it is then paid for. */
  withdraw(): boolean {
    this.#expire();
    let balance = this.#reserve + this.#current;
    for (const slot of this.#slots) balance += slot;
    if (balance < this.#withdraw) return false;
    this.#current -= this.#withdraw;
    return true;
  }

  /** Stores the tally of a slot whose time is over and forgets slots that were skipped. */
  #expire(): void {
    const elapsed = this.#now() - this.#slotStart;
    if (elapsed < this.#slotMs) return;
    this.#slots[this.#index] = this.#current;
    this.#current = 0;
    const steps = Math.min(SLOTS, Math.floor(elapsed / this.#slotMs));
    for (let i = 1; i <= steps; i++) {
      this.#index = (this.#index + 1) % SLOTS;
      this.#slots[this.#index] = 0;
    }
    this.#slotStart += Math.floor(elapsed / this.#slotMs) * this.#slotMs;
  }
}
