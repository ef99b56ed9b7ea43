// One request on its way through the proxy, from the server connection's stream to an endpoint's stream and back.
//
//   server stream ──onData/onTrailers──► Exchange ──write──► Attempt.stream (client engine)
//                 ◄──respond/write/trailers── Exchange ◄──onResponse/onData── Attempt
//
// States of the request: arriving → ended. States of the response: none → head sent → ended. An exchange has at most one
// attempt at a time; a request may wait without one (for an endpoint) with its body held by the client's flow control.
import { ErrorCode, type Fields, type Incoming, type ResponseHead, type ServerStream, type StreamError } from "#http";
import { ReplayBuffer } from "#retry";
import type { Attempt } from "./attempt.ts";
import { BAD_GATEWAY, type ProxyError } from "./errors.ts";
import type { DerivedRequest } from "./request.ts";
import { errorResponse, errorTrailers } from "./respond.ts";
import { deriveResponse, type ResponsePlan } from "./response.ts";
import type { RouteRun } from "./route-run.ts";

/** Times a request that nobody has processed is sent again elsewhere. Each is certain; the bound ends a storm of refusals. */
export const MAX_REDISPATCHES = 5;

/** Who owns the server connection of an exchange. */
export interface ExchangeOwner {
  /** An error was answered whose table row says that the connection ends, or a meshed peer asked for it. */
  closeConnection(): void;
  /** An error of the proxy itself, for `*_http_errors_total`. */
  countError(error: ProxyError): void;
  /** 101 or 2xx to CONNECT: couple both connections once what was said has gone out. */
  tunnel(exchange: Exchange, attempt: Attempt, head: ResponseHead): void;
  /** The proxy is leaving: what was not processed is refused (HTTP/2), so that the client's proxy sends it elsewhere. */
  readonly refuses: boolean;
  /** The response head went out, or the exchange ended without one. Called once. */
  answered(): void;
}

/** Sends an exchange on: picks an endpoint and starts an {@link Attempt}, queues it, or fails it. */
export interface Dispatcher {
  dispatch(exchange: Exchange): void;
  /** There is another endpoint to try than this one. */
  hasOther(endpoint: object): boolean;
}

/** Someone an exchange waits for; told when it does not any more. */
export interface Waiting {
  cancel(exchange: Exchange): void;
}

export class Exchange implements Incoming {
  readonly owner: ExchangeOwner;
  readonly stream: ServerStream;
  /** Replaced by those who send the request elsewhere than its head says ({@link redirect}). */
  request: DerivedRequest;
  /** Set by whoever dispatches. */
  dispatcher: Dispatcher | null = null;
  attempt: Attempt | null = null;
  waiting: Waiting | null = null;
  /** Route features of a service profile; null without. */
  route: RouteRun | null = null;
  /** The endpoint that refused the request before: passed over if there is another. */
  avoid: object | null = null;
  requestEnded: boolean;
  /** Body that no attempt has taken yet; bounded by the engine's flow control as it is not consumed. */
  #held: Uint8Array[] | null = null;
  /** The body so far, until there is an answer: a request that nobody has processed is sent again with it. */
  #replay: ReplayBuffer | null = null;
  #trailers: Fields | null = null;
  /** Bytes of the request credited to the client: a replay must not credit them again. */
  #credited = 0;
  /** Bytes of the request that were given to attempts. */
  #bodyBytes = 0;
  #responded = false;
  #responseEnded = false;
  #over = false;
  #redispatches = 0;

  constructor(owner: ExchangeOwner, stream: ServerStream, request: DerivedRequest, end: boolean) {
    this.owner = owner;
    this.stream = stream;
    this.request = request;
    this.requestEnded = end;
  }

  /** Nothing more happens: the client is gone or has its answer. */
  get over(): boolean {
    return this.#over;
  }

  get responded(): boolean {
    return this.#responded;
  }

  // --- the client's side ---

  onData(chunk: Uint8Array, end: boolean): void {
    if (end) this.requestEnded = true;
    if (this.#over || (this.#responseEnded && this.attempt === null)) {
      // The answer is out and nobody wants the rest of the request: it is read and dropped.
      if (chunk.length > 0) this.stream.consume(chunk.length);
      return;
    }
    // An endpoint that has answered early still takes the rest, unless it resets the stream.
    if (end && this.#responseEnded) this.#over = true;
    if (!this.#responded) (this.#replay ??= new ReplayBuffer()).push(chunk, end, null);
    if (this.attempt?.stream != null) {
      this.#bodyBytes += chunk.length;
      this.attempt.stream.write(chunk, end);
    } else if (chunk.length > 0) (this.#held ??= []).push(new Uint8Array(chunk));
  }

  onTrailers(fields: Fields): void {
    this.requestEnded = true;
    if (this.#over || (this.#responseEnded && this.attempt === null)) return;
    if (this.#responseEnded) this.#over = true;
    if (!this.#responded) (this.#replay ??= new ReplayBuffer()).push(EMPTY, true, fields);
    this.#trailers = fields;
    this.attempt?.stream?.trailers(fields);
  }

  onWritten(bytes: number): void {
    this.attempt?.stream?.consume(bytes);
  }

  onReset(error: StreamError): void {
    if (this.#over) return;
    this.#over = true;
    this.waiting?.cancel(this);
    this.waiting = null;
    this.attempt?.cancel(error.kind === "reset" ? error.code : ErrorCode.CANCEL);
    this.attempt = null;
    this.route?.cancelled();
    if (!this.#responded) this.owner.answered();
  }

  // --- for attempts: the request ---

  /** No body is coming: the request can be sent with its end. */
  get bodyless(): boolean {
    return this.requestEnded && this.#held === null && this.#trailers === null && this.#bodyBytes === 0;
  }

  /** Gives the attempt, which has just got its stream, what has arrived of the body. */
  feed(attempt: Attempt): void {
    const stream = attempt.stream;
    if (stream === null) return;
    const replay = this.#replay;
    if (replay !== null && this.#bodyBytes > 0) {
      // A second attempt: everything again from the beginning, what was held included.
      attempt.skipCredit = this.#credited;
      this.#held = null;
      replay.play(stream);
      return;
    }
    const held = this.#held;
    this.#held = null;
    if (held !== null)
      for (let i = 0; i < held.length; i++) {
        const chunk = held[i] as Uint8Array;
        this.#bodyBytes += chunk.length;
        stream.write(chunk, i === held.length - 1 && this.requestEnded && this.#trailers === null);
      }
    if (this.#trailers !== null) stream.trailers(this.#trailers);
    else if (this.requestEnded && held === null && !attempt.sentEnd) stream.write(EMPTY, true);
  }

  /** An attempt's engine has put `bytes` of the request into output. */
  credit(bytes: number): void {
    this.#credited += bytes;
    this.stream.consume(bytes);
  }

  // --- for attempts: the response ---

  informational(head: ResponseHead): void {
    if (!this.#responded) this.stream.informational(head);
  }

  /** @returns false when the response is not wanted: the attempt is to end (a retry has begun). */
  respond(attempt: Attempt, head: ResponseHead, end: boolean, plan: ResponsePlan): boolean {
    const tunnel = this.request.upgrade && (head.status === 101 || (this.request.head.method === "CONNECT" && head.status < 300));
    const derived = deriveResponse(head, plan, tunnel);
    const failed = attempt.head(head.status, derived.grpcStatus);
    const route = this.route;
    if (route !== null && !route.onHead(this, head.status, derived.grpcStatus, failed)) return false;
    this.#replay = null;
    this.#responded = true;
    this.owner.answered();
    if (tunnel) {
      this.#responseEnded = true;
      this.#over = true;
      attempt.tunnelled();
      this.owner.tunnel(this, attempt, derived.head);
      return true;
    }
    if (end) this.#responseEnded = true;
    this.stream.respond(derived.head, end);
    if (derived.close) this.owner.closeConnection();
    if (end) this.#ended(null);
    return true;
  }

  data(chunk: Uint8Array, end: boolean): void {
    if (end) this.#responseEnded = true;
    this.route?.firstByte();
    this.stream.write(chunk, end);
    if (end) this.#ended(null);
  }

  trailers(fields: Fields): void {
    this.#responseEnded = true;
    this.route?.firstByte();
    this.stream.trailers(fields);
    this.#ended(fields);
  }

  /** The attempt's stream ended early. The attempt has told its meters. */
  attemptReset(attempt: Attempt, error: StreamError): void {
    this.attempt = null;
    if (this.#over) return;
    if (this.#responseEnded) {
      // The endpoint has said everything and wants no more of the request: so be it (RFC 9113 §8.1).
      if (!this.requestEnded && error.kind === "reset") this.stream.reset(error.code);
      return;
    }
    if (!this.#responded) {
      if (error.kind === "refused" && this.#sendAgain(attempt)) return;
      if (error.kind === "closed" && this.request.idempotent) {
        // An endpoint that died: what may be repeated is, once, elsewhere; a proxy that leaves has its peer do it.
        if (this.#redispatches === 0 && this.dispatcher?.hasOther(attempt.endpoint) === true && this.#sendAgain(attempt)) return;
        if (this.owner.refuses && this.request.style.version === "HTTP/2") {
          this.#giveUp(ErrorCode.REFUSED_STREAM);
          return;
        }
      }
      if (this.request.style.version === "HTTP/2" && !this.request.downgraded) {
        if (error.kind === "reset" || error.kind === "refused") {
          this.#giveUp(error.kind === "reset" ? error.code : ErrorCode.REFUSED_STREAM);
          return;
        }
      }
      this.failAtEndpoint(error.kind === "protocol" ? { ...BAD_GATEWAY, message: error.message } : BAD_GATEWAY);
      return;
    }
    if (error.kind === "reset" || !this.request.style.grpc) {
      this.#giveUp(error.kind === "reset" ? error.code : ErrorCode.INTERNAL_ERROR);
      return;
    }
    this.#responseEnded = true;
    this.stream.trailers(errorTrailers(BAD_GATEWAY, this.request.style));
    this.#ended(null);
  }

  /** A dial failed before anything was sent. @returns true when the request goes elsewhere */
  redispatch(attempt: Attempt): boolean {
    this.attempt = null;
    return !this.#over && this.dispatcher?.hasOther(attempt.endpoint) === true && this.#sendAgain(attempt);
  }

  /**
   * The endpoint could not be reached (not `processed`), or broke off before its response: answered as if by the endpoint
   * (spec proxy §3.8).
   */
  failAtEndpoint(error: ProxyError, processed = true): void {
    if (this.#over) return;
    if (!processed && this.owner.refuses && this.request.style.version === "HTTP/2") {
      this.#giveUp(ErrorCode.REFUSED_STREAM);
      return;
    }
    const route = this.route;
    if (route !== null && !route.onHead(this, error.status, -1, true)) return;
    this.#answer(error);
  }

  /** The proxy itself fails the request. */
  fail(error: ProxyError): void {
    if (this.#over || this.#responseEnded) return;
    this.waiting?.cancel(this);
    this.waiting = null;
    this.attempt?.cancel(ErrorCode.CANCEL);
    this.attempt = null;
    if (error.label !== null) this.owner.countError(error);
    this.route?.failed(error);
    if (this.#responded) {
      this.#giveUp(ErrorCode.INTERNAL_ERROR);
      return;
    }
    this.#answer(error);
  }

  #answer(error: ProxyError): void {
    this.#replay = null;
    this.#responded = true;
    this.#responseEnded = true;
    this.owner.answered();
    if (this.#held !== null) for (const chunk of this.#held) this.stream.consume(chunk.length);
    this.#held = null;
    this.stream.respond(errorResponse(error, this.request.style), true);
    if (error.closes) this.owner.closeConnection();
    this.#ended(null);
  }

  #giveUp(code: number): void {
    if (!this.#responded) this.owner.answered();
    this.#over = true;
    this.route?.reset(code);
    this.stream.reset(code);
  }

  /** The body can be sent once more from its beginning. */
  get replayable(): boolean {
    return this.#bodyBytes === 0 || this.#replay?.complete === true;
  }

  /** Nothing of the request has been processed by anyone. */
  #sendAgain(attempt: Attempt): boolean {
    if (!this.replayable || this.#redispatches >= MAX_REDISPATCHES || this.dispatcher === null) return false;
    this.#redispatches++;
    this.avoid = attempt.endpoint;
    this.dispatcher.dispatch(this);
    return true;
  }

  /** A retry of the route (spec proxy §5.4). */
  retry(): void {
    const attempt = this.attempt;
    this.attempt = null;
    attempt?.discard();
    this.dispatcher?.dispatch(this);
  }

  #ended(trailers: Fields | null): void {
    this.route?.ended(trailers);
    if (this.requestEnded) this.#over = true;
  }
}

const EMPTY = new Uint8Array(0);
