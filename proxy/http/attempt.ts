// One try of an exchange at one endpoint: the endpoint's side of it, its load and its metrics.
import type { Balanced } from "#balance";
import {
  type ClientStream,
  ErrorCode,
  type Fields,
  type RequestHead,
  type ResponseHead,
  type ResponseIncoming,
  type StreamError,
} from "#http";
import type { ProxyError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { Meter, type ResponseScope } from "./meter.ts";
import type { ResponsePlan } from "./response.ts";

/** What an attempt must know of its endpoint. */
export interface AttemptEndpoint extends Balanced {
  now(): number;
}

/** Who gave the stream; told when the attempt needs it no more. */
export interface StreamSource {
  /** Takes the connection over after 101 or 2xx to CONNECT; null when it cannot be (HTTP/2). */
  readonly driver: unknown;
}

export class Attempt implements ResponseIncoming {
  readonly exchange: Exchange;
  readonly endpoint: AttemptEndpoint;
  readonly meter: Meter;
  /** `route_actual_*` of a route; null without. */
  readonly actual: Meter | null;
  readonly plan: ResponsePlan;
  /** Null while a connection is made. */
  stream: ClientStream | null = null;
  /** The connection that carries it, once there is one. */
  source: StreamSource | null = null;
  /** Gives up the dial in progress. */
  abandon: (() => void) | null = null;
  /** On an HTTP/1 connection. */
  http1 = false;
  /** The request went out with its end. */
  sentEnd = false;
  /** Bytes of a replayed body that the client has been credited for. */
  skipCredit = 0;
  #loaded = true;
  #over = false;

  constructor(exchange: Exchange, endpoint: AttemptEndpoint, scope: ResponseScope, plan: ResponsePlan) {
    const target = exchange.route?.target ?? null;
    const classes = target === null ? null : target.classes;
    const grpc = exchange.request.grpcClassified;
    const now = endpoint.now();
    this.exchange = exchange;
    this.endpoint = endpoint;
    this.meter = new Meter(scope, now, grpc, classes);
    this.actual = target === null || target.actual === null ? null : new Meter(target.actual, now, grpc, classes);
    this.plan = plan;
    endpoint.load.pending++;
  }

  get over(): boolean {
    return this.#over;
  }

  /** What is sent to the endpoint, in the version of the application. */
  get request(): RequestHead {
    return this.exchange.request.head;
  }

  // --- the endpoint's side ---

  onInformational(head: ResponseHead): void {
    if (!this.#over) this.exchange.informational(head);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    if (this.#over) return;
    if (end) this.#over = true;
    if (!this.exchange.respond(this, head, end, this.plan)) return;
    if (end) this.#end(null);
  }

  onData(chunk: Uint8Array, end: boolean): void {
    if (this.#over) return;
    if (end) {
      this.#over = true;
      this.#end(null);
    } else this.#firstByte();
    this.exchange.data(chunk, end);
  }

  onTrailers(fields: Fields): void {
    if (this.#over) return;
    this.#over = true;
    this.#end(fields);
    this.exchange.trailers(fields);
  }

  onWritten(bytes: number): void {
    let credit = bytes;
    if (this.skipCredit > 0) {
      const skipped = Math.min(bytes, this.skipCredit);
      this.skipCredit -= skipped;
      credit -= skipped;
    }
    if (credit > 0) this.exchange.credit(credit);
  }

  onReset(error: StreamError): void {
    const { exchange } = this;
    if (this.#over) {
      // The response is complete; only the rest of the request is refused.
      if (exchange.attempt === this) exchange.attemptReset(this, error);
      return;
    }
    this.#over = true;
    this.#unload();
    let effective = error;
    // A reused HTTP/1 connection that closed says nothing certain: only what may be repeated is (RFC 9110 §9.2.2).
    if (error.kind === "refused" && this.http1 && !exchange.request.idempotent) effective = { kind: "closed", errno: "" };
    const native = exchange.request.style.version === "HTTP/2" && !exchange.request.downgraded;
    if (effective.kind === "refused") this.#fail("h2(REFUSED_STREAM)");
    else if (effective.kind === "reset" && (native || this.meter.status !== 0)) this.#fail(`h2(${codeName(effective.code)})`);
    else if (this.meter.status !== 0) this.#fail("unclassified");
    // It becomes a 502 right here (spec proxy §3.8): visible as a response of the endpoint.
    else this.#synthesize(502);
    exchange.attemptReset(this, effective);
  }

  // --- our side ---

  /** The response head, for the metrics. @returns whether it is a failure by the head alone */
  head(status: number, grpcStatus: number): boolean {
    this.meter.head(status, grpcStatus);
    this.actual?.head(status, grpcStatus);
    return this.meter.failedByHead;
  }

  /** The connection could not be made. */
  dialFailed(error: ProxyError): void {
    if (this.#over) return;
    this.#over = true;
    this.#unload();
    // A refusal is fast: as a latency it would draw all requests to the endpoint that has just died.
    this.endpoint.load.observe(FAILED_DIAL_MS, this.endpoint.now());
    this.#synthesize(error.status);
    if (!this.exchange.redispatch(this)) this.exchange.failAtEndpoint(error, false);
  }

  /** Raw bytes follow: its part is done. */
  tunnelled(): void {
    this.#over = true;
    this.#end(null);
  }

  /** The client is gone or the exchange has failed. */
  cancel(code: number): void {
    this.abandon?.();
    this.abandon = null;
    this.stream?.reset(code);
    if (this.#over) return;
    this.#over = true;
    this.#unload();
    // Dropped early: classified without trailers when there was a head (spec proxy §9.3).
    if (this.meter.status !== 0) this.#end(null);
    else {
      this.meter.cancel();
      this.actual?.cancel();
    }
  }

  /** A retry replaces it: its response head is all that counts. */
  discard(): void {
    this.#over = true;
    this.#end(null);
    this.stream?.reset(ErrorCode.CANCEL);
  }

  #synthesize(status: number): void {
    this.head(status, -1);
    this.meter.firstByte(this.endpoint.now());
    this.meter.end(null);
    this.actual?.end(null);
  }

  #end(trailers: Fields | null): void {
    this.#firstByte();
    this.meter.end(trailers);
    this.actual?.end(trailers);
  }

  #fail(label: string): void {
    this.meter.fail(label);
    this.actual?.fail(label);
  }

  #firstByte(): void {
    const ms = this.meter.firstByte(this.endpoint.now());
    if (ms >= 0) {
      const { load } = this.endpoint;
      load.observe(ms, this.endpoint.now());
      this.#unload();
    }
  }

  #unload(): void {
    if (!this.#loaded) return;
    this.#loaded = false;
    this.endpoint.load.pending--;
  }
}

/** What a failed dial counts as, ms: about the slowest answer of an endpoint that one would still ask; forgotten as that is. */
export const FAILED_DIAL_MS = 1000;

const NAMES: readonly string[] = Object.keys(ErrorCode);

/** The name of an HTTP/2 error code, RFC 9113 §7. One name for all others: the peer chooses them, and they become a label. */
export function codeName(code: number): string {
  return NAMES[code] ?? "UNKNOWN";
}
