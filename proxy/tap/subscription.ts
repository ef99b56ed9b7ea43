// One Observe call: what it wants to see, how many requests, and the events that wait for its client (spec proxy §10).
import type { Match, TapRequest } from "#tap";

/** Events that wait for the client; more are dropped. */
export const MAX_QUEUED_EVENTS = 400;
/** The same in bytes: events with headers may be large. */
export const MAX_QUEUED_BYTES = 1024 * 1024;

export type SubscriptionInit = {
  /** Number of the call in this process. */
  readonly base: number;
  /** Number of its first request, and the distance to the next; default 0 and 1. Threads that share a call have different ones. */
  readonly first?: number;
  readonly stride?: number;
  /** Requests to show, at least 1. */
  readonly limit: number;
  readonly match: Match;
  /** Headers and trailers are shown. */
  readonly headers: boolean;
  /** Events were queued. */
  readonly onEvents: () => void;
  /** No more requests are wanted. */
  readonly onFull: () => void;
  /** The last response that was followed is over: nothing more will be queued. */
  readonly onDone: () => void;
};

/**
 * matching ──limit reached──► following the responses ──last one over──► done. `cancel` leads there from anywhere.
 */
export class Subscription {
  readonly base: number;
  readonly headers: boolean;
  readonly #init: SubscriptionInit;
  readonly #queue: Uint8Array[] = [];
  #bytes = 0;
  #matched = 0;
  /** Requests whose response is not over. */
  #open = 0;
  #cancelled = false;
  #filled = false;
  /** Events that found the queue full. */
  dropped = 0;

  constructor(init: SubscriptionInit) {
    this.#init = init;
    this.base = init.base;
    this.headers = init.headers;
  }

  get full(): boolean {
    return this.#filled || this.#matched >= this.#init.limit;
  }

  /** Everything has been queued that ever will be. */
  get done(): boolean {
    return this.#cancelled || (this.full && this.#open === 0);
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** The number of this request, which is now followed until {@link release}; -1 when it is not wanted. */
  take(request: TapRequest): number {
    if (this.#cancelled || this.full || !this.#init.match(request)) return -1;
    this.#open++;
    const { first = 0, stride = 1 } = this.#init;
    const stream = first + stride * this.#matched++;
    if (this.full) this.#init.onFull();
    return stream;
  }

  /** @returns false when there is no room, or nobody to tell. */
  offer(event: Uint8Array): boolean {
    if (this.#cancelled) return false;
    if (this.#queue.length >= MAX_QUEUED_EVENTS || this.#bytes + event.length > MAX_QUEUED_BYTES) {
      this.dropped++;
      return false;
    }
    this.#queue.push(event);
    this.#bytes += event.length;
    this.#init.onEvents();
    return true;
  }

  /** The oldest event. */
  next(): Uint8Array | null {
    const event = this.#queue.shift();
    if (event === undefined) return null;
    this.#bytes -= event.length;
    return event;
  }

  /** The response of a request that was taken is over. */
  release(): void {
    this.#open--;
    if (this.done && !this.#cancelled) this.#init.onDone();
  }

  /** Others have shown enough: no more requests are taken. */
  fill(): void {
    if (this.full) return;
    this.#filled = true;
    this.#init.onFull();
    if (this.done && !this.#cancelled) this.#init.onDone();
  }

  /** The client is gone. */
  cancel(): void {
    this.#cancelled = true;
    this.#queue.length = 0;
    this.#bytes = 0;
  }
}
