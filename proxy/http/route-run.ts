// The route features of one request: metrics, timeout, retries (spec proxy §5). Only requests that match a route have one.
import type { Fields } from "#http";
import type { RetryBudget } from "#retry";
import { Timer } from "#stack";
import type { Runtime } from "../runtime.ts";
import type { Labels, RetryableScope } from "../telemetry.ts";
import { type ProxyError, responseTimeout } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { Meter, type ResponseClasses, type ResponseScope } from "./meter.ts";

/** A route as the data plane runs it; made once per profile and route. */
export type RouteTarget = {
  readonly labels: Labels;
  readonly scope: ResponseScope;
  /** Counters per attempt; null inbound. */
  readonly actual: ResponseScope | null;
  readonly classes: ResponseClasses | null;
  /** Until response headers, over all attempts, ms; null = none. */
  readonly timeoutMs: number | null;
  readonly timeoutText: string;
  /** Null: not retryable, or the profile has no valid budget. */
  readonly budget: RetryBudget | null;
  readonly retryable: RetryableScope;
};

/** The route is gone; requests in progress finish with it. */
export function releaseRoute(target: RouteTarget): void {
  target.scope.release();
  target.actual?.release();
  target.retryable.release();
}

export class RouteRun {
  readonly target: RouteTarget;
  readonly meter: Meter;
  /** Not too large, by what is known of it from its head, to be repeated. */
  readonly #repeatable: boolean;
  readonly #runtime: Runtime;
  readonly #exchange: Exchange;
  readonly #timer: Timer | null;
  #timed = false;

  constructor(runtime: Runtime, target: RouteTarget, exchange: Exchange, repeatable: boolean) {
    this.#runtime = runtime;
    this.target = target;
    this.#exchange = exchange;
    this.#repeatable = repeatable;
    this.meter = new Meter(target.scope, runtime.clock.now(), exchange.request.grpcClassified, target.classes);
    this.#timer = target.timeoutMs === null ? null : new Timer(runtime.wheel, this);
    if (target.timeoutMs !== null) this.#timer?.start(target.timeoutMs);
  }

  onTimer(): void {
    this.#exchange.fail(responseTimeout(this.target.timeoutText));
  }

  /** A final response head, or an error in its place. @returns false when a retry has begun instead */
  onHead(exchange: Exchange, status: number, grpcStatus: number, failed: boolean): boolean {
    const { budget, retryable } = this.target;
    if (budget !== null && failed && this.#repeatable && exchange.replayable) {
      if (budget.withdraw()) {
        retryable.count();
        exchange.retry();
        return false;
      }
      retryable.countNoBudget();
    } else budget?.deposit();
    this.#timer?.stop();
    this.meter.head(status, grpcStatus);
    return true;
  }

  firstByte(): void {
    if (this.#timed) return;
    this.#timed = true;
    this.meter.firstByte(this.#runtime.clock.now());
  }

  ended(trailers: Fields | null): void {
    this.#timer?.stop();
    this.firstByte();
    this.meter.end(trailers);
  }

  /** The proxy failed the request. */
  failed(error: ProxyError): void {
    this.#timer?.stop();
    if (error.label === "response timeout") this.meter.fail("timeout");
    else this.meter.fail("unclassified");
  }

  reset(_code: number): void {
    this.#timer?.stop();
    this.meter.fail("unclassified");
  }

  /** The client is gone. */
  cancelled(): void {
    this.#timer?.stop();
    if (this.meter.status !== 0) this.meter.end(null);
    else this.meter.cancel();
  }
}
