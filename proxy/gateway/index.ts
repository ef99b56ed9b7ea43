// The gateway: meshed clients of other clusters reach services here by name, through this proxy's outbound side (spec proxy §3.10).
import { authorityOf, formatNameAddr, type NameAddr, parseNameAddr } from "#addr";
import { withField } from "#http";
import { BAD_GATEWAY_DOMAIN, failFastError, GATEWAY_LOOP, UNEXPECTED } from "../http/errors.ts";
import type { Exchange, Waiting } from "../http/exchange.ts";
import { redirect } from "../http/request.ts";
import type { Gateway, GatewayClient } from "../inbound/context.ts";
import type { Named } from "../outbound/named.ts";
import type { ConnectError, Connection } from "../transport/index.ts";

const FAIL_FAST = failFastError("Gateway");

export type OutboundGatewayOptions = {
  readonly named: Named;
  /** Own identity; null: disabled, and so is the gateway. */
  readonly localId: string | null;
  /** Whether the gateway may serve a name. */
  readonly allows: (name: string) => boolean;
};

export class OutboundGateway implements Gateway {
  readonly #options: OutboundGatewayOptions;

  constructor(options: OutboundGatewayOptions) {
    this.#options = options;
  }

  connect(
    _client: GatewayClient,
    target: NameAddr,
    onConnect: (connection: Connection) => void,
    onError: (error: ConnectError) => void,
  ): () => void {
    const fail = (message: string): void => onError({ kind: "io", errno: "", message });
    let abandon: (() => void) | null = null;
    if (!this.#options.allows(target.name)) {
      queueMicrotask(() => fail("bad gateway domain"));
      return () => {};
    }
    const giveUp = this.#options.named.find(target, (found) => {
      if (found === "failfast") fail(FAIL_FAST.message);
      else if (found?.kind === "logical") abandon = found.logical.connect(onConnect, onError);
      else if (found?.kind === "endpoint") abandon = found.connect(onConnect, onError);
      else fail("bad gateway domain");
    });
    return () => {
      giveUp();
      abandon?.();
    };
  }

  serve(client: GatewayClient, named: NameAddr | null, exchange: Exchange): void {
    const { head } = exchange.request;
    const target = named ?? parseNameAddr(head.authority ?? head.get("host") ?? "");
    if (target === null || !this.#options.allows(target.name)) {
      exchange.fail(BAD_GATEWAY_DOMAIN);
      return;
    }
    const { localId } = this.#options;
    for (const value of head.all("forwarded"))
      for (const part of value.split(";"))
        if (part.trim().toLowerCase().startsWith("by=") && part.trim().slice(3) === localId) {
          exchange.fail(GATEWAY_LOOP);
          return;
        }
    const authority = authorityOf(target);
    const key = `${formatNameAddr(target)} ${client.clientId}`;
    exchange.request = redirect(exchange.request, key, (received) => {
      let fields = [...received.fields, "forwarded", `by=${localId};for=${client.clientId};host=${authority};proto=https`];
      fields = [...withField(fields, "l5d-dst-canonical", formatNameAddr(target))];
      if (received.version !== "HTTP/2") fields = [...withField(fields, "host", authority)];
      return received.with({ fields, authority: received.authority === null && received.form === "origin" ? null : authority });
    });
    let cancel: (() => void) | null = null;
    const waiting: Waiting = { cancel: () => cancel?.() };
    exchange.waiting = waiting;
    cancel = this.#options.named.find(target, (found) => {
      if (exchange.waiting === waiting) exchange.waiting = null;
      if (found === "failfast") exchange.fail(FAIL_FAST);
      else if (found === null) exchange.fail(BAD_GATEWAY_DOMAIN);
      else if (found.kind === "logical") found.logical.serve(exchange);
      else {
        exchange.dispatcher = found.endpoint;
        found.endpoint.dispatch(exchange);
      }
    });
  }
}

/** Without outbound side or identity there is no gateway. */
export const NO_GATEWAY: Gateway = {
  connect(_client, _target, _onConnect, onError) {
    queueMicrotask(() => onError({ kind: "io", errno: "", message: "bad gateway domain" }));
    return () => {};
  },
  serve(_client, _target, exchange) {
    exchange.fail(UNEXPECTED);
  },
};
