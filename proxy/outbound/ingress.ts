// Ingress mode: each request says where it goes, in `l5d-dst-override` (spec proxy §4.10).
import { parseNameAddr, type SocketAddr, splitAuthority } from "#addr";
import { withField, withoutField } from "#http";
import { detectHttpOn } from "../http/detect.ts";
import { failFastError, UNEXPECTED } from "../http/errors.ts";
import type { Exchange, Waiting } from "../http/exchange.ts";
import { redirect } from "../http/request.ts";
import { HttpServerConnection } from "../http/server.ts";
import { SingleEndpoint } from "../http/single.ts";
import type { Connection } from "../transport/index.ts";
import type { OutboundContext } from "./context.ts";
import { bareEndpoint, httpEndpointOptions } from "./http-endpoint.ts";
import type { OutboundHttpService, OutboundRoute } from "./http-service.ts";
import type { Named } from "./named.ts";

const NOT_DISCOVERED = failFastError("HTTP Logical");

export class IngressTarget {
  readonly #context: OutboundContext;
  readonly #service: OutboundHttpService;
  readonly #named: Named;
  readonly #dst: SocketAddr;
  readonly #route: OutboundRoute = { canonical: undefined, serve: (exchange) => this.#request(exchange) };
  #forward: SingleEndpoint | null = null;

  constructor(context: OutboundContext, service: OutboundHttpService, named: Named, dst: SocketAddr) {
    this.#context = context;
    this.#service = service;
    this.#named = named;
    this.#dst = dst;
  }

  close(): void {
    this.#forward?.close();
  }

  /** Serves an accepted connection; `done` is called once when it is over. */
  serve(connection: Connection, done: () => void): void {
    const { runtime, engines, drains, settings, telemetry, observers } = this.#context;
    detectHttpOn({
      runtime,
      connection,
      initial: null,
      timeoutMs: settings.detectTimeoutMs,
      onClose: done,
      onDetected: (version, initial) => {
        if (version !== null) {
          new HttpServerConnection({
            runtime,
            engines,
            connection,
            version,
            initial,
            service: this.#service,
            drains,
            tracer: observers.tracers?.outbound ?? null,
            onClose: done,
            context: this.#route,
          });
          return;
        }
        // Ingress-mode routing is HTTP-only.
        telemetry.tcpError("unexpected", this.#dst);
        connection.abort();
        done();
      },
    });
  }

  #request(exchange: Exchange): void {
    const override = exchange.request.head.get("l5d-dst-override");
    if (override === undefined || splitAuthority(override) === null) {
      this.#plain(exchange);
      return;
    }
    const addr = parseNameAddr(override);
    if (addr === null || !this.#context.discovery.matchesProfileSuffix(addr.name)) {
      exchange.fail(UNEXPECTED);
      return;
    }
    let cancel: (() => void) | null = null;
    const waiting: Waiting = { cancel: () => cancel?.() };
    exchange.waiting = waiting;
    cancel = this.#named.find(addr, (found) => {
      if (exchange.waiting === waiting) exchange.waiting = null;
      if (found === "failfast") exchange.fail(NOT_DISCOVERED);
      else if (found?.kind === "logical") {
        const { canonical } = found.logical;
        exchange.request = redirect(exchange.request, canonical, (head) =>
          head.with({ fields: withField(withoutField(head.fields, "l5d-dst-override"), "l5d-dst-canonical", canonical) }),
        );
        found.logical.serve(exchange);
      } else exchange.fail(UNEXPECTED);
    });
  }

  #plain(exchange: Exchange): void {
    const { settings, runtime } = this.#context;
    this.#forward ??= new SingleEndpoint({
      ...httpEndpointOptions(this.#context, bareEndpoint(this.#dst), { authority: null, plainReason: "ingress_without_override" }),
      runtime,
      layer: "HTTP Server",
      failFastMs: settings.dispatchTimeoutMs,
      queueCapacity: settings.queueCapacity,
    });
    exchange.dispatcher = this.#forward;
    this.#forward.dispatch(exchange);
  }
}
