// A profile's routes as the data plane runs them: matching, and what a matched request carries (spec proxy §5).

import type { RequestHead } from "#http";
import { matchRoute, type Route, type RouteBudget } from "#profiles";
import { RetryBudget } from "#retry";
import type { Profile } from "../contracts.ts";
import { type RouteTarget, releaseRoute } from "../http/route-run.ts";
import type { OutboundTelemetry } from "../telemetry.ts";
import { formatDuration } from "../transport/index.ts";

/** The routes of one profile message. The budget is the message's: a new one begins anew. */
export class Routes {
  readonly #profile: Profile;
  readonly #dst: string;
  readonly #telemetry: OutboundTelemetry;
  readonly #targets = new Map<Route, RouteTarget>();
  readonly #budget: RetryBudget | null;

  /** @param dst `name:port` */
  constructor(options: { profile: Profile; dst: string; telemetry: OutboundTelemetry; now: () => number }) {
    this.#profile = options.profile;
    this.#dst = options.dst;
    this.#telemetry = options.telemetry;
    const budget: RouteBudget | null = options.profile.retryBudget;
    this.#budget = budget === null ? null : new RetryBudget({ ...budget, now: options.now });
  }

  /** The first route that matches; null: the request goes without route features. */
  match(head: RequestHead): RouteTarget | null {
    const { routes } = this.#profile;
    if (routes.length === 0) return null;
    const query = head.path.indexOf("?");
    const route = matchRoute(routes, head.method, query < 0 ? head.path : head.path.slice(0, query));
    if (route === null) return null;
    let target = this.#targets.get(route);
    if (target === undefined) {
      target = {
        labels: route.labels,
        scope: this.#telemetry.route(this.#dst, route.labels),
        actual: this.#telemetry.routeActual(this.#dst, route.labels),
        classes: route.classes,
        timeoutMs: route.timeoutMs,
        timeoutText: formatDuration(route.timeoutMs ?? 0),
        budget: route.retryable ? this.#budget : null,
        retryable: this.#telemetry.retryable(this.#dst, route.labels),
      };
      this.#targets.set(route, target);
    }
    return target;
  }

  /** Another message has come, or the service is gone. */
  close(): void {
    for (const target of this.#targets.values()) releaseRoute(target);
    this.#targets.clear();
  }
}
