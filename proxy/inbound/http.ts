// Requests to the application: authorization of each, the stack of its target, the answer when it is refused (spec proxy §3.6).
import { authorityOf, formatNameAddr, formatSocketAddr, type NameAddr, parseNameAddr } from "#addr";
import { ErrorCode, type RequestHead } from "#http";
import { type Held, IdleCache } from "#stack";
import { failFastError, type ProxyError, unauthorized } from "../http/errors.ts";
import type { Dispatcher, Exchange } from "../http/exchange.ts";
import { DerivedRequest, deriveRequest } from "../http/request.ts";
import type { HttpServerConnection, HttpService } from "../http/server.ts";
import { SingleEndpoint } from "../http/single.ts";
import { dial } from "../tcp/dial.ts";
import type { Counter, InboundTarget, StackScope } from "../telemetry.ts";
import type { InboundClient, Verdict } from "./client.ts";
import type { InboundContext } from "./context.ts";
import { InboundProfile } from "./profile.ts";

/** Logical names with a stack and an `authority` label of their own, per client and port; names are the client's to choose (spec hardening §3 row 30). */
export const MAX_LOGICAL_NAMES = 256;

/** Where a target's requests go once they are allowed. */
export interface InboundTargetStack extends Dispatcher {
  close(): void;
}

/** One client identity at one port under one permit: no connection to the application is shared beyond it (spec proxy §16.30). */
class PermitStack {
  readonly allow: Counter;
  readonly targets: IdleCache<LogicalTarget>;

  constructor(context: InboundContext, client: InboundClient, verdict: Verdict, authorizationName: string, make: MakeTarget) {
    const labels = { target: client.dst, tls: client.tls, serverName: verdict.serverName, authorizationName };
    this.allow = context.telemetry.allow("http", labels);
    this.targets = new IdleCache({
      wheel: context.runtime.wheel,
      idleMs: context.settings.cacheIdleMs,
      now: () => context.runtime.clock.now(),
      create: (key) => {
        const name = key === "" ? null : parseNameAddr(key, null);
        return new LogicalTarget(context, name, make(context, client, labels, name));
      },
      dispose: (target) => target.close(),
    });
  }

  target(name: NameAddr | null): Held<LogicalTarget> {
    return this.targets.get(name === null || this.targets.size >= MAX_LOGICAL_NAMES ? "" : formatNameAddr(name));
  }
}

type MakeTarget = (
  context: InboundContext,
  client: InboundClient,
  labels: InboundTarget & { readonly authorizationName: string },
  name: NameAddr | null,
) => InboundTargetStack;

/** A logical name's way to the application, and its profile if it has one. */
class LogicalTarget {
  readonly stack: InboundTargetStack;
  readonly #scope: StackScope;
  readonly profile: InboundProfile | null;

  constructor(context: InboundContext, name: NameAddr | null, stack: InboundTargetStack) {
    this.stack = stack;
    this.#scope = context.telemetry.stack("http", "logical");
    this.profile =
      name !== null && context.discovery.matchesProfileSuffix(name.name)
        ? new InboundProfile(context, name, (exchange) => this.dispatch(exchange))
        : null;
  }

  serve(exchange: Exchange): void {
    if (this.profile === null || this.profile.admit(exchange)) this.dispatch(exchange);
  }

  dispatch(exchange: Exchange): void {
    exchange.dispatcher = this.stack;
    this.stack.dispatch(exchange);
  }

  close(): void {
    this.stack.close();
    this.profile?.close();
    this.#scope.drop();
  }
}

/** One per listener role (application, admin): what differs is where allowed requests go. */
export class InboundHttpService implements HttpService {
  readonly #context: InboundContext;
  readonly #make: MakeTarget;
  readonly #stacks: IdleCache<PermitStack>;
  readonly #overloaded = failFastError("HTTP Server");
  #inFlight = 0;

  constructor(context: InboundContext, make: MakeTarget = application) {
    this.#context = context;
    this.#make = make;
    this.#stacks = new IdleCache<PermitStack>({
      wheel: context.runtime.wheel,
      idleMs: context.settings.cacheIdleMs,
      now: () => context.runtime.clock.now(),
      dispose: (stack) => stack.targets.clear(),
    });
  }

  /** Requests without a response head yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  derive(connection: HttpServerConnection, head: RequestHead): DerivedRequest {
    const client = connection.context as InboundClient;
    const verdict = client.verdict();
    // Memoised for all clients that share the stack; refused requests for the connection alone.
    const context = verdict.authorizationName === null ? client : this.#stack(client, verdict, verdict.authorizationName);
    const known = head.derived;
    if (known instanceof DerivedRequest && known.context === context) return known;
    const made = deriveRequest(head, {
      context,
      informational: client.clientId !== null,
      downgrade: true,
      clientId: client.clientId,
    });
    head.derived = made;
    return made;
  }

  serve(connection: HttpServerConnection, exchange: Exchange): void {
    this.#inFlight++;
    const { request } = exchange;
    if (request.malformed !== null) {
      this.#inFlight--;
      exchange.stream.reset(ErrorCode.PROTOCOL_ERROR);
      return;
    }
    if (this.#inFlight > this.#context.settings.maxInFlight) {
      exchange.fail(this.#overloaded);
      return;
    }
    const client = connection.context as InboundClient;
    const stack = request.context;
    if (!(stack instanceof PermitStack)) {
      this.#deny(client, exchange);
      return;
    }
    stack.allow.add();
    let held = request.memo as Held<LogicalTarget> | null;
    if (held === null || !held.alive) {
      held = stack.target(logicalName(request.head));
      request.memo = held;
    }
    held.touch(this.#context.runtime.clock.now());
    held.value.serve(exchange);
  }

  countError(connection: HttpServerConnection, error: ProxyError): void {
    const client = connection.context as InboundClient;
    if (error.label !== null) this.#context.telemetry.httpError(error.label, client.dst, client.verdict().serverName);
  }

  answered(): void {
    this.#inFlight--;
  }

  close(): void {
    this.#stacks.clear();
  }

  #deny(client: InboundClient, exchange: Exchange): void {
    const { serverName } = client.verdict();
    this.#context.telemetry.deny("http", { target: client.dst, tls: client.tls, serverName }).add();
    exchange.fail(unauthorized(serverName));
  }

  /** Found once per connection and policy. */
  #stack(client: InboundClient, verdict: Verdict, authorizationName: string): PermitStack {
    if (client.memo instanceof StackMemo && client.memo.held.alive) {
      client.memo.held.touch(this.#context.runtime.clock.now());
      return client.memo.held.value;
    }
    const { tls } = client;
    const who = tls.kind === "established" ? `tls ${tls.clientId ?? ""}` : tls.kind === "opaque" ? `sni ${tls.sni}` : tls.kind;
    const held = this.#stacks.get(
      `${formatSocketAddr(client.dst)} ${verdict.serverName} ${authorizationName} ${who}`,
      () => new PermitStack(this.#context, client, verdict, authorizationName, this.#make),
    );
    held.touch(this.#context.runtime.clock.now());
    client.memo = new StackMemo(held);
    return held.value;
  }
}

class StackMemo {
  readonly held: Held<PermitStack>;

  constructor(held: Held<PermitStack>) {
    this.held = held;
  }
}

/** `l5d-dst-canonical`, else the target's authority, else Host; default port 80; IPs give none (spec proxy §3.6 item 12). */
function logicalName(head: RequestHead): NameAddr | null {
  const canonical = head.get("l5d-dst-canonical");
  if (canonical !== undefined) {
    const name = parseNameAddr(canonical, null);
    if (name !== null) return name;
  }
  return parseNameAddr(head.authority ?? head.get("host") ?? "");
}

/** The application at the connection's original destination. */
function application(
  context: InboundContext,
  client: InboundClient,
  labels: InboundTarget & { readonly authorizationName: string },
  name: NameAddr | null,
): InboundTargetStack {
  const { settings, telemetry, observers, runtime, engines } = context;
  const target = { addr: client.dst, serverName: null, header: null, tls: { kind: "none", reason: "loopback" } } as const;
  const transport = telemetry.connect();
  return new SingleEndpoint({
    runtime,
    engines,
    dial: (protocol, onConnect, onError) => dial(context.dial, target, protocol, transport, onConnect, onError),
    backoff: settings.backoff,
    upgrade: false,
    identity: null,
    authorityOverride: null,
    defaultAuthority: formatSocketAddr(client.dst),
    plans: context.plans,
    scope: telemetry.endpoint({ ...labels, authority: name === null ? null : authorityOf(name) }),
    observed: {
      observers,
      direction: "inbound",
      addr: client.dst,
      labels: [
        ["srv_name", labels.serverName],
        ["saz_name", labels.authorizationName],
      ],
      authorityOverride: null,
      tls: target.tls,
      clientTls: labels.tls,
    },
    stack: telemetry.stack("http", "endpoint"),
    poolIdleMs: settings.poolIdleMs,
    maxIdle: settings.maxIdleConnections,
    layer: "HTTP Logical",
    failFastMs: settings.dispatchTimeoutMs,
    queueCapacity: settings.queueCapacity,
  });
}
