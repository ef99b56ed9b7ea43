// One HTTP connection of a client: its engine, the exchanges on it, its end.
import type { Incoming, RequestHandler, RequestHead, ResponseHead, ServerEngine, ServerStream } from "#http";
import { Http1Server } from "#http1";
import { Timer } from "#stack";
import type { DrainRegistry } from "../drain.ts";
import type { Runtime } from "../runtime.ts";
import { type Connection, forward } from "../transport/index.ts";
import type { Attempt } from "./attempt.ts";
import { EngineDriver } from "./driver.ts";
import { createServerEngine, type HttpEngines } from "./engines.ts";
import type { ProxyError } from "./errors.ts";
import { Exchange, type ExchangeOwner } from "./exchange.ts";
import { Http1Connection } from "./http1-pool.ts";
import type { RequestTracer } from "./observe.ts";
import type { DerivedRequest } from "./request.ts";

/** What a stack does with the requests of a connection. One object may serve many connections. */
export interface HttpService {
  /** What is to be known of a head for this connection; memoised in `head.derived`. */
  derive(connection: HttpServerConnection, head: RequestHead): DerivedRequest;
  /** Takes the exchange on. It may be answered at once. */
  serve(connection: HttpServerConnection, exchange: Exchange): void;
  countError(connection: HttpServerConnection, error: ProxyError): void;
  /** A response head went out, or a request ended without. */
  answered(): void;
}

export type HttpServerOptions = {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  readonly connection: Connection;
  readonly version: "http1" | "http2";
  /** Bytes read for detection. */
  readonly initial: Uint8Array | null;
  readonly service: HttpService;
  readonly drains: DrainRegistry;
  /** Null: requests are not traced. */
  readonly tracer: RequestTracer | null;
  /** Called once, when the connection is gone (a tunnel included). */
  readonly onClose?: () => void;
  /** What the service knows of this connection: its target, policy, client … */
  readonly context: object;
};

export class HttpServerConnection extends EngineDriver implements RequestHandler, ExchangeOwner {
  readonly engine: ServerEngine;
  readonly context: object;
  readonly #service: HttpService;
  readonly #drains: DrainRegistry;
  readonly #tracer: RequestTracer | null;
  readonly #onClose: (() => void) | undefined;
  readonly #headTimeoutMs: number;
  #headTimer: Timer | null = null;
  #tunnelled = false;

  constructor(options: HttpServerOptions) {
    super(options.runtime, options.connection);
    this.context = options.context;
    this.#service = options.service;
    this.#drains = options.drains;
    this.#tracer = options.tracer;
    this.#onClose = options.onClose;
    this.#headTimeoutMs = options.engines.headTimeoutMs;
    this.engine = createServerEngine(options.engines, options.version, this, this);
    this.start(options.initial);
    this.#watchHead();
    // Not before: a drain must find the request that came with the first bytes.
    if (!this.connection.closeReported) this.#drains.add(this);
    this.connection.decided();
  }

  override onData(chunk: Uint8Array): void {
    super.onData(chunk);
    this.#watchHead();
  }

  /** A head that has begun must end in time. */
  #watchHead(): void {
    if (!(this.engine instanceof Http1Server)) return;
    if (!this.engine.readingHead) this.#headTimer?.stop();
    else if (this.#headTimer?.running !== true) {
      this.#headTimer ??= new Timer(this.runtime.wheel, { onTimer: () => this.abort() });
      this.#headTimer.start(this.#headTimeoutMs);
    }
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): Incoming {
    const traced = this.#tracer === null ? null : this.#tracer.begin(stream, head);
    return traced === null ? this.#serve(stream, head, end) : this.#serve(traced.stream, traced.head, end);
  }

  #serve(stream: ServerStream, head: RequestHead, end: boolean): Incoming {
    const exchange = new Exchange(this, stream, this.#service.derive(this, head), end);
    this.#service.serve(this, exchange);
    return exchange;
  }

  /** Answers what is in progress and then ends (spec proxy §1.8). */
  drain(): void {
    this.engine.drain();
    this.scheduleFlush();
  }

  cut(): void {
    this.abort();
  }

  describe(): string {
    const what = this.#tunnelled
      ? "tunnel"
      : `${this.engine instanceof Http1Server ? "HTTP/1" : "HTTP/2"} (requests: ${this.engine.activeStreams})`;
    return `${what} from ${this.connection.peer}`;
  }

  closeConnection(): void {
    this.drain();
  }

  countError(error: ProxyError): void {
    this.#service.countError(this, error);
  }

  get refuses(): boolean {
    return this.#drains.draining;
  }

  answered(): void {
    this.#service.answered();
  }

  tunnel(exchange: Exchange, attempt: Attempt, head: ResponseHead): void {
    exchange.stream.respond(head, false);
    // The endpoint's engine is in the middle of its read: couple when it is done.
    queueMicrotask(() => this.#couple(attempt));
  }

  #couple(attempt: Attempt): void {
    const peer = attempt.source;
    if (!(peer instanceof Http1Connection) || !(this.engine instanceof Http1Server) || this.connection.closed) {
      attempt.stream?.reset(0);
      this.abort();
      return;
    }
    // The head goes out first; what the kernel refuses stays in the connection's own queue.
    for (let bytes = this.engine.output(); bytes !== null; bytes = this.engine.output()) this.connection.write(bytes);
    const client = this.engine.takeOver();
    const server = peer.engine.takeOver();
    const upstream = peer.takeOver();
    this.#tunnelled = true;
    if (server.leftover.length > 0) this.connection.write(server.leftover);
    if (client.leftover.length > 0) upstream.write(client.leftover);
    this.connection.resume();
    upstream.resume();
    forward({ a: this.connection, b: upstream, onDone: () => this.#gone() });
  }

  protected closed(): void {
    if (!this.#tunnelled) this.#gone();
  }

  #gone(): void {
    this.#headTimer?.stop();
    this.#drains.delete(this);
    this.#onClose?.();
  }
}
