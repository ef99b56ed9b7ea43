// Requests on gateway connections: authorized against the inbound port's policy, then handed to the gateway (spec proxy §3.10).
import { ErrorCode, type RequestHead } from "#http";
import { type ProxyError, unauthorized } from "../http/errors.ts";
import type { Exchange } from "../http/exchange.ts";
import { DerivedRequest, deriveRequest } from "../http/request.ts";
import type { HttpServerConnection, HttpService } from "../http/server.ts";
import type { InboundClient } from "./client.ts";
import type { InboundContext } from "./context.ts";

/** One per connection; `target` null: each request's authority names it. */
export class GatewayHttpService implements HttpService {
  readonly #context: InboundContext;
  readonly #target: { readonly name: string; readonly port: number } | null;

  constructor(context: InboundContext, target: { readonly name: string; readonly port: number } | null) {
    this.#context = context;
    this.#target = target;
  }

  derive(connection: HttpServerConnection, head: RequestHead): DerivedRequest {
    const client = connection.context as InboundClient;
    const known = head.derived;
    if (known instanceof DerivedRequest && known.context === this) return known;
    const made = deriveRequest(head, { context: this, informational: true, downgrade: true, clientId: client.clientId });
    head.derived = made;
    return made;
  }

  serve(connection: HttpServerConnection, exchange: Exchange): void {
    const client = connection.context as InboundClient;
    const { telemetry, gateway } = this.#context;
    if (exchange.request.malformed !== null) {
      exchange.stream.reset(ErrorCode.PROTOCOL_ERROR);
      return;
    }
    const { serverName, authorizationName } = client.verdict();
    const labels = { target: client.dst, tls: client.tls, serverName };
    if (authorizationName === null) {
      telemetry.deny("http", labels).add();
      exchange.fail(unauthorized(serverName));
      return;
    }
    telemetry.allow("http", { ...labels, authorizationName }).add();
    gateway.serve({ clientId: client.clientId as string, clientIp: client.ip, dst: client.dst }, this.#target, exchange);
  }

  countError(connection: HttpServerConnection, error: ProxyError): void {
    const client = connection.context as InboundClient;
    if (error.label !== null) this.#context.telemetry.httpError(error.label, client.dst, client.verdict().serverName);
  }

  answered(): void {}
}
