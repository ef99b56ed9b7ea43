// The work queue: a key waits at most once, is never worked on twice at the same time, and comes back later and later while it fails.

export interface WorkQueueOptions {
  /** Handles one key; a rejection brings the key back after a pause. */
  work: (key: string) => Promise<void>;
  /** Keys worked on at the same time. */
  workers: number;
  onError: (key: string, error: unknown, retryInMs: number) => void;
  /** First and longest pause after failures in a row, in ms. Defaults 5 and 30,000. */
  backoffMs?: { first: number; most: number };
  /** Most keys that wait; one more is refused until the next resync brings it again. Default 100,000. */
  maxKeys?: number;
  setTimer?: (callback: () => void, ms: number) => unknown;
  clearTimer?: (timer: unknown) => void;
  now?: () => number;
}

const defaultMaxKeys = 100_000;
/** Pauses double at most so often: beyond that the longest holds anyway. */
const maxDoublings = 30;

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #ready: Set<string> = new Set();
  readonly #active = new Set<string>();
  /** Added again while being worked on. */
  readonly #again = new Set<string>();
  readonly #later = new Map<string, { at: number; timer: unknown }>();
  readonly #failures = new Map<string, number>();
  readonly #now: () => number;
  readonly #idle = new Set<() => void>();
  #stopped = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Keys that wait or are worked on, without those for later. */
  get size(): number {
    return this.#ready.size + this.#active.size;
  }

  /** Puts `key` up for work now. False when the queue is full or stopped. */
  add(key: string): boolean {
    if (this.#stopped) return false;
    if (this.#active.has(key)) {
      this.#again.add(key);
      return true;
    }
    if (!this.#ready.has(key) && this.#ready.size >= (this.#options.maxKeys ?? defaultMaxKeys)) return false;
    this.#ready.add(key);
    this.#pump();
    return true;
  }

  /** Puts `key` up after `ms`; the earliest of several times holds. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return;
    const at = this.#now() + ms;
    const waiting = this.#later.get(key);
    if (waiting) {
      if (waiting.at <= at) return;
      this.#clear(waiting.timer);
    } else if (this.#later.size >= (this.#options.maxKeys ?? defaultMaxKeys)) return;
    // A timer holds 2^31 ms at most; whoever waits longer looks again then.
    const delay = Math.min(Math.max(0, ms), 0x7fffffff);
    const fire = () => {
      this.#later.delete(key);
      this.add(key);
    };
    const timer = this.#options.setTimer ? this.#options.setTimer(fire, delay) : setTimeout(fire, delay);
    this.#later.set(key, { at, timer });
  }

  /** Resolves when nothing waits and nothing is worked on. */
  whenIdle(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.add(resolve));
  }

  /** Takes no more; resolves when the work in hand is done. */
  stop(): Promise<void> {
    this.#stopped = true;
    for (const { timer } of this.#later.values()) this.#clear(timer);
    this.#later.clear();
    this.#ready.clear();
    this.#again.clear();
    return this.whenIdle();
  }

  #clear(timer: unknown): void {
    if (this.#options.clearTimer) this.#options.clearTimer(timer);
    else clearTimeout(timer as ReturnType<typeof setTimeout>);
  }

  #pump(): void {
    while (this.#active.size < this.#options.workers) {
      const [key] = this.#ready;
      if (key === undefined) return;
      this.#ready.delete(key);
      this.#active.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    try {
      await this.#options.work(key);
      this.#failures.delete(key);
    } catch (error) {
      const failures = this.#failures.get(key) ?? 0;
      this.#failures.set(key, failures + 1);
      const { first, most } = this.#options.backoffMs ?? { first: 5, most: 30_000 };
      const pause = Math.min(first * 2 ** Math.min(failures, maxDoublings), most);
      if (!this.#stopped) {
        this.#options.onError(key, error, pause);
        this.addAfter(key, pause);
      }
    } finally {
      this.#active.delete(key);
      if (this.#again.delete(key)) this.add(key);
      this.#pump();
      if (this.size === 0) {
        for (const resolve of this.#idle) resolve();
        this.#idle.clear();
      }
    }
  }
}
