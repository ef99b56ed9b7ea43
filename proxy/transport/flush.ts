// One flush per connection and event-loop turn: what the engines produce while a turn's events are handled goes out in one
// write (DESIGN §2: half the CPU of a proxied request is the system call).

/** Something with output to write at the end of the turn. */
export interface Flushable {
  /** Set while queued; owned by the queue. */
  flushQueued: boolean;
  flush(): void;
}

/** The process has one; handed to every connection. `defer` runs a callback at the end of the turn (`setImmediate`). */
export class FlushQueue {
  /** Event-loop turns that had output, so far. */
  turns = 0;
  #queue: Flushable[] = [];
  #spare: Flushable[] = [];
  readonly #defer: (run: () => void) => void;
  readonly #onError: (error: unknown) => void;
  readonly #run = (): void => {
    const batch = this.#queue;
    this.turns++;
    // A flush may queue more (a peer's window opened): that goes out at the end of the next turn.
    this.#queue = this.#spare;
    this.#spare = batch;
    for (let i = 0; i < batch.length; i++) {
      const item = batch[i] as Flushable;
      item.flushQueued = false;
      try {
        item.flush();
      } catch (error) {
        // A fault of one connection is not to be one of all.
        this.#onError(error);
      }
    }
    batch.length = 0;
  };

  constructor(options: { defer: (run: () => void) => void; onError?: (error: unknown) => void }) {
    this.#defer = options.defer;
    this.#onError = options.onError ?? rethrow;
  }

  /** A fault of the proxy itself, on one connection. */
  report(error: unknown): void {
    this.#onError(error);
  }

  schedule(item: Flushable): void {
    if (item.flushQueued) return;
    item.flushQueued = true;
    if (this.#queue.push(item) === 1) this.#defer(this.#run);
  }
}

function rethrow(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
