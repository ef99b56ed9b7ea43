// One endpoint as HTTP traffic sees it: which protocol carries a request, on which connection (spec proxy §4.8).
import { type Balanced, PeakEwma } from "#balance";
import type { Backoff } from "#stack";
import type { Runtime } from "../runtime.ts";
import type { StackScope } from "../telemetry.ts";
import type { ConnectError } from "../transport/index.ts";
import { Attempt, type AttemptEndpoint } from "./attempt.ts";
import type { HttpEngines } from "./engines.ts";
import { connectError, identityRequired } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { type Http1Connection, Http1Pool } from "./http1-pool.ts";
import { type Dial, type Http2Connection, Http2Link } from "./http2-link.ts";
import type { ResponseScope } from "./meter.ts";
import type { ObservedEndpoint } from "./observe.ts";
import type { ResponsePlans } from "./plans.ts";
import type { ResponsePlan } from "./response.ts";
import { type SentOptions, sentHead } from "./sent.ts";

export type HttpEndpointOptions = {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  readonly dial: Dial;
  readonly backoff: Backoff;
  /** HTTP/1 rides HTTP/2 (`protocol_hint.h2`). */
  readonly upgrade: boolean;
  /** Mesh identity of the peer; null = plain. */
  readonly identity: string | null;
  readonly authorityOverride: string | null;
  /** Authority of upgraded requests that have none: `ip:port`. */
  readonly defaultAuthority: string;
  readonly plans: ResponsePlans;
  readonly scope: ResponseScope;
  readonly observed: ObservedEndpoint;
  readonly stack: StackScope;
  readonly poolIdleMs: number;
  readonly maxIdle: number;
  /** The HTTP/2 connection came, went, or has room again. */
  readonly onChange: () => void;
  /** The HTTP/2 connection could not be made. */
  readonly onLinkError: (error: ConnectError) => void;
};

/** The endpoint as requests of one HTTP version see it: what the balancer picks from. */
export class EndpointView implements Balanced {
  readonly endpoint: HttpEndpoint;
  readonly load: PeakEwma;
  /** Requests travel on the HTTP/2 connection. */
  readonly linked: boolean;
  /** Place in its balancer's list; owned by the balancer. */
  at = 0;

  constructor(endpoint: HttpEndpoint, linked: boolean) {
    this.endpoint = endpoint;
    this.load = endpoint.load;
    this.linked = linked;
  }

  /** HTTP/1 endpoints are always ready: they are dialed when needed. */
  get ready(): boolean {
    return !this.linked || this.endpoint.link.ready !== null;
  }
}

export class HttpEndpoint implements AttemptEndpoint {
  readonly load: PeakEwma;
  readonly link: Http2Link;
  readonly forHttp1: EndpointView;
  readonly forHttp2: EndpointView;
  readonly #options: HttpEndpointOptions;
  readonly #pool: Http1Pool;
  readonly #native: SentOptions;
  readonly #upgraded: SentOptions;

  constructor(options: HttpEndpointOptions) {
    this.#options = options;
    this.load = new PeakEwma({ nowMs: options.runtime.clock.now() });
    this.link = new Http2Link({ ...options, onError: options.onLinkError });
    this.#pool = new Http1Pool({
      runtime: options.runtime,
      engines: options.engines,
      idleMs: options.poolIdleMs,
      maxIdle: options.maxIdle,
    });
    this.forHttp1 = new EndpointView(this, options.upgrade);
    this.forHttp2 = new EndpointView(this, true);
    const { authorityOverride, defaultAuthority } = options;
    this.#native = { carriage: "native", authorityOverride, defaultAuthority };
    this.#upgraded = { carriage: "upgraded", authorityOverride, defaultAuthority };
  }

  get ready(): boolean {
    return this.forHttp1.ready;
  }

  now(): number {
    return this.#options.runtime.clock.now();
  }

  viewFor(exchange: Exchange): EndpointView {
    return exchange.request.head.version === "HTTP/2" ? this.forHttp2 : this.forHttp1;
  }

  /** Sends a request; only while the view for it is ready. */
  send(exchange: Exchange): void {
    const { request } = exchange;
    const { identity } = this.#options;
    if (request.requireId !== null && request.requireId !== identity) {
      exchange.fail(identityRequired(request.requireId, identity));
      return;
    }
    const http2 = request.head.version === "HTTP/2";
    if (http2 || (this.#options.upgrade && !request.upgrade)) this.#sendLinked(exchange, http2);
    else this.#sendHttp1(exchange);
  }

  /** A request that waited for the connection meets its failure. */
  refuse(exchange: Exchange, error: ConnectError): void {
    const attempt = this.#attempt(exchange, this.#options.plans.http1);
    attempt.dialFailed(connectError(error));
  }

  close(): void {
    this.link.close();
    this.#pool.close();
    this.#options.scope.release();
    this.#options.stack.drop();
  }

  #sendLinked(exchange: Exchange, http2: boolean): void {
    const { plans } = this.#options;
    const connection = this.link.ready;
    const attempt = this.#attempt(exchange, http2 ? plans.http2 : plans.upgraded);
    if (connection === null) {
      attempt.dialFailed(connectError({ kind: "io", message: "no connection to the endpoint" }));
      return;
    }
    this.#start(attempt, connection, http2 ? this.#native : this.#upgraded);
  }

  #sendHttp1(exchange: Exchange): void {
    const { plans, dial } = this.#options;
    const { request } = exchange;
    const attempt = this.#attempt(exchange, request.downgraded ? plans.downgraded : plans.http1);
    attempt.http1 = true;
    const bucket = request.poolKey === null ? null : this.#pool.bucket(request.poolKey, request.head.form === "absolute");
    const idle = bucket === null ? null : this.#pool.take(bucket);
    if (idle !== null) {
      this.#start(attempt, idle, this.#native);
      return;
    }
    attempt.abandon = dial(
      "http1",
      (connection) => {
        attempt.abandon = null;
        this.#start(attempt, this.#pool.adopt(connection, bucket), this.#native);
      },
      (error) => {
        attempt.abandon = null;
        attempt.dialFailed(connectError(error));
      },
    );
  }

  #attempt(exchange: Exchange, plan: ResponsePlan): Attempt {
    const { scope, observed } = this.#options;
    const { attempts } = observed.observers;
    const attempt = attempts === null ? new Attempt(exchange, this, scope, plan) : attempts.attempt(exchange, this, scope, plan, observed);
    exchange.attempt = attempt;
    return attempt;
  }

  #start(attempt: Attempt, connection: Http1Connection | Http2Connection, options: SentOptions): void {
    const { exchange } = attempt;
    attempt.source = connection;
    attempt.sentEnd = exchange.bodyless;
    attempt.stream = connection.engine.request(sentHead(attempt.request, options), attempt.sentEnd, attempt);
    exchange.feed(attempt);
  }
}
