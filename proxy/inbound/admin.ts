// The admin port through the inbound stack: TLS terminated, policy applied, requests answered here (spec proxy §1.7).

import type { SocketAddr } from "#addr";
import { PeakEwma } from "#balance";
import { type ClientStream, type Fields, type RequestHead, ResponseHead, type ResponseIncoming } from "#http";
import type { AdminHandler, AdminResponse } from "../contracts.ts";
import { Attempt, type AttemptEndpoint } from "../http/attempt.ts";
import { detectHttpOn } from "../http/detect.ts";
import type { Exchange } from "../http/exchange.ts";
import type { ResponseScope } from "../http/meter.ts";
import { HttpServerConnection } from "../http/server.ts";
import type { InboundTarget } from "../telemetry.ts";
import type { Connection } from "../transport/index.ts";
import { acceptTls } from "./accept.ts";
import { InboundClient } from "./client.ts";
import type { InboundContext } from "./context.ts";
import { InboundHttpService, type InboundTargetStack } from "./http.ts";

/** TLS and HTTP detection on the admin port, ms. */
const DETECT_TIMEOUT_MS = 1000;
/** Largest request body; more is 413. */
export const MAX_ADMIN_BODY_BYTES = 64 * 1024;

export type AdminOptions = {
  readonly context: InboundContext;
  readonly handler: AdminHandler;
  /** Where the admin listener is bound: target of metrics, key of policy. */
  readonly addr: () => SocketAddr;
};

export class Admin {
  readonly #context: InboundContext;
  readonly #http: InboundHttpService;
  readonly #addr: () => SocketAddr;

  constructor(options: AdminOptions) {
    this.#context = options.context;
    this.#addr = options.addr;
    this.#http = new InboundHttpService(options.context, (context, _client, labels) => new AdminTarget(context, options.handler, labels));
  }

  accept(connection: Connection): void {
    const { context } = this;
    const dst = this.#addr();
    const policy = context.policies.lookup(dst.port);
    if (policy === "deny") {
      context.telemetry.tcpError("unknown port denied", dst);
      connection.abort();
      return;
    }
    const { ip } = connection.remote;
    acceptTls({
      context,
      connection,
      dst,
      timeoutMs: DETECT_TIMEOUT_MS,
      alpn: null,
      next: (tls, initial) => {
        if (tls.kind === "opaque") {
          connection.abort();
          return;
        }
        const client = new InboundClient({ dst, ip, tls, policy });
        connection.counters = context.telemetry.accept({ target: dst, tls, serverName: policy.current().name }).open();
        if (initial !== null) connection.counters.read(initial.length);
        this.#detect(connection, client, initial);
      },
    });
  }

  get context(): InboundContext {
    return this.#context;
  }

  #detect(connection: Connection, client: InboundClient, initial: Uint8Array | null): void {
    const { runtime, engines, drains } = this.#context;
    detectHttpOn({
      runtime,
      connection,
      initial,
      timeoutMs: DETECT_TIMEOUT_MS,
      onDetected: (detected, bytes, timedOut) => {
        const version = detected ?? (!timedOut ? null : client.tls.kind === "established" ? "http2" : "http1");
        if (version === null) connection.abort();
        else
          new HttpServerConnection({
            runtime,
            engines,
            connection,
            version,
            initial: bytes,
            service: this.#http,
            drains,
            tracer: null,
            context: client,
          });
      },
    });
  }
}

/** Answers requests in the place of an endpoint, so that they are counted like any others. */
class AdminTarget implements InboundTargetStack, AttemptEndpoint {
  readonly ready = true;
  readonly load: PeakEwma;
  readonly handler: AdminHandler;
  readonly #context: InboundContext;
  readonly #scope: ResponseScope;

  constructor(context: InboundContext, handler: AdminHandler, labels: InboundTarget & { authorizationName: string }) {
    this.#context = context;
    this.handler = handler;
    this.#scope = context.telemetry.endpoint({ ...labels, authority: null });
    this.load = new PeakEwma({ nowMs: context.runtime.clock.now() });
  }

  now(): number {
    return this.#context.runtime.clock.now();
  }

  dispatch(exchange: Exchange): void {
    const { plans } = this.#context;
    const { request } = exchange;
    const plan = request.head.version === "HTTP/2" ? plans.http2 : request.downgraded ? plans.downgraded : plans.http1;
    const attempt = new Attempt(exchange, this, this.#scope, plan);
    exchange.attempt = attempt;
    attempt.sentEnd = exchange.bodyless;
    // Of this connection: clients of several addresses share the target.
    const client = (exchange.owner as HttpServerConnection).context as InboundClient;
    attempt.stream = new AdminStream(this, request.head, attempt, client, attempt.sentEnd);
    exchange.feed(attempt);
  }

  hasOther(): boolean {
    return false;
  }

  close(): void {
    this.#scope.release();
  }
}

/** Takes a request's body and answers when it is complete. */
class AdminStream implements ClientStream {
  incoming: ResponseIncoming;
  readonly #target: AdminTarget;
  readonly #head: RequestHead;
  readonly #client: InboundClient;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #over = false;

  constructor(target: AdminTarget, head: RequestHead, incoming: ResponseIncoming, client: InboundClient, end: boolean) {
    this.#target = target;
    this.#head = head;
    this.incoming = incoming;
    this.#client = client;
    if (end) this.#answer();
  }

  write(chunk: Uint8Array, end: boolean): void {
    if (this.#over) return;
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_ADMIN_BODY_BYTES) {
      this.#over = true;
      queueMicrotask(() => this.#respond({ status: 413, headers: [["connection", "close"]], body: "" }));
      return;
    }
    if (chunk.length > 0) {
      this.#chunks.push(chunk);
      this.incoming.onWritten(chunk.length);
    }
    if (end) this.#answer();
  }

  trailers(_fields: Fields): void {
    this.#answer();
  }

  reset(): void {
    this.#over = true;
  }

  consume(): void {}

  /** Never within the call that brought the request: the exchange is not ready for an answer then. */
  #answer(): void {
    if (this.#over) return;
    this.#over = true;
    const query = this.#head.path.indexOf("?");
    const request = {
      method: this.#head.method,
      path: query < 0 ? this.#head.path : this.#head.path.slice(0, query),
      headers: this.#head,
      body: Buffer.concat(this.#chunks),
      clientIp: this.#client.ip,
      clientId: this.#client.clientId,
    };
    Promise.resolve()
      .then(() => this.#target.handler.handle(request))
      .then(
        (response) => this.#respond(response),
        () => this.#respond({ status: 500, headers: [], body: "" }),
      );
  }

  #respond(response: AdminResponse): void {
    const body = typeof response.body === "string" ? Buffer.from(response.body) : response.body;
    const fields: string[] = ["content-length", String(body.length)];
    for (const [name, value] of response.headers) fields.push(name, value);
    const head = new ResponseHead({ version: "HTTP/1.1", status: response.status, reason: null, fields });
    const none = body.length === 0 || this.#head.method === "HEAD";
    this.incoming.onResponse(head, none);
    if (!none) this.incoming.onData(body, true);
  }
}
