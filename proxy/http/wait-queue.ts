// Exchanges that wait for an endpoint, bounded in number and in time (spec proxy §6 "Queues", "Fail-fast").
import { FailFast } from "#stack";
import type { Runtime } from "../runtime.ts";
import type { StackScope } from "../telemetry.ts";
import { failFastError, type ProxyError } from "./errors.ts";
import type { Exchange, Waiting } from "./exchange.ts";

export type WaitQueueOptions = {
  readonly runtime: Runtime;
  /** Name in the error, such as `HTTP Balancer`. */
  readonly layer: string;
  /** Unready for longer: fail at once, ms. */
  readonly timeoutMs: number;
  /** Exchanges that may wait; more are failed. */
  readonly capacity: number;
  /** Told when readiness changes. */
  readonly stack: StackScope;
};

export class WaitQueue implements Waiting {
  readonly #capacity: number;
  readonly #error: ProxyError;
  readonly #failFast: FailFast;
  readonly #waiting = new Set<Exchange>();

  constructor(options: WaitQueueOptions) {
    this.#capacity = options.capacity;
    this.#error = failFastError(options.layer);
    this.#failFast = new FailFast({
      wheel: options.runtime.wheel,
      timeoutMs: options.timeoutMs,
      onChange: (failing) => {
        if (failing) this.fail((exchange) => exchange.fail(this.#error));
      },
      onPoll: (readiness) => options.stack.poll(readiness),
    });
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** There is nobody to serve it now. */
  add(exchange: Exchange): void {
    if (this.#failFast.failing || this.#waiting.size >= this.#capacity) {
      exchange.fail(this.#error);
      return;
    }
    this.#waiting.add(exchange);
    exchange.waiting = this;
    this.#failFast.unready();
  }

  /** The client is gone. */
  cancel(exchange: Exchange): void {
    this.#waiting.delete(exchange);
  }

  /** The service is ready again: the fail-fast clock stops. */
  ready(): void {
    this.#failFast.ready();
  }

  /** The longest waiting one, null when none waits. */
  next(): Exchange | null {
    for (const exchange of this.#waiting) {
      this.#waiting.delete(exchange);
      exchange.waiting = null;
      return exchange;
    }
    return null;
  }

  /** Ends the waiting of everyone. */
  fail(how: (exchange: Exchange) => void): void {
    for (let exchange = this.next(); exchange !== null; exchange = this.next()) how(exchange);
  }

  close(): void {
    this.#failFast.close();
  }
}
