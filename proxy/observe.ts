// Composes those who look at attempts, taps and client spans, and puts them in the request path only while there are any.

import { Attempt } from "./http/attempt.ts";
import type { AttemptObserver, Observers } from "./http/observe.ts";
import { ObservedAttempt } from "./http/observed-attempt.ts";
import { TapRegistry } from "./tap/index.ts";
import type { Tracer } from "./tracing/index.ts";

export type ObservationOptions = {
  /** Null: no collector. */
  readonly tracer: Tracer | null;
  /** Monotonic ms. */
  readonly now: () => number;
};

/** What the stacks hold, and where taps come and go. */
export function createObservation({ tracer, now }: ObservationOptions): { readonly observers: Observers; readonly taps: TapRegistry } {
  const observer: AttemptObserver = {
    attempt(exchange, endpoint, scope, plan, observed) {
      const { head } = exchange.request;
      const span = tracer === null ? null : tracer.client(observed.direction, head);
      const sent = span === null ? head : span.head;
      const watchers = taps.watch(exchange, sent, observed);
      if (span !== null && span.watcher !== null) watchers.push(span.watcher);
      if (sent === head && watchers.length === 0) return new Attempt(exchange, endpoint, scope, plan);
      return new ObservedAttempt(exchange, endpoint, scope, plan, sent, watchers);
    },
  };
  const observers: Observers = {
    attempts: tracer === null ? null : observer,
    tracers: tracer === null ? null : { inbound: tracer.inbound, outbound: tracer.outbound },
  };
  const taps = new TapRegistry({
    now,
    onActive: (active) => {
      if (tracer === null) observers.attempts = active ? observer : null;
    },
  });
  return { observers, taps };
}
