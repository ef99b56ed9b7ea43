// Spreads requests over the endpoints of one name by power of two choices (spec proxy §6).
import { pickP2c } from "#balance";
import type { Runtime } from "../runtime.ts";
import type { StackScope } from "../telemetry.ts";
import type { EndpointView, HttpEndpoint } from "./endpoint.ts";
import type { ProxyError } from "./errors.ts";
import type { Dispatcher, Exchange } from "./exchange.ts";
import { WaitQueue } from "./wait-queue.ts";

export type HttpBalancerOptions = {
  readonly runtime: Runtime;
  readonly failFastMs: number;
  readonly queueCapacity: number;
  readonly stack: StackScope;
};

/** Endpoints as requests of one HTTP version see them, and who waits for one. */
class Side {
  readonly views: EndpointView[] = [];
  readonly queue: WaitQueue;
  /** Requests of this version have been seen: their connections are made ahead of need. */
  eager = false;

  constructor(options: HttpBalancerOptions) {
    this.queue = new WaitQueue({
      runtime: options.runtime,
      layer: "HTTP Balancer",
      timeoutMs: options.failFastMs,
      capacity: options.queueCapacity,
      stack: options.stack,
    });
  }
}

export class HttpBalancer implements Dispatcher {
  readonly #runtime: Runtime;
  readonly #endpoints = new Set<HttpEndpoint>();
  readonly #http1: Side;
  readonly #http2: Side;
  #draining = false;

  constructor(options: HttpBalancerOptions) {
    this.#runtime = options.runtime;
    this.#http1 = new Side(options);
    this.#http2 = new Side(options);
  }

  get size(): number {
    return this.#endpoints.size;
  }

  add(endpoint: HttpEndpoint): void {
    this.#endpoints.add(endpoint);
    this.#http1.views.push(endpoint.forHttp1);
    this.#http2.views.push(endpoint.forHttp2);
    this.changed();
  }

  remove(endpoint: HttpEndpoint): void {
    if (!this.#endpoints.delete(endpoint)) return;
    this.#http1.views.splice(this.#http1.views.indexOf(endpoint.forHttp1), 1);
    this.#http2.views.splice(this.#http2.views.indexOf(endpoint.forHttp2), 1);
    endpoint.close();
  }

  /** An endpoint may be ready now, or need its connection. */
  changed(): void {
    for (const side of [this.#http1, this.#http2])
      if (side.eager) for (const view of side.views) if (view.linked && !view.endpoint.link.connected) view.endpoint.link.connect();
    // Later: this comes from within the engine whose connection changed.
    if (this.#draining || (this.#http1.queue.size === 0 && this.#http2.queue.size === 0)) return;
    this.#draining = true;
    queueMicrotask(() => {
      this.#draining = false;
      this.#serve(this.#http1);
      this.#serve(this.#http2);
    });
  }

  dispatch(exchange: Exchange): void {
    const side = exchange.request.head.version === "HTTP/2" ? this.#http2 : this.#http1;
    if (!side.eager) {
      side.eager = true;
      this.changed();
    }
    const avoid = exchange.avoid as HttpEndpoint | null;
    const view = pickP2c(side.views, this.#runtime.clock.now(), this.#runtime.random, avoid === null ? null : avoid.viewFor(exchange));
    if (view === null) {
      side.queue.add(exchange);
      return;
    }
    side.queue.ready();
    view.endpoint.send(exchange);
  }

  /** Ends the waiting of everyone: there will be no endpoint. */
  fail(error: ProxyError): void {
    for (const { queue } of [this.#http1, this.#http2]) queue.fail((exchange) => exchange.fail(error));
  }

  hasOther(endpoint: object): boolean {
    return this.#endpoints.size > (this.#endpoints.has(endpoint as HttpEndpoint) ? 1 : 0);
  }

  close(): void {
    for (const endpoint of [...this.#endpoints]) this.remove(endpoint);
    this.#http1.queue.close();
    this.#http2.queue.close();
  }

  #serve(side: Side): void {
    while (side.queue.size > 0) {
      const view = pickP2c(side.views, this.#runtime.clock.now(), this.#runtime.random);
      if (view === null) return;
      side.queue.ready();
      const exchange = side.queue.next();
      if (exchange !== null) view.endpoint.send(exchange);
    }
  }
}
