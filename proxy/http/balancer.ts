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

  add(view: EndpointView): void {
    view.at = this.views.push(view) - 1;
  }

  /** The last one takes its place. */
  remove(view: EndpointView): void {
    const last = this.views.pop();
    if (last === undefined || last === view) return;
    this.views[view.at] = last;
    last.at = view.at;
  }

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
    this.#http1.add(endpoint.forHttp1);
    this.#http2.add(endpoint.forHttp2);
    this.changed(endpoint);
  }

  remove(endpoint: HttpEndpoint): void {
    if (!this.#endpoints.delete(endpoint)) return;
    this.#http1.remove(endpoint.forHttp1);
    this.#http2.remove(endpoint.forHttp2);
    endpoint.close();
  }

  /** This endpoint may be ready now, or need its connection. */
  changed(endpoint: HttpEndpoint): void {
    if (this.#endpoints.has(endpoint)) this.#connect(endpoint);
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
      for (const endpoint of this.#endpoints) this.#connect(endpoint);
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

  #connect({ link, forHttp1, forHttp2 }: HttpEndpoint): void {
    if (link.connected) return;
    if ((this.#http1.eager && forHttp1.linked) || (this.#http2.eager && forHttp2.linked)) link.connect();
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
