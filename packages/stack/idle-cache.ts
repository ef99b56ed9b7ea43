// A table of shared things that live while someone holds them and for an idle age after (spec proxy §1.4, *_ROUTER_MAX_IDLE_AGE).
import { Timer, type TimerWheel } from "./timers.ts";

/** One entry: hold it while in use. */
export class Held<V> {
  readonly key: string;
  readonly value: V;
  readonly #cache: IdleCache<V>;
  readonly timer: Timer;
  /** In the table; once it has left it does not come back. */
  alive = true;
  #holders = 0;
  #touchedMs = 0;

  constructor(cache: IdleCache<V>, wheel: TimerWheel, key: string, value: V) {
    this.#cache = cache;
    this.key = key;
    this.value = value;
    this.timer = new Timer(wheel, this);
  }

  hold(): void {
    if (this.#holders++ === 0) this.timer.stop();
  }

  release(): void {
    if (--this.#holders === 0) this.timer.start(this.#cache.idleMs);
  }

  /** Used at this moment: cheaper than hold and release for users of a moment. */
  touch(nowMs: number): void {
    this.#touchedMs = nowMs;
  }

  onTimer(): void {
    if (this.#holders > 0) return;
    const left = this.#touchedMs + this.#cache.idleMs - this.#cache.now();
    if (left > 0 && this.#touchedMs > 0) this.timer.start(left);
    else this.#cache.drop(this);
  }
}

export type IdleCacheOptions<V> = {
  readonly wheel: TimerWheel;
  /** Age without holders after which an entry goes, ms. */
  readonly idleMs: number;
  /** Clock of {@link Held.touch}, ms. */
  readonly now: () => number;
  /** Makes what {@link IdleCache.get} is asked for without saying how. */
  readonly create?: (key: string) => V;
  /** The entry left the table: free what it holds. */
  readonly dispose: (value: V) => void;
};

export class IdleCache<V> {
  readonly idleMs: number;
  readonly now: () => number;
  readonly #options: IdleCacheOptions<V>;
  readonly #entries = new Map<string, Held<V>>();

  constructor(options: IdleCacheOptions<V>) {
    this.#options = options;
    this.idleMs = options.idleMs;
    this.now = options.now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The entry of a key, made when absent. The caller holds it, or else it ages from now. */
  get(key: string, create: ((key: string) => V) | undefined = this.#options.create): Held<V> {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = new Held(this, this.#options.wheel, key, (create as (key: string) => V)(key));
      this.#entries.set(key, entry);
      entry.timer.start(this.idleMs);
    }
    return entry;
  }

  /** Removes an entry at once, held or not; holders keep what they have. */
  drop(entry: Held<V>): void {
    if (this.#entries.get(entry.key) !== entry) return;
    entry.timer.stop();
    entry.alive = false;
    this.#entries.delete(entry.key);
    this.#options.dispose(entry.value);
  }

  /** Drops everything. */
  clear(): void {
    for (const entry of [...this.#entries.values()]) this.drop(entry);
  }

  values(): IterableIterator<Held<V>> {
    return this.#entries.values();
  }
}
