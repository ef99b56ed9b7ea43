// The client side of an HTTP/1 connection, RFC 9112: one exchange at a time.
//
//   reading:  IDLE ──► HEAD ──► LENGTH | CHUNKED | CLOSE ──► WAIT ──► IDLE   (WAIT: the response is complete, the request is not)
//                       │ ▲ └─► RAW                                           (101, or 2xx to CONNECT: taken over by the owner)
//                       └─┘ 1xx               any ──► CLOSED
import {
  type ClientEngine,
  type ClientStream,
  type EngineHost,
  type Fields,
  OutputPool,
  type RequestHead,
  type ResponseIncoming,
  type StreamError,
} from "#http";
import { Accumulator, EMPTY } from "./accumulator.ts";
import { BodyWriter } from "./body-writer.ts";
import { ChunkedDecoder } from "./chunked.ts";
import { type EncodedHead, encodeRequest } from "./encode.ts";
import type { HeadCache } from "./head-cache.ts";
import { HeadReader } from "./head-reader.ts";
import { ABORT_HELD_BYTES, MAX_HELD_BYTES, MAX_INFORMATIONAL, MAX_UNCONSUMED_BYTES } from "./limits.ts";
import { OutputQueue } from "./output-queue.ts";
import { type ParsedResponse, parseResponseHead } from "./response-head.ts";
import type { TakenOver } from "./server.ts";

const Read = { IDLE: 0, HEAD: 1, LENGTH: 2, CHUNKED: 3, CLOSE: 4, WAIT: 5, RAW: 6, CLOSED: 7 } as const;

export type Http1ClientOptions = {
  readonly host: EngineHost;
  /** Large output buffers, shared by the engines of a process. Default: one per connection. */
  readonly pool?: OutputPool;
  /** Shared by all client engines. */
  readonly cache: HeadCache<ParsedResponse>;
};

export class Http1Client implements ClientEngine {
  onStateChange: (() => void) | null = null;
  readonly #host: EngineHost;
  readonly #out: OutputQueue;
  readonly #heads: HeadReader<ParsedResponse>;
  readonly #input = new Accumulator();
  #chunks: ChunkedDecoder | null = null;
  #read: number = Read.IDLE;
  #remaining = 0;
  #unconsumed = 0;
  #exchange: ClientExchange | null = null;
  /** An exchange was completed on this connection: the next one may meet a server that has just closed it. */
  #reused = false;
  #draining = false;
  #peerEnded = false;
  #paused = false;

  constructor(options: Http1ClientOptions) {
    this.#host = options.host;
    this.#out = new OutputQueue(options.pool ?? new OutputPool());
    this.#heads = new HeadReader({ cache: options.cache, parse: parseResponseHead, emptyLines: false, begins: "HTTP/1." });
  }

  get ready(): boolean {
    return this.#read === Read.IDLE && !this.#draining;
  }

  get retired(): boolean {
    return this.#read === Read.CLOSED || this.#draining;
  }

  get activeStreams(): number {
    return this.#exchange !== null && !this.#exchange.over ? 1 : 0;
  }

  request(head: RequestHead, end: boolean, incoming: ResponseIncoming): ClientStream {
    if (!this.ready) throw new Error("an HTTP/1 connection takes one request at a time");
    const encoded = encodeRequest(head, end);
    const exchange = new ClientExchange(this, head, incoming);
    this.#exchange = exchange;
    this.#unconsumed = 0;
    this.#read = Read.HEAD;
    if (typeof encoded === "string") exchange.refuse(encoded);
    else {
      this.#out.push(encoded.bytes, false);
      exchange.start(encoded, end);
    }
    this.#host.scheduleFlush();
    return exchange;
  }

  receive(chunk: Uint8Array): void {
    if (this.#read === Read.CLOSED || chunk.length === 0) return;
    if (this.#read === Read.IDLE || this.#exchange?.sent !== true) {
      // Nobody asked for this: a late or a smuggled response, or an error notice before closing. A request that waits to be
      // sent has not been seen by the server.
      this.#abort({ kind: "refused" });
      return;
    }
    if (this.#input.length === 0) {
      const at = this.#run(chunk);
      if (this.#read !== Read.CLOSED && at < chunk.length) this.#input.append(chunk, at);
    } else {
      this.#input.append(chunk, 0);
      const at = this.#run(this.#input.view());
      if (this.#read !== Read.CLOSED) this.#input.consume(at);
    }
    if (this.#read === Read.RAW && this.#input.length > 0) this.#updateReading();
  }

  receiveEnd(): void {
    this.#peerEnded = true;
    switch (this.#read) {
      case Read.IDLE:
        this.#retire();
        this.#host.finish();
        this.onStateChange?.();
        break;
      case Read.CLOSE:
        this.#endOfConnectionBody();
        break;
      case Read.WAIT:
        // The response is complete; its sender will not read the rest of the request.
        this.#complete(this.#exchange as ClientExchange);
        break;
      case Read.HEAD:
      case Read.LENGTH:
      case Read.CHUNKED:
        this.#abort(this.#endedEarly(""));
        break;
      default:
    }
  }

  receiveClose(errno: string): void {
    if (this.#read === Read.CLOSED) {
      // An exchange that broke its own message still waits for its reset.
      this.#exchange?.end({ kind: "closed", errno });
      return;
    }
    if (this.#read === Read.CLOSE && errno === "") this.#endOfConnectionBody();
    const error = this.#endedEarly(errno);
    this.#retire();
    this.#exchange?.end(error);
    this.onStateChange?.();
  }

  output(): Uint8Array | null {
    for (;;) {
      const bytes = this.#out.take();
      const exchange = this.#exchange;
      if (exchange !== null) {
        if (bytes !== null) exchange.sent = true;
        if (this.#out.hasCredit) exchange.written(this.#out.takeCredit());
        if (exchange.refused && !exchange.over) this.#endRefused(exchange);
        else if (bytes === null || this.#out.empty) this.completeIfDone(exchange);
      }
      if (bytes !== null || this.#out.empty) return bytes;
    }
  }

  drain(): void {
    this.#draining = true;
    if (this.#read === Read.IDLE) {
      this.#retire();
      this.#host.finish();
    }
    this.onStateChange?.();
  }

  /**
   * The connection is raw from now on; only after `onResponse` with 101, or 2xx to CONNECT, and when `output` has nothing
   * more. The engine takes and gives nothing any more.
   */
  takeOver(): TakenOver {
    if (this.#read !== Read.RAW) throw new Error("no upgrade was accepted on this connection");
    this.#read = Read.CLOSED;
    if (this.#exchange !== null) this.#exchange.over = true;
    return { leftover: this.#input.take(), ended: this.#peerEnded };
  }

  // --- for its exchanges ---

  /** @internal */
  get out(): OutputQueue {
    return this.#out;
  }

  /** @internal Something was put into `out`. */
  flush(): void {
    this.#host.scheduleFlush();
  }

  /** @internal The exchange is over once both messages are, and the request is in output. */
  completeIfDone(exchange: ClientExchange): void {
    if (exchange.over || !exchange.responseEnded) return;
    if (exchange.requestEnded ? this.#out.empty && !this.#out.hasCredit : !exchange.keepAlive) this.#complete(exchange);
  }

  /** @internal */
  reset(exchange: ClientExchange): void {
    exchange.over = true;
    this.#out.clear();
    if (!exchange.sent && this.#read !== Read.CLOSED) {
      // The server has seen nothing of it.
      this.#idle();
      return;
    }
    this.#retire();
    this.#host.abort();
    this.onStateChange?.();
  }

  /** @internal The caller broke the message it sends. The reset comes with the connection's end. */
  breakOff(): void {
    this.#retire();
    this.#out.clear();
    this.#host.abort();
    this.onStateChange?.();
  }

  /** @internal */
  consume(bytes: number): void {
    this.#unconsumed = Math.max(0, this.#unconsumed - bytes);
    if (this.#paused) this.#updateReading();
  }

  // --- reading ---

  #run(bytes: Uint8Array): number {
    let i = 0;
    while (i < bytes.length) {
      const exchange = this.#exchange as ClientExchange;
      switch (this.#read) {
        case Read.HEAD: {
          exchange.responseBegun = true;
          i = this.#heads.read(bytes, i);
          const parsed = this.#heads.value;
          if (parsed !== null) this.#response(exchange, parsed, i < bytes.length);
          else if (this.#heads.fault !== null) {
            this.#abort({ kind: "protocol", message: `response: ${this.#heads.fault.message}` });
            return i;
          } else return i;
          break;
        }
        case Read.LENGTH: {
          const n = Math.min(this.#remaining, bytes.length - i);
          this.#remaining -= n;
          const piece = i === 0 && n === bytes.length ? bytes : bytes.subarray(i, i + n);
          i += n;
          if (this.#remaining === 0) this.#lastData(exchange, piece, i < bytes.length);
          else this.#data(exchange, piece);
          break;
        }
        case Read.CHUNKED:
          i = this.#readChunks(bytes, i);
          break;
        case Read.CLOSE:
          this.#data(exchange, i === 0 ? bytes : bytes.subarray(i));
          return bytes.length;
        case Read.RAW:
          return i;
        case Read.WAIT:
          // Behind a response of known length nothing may come before the next request.
          this.#abort({ kind: "protocol", message: "bytes behind the response" });
          return i;
        default:
          return i;
      }
    }
    return i;
  }

  #response(exchange: ClientExchange, parsed: ParsedResponse, more: boolean): void {
    const { head } = parsed;
    const { status } = head;
    const { method } = exchange.head;
    if (status < 200) {
      if (status === 101) {
        if (exchange.wantsUpgrade && exchange.requestEnded) this.#tunnel(exchange, parsed);
        else this.#abort({ kind: "protocol", message: "101 without a complete request to upgrade" });
      } else if (++exchange.informationals > MAX_INFORMATIONAL)
        this.#abort({ kind: "protocol", message: "too many informational responses" });
      else exchange.incoming.onInformational(head);
      return;
    }
    if (method === "CONNECT" && status < 300) {
      this.#tunnel(exchange, parsed);
      return;
    }
    // RFC 9112 §6.3, in its order.
    const none = method === "HEAD" || status === 204 || status === 304 || parsed.contentLength === 0;
    exchange.keepAlive = parsed.keepAlive && !exchange.closes;
    if (none) {
      this.#endResponse(exchange, more);
      exchange.incoming.onResponse(head, true);
      this.completeIfDone(exchange);
      return;
    }
    if (parsed.chunked) {
      this.#chunks ??= new ChunkedDecoder();
      this.#chunks.reset();
      this.#read = Read.CHUNKED;
    } else if (parsed.contentLength > 0) {
      this.#remaining = parsed.contentLength;
      this.#read = Read.LENGTH;
    } else {
      exchange.keepAlive = false;
      this.#read = Read.CLOSE;
    }
    exchange.incoming.onResponse(head, false);
  }

  #tunnel(exchange: ClientExchange, parsed: ParsedResponse): void {
    this.#read = Read.RAW;
    exchange.incoming.onResponse(parsed.head, false);
  }

  #readChunks(bytes: Uint8Array, pos: number): number {
    const exchange = this.#exchange as ClientExchange;
    const chunks = this.#chunks as ChunkedDecoder;
    // One piece is kept back, so that the end of the body goes with it when both are here.
    let piece: Uint8Array | null = null;
    let i = pos;
    while (i < bytes.length && this.#read === Read.CHUNKED) {
      i = chunks.next(bytes, i);
      if (chunks.data !== null) {
        if (piece !== null) this.#data(exchange, piece);
        piece = chunks.data;
      } else if (chunks.fault !== null) {
        if (piece !== null) this.#data(exchange, piece);
        if (this.#read === Read.CHUNKED) this.#abort({ kind: "protocol", message: `response: ${chunks.fault}` });
        return i;
      } else if (chunks.done) {
        const { trailers } = chunks;
        if (trailers === null) this.#lastData(exchange, piece ?? EMPTY, i < bytes.length);
        else {
          if (piece !== null) this.#data(exchange, piece);
          if (this.#read !== Read.CHUNKED) return i;
          this.#endResponse(exchange, i < bytes.length);
          exchange.incoming.onTrailers(trailers);
          this.completeIfDone(exchange);
        }
        return i;
      }
    }
    if (piece !== null && this.#read === Read.CHUNKED) this.#data(exchange, piece);
    return i;
  }

  #data(exchange: ClientExchange, piece: Uint8Array): void {
    if (exchange.over) return;
    this.#unconsumed += piece.length;
    exchange.incoming.onData(piece, false);
    if (this.#unconsumed > MAX_UNCONSUMED_BYTES) this.#updateReading();
  }

  #lastData(exchange: ClientExchange, piece: Uint8Array, more: boolean): void {
    if (exchange.over) return;
    this.#endResponse(exchange, more);
    this.#unconsumed += piece.length;
    exchange.incoming.onData(piece, true);
    this.completeIfDone(exchange);
  }

  /** `more`: bytes follow that belong to no response; they make the connection unfit for another request. */
  #endResponse(exchange: ClientExchange, more: boolean): void {
    exchange.responseEnded = true;
    if (more || this.#peerEnded) exchange.keepAlive = false;
    this.#read = Read.WAIT;
  }

  #endOfConnectionBody(): void {
    const exchange = this.#exchange as ClientExchange;
    this.#lastData(exchange, EMPTY, false);
  }

  #updateReading(): void {
    if (this.#read === Read.CLOSED) return;
    const held = this.#read === Read.RAW ? this.#input.length : 0;
    if (held > ABORT_HELD_BYTES) {
      this.#abort({ kind: "protocol", message: "too many bytes behind the upgrade" });
      return;
    }
    const busy = this.activeStreams === 1 ? this.#unconsumed : 0;
    if (this.#paused) {
      if (busy <= MAX_UNCONSUMED_BYTES / 2 && held <= MAX_HELD_BYTES) {
        this.#paused = false;
        this.#host.resumeReading();
      }
    } else if (busy > MAX_UNCONSUMED_BYTES || held > MAX_HELD_BYTES) {
      this.#paused = true;
      this.#host.pauseReading();
    }
  }

  // --- ending ---

  #complete(exchange: ClientExchange): void {
    const unfinished = !exchange.requestEnded;
    exchange.over = true;
    this.#reused = true;
    if (exchange.keepAlive && !unfinished && !this.#draining && !this.#peerEnded) {
      this.#idle();
      return;
    }
    this.#retire();
    if (unfinished) {
      // The rest of the request has no reader.
      this.#out.clear();
      this.#host.abort();
      exchange.incoming.onReset({ kind: "closed", errno: "" });
    } else this.#host.finish();
    this.onStateChange?.();
  }

  #idle(): void {
    this.#read = Read.IDLE;
    if (this.#paused) this.#updateReading();
    if (this.#draining) {
      this.#retire();
      this.#host.finish();
    }
    this.onStateChange?.();
  }

  /** A request that cannot be written ends without the connection having seen it. */
  #endRefused(exchange: ClientExchange): void {
    this.#read = Read.IDLE;
    exchange.end({ kind: "protocol", message: "" });
    if (this.#read === Read.IDLE) this.#idle();
  }

  #endedEarly(errno: string): StreamError {
    const exchange = this.#exchange;
    if (exchange !== null && !exchange.responseBegun && (!exchange.sent || (this.#reused && exchange.idempotent)))
      return { kind: "refused" };
    return { kind: "closed", errno };
  }

  #abort(error: StreamError): void {
    this.#retire();
    this.#out.clear();
    this.#host.abort();
    this.#exchange?.end(error);
    this.onStateChange?.();
  }

  #retire(): void {
    this.#read = Read.CLOSED;
    this.#input.clear();
  }
}

/** Methods whose request may be sent again although it may have been handled, RFC 9110 §9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** One request and its response. */
class ClientExchange extends BodyWriter implements ClientStream {
  incoming: ResponseIncoming;
  readonly head: RequestHead;
  requestEnded = false;
  responseBegun = false;
  responseEnded = false;
  informationals = 0;
  keepAlive = false;
  /** The request asks the server to close. */
  closes = false;
  /** Bytes of the request went into output. */
  sent = false;
  /** The request could not be written. */
  refused = false;
  /** Nothing is called any more, and calls do nothing. */
  over = false;
  /** Calls do nothing, but `onReset` is still owed. */
  #broken: string | null = null;
  #reset = false;
  readonly #engine: Http1Client;

  constructor(engine: Http1Client, head: RequestHead, incoming: ResponseIncoming) {
    super();
    this.#engine = engine;
    this.head = head;
    this.incoming = incoming;
  }

  get idempotent(): boolean {
    return IDEMPOTENT.has(this.head.method);
  }

  get wantsUpgrade(): boolean {
    return this.head.method !== "CONNECT" && this.head.has("upgrade");
  }

  start(encoded: EncodedHead, end: boolean): void {
    this.begin(encoded);
    this.closes = encoded.close;
    this.requestEnded = end;
  }

  refuse(message: string): void {
    this.refused = true;
    this.#broken = message;
  }

  write(chunk: Uint8Array, end: boolean): void {
    if (!this.#sending) return;
    if (!this.put(this.#engine.out, chunk, end)) {
      this.#break("content differs from content-length");
      return;
    }
    this.requestEnded = end;
    this.#engine.flush();
  }

  trailers(fields: Fields): void {
    if (!this.#sending) return;
    if (!this.putTrailers(this.#engine.out, fields, true)) {
      this.#break("invalid trailers");
      return;
    }
    this.requestEnded = true;
    this.#engine.flush();
  }

  reset(_code: number): void {
    if (this.over) return;
    this.#reset = true;
    if (this.refused) this.over = true;
    this.#engine.reset(this);
  }

  consume(bytes: number): void {
    if (!this.over) this.#engine.consume(bytes);
  }

  /** @internal Body bytes went into output. */
  written(bytes: number): void {
    if (!this.#reset) this.incoming.onWritten(bytes);
  }

  /** @internal */
  end(error: StreamError): void {
    if (this.over) return;
    this.over = true;
    this.#reset = true;
    this.incoming.onReset(this.#broken !== null ? { kind: "protocol", message: this.#broken } : error);
  }

  get #sending(): boolean {
    return !this.over && !this.requestEnded && this.#broken === null;
  }

  #break(message: string): void {
    this.#broken = message;
    this.#engine.breakOff();
  }
}
