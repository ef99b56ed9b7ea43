// Requests for one fixed endpoint: the application inbound, a profile's endpoint or a bare address outbound.
import type { Runtime } from "../runtime.ts";
import { HttpEndpoint, type HttpEndpointOptions } from "./endpoint.ts";
import type { Dispatcher, Exchange } from "./exchange.ts";
import { WaitQueue } from "./wait-queue.ts";

export type SingleEndpointOptions = Omit<HttpEndpointOptions, "onChange" | "onLinkError"> & {
  readonly runtime: Runtime;
  /** Name of the layer in fail-fast errors. */
  readonly layer: string;
  readonly failFastMs: number;
  readonly queueCapacity: number;
};

export class SingleEndpoint implements Dispatcher {
  readonly endpoint: HttpEndpoint;
  readonly #queue: WaitQueue;
  #serving = false;

  constructor(options: SingleEndpointOptions) {
    this.#queue = new WaitQueue({
      runtime: options.runtime,
      layer: options.layer,
      timeoutMs: options.failFastMs,
      capacity: options.queueCapacity,
      stack: options.stack,
    });
    this.endpoint = new HttpEndpoint({
      ...options,
      onChange: () => this.#changed(),
      // There is no other endpoint to wait for: who waits learns why (502, 504).
      onLinkError: (error) => this.#queue.fail((exchange) => this.endpoint.refuse(exchange, error)),
    });
  }

  dispatch(exchange: Exchange): void {
    if (this.endpoint.viewFor(exchange).ready) {
      this.#queue.ready();
      this.endpoint.send(exchange);
      return;
    }
    this.#queue.add(exchange);
    this.endpoint.link.connect();
  }

  hasOther(): boolean {
    return false;
  }

  close(): void {
    this.endpoint.close();
    this.#queue.close();
  }

  #changed(): void {
    if (this.#serving || this.#queue.size === 0) return;
    this.#serving = true;
    queueMicrotask(() => {
      this.#serving = false;
      while (this.#queue.size > 0 && this.endpoint.forHttp2.ready) {
        this.#queue.ready();
        const exchange = this.#queue.next();
        if (exchange !== null) this.endpoint.send(exchange);
      }
      if (this.#queue.size > 0) this.endpoint.link.connect();
    });
  }
}
