// An attempt that somebody follows: it tells its watchers what the client of the endpoint sees, errors as the answers they
// become (spec proxy §3.8, §10: above client-error conversion, below retries).
import { ErrorCode, type Fields, isTunnel, type RequestHead, type ResponseHead, type StreamError } from "#http";
import { Attempt, type AttemptEndpoint } from "./attempt.ts";
import { BAD_GATEWAY, type ProxyError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { ResponseScope } from "./meter.ts";
import { errorResponse, errorTrailers } from "./respond.ts";
import { deriveResponse, type ResponsePlan } from "./response.ts";

/** `response`? `data`* then exactly one of `end`, `fail`, `dropped`. */
export interface AttemptWatcher {
  /** The final response head. */
  response(head: ResponseHead): void;
  data(bytes: number): void;
  /** The response is complete, or nobody wants the rest of it. */
  end(trailers: Fields | null): void;
  /** The stream broke; `code` is HTTP/2's, null without. */
  fail(code: number | null): void;
  /** Nobody waits any more, and there was no response. */
  dropped(): void;
}

export class ObservedAttempt extends Attempt {
  readonly #request: RequestHead;
  readonly #watchers: readonly AttemptWatcher[];
  #responded = false;
  #told = false;

  /** @param request sent in place of the exchange's */
  constructor(
    exchange: Exchange,
    endpoint: AttemptEndpoint,
    scope: ResponseScope,
    plan: ResponsePlan,
    request: RequestHead,
    watchers: readonly AttemptWatcher[],
  ) {
    super(exchange, endpoint, scope, plan);
    this.#request = request;
    this.#watchers = watchers;
  }

  override get request(): RequestHead {
    return this.#request;
  }

  override onResponse(head: ResponseHead, end: boolean): void {
    if (!this.over) {
      const tunnel = this.exchange.request.upgrade && isTunnel(this.exchange.request.head, head);
      this.#respond(deriveResponse(head, this.plan, tunnel).head);
      if (end) this.#end(null);
    }
    super.onResponse(head, end);
  }

  override onData(chunk: Uint8Array, end: boolean): void {
    if (!this.over) {
      for (const watcher of this.#watchers) watcher.data(chunk.length);
      if (end) this.#end(null);
    }
    super.onData(chunk, end);
  }

  override onTrailers(fields: Fields): void {
    if (!this.over) this.#end(fields);
    super.onTrailers(fields);
  }

  override onReset(error: StreamError): void {
    if (!this.over) this.#reset(error);
    super.onReset(error);
  }

  override dialFailed(error: ProxyError): void {
    if (!this.over) this.#answer(error);
    super.dialFailed(error);
  }

  override tunnelled(): void {
    this.#end(null);
    super.tunnelled();
  }

  override cancel(code: number): void {
    if (!this.over) this.#end(null);
    super.cancel(code);
  }

  override discard(): void {
    this.#end(null);
    super.discard();
  }

  /** The rules of {@link Exchange.attemptReset}, as far as the endpoint's client goes. */
  #reset(error: StreamError): void {
    const { style, downgraded } = this.exchange.request;
    const code = error.kind === "reset" ? error.code : error.kind === "refused" && !this.http1 ? ErrorCode.REFUSED_STREAM : null;
    const native = style.version === "HTTP/2" && !downgraded;
    if (code !== null && (native || this.#responded)) this.#fail(code);
    else if (!this.#responded) this.#answer(error.kind === "protocol" ? { ...BAD_GATEWAY, message: error.message } : BAD_GATEWAY);
    else if (style.grpc) this.#end(errorTrailers(BAD_GATEWAY, style));
    else this.#fail(null);
  }

  #answer(error: ProxyError): void {
    this.#respond(errorResponse(error, this.exchange.request.style));
    this.#end(null);
  }

  #respond(head: ResponseHead): void {
    if (this.#responded) return;
    this.#responded = true;
    for (const watcher of this.#watchers) watcher.response(head);
  }

  #end(trailers: Fields | null): void {
    if (this.#told) return;
    this.#told = true;
    for (const watcher of this.#watchers)
      if (this.#responded) watcher.end(trailers);
      else watcher.dropped();
  }

  #fail(code: number | null): void {
    if (this.#told) return;
    this.#told = true;
    for (const watcher of this.#watchers) watcher.fail(code);
  }
}
