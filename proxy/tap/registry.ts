// The taps of the process: every attempt at an endpoint is shown to each of them (spec proxy §10).
import { formatSocketAddr } from "#addr";
import { type RequestHead, withoutField } from "#http";
import type { TapRequest } from "#tap";
import type { Exchange } from "../http/exchange.ts";
import type { ObservedEndpoint } from "../http/observe.ts";
import type { AttemptWatcher } from "../http/observed-attempt.ts";
import { HttpServerConnection } from "../http/server.ts";
import { Subscription, type SubscriptionInit } from "./subscription.ts";
import { contextOf, TapWatcher } from "./watcher.ts";

/** What an Observe call asks for. `request`: the same as it came. */
export type TapInit = Omit<SubscriptionInit, "base" | "onFull"> & { readonly base?: number; readonly request?: Uint8Array };

/** One Observe call: its events, oldest first. */
export interface TapCall {
  /** Everything has been queued that ever will be. */
  readonly done: boolean;
  readonly queued: number;
  next(): Uint8Array | null;
  /** The client is gone. */
  cancel(): void;
}

/** Where Observe calls go: the taps of this thread, or those of workers. */
export interface Taps {
  add(init: TapInit): TapCall;
  remove(call: TapCall): void;
}

export type TapRegistryOptions = {
  /** Monotonic ms. */
  readonly now: () => number;
  /** The first tap has come, or the last one has gone. */
  readonly onActive: (active: boolean) => void;
};

export class TapRegistry implements Taps {
  readonly #options: TapRegistryOptions;
  /** Those that want more requests. */
  readonly #wanting = new Set<Subscription>();
  #base = 0;

  constructor(options: TapRegistryOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#wanting.size;
  }

  add(init: TapInit): Subscription {
    const subscription: Subscription = new Subscription({ base: this.#base, ...init, onFull: () => this.remove(subscription) });
    this.#base = (this.#base + 1) >>> 0;
    this.#wanting.add(subscription);
    if (this.#wanting.size === 1) this.#options.onActive(true);
    return subscription;
  }

  remove(subscription: Subscription): void {
    if (this.#wanting.delete(subscription) && this.#wanting.size === 0) this.#options.onActive(false);
  }

  /** Those who follow this attempt; empty when no tap wants it. */
  watch(exchange: Exchange, sent: RequestHead, observed: ObservedEndpoint): AttemptWatcher[] {
    const watchers: AttemptWatcher[] = [];
    if (this.#wanting.size === 0) return watchers;
    const head = overridden(sent, observed.authorityOverride);
    const request = describe(exchange, head, observed);
    for (const subscription of [...this.#wanting]) {
      const stream = subscription.take(request);
      if (stream < 0) continue;
      const watcher = new TapWatcher({ subscription, stream, context: contextOf(request, observed), now: this.#options.now });
      if (watcher.begin(request, head)) watchers.push(watcher);
      else watcher.dropped();
    }
    return watchers;
  }
}

/** As the endpoint gets it (spec proxy §4.8). */
function overridden(head: RequestHead, authority: string | null): RequestHead {
  if (authority === null) return head;
  return head.with({ authority, fields: withoutField(withoutField(head.fields, "host"), "l5d-dst-canonical") });
}

function describe(exchange: Exchange, head: RequestHead, observed: ObservedEndpoint): TapRequest {
  const { owner, route } = exchange;
  const query = head.path.indexOf("?");
  // A request that says no host is one for the address it came to (spec proxy §3.6 item 10).
  const nowhere = observed.direction === "inbound" && head.version !== "HTTP/2" ? formatSocketAddr(observed.addr) : "";
  return {
    source: owner instanceof HttpServerConnection && !owner.connection.closed ? owner.connection.remote : null,
    destination: observed.addr,
    destinationLabels: observed.labels,
    routeLabels: route?.target.labels ?? [],
    method: head.method,
    scheme: head.scheme ?? "http",
    authority: head.authority ?? head.get("host") ?? nowhere,
    path: query < 0 ? head.path : head.path.slice(0, query),
  };
}
