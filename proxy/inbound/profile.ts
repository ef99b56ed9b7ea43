// Inbound, a service profile only names routes and classifies responses (spec proxy §3.6 item 14).
import { formatNameAddr } from "#addr";
import { matchRoute, type Route } from "#profiles";
import { Timer } from "#stack";
import type { NameAddr, Profile, Unsubscribe } from "../contracts.ts";
import type { Exchange, Waiting } from "../http/exchange.ts";
import { RouteRun, type RouteTarget, releaseRoute } from "../http/route-run.ts";
import type { InboundContext } from "./context.ts";

const NO_RETRIES = { count() {}, countNoBudget() {}, release() {} };

/**
 * waiting ──first message, or the initial timeout──► settled. Requests wait while it is waiting; a profile that comes later is
 * used from then on.
 */
export class InboundProfile implements Waiting {
  readonly #context: InboundContext;
  readonly #dst: string;
  readonly #unsubscribe: Unsubscribe;
  readonly #resume: (exchange: Exchange) => void;
  readonly #timer: Timer;
  readonly #waiting = new Set<Exchange>();
  #settled = false;
  #profile: Profile | null = null;
  readonly #targets = new Map<Route, RouteTarget>();

  /** @param resume sends on a request that waited */
  constructor(context: InboundContext, name: NameAddr, resume: (exchange: Exchange) => void) {
    this.#context = context;
    this.#dst = formatNameAddr(name);
    this.#resume = resume;
    this.#timer = new Timer(context.runtime.wheel, this);
    this.#timer.start(context.settings.profileTimeoutMs);
    this.#unsubscribe = context.discovery.profile(this.#dst, (profile) => {
      this.#profile = profile !== null && profile.fqn !== null ? profile : null;
      this.#release();
      this.#settle();
    });
  }

  /** False: the request waits and is resumed later. */
  admit(exchange: Exchange): boolean {
    if (this.#settled || this.#waiting.size >= this.#context.settings.queueCapacity) {
      this.attach(exchange);
      return true;
    }
    this.#waiting.add(exchange);
    exchange.waiting = this;
    return false;
  }

  cancel(exchange: Exchange): void {
    this.#waiting.delete(exchange);
  }

  onTimer(): void {
    this.#settle();
  }

  #settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#timer.stop();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const exchange of waiting) {
      exchange.waiting = null;
      this.attach(exchange);
      this.#resume(exchange);
    }
  }

  /** Gives the request its route, if one matches. */
  attach(exchange: Exchange): void {
    const profile = this.#profile;
    if (profile === null || profile.routes.length === 0) return;
    const { head } = exchange.request;
    const query = head.path.indexOf("?");
    const route = matchRoute(profile.routes, head.method, query < 0 ? head.path : head.path.slice(0, query));
    if (route === null) return;
    let target = this.#targets.get(route);
    if (target === undefined) {
      target = {
        labels: route.labels,
        scope: this.#context.telemetry.route(this.#dst, route.labels),
        actual: null,
        classes: route.classes,
        timeoutMs: null,
        timeoutText: "",
        budget: null,
        retryable: NO_RETRIES,
      };
      this.#targets.set(route, target);
    }
    exchange.route = new RouteRun(this.#context.runtime, target, exchange, false);
  }

  close(): void {
    this.#settle();
    this.#unsubscribe();
    this.#release();
  }

  #release(): void {
    for (const target of this.#targets.values()) releaseRoute(target);
    this.#targets.clear();
  }
}
