// The tap server: mesh TLS, HTTP/2, one gRPC method, for one identity (spec proxy §10). Others learn that they may not.
import { Code, decode, type ServerCall, type ServerMethod, serveCall } from "#grpc";
import type { Incoming, RequestHandler, RequestHead, ServerEngine, ServerStream } from "#http";
import { compileMatch, InvalidMatch, type Match, observe, observeRequest } from "#tap";
import { EngineDriver } from "../http/driver.ts";
import { createServerEngine, type HttpEngines } from "../http/engines.ts";
import { acceptTls } from "../inbound/accept.ts";
import type { Runtime } from "../runtime.ts";
import type { ServerTls } from "../telemetry.ts";
import type { TlsStore } from "../tls/index.ts";
import type { Connection } from "../transport/index.ts";
import type { TapCall, Taps } from "./registry.ts";

/** TLS detection on the tap port, ms. */
const DETECT_TIMEOUT_MS = 1000;
/** Longest ObserveRequest, bytes. */
export const MAX_REQUEST_BYTES = 64 * 1024;
/** Observe calls at once; more are RESOURCE_EXHAUSTED. */
export const MAX_CALLS = 100;
/** Events given to a connection before it has passed them on, bytes; the rest waits in the call's queue. */
const MAX_UNSENT_BYTES = 64 * 1024;

export type TapServerOptions = {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  readonly tls: TlsStore;
  readonly registry: Taps;
  /** `LINKERD2_PROXY_TAP_SVC_NAME`: the identity that may tap. */
  readonly permitted: string;
};

/** Tap has no series of its own: what goes wrong at accept is not counted (spec proxy §9.6). */
const UNCOUNTED = { tcpError() {} };

export class TapServer {
  readonly #options: TapServerOptions;
  readonly #connections = new Set<TapConnection>();
  readonly #calls = new Set<ObserveCall>();

  constructor(options: TapServerOptions) {
    this.#options = options;
  }

  /** Calls in progress. */
  get calls(): number {
    return this.#calls.size;
  }

  get connections(): number {
    return this.#connections.size;
  }

  accept(connection: Connection): void {
    const { runtime, tls } = this.#options;
    acceptTls({
      context: { runtime, tls, telemetry: UNCOUNTED },
      connection,
      dst: connection.local,
      timeoutMs: DETECT_TIMEOUT_MS,
      alpn: null,
      next: (client, initial) => {
        // Somebody else's TLS: nothing here can be read.
        if (client.kind === "opaque") connection.abort();
        else this.#serve(connection, client, initial);
      },
    });
  }

  /** Tells the clients that the proxy leaves, and ends. */
  close(): void {
    for (const call of [...this.#calls]) call.close();
    for (const connection of this.#connections) connection.drain();
  }

  #serve(connection: Connection, client: ServerTls, initial: Uint8Array | null): void {
    const refusal = refusalOf(client, this.#options.permitted);
    const method: ServerMethod =
      refusal === null
        ? (call, request) => this.#observe(call, request)
        : (call) => call.end({ code: Code.UNAUTHENTICATED, message: refusal });
    const { runtime, engines } = this.#options;
    new TapConnection(runtime, engines, connection, initial, method, this.#connections);
  }

  #observe(call: ServerCall, bytes: Uint8Array): void {
    if (this.#calls.size >= MAX_CALLS) {
      call.end({ code: Code.RESOURCE_EXHAUSTED, message: `at most ${MAX_CALLS} taps at once` });
      return;
    }
    const asked = readObserveRequest(bytes);
    if (typeof asked === "string") {
      call.end({ code: Code.INVALID_ARGUMENT, message: asked });
      return;
    }
    call.start();
    new ObserveCall(call, asked, this.#options.registry, this.#calls);
  }
}

type Asked = { readonly limit: number; readonly match: Match; readonly headers: boolean; readonly request: Uint8Array };

/** What is asked for, or why that is nothing. */
export function readObserveRequest(bytes: Uint8Array): Asked | string {
  try {
    const { limit, match, extract } = decode(observeRequest, bytes);
    if (limit === 0) return "limit must be positive";
    const http = extract?.extract.case === "http" ? extract.extract.value : undefined;
    return { limit, match: compileMatch(match), headers: http?.extract.case === "headers", request: bytes };
  } catch (error) {
    if (error instanceof InvalidMatch) return error.message;
    return `not an ObserveRequest: ${(error as Error).message}`;
  }
}

/** Null: it may. */
function refusalOf(client: ServerTls, permitted: string): string | null {
  if (client.kind === "established") return client.clientId === permitted ? null : "Unauthorized client";
  return client.kind === "none" ? client.reason : "Unauthorized client";
}

/** One Observe call: passes on what its subscription has queued as fast as the client reads. */
class ObserveCall {
  readonly #call: ServerCall;
  readonly #subscription: TapCall;
  readonly #registry: Taps;
  readonly #calls: Set<ObserveCall>;
  #passing = false;

  constructor(call: ServerCall, asked: Asked, registry: Taps, calls: Set<ObserveCall>) {
    this.#call = call;
    this.#registry = registry;
    this.#calls = calls;
    calls.add(this);
    const pass = (): void => this.#pass();
    this.#subscription = registry.add({ ...asked, onEvents: pass, onDone: pass });
    call.onRoom = pass;
    call.onCancelled = () => this.#gone();
  }

  close(): void {
    this.#gone();
    this.#call.end({ code: Code.UNAVAILABLE, message: "the proxy is shutting down" });
  }

  #pass(): void {
    if (this.#passing || this.#call.over) return;
    this.#passing = true;
    while (this.#call.pending < MAX_UNSENT_BYTES) {
      const event = this.#subscription.next();
      if (event === null) break;
      this.#call.send(event);
    }
    this.#passing = false;
    if (this.#subscription.done && this.#subscription.queued === 0) {
      this.#gone();
      this.#call.end({ code: Code.OK, message: "" });
    }
  }

  #gone(): void {
    this.#calls.delete(this);
    this.#subscription.cancel();
    this.#registry.remove(this.#subscription);
  }
}

class TapConnection extends EngineDriver implements RequestHandler {
  readonly engine: ServerEngine;
  readonly #methods: ReadonlyMap<string, ServerMethod>;
  readonly #connections: Set<TapConnection>;

  constructor(
    runtime: Runtime,
    engines: HttpEngines,
    connection: Connection,
    initial: Uint8Array | null,
    method: ServerMethod,
    connections: Set<TapConnection>,
  ) {
    super(runtime, connection);
    this.#methods = new Map([[observe.path, method]]);
    this.#connections = connections;
    this.engine = createServerEngine(engines, "http2", this, this);
    connections.add(this);
    this.start(initial);
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): Incoming {
    return serveCall(stream, head, end, { methods: this.#methods, maxRequestBytes: MAX_REQUEST_BYTES });
  }

  drain(): void {
    this.engine.drain();
    this.scheduleFlush();
  }

  protected closed(): void {
    this.#connections.delete(this);
  }
}
