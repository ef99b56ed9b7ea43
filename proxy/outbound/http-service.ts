// Requests of the local application: what is derived of their heads, the limit on their number, their way on.
import { parseDnsName } from "#addr";
import { ErrorCode, type RequestHead } from "#http";
import { failFastError, type ProxyError } from "../http/errors.ts";
import type { Exchange } from "../http/exchange.ts";
import { DerivedRequest, deriveRequest } from "../http/request.ts";
import type { HttpServerConnection, HttpService } from "../http/server.ts";
import type { OutboundContext } from "./context.ts";

/** Where the requests of a connection go. */
export interface OutboundRoute {
  /** Set as `l5d-dst-canonical` on requests routed through a profile name; undefined: leave the field alone. */
  readonly canonical: string | undefined;
  serve(exchange: Exchange): void;
}

const OVERLOADED = failFastError("HTTP Server");

/** One per process: the limit on requests in flight is global. */
export class OutboundHttpService implements HttpService {
  readonly #context: OutboundContext;
  #inFlight = 0;

  constructor(context: OutboundContext) {
    this.#context = context;
  }

  /** Requests without a response head yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  derive(connection: HttpServerConnection, head: RequestHead): DerivedRequest {
    const route = connection.context as OutboundRoute;
    const known = head.derived;
    if (known instanceof DerivedRequest && known.context === route) return known;
    const made = deriveRequest(head, {
      context: route,
      informational: this.#context.settings.informational,
      downgrade: false,
      requireId: parseDnsName,
      ...(route.canonical === undefined ? {} : { dstCanonical: route.canonical }),
    });
    head.derived = made;
    return made;
  }

  serve(connection: HttpServerConnection, exchange: Exchange): void {
    this.#inFlight++;
    if (exchange.request.malformed !== null) {
      this.#inFlight--;
      exchange.stream.reset(ErrorCode.PROTOCOL_ERROR);
    } else if (this.#inFlight > this.#context.settings.maxInFlight) exchange.fail(OVERLOADED);
    else (connection.context as OutboundRoute).serve(exchange);
  }

  countError(_connection: HttpServerConnection, error: ProxyError): void {
    if (error.label !== null) this.#context.telemetry.httpError(error.label);
  }

  answered(): void {
    this.#inFlight--;
  }
}
