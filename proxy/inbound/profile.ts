// Inbound, a service profile only names routes and classifies responses (spec proxy §3.6 item 14).
import { formatNameAddr } from "#addr";
import { matchRoute, type Route } from "#profiles";
import type { NameAddr, Profile, Unsubscribe } from "../contracts.ts";
import type { Exchange } from "../http/exchange.ts";
import { RouteRun, type RouteTarget } from "../http/route-run.ts";
import type { InboundContext } from "./context.ts";

const NO_RETRIES = { count() {}, countNoBudget() {} };

export class InboundProfile {
  readonly #context: InboundContext;
  readonly #dst: string;
  readonly #unsubscribe: Unsubscribe;
  #profile: Profile | null = null;
  #targets = new Map<Route, RouteTarget>();

  constructor(context: InboundContext, name: NameAddr) {
    this.#context = context;
    this.#dst = formatNameAddr(name);
    // Requests do not wait for it: the first ones may go without route metrics.
    this.#unsubscribe = context.discovery.profile(this.#dst, (profile) => {
      this.#profile = profile !== null && profile.fqn !== null ? profile : null;
      this.#targets = new Map();
    });
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
    this.#unsubscribe();
  }
}
