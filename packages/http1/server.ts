// The server side of an HTTP/1 connection, RFC 9112: requests in, responses out, one at a time.
//
//   reading:  HEAD ──► LENGTH | CHUNKED ──► WAIT ──► HEAD         (WAIT: the request is complete, its response is not)
//                └──────────────────────────► │ └──► RAW           (101, or 2xx to CONNECT: raw bytes, taken over by the owner)
//             any ──► CLOSED                                      (refused, finished, aborted, taken over)
//
// A request begins only when the output of the one before has been taken: what a client sends ahead is held, at most
// MAX_HELD_BYTES, and goes on in `output`. So neither pipelining nor a client that does not read can grow memory or the stack.
import {
  type EngineHost,
  type Fields,
  type Incoming,
  OutputPool,
  type RequestHandler,
  ResponseHead,
  type ServerEngine,
  type ServerStream,
  type StreamError,
} from "#http";
import { Accumulator, EMPTY } from "./accumulator.ts";
import { BodyWriter } from "./body-writer.ts";
import { ChunkedDecoder } from "./chunked.ts";
import { Body, type EncodedHead, encodeInformational, encodeResponse, Variant } from "./encode.ts";
import type { HeadCache } from "./head-cache.ts";
import { HeadReader } from "./head-reader.ts";
import type { HttpDate } from "./http-date.ts";
import { ABORT_HELD_BYTES, MAX_HELD_BYTES, MAX_UNCONSUMED_BYTES } from "./limits.ts";
import { OutputQueue } from "./output-queue.ts";
import { type ParsedRequest, parseRequestHead } from "./request-head.ts";

const Read = { HEAD: 0, LENGTH: 1, CHUNKED: 2, WAIT: 3, RAW: 4, CLOSED: 5 } as const;

export type Http1ServerOptions = {
  readonly handler: RequestHandler;
  readonly host: EngineHost;
  /** Large output buffers, shared by the engines of a process. Default: one per connection. */
  readonly pool?: OutputPool;
  /** Shared by all server engines. */
  readonly cache: HeadCache<ParsedRequest>;
  /** Shared by all server engines. */
  readonly date: HttpDate;
};

/** What is left when a connection stops being HTTP. */
export type TakenOver = {
  /** Bytes of the peer that were received behind the message. */
  readonly leftover: Uint8Array;
  /** The peer's half of the connection is over. */
  readonly ended: boolean;
};

export class Http1Server implements ServerEngine {
  readonly #handler: RequestHandler;
  readonly #host: EngineHost;
  readonly #date: HttpDate;
  readonly #out: OutputQueue;
  readonly #heads: HeadReader<ParsedRequest>;
  readonly #input = new Accumulator();
  #chunks: ChunkedDecoder | null = null;
  #read: number = Read.HEAD;
  /** Bytes of the body to come, with LENGTH. */
  #remaining = 0;
  #unconsumed = 0;
  /** The exchange in progress, or the last one while its output is taken. */
  #exchange: ServerExchange | null = null;
  /** What is in #input is the beginning of a head. */
  #partial = false;
  #running = false;
  #draining = false;
  #peerEnded = false;
  #paused = false;

  constructor(options: Http1ServerOptions) {
    this.#handler = options.handler;
    this.#host = options.host;
    this.#out = new OutputQueue(options.pool ?? new OutputPool());
    this.#date = options.date;
    this.#heads = new HeadReader({ cache: options.cache, parse: parseRequestHead, emptyLines: true });
  }

  get activeStreams(): number {
    return this.#exchange !== null && !this.#exchange.over ? 1 : 0;
  }

  /** A request head has begun and is not complete: what a header timeout is for. */
  get readingHead(): boolean {
    return this.#partial && this.#read === Read.HEAD;
  }

  receive(chunk: Uint8Array): void {
    if (this.#read === Read.CLOSED || chunk.length === 0) return;
    if (this.#input.length === 0) {
      const at = this.#run(chunk);
      if (this.#open && at < chunk.length) this.#input.append(chunk, at);
    } else {
      this.#input.append(chunk, 0);
      this.#continue();
    }
    if (this.#input.length > MAX_HELD_BYTES || this.#paused) this.#updateReading();
  }

  receiveEnd(): void {
    this.#peerEnded = true;
    switch (this.#read) {
      case Read.LENGTH:
      case Read.CHUNKED:
      // An incomplete request, RFC 9112 §8: nobody may take it for complete.
      case Read.WAIT:
        // A client that waits no more and one that only half-closes look alike. As in the reference (hyper) it is gone: else what
        // never answers, a watch or a long poll, would be kept for nobody.
        this.#end({ kind: "closed", errno: "" });
        this.#host.abort();
        break;
      case Read.HEAD:
        this.#finish();
        break;
      default:
    }
  }

  receiveClose(errno: string): void {
    this.#end({ kind: "closed", errno });
  }

  output(): Uint8Array | null {
    for (;;) {
      const bytes = this.#out.take();
      if (this.#out.hasCredit) this.#exchange?.written(this.#out.takeCredit());
      if (bytes !== null) return bytes;
      if (!this.#out.empty) continue;
      // An idle connection keeps nothing of its last exchange.
      if (this.#exchange?.over) this.#exchange = null;
      if (this.#running || this.#read !== Read.HEAD || this.#partial || this.#input.length === 0) return null;
      this.#continue();
      this.#updateReading();
    }
  }

  drain(): void {
    this.#draining = true;
    if (this.#read === Read.HEAD && this.#input.length === 0 && !this.#running) this.#finish();
  }

  /**
   * The connection is raw from now on; only after a response of 101, or 2xx to CONNECT, and when `output` has nothing more.
   * The engine takes and gives nothing any more.
   */
  takeOver(): TakenOver {
    if (this.#read !== Read.RAW) throw new Error("no upgrade was accepted on this connection");
    this.#read = Read.CLOSED;
    if (this.#exchange !== null) this.#exchange.over = true;
    return { leftover: this.#input.take(), ended: this.#peerEnded };
  }

  // --- for its exchanges ---

  /** @internal The response's head; false when it cannot be sent and an error went out instead. */
  respond(exchange: ServerExchange, head: ResponseHead, end: boolean): EncodedHead | null {
    const { request } = exchange;
    const close =
      !request.keepAlive ||
      this.#draining ||
      // The client may now send the content or not, and nobody can tell which (RFC 9110 §10.1.1).
      (request.expectContinue && !exchange.continued && !exchange.requestEnded);
    let variant = end ? Variant.END : 0;
    if (request.http10) variant |= Variant.HTTP10;
    if (close) variant |= Variant.CLOSE;
    const { method } = request.head;
    if (method === "HEAD") variant |= Variant.HEAD;
    else if (method === "CONNECT") variant |= Variant.CONNECT;
    const encoded = encodeResponse(head, variant);
    const fault = typeof encoded === "string" ? encoded : this.#tunnelFault(exchange, head, encoded);
    if (fault !== null) {
      this.#refuse(502, fault);
      return null;
    }
    const sent = encoded as EncodedHead;
    this.#out.push(sent.bytes, false);
    if (sent.needsDate) this.#out.push(this.#date.lastLine(), false);
    if (sent.body === Body.TUNNEL) this.#read = Read.RAW;
    this.#host.scheduleFlush();
    return sent;
  }

  /** @internal */
  informational(head: ResponseHead): void {
    const bytes = encodeInformational(head);
    if (typeof bytes === "string") return;
    this.#out.push(bytes, false);
    this.#host.scheduleFlush();
  }

  /** @internal */
  get out(): OutputQueue {
    return this.#out;
  }

  /** @internal Something was put into `out`. */
  flush(): void {
    this.#host.scheduleFlush();
  }

  /** @internal */
  completeIfDone(exchange: ServerExchange): void {
    if (exchange.over || !exchange.requestEnded || !exchange.responseEnded) return;
    exchange.over = true;
    if (exchange.close || this.#draining) {
      this.#finish();
      return;
    }
    this.#read = Read.HEAD;
    if (!this.#running && this.#paused) this.#updateReading();
  }

  /** @internal The handler gives the exchange up. */
  reset(exchange: ServerExchange): void {
    exchange.over = true;
    // A complete response must still reach the client; only the rest of the request is not wanted.
    if (exchange.responseEnded) this.#finish();
    else this.#abort();
  }

  /** @internal The handler broke the message it sends: what went out cannot be completed. The reset comes with the connection's end. */
  breakOff(): void {
    this.#abort();
  }

  /** @internal */
  consume(bytes: number): void {
    this.#unconsumed = Math.max(0, this.#unconsumed - bytes);
    if (this.#paused) this.#updateReading();
  }

  // --- reading ---

  get #open(): boolean {
    return this.#read !== Read.CLOSED;
  }

  #continue(): void {
    const at = this.#run(this.#input.view());
    if (this.#open) {
      this.#input.consume(at);
    }
  }

  /** Handles bytes until they are used up or have to wait; returns where it stopped. */
  #run(bytes: Uint8Array): number {
    this.#running = true;
    let i = 0;
    while (i < bytes.length) {
      switch (this.#read) {
        case Read.HEAD:
          if (!this.#out.empty || this.#out.hasCredit) {
            this.#partial = false;
            return this.#stop(i);
          }
          i = this.#heads.read(bytes, i);
          if (this.#heads.value !== null) {
            this.#partial = false;
            this.#begin(this.#heads.value);
          } else if (this.#heads.fault !== null) {
            this.#refuse(this.#heads.fault.status, this.#heads.fault.message);
            return this.#stop(i);
          } else {
            this.#partial = i < bytes.length;
            return this.#stop(i);
          }
          break;
        case Read.LENGTH:
          i = this.#readLength(bytes, i);
          break;
        case Read.CHUNKED:
          i = this.#readChunks(bytes, i);
          break;
        default:
          return this.#stop(i);
      }
    }
    return this.#stop(i);
  }

  #stop(at: number): number {
    this.#running = false;
    return at;
  }

  #begin(request: ParsedRequest): void {
    const exchange = new ServerExchange(this, request);
    this.#exchange = exchange;
    this.#unconsumed = 0;
    if (!request.hasBody) {
      exchange.requestEnded = true;
      this.#read = Read.WAIT;
    } else if (request.chunked) {
      this.#chunks ??= new ChunkedDecoder();
      this.#chunks.reset();
      this.#read = Read.CHUNKED;
    } else {
      this.#remaining = request.contentLength;
      this.#read = Read.LENGTH;
    }
    exchange.incoming = this.#handler.onRequest(exchange, request.head, exchange.requestEnded);
  }

  #readLength(bytes: Uint8Array, pos: number): number {
    const exchange = this.#exchange as ServerExchange;
    const n = Math.min(this.#remaining, bytes.length - pos);
    this.#remaining -= n;
    const end = this.#remaining === 0;
    if (end) this.#endRequest(exchange);
    this.#data(exchange, pos === 0 && n === bytes.length ? bytes : bytes.subarray(pos, pos + n), end);
    return pos + n;
  }

  #readChunks(bytes: Uint8Array, pos: number): number {
    const exchange = this.#exchange as ServerExchange;
    const chunks = this.#chunks as ChunkedDecoder;
    // One piece is kept back, so that the end of the body goes with it when both are here.
    let piece: Uint8Array | null = null;
    let i = pos;
    while (i < bytes.length && this.#read === Read.CHUNKED) {
      i = chunks.next(bytes, i);
      if (chunks.data !== null) {
        if (piece !== null) this.#data(exchange, piece, false);
        piece = chunks.data;
      } else if (chunks.fault !== null) {
        if (piece !== null) this.#data(exchange, piece, false);
        if (this.#read === Read.CHUNKED) this.#refuse(400, chunks.fault);
        return i;
      } else if (chunks.done) {
        const { trailers } = chunks;
        if (trailers !== null && piece !== null) this.#data(exchange, piece, false);
        if (this.#read !== Read.CHUNKED) return i;
        this.#endRequest(exchange);
        if (trailers === null) this.#data(exchange, piece ?? EMPTY, true);
        else {
          if (!exchange.over) exchange.incoming.onTrailers(trailers);
          this.completeIfDone(exchange);
        }
        return i;
      }
    }
    if (piece !== null && this.#read === Read.CHUNKED) this.#data(exchange, piece, false);
    return i;
  }

  #endRequest(exchange: ServerExchange): void {
    exchange.requestEnded = true;
    this.#read = Read.WAIT;
  }

  #data(exchange: ServerExchange, chunk: Uint8Array, end: boolean): void {
    if (exchange.over) return;
    this.#unconsumed += chunk.length;
    exchange.incoming.onData(chunk, end);
    if (end) this.completeIfDone(exchange);
    else if (this.#unconsumed > MAX_UNCONSUMED_BYTES) this.#updateReading();
  }

  #updateReading(): void {
    if (!this.#open) return;
    const held = this.#input.length;
    if (held > ABORT_HELD_BYTES) {
      this.#handler.onProtocolError?.("too many bytes ahead of the response");
      this.#end({ kind: "protocol", message: "too many bytes ahead of the response" });
      this.#host.abort();
      return;
    }
    const busy = this.activeStreams === 1 ? this.#unconsumed : 0;
    const waiting = this.#partial ? 0 : held;
    if (this.#paused) {
      if (busy <= MAX_UNCONSUMED_BYTES / 2 && waiting <= MAX_HELD_BYTES) {
        this.#paused = false;
        this.#host.resumeReading();
      }
    } else if (busy > MAX_UNCONSUMED_BYTES || waiting > MAX_HELD_BYTES) {
      this.#paused = true;
      this.#host.pauseReading();
    }
  }

  // --- ending ---

  /** Answers what the peer did wrong, and ends the connection: nothing behind a malformed message can be trusted. */
  #refuse(status: number, message: string): void {
    this.#handler.onProtocolError?.(message);
    const exchange = this.#exchange;
    const started = exchange !== null && !exchange.over && exchange.responseStarted;
    const head = new ResponseHead({ version: "HTTP/1.1", status, reason: null, fields: [] });
    const encoded = encodeResponse(head, Variant.CLOSE | Variant.END) as EncodedHead;
    this.#read = Read.CLOSED;
    this.#input.clear();
    if (started) {
      this.#out.clear();
      this.#host.abort();
    } else {
      this.#out.push(encoded.bytes, false);
      this.#out.push(this.#date.lastLine(), false);
      this.#host.finish();
    }
    exchange?.end({ kind: "protocol", message });
  }

  #tunnelFault(exchange: ServerExchange, head: ResponseHead, encoded: EncodedHead): string | null {
    if (encoded.body !== Body.TUNNEL) return null;
    if (head.status === 101 && (!exchange.request.wantsUpgrade || exchange.request.head.method === "CONNECT")) return "101 without Upgrade";
    return exchange.requestEnded ? null : "101 before the end of the request";
  }

  #finish(): void {
    this.#read = Read.CLOSED;
    this.#input.clear();
    this.#host.finish();
  }

  #abort(): void {
    this.#read = Read.CLOSED;
    this.#input.clear();
    this.#out.clear();
    this.#host.abort();
  }

  /** The connection is over for the exchange in progress. */
  #end(error: StreamError): void {
    this.#read = Read.CLOSED;
    this.#input.clear();
    this.#exchange?.end(error);
  }
}

const NOBODY: Incoming = {
  onData() {},
  onTrailers() {},
  onWritten() {},
  onReset() {},
};

/** One request and its response. */
class ServerExchange extends BodyWriter implements ServerStream {
  incoming: Incoming = NOBODY;
  readonly request: ParsedRequest;
  requestEnded = false;
  responseStarted = false;
  responseEnded = false;
  /** A 100 (Continue) went out. */
  continued = false;
  /** The connection ends with this exchange. */
  close = false;
  /** Nothing is called any more, and calls do nothing. */
  over = false;
  /** Calls do nothing, but `onReset` is still owed. */
  #broken: string | null = null;
  #reset = false;
  readonly #engine: Http1Server;

  constructor(engine: Http1Server, request: ParsedRequest) {
    super();
    this.#engine = engine;
    this.request = request;
  }

  informational(head: ResponseHead): void {
    // RFC 9110 §15.2: not to HTTP/1.0 clients.
    if (this.#deaf || this.responseStarted || this.request.http10) return;
    if (head.status === 100) this.continued = true;
    this.#engine.informational(head);
  }

  respond(head: ResponseHead, end: boolean): void {
    if (this.#deaf || this.responseStarted) return;
    const encoded = this.#engine.respond(this, head, end);
    if (encoded === null) return;
    this.responseStarted = true;
    this.close = encoded.close;
    this.begin(encoded);
    if (end && encoded.body !== Body.TUNNEL) this.#ended();
  }

  write(chunk: Uint8Array, end: boolean): void {
    if (!this.#sending) return;
    if (!this.put(this.#engine.out, chunk, end)) {
      this.#break("content differs from content-length");
      return;
    }
    this.#engine.flush();
    if (end) this.#ended();
  }

  trailers(fields: Fields): void {
    if (!this.#sending) return;
    // RFC 9110 §6.5.1: trailers are for clients that said so; others may merge or drop them in ways nobody knows.
    if (!this.putTrailers(this.#engine.out, fields, this.request.teTrailers)) {
      this.#break("invalid trailers");
      return;
    }
    this.#engine.flush();
    this.#ended();
  }

  reset(_code: number): void {
    if (this.#deaf) return;
    this.#reset = true;
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

  get #deaf(): boolean {
    return this.over || this.#broken !== null;
  }

  get #sending(): boolean {
    return this.responseStarted && !this.responseEnded && !this.#deaf && this.body !== Body.TUNNEL;
  }

  #break(message: string): void {
    this.#broken = message;
    this.#engine.breakOff();
  }

  #ended(): void {
    this.responseEnded = true;
    this.#engine.completeIfDone(this);
  }
}
