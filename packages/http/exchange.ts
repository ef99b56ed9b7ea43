// The contract between the wire engines and whoever moves messages between them. An engine is pure: bytes and calls in,
// bytes and callbacks out. One exchange = one request with its response; each side of it is a stream of an engine.
//
//            bytes                  callbacks (RequestHandler/Incoming)          calls (ClientStream)               bytes
//   client ─────────► ServerEngine ────────────────────────────────► the proxy ────────────────────► ClientEngine ─────────► server
//          ◄─────────              ◄────────────────────────────────           ◄────────────────────              ◄─────────
//                                    calls (ServerStream)                       callbacks (ResponseIncoming)
//
// Flow control is by credit in both protocols. Bytes given to `onData` count against a bound (the HTTP/2 windows; a named
// number of bytes for HTTP/1, where the socket is paused) until `consume` says that they have been passed on. Bytes given to
// `write` are held by the engine until `onWritten` says that they went into output; a pipe is therefore
//   onData(chunk, end) → other.write(chunk, end)        onWritten(n) → other.consume(n)
//
// Bytes belong to whoever made them. What is passed to `receive`, `onData` and `write` is valid during the call: who keeps it
// copies it. What `output` returns is valid until the engine is called again. So read buffers can be freed and output buffers
// used again at once.
import type { Fields, RequestHead, ResponseHead } from "./head.ts";

/** HTTP/2 error codes, RFC 9113 §7. */
export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

/**
 * Why a stream ended before its messages did.
 * - `reset`: the peer reset it with an HTTP/2 code.
 * - `refused`: the request may be sent again elsewhere: REFUSED_STREAM, GOAWAY below its id; on HTTP/1 a connection that
 *   closed before a byte of the request was written, or a reused one before a byte of the response to an idempotent method.
 * - `closed`: the connection ended; `errno` is "" for an orderly end, else such as `ECONNRESET`.
 * - `protocol`: the peer broke the protocol; `message` says how.
 */
export type StreamError =
  | { readonly kind: "reset"; readonly code: number }
  | { readonly kind: "refused" }
  | { readonly kind: "closed"; readonly errno: string }
  | { readonly kind: "protocol"; readonly message: string };

/** Callbacks for the message that arrives on a stream. Nothing follows an `end` of true, `onTrailers` or `onReset`, except `onWritten`/`onReset` of the other direction. */
export interface Incoming {
  /** `chunk` is valid during the call; it may be empty only with `end`. */
  onData(chunk: Uint8Array, end: boolean): void;
  /** The message ends with trailers. */
  onTrailers(fields: Fields): void;
  /** `bytes` of what was given to `write` are in output: the source may be credited. May be called within `write`. */
  onWritten(bytes: number): void;
  /** The stream is over in both directions. Never called after both messages ended, nor after a call to `reset`. */
  onReset(error: StreamError): void;
}

export interface ResponseIncoming extends Incoming {
  /** 1xx other than 101. Any number, before `onResponse`. */
  onInformational(head: ResponseHead): void;
  /** Status 200 to 599, or 101 / 2xx to CONNECT, after which an HTTP/1 connection is to be taken over. */
  onResponse(head: ResponseHead, end: boolean): void;
}

/** What can be sent on a stream. Calls on a stream that is over do nothing. */
export interface Outgoing {
  /** `chunk` is copied. May be empty only with `end`. */
  write(chunk: Uint8Array, end: boolean): void;
  /** Ends the message. On HTTP/1 trailers are sent only on chunked messages, else dropped (RFC 9112 §7.1.2). */
  trailers(fields: Fields): void;
  /**
   * Gives both directions up: RST_STREAM(code) on HTTP/2, an aborted connection on HTTP/1 (a server whose response is complete
   * still sends it, then closes; a client whose request was not written yet keeps its connection). No `onReset` follows.
   */
  reset(code: number): void;
  /** `bytes` given to `onData` have been passed on. */
  consume(bytes: number): void;
  /** Callbacks of this stream; replaceable at any time between calls. */
  incoming: Incoming;
}

export interface ServerStream extends Outgoing {
  informational(head: ResponseHead): void;
  /** At most once. The engine adds or removes framing fields as its version needs; hop-by-hop fields are the caller's. */
  respond(head: ResponseHead, end: boolean): void;
}

export interface ClientStream extends Outgoing {
  incoming: ResponseIncoming;
}

/** Of a server engine: gives every request to the proxy. */
export interface RequestHandler {
  /**
   * A request has begun; `end` when it has no body. Returns who takes the rest of it. May respond at once.
   * `head.version` tells the engine's protocol.
   */
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): Incoming;
  /** The engine closes the connection because of the peer; for logs and metrics. */
  onProtocolError?(message: string): void;
}

/** Edge of an engine, provided by whoever owns the socket. All calls are cheap and may repeat. */
export interface EngineHost {
  /** There is output: call {@link Engine.output} at the end of this event-loop turn. */
  scheduleFlush(): void;
  /** Stop or go on reading (HTTP/1 backpressure; HTTP/2 when too much of its own control output is not read). */
  pauseReading(): void;
  resumeReading(): void;
  /** Everything is said: write what `output` still has, then half-close, then close. */
  finish(): void;
  /** Drop the connection now. */
  abort(): void;
}

/** A protocol engine on one connection. */
export interface Engine {
  /** Bytes of the peer, valid during the call. */
  receive(chunk: Uint8Array): void;
  /** The peer's half of the connection is over. */
  receiveEnd(): void;
  /** The connection is gone: every stream gets `onReset({kind: "closed"})`. Idempotent. */
  receiveClose(errno: string): void;
  /**
   * Bytes for one write, null when there are none; at most about {@link OUTPUT_BYTES}, so that a socket which refuses them
   * bounds what is held. Valid until the engine is called again. Called until null, or until the socket refuses and then
   * when it drains.
   */
  output(): Uint8Array | null;
  /** Streams in progress. */
  readonly activeStreams: number;
}

/** About the largest output of one call: a few full TLS records. */
export const OUTPUT_BYTES = 64 * 1024;

export interface ServerEngine extends Engine {
  /** No new requests: GOAWAY (twice, RFC 9113 §6.8), or `connection: close`; then `finish` when idle. */
  drain(): void;
}

export interface ClientEngine extends Engine {
  /**
   * Sends a request; `end` when it has no body. Only while `ready`. `incoming` is never called within this call.
   */
  request(head: RequestHead, end: boolean, incoming: ResponseIncoming): ClientStream;
  /** A request may be sent now: HTTP/2 below the peer's MAX_CONCURRENT_STREAMS and no GOAWAY, HTTP/1 idle. */
  readonly ready: boolean;
  /** No request will ever be ready again (GOAWAY, `connection: close`, closed): drop it once `activeStreams` is 0. */
  readonly retired: boolean;
  /** Called when `ready` becomes true again or `retired` becomes true. */
  onStateChange: (() => void) | null;
  /** No new requests are wanted: finish when idle. */
  drain(): void;
}
