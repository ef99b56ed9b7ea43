// The server side of an HTTP/2 connection: gives every request to a handler.
import { BlockCache } from "#hpack";
import {
  type EngineHost,
  ErrorCode,
  type RequestHandler,
  type RequestHead,
  ResponseHead,
  type ResponseIncoming,
  type ServerEngine,
} from "#http";
import { Budget } from "./budget.ts";
import { Connection } from "./connection.ts";
import { ConnectionError } from "./connection-error.ts";
import { writeGoaway, writePing } from "./frames/control.ts";
import { DEFAULT_WINDOW, MAX_STREAM_ID } from "./frames/header.ts";
import { Setting, writeSettings } from "./frames/settings.ts";
import { Malformed, type Message, readRequest } from "./message.ts";
import { DEFAULT_MAX_CONCURRENT_STREAMS, type Http2Options } from "./options.ts";
import { HEAD_RECEIVED, NOBODY, REMOTE_ENDED, Stream } from "./stream.ts";

export type Http2ServerInit = {
  readonly host: EngineHost;
  readonly handler: RequestHandler;
  readonly options?: Http2Options;
};

/** Created when the connection is, or when its first bytes have been read: `receive` wants the client's preface too. */
export class Http2Server extends Connection implements ServerEngine {
  protected override readonly isServer = true;
  readonly #handler: RequestHandler;
  readonly #blocks = new BlockCache<Message<RequestHead>>();
  readonly #maxStreams: number;
  readonly #resets: Budget;
  /** Highest stream that was given to the handler or refused. */
  #lastStream = 0;
  /** Highest stream met, also those above the last GOAWAY. */
  #highestStream = 0;
  /** Requests above this one are not looked at: of the last GOAWAY. */
  #acceptThrough = MAX_STREAM_ID;
  #draining = false;
  #peerEnded = false;
  #tooLarge: ResponseHead | null = null;

  constructor(init: Http2ServerInit) {
    const options = init.options ?? {};
    const now = options.now ?? monotone;
    super(init.host, options, now, true);
    this.#handler = init.handler;
    this.#maxStreams = options.maxConcurrentStreams ?? DEFAULT_MAX_CONCURRENT_STREAMS;
    this.#resets = new Budget(this.limits.resets, now);
    const settings: number[] = [Setting.MAX_CONCURRENT_STREAMS, this.#maxStreams];
    if (this.streamWindow !== DEFAULT_WINDOW) settings.push(Setting.INITIAL_WINDOW_SIZE, this.streamWindow);
    settings.push(Setting.MAX_HEADER_LIST_SIZE, this.decoder.maxHeaderListBytes);
    writeSettings(this.out, settings);
    this.announceWindow();
  }

  drain(): void {
    if (this.#draining || this.dead) return;
    this.#draining = true;
    // RFC 9113 §6.8: first that no more are wanted, then, after a round trip, which were taken.
    writeGoaway(this.out, MAX_STREAM_ID, ErrorCode.NO_ERROR, "");
    writePing(this.out, false, DRAIN, 0);
    this.wantFlush();
  }

  override receiveEnd(): void {
    if (this.dead || this.#peerEnded) return;
    this.#peerEnded = true;
    // Whole requests too: nothing on the connection can be acknowledged any more.
    this.closeAll({ kind: "closed", errno: "" });
    this.#finishWhenIdle();
  }

  protected override lastPeerStream(): number {
    return this.#lastStream;
  }

  protected override isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId > this.#highestStream;
  }

  protected override headersOnNewStream(streamId: number, ends: boolean, bytes: Uint8Array, start: number, end: number): void {
    let message = this.#blocks.find(bytes, start, end, this.decoder.generation);
    let malformed: Malformed | null = null;
    let overflow = false;
    if (message === null) {
      const decoder = this.decode(bytes, start, end);
      overflow = decoder.overflow;
      const read = overflow ? TOO_LARGE : readRequest(decoder.fields, decoder.count);
      if (read instanceof Malformed) malformed = read;
      else {
        message = read;
        if (!decoder.changed) this.#blocks.offer(bytes, start, end, this.blockGeneration, message);
      }
    }
    // RFC 9113 §5.1.1: ids of clients are odd and rise.
    if ((streamId & 1) === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "HEADERS on an even stream");
    if (streamId <= this.#highestStream) {
      this.lateHeaders(streamId);
      return;
    }
    this.#highestStream = streamId;
    if (streamId > this.#acceptThrough) {
      this.recent.resetByUs(streamId);
      return;
    }
    this.#lastStream = streamId;
    if (this.active + this.unflushed >= this.#maxStreams) {
      this.refuse(streamId, ErrorCode.REFUSED_STREAM);
      return;
    }
    if (overflow) {
      this.#answerTooLarge(streamId, ends);
      return;
    }
    if (malformed !== null || message === null || (ends && message.contentLength > 0)) {
      this.refuse(streamId, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    const stream = new Stream(
      this,
      streamId,
      NOBODY,
      this.peerInitialWindow,
      this.localInitialWindow,
      ends ? HEAD_RECEIVED | REMOTE_ENDED : HEAD_RECEIVED,
    );
    if (!ends) stream.expected = message.contentLength;
    this.streams.add(stream);
    this.active++;
    // The callbacks of responses are never called on this side.
    stream.incoming = this.#handler.onRequest(stream, message.head, ends) as ResponseIncoming;
  }

  protected override headOnStream(): void {
    // Every stream here begins with its head.
  }

  protected override goawayReceived(): void {
    // Concerns pushed streams; there are none.
  }

  protected override resetReceived(stream: Stream, code: number): void {
    stream.incoming.onReset(code === ErrorCode.REFUSED_STREAM ? { kind: "refused" } : { kind: "reset", code });
    this.resetCaused();
  }

  protected override resetCaused(): void {
    if (!this.#resets.spend()) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many resets");
  }

  protected override settingsChanged(): void {}

  protected override pingAcknowledged(bytes: Uint8Array, start: number): void {
    if (!this.#draining || this.#acceptThrough !== MAX_STREAM_ID) return;
    for (let i = 0; i < 8; i++) if (bytes[start + i] !== DRAIN[i]) return;
    this.#acceptThrough = this.#lastStream;
    writeGoaway(this.out, this.#lastStream, ErrorCode.NO_ERROR, "");
    this.wantFlush();
    this.#finishWhenIdle();
  }

  protected override streamClosed(completed: boolean): void {
    if (completed) this.#resets.earn(1);
    if (this.active === 0) this.#finishWhenIdle();
  }

  protected override failed(message: string): void {
    this.#handler.onProtocolError?.(message);
  }

  protected override flushed(): void {}

  #finishWhenIdle(): void {
    if (this.active > 0 || this.finishing) return;
    if (!this.#peerEnded && this.#acceptThrough === MAX_STREAM_ID) return;
    this.finishing = true;
    this.wantFlush();
  }

  /** RFC 6585 §5. */
  #answerTooLarge(streamId: number, ends: boolean): void {
    this.#tooLarge ??= new ResponseHead({ version: "HTTP/2", status: 431, reason: null, fields: ["content-length", "0"] });
    const flags = ends ? HEAD_RECEIVED | REMOTE_ENDED : HEAD_RECEIVED;
    const stream = new Stream(this, streamId, NOBODY, this.peerInitialWindow, this.localInitialWindow, flags);
    this.streams.add(stream);
    this.active++;
    stream.respond(this.#tooLarge, true);
    stream.reset(ErrorCode.NO_ERROR);
    this.resetCaused();
  }
}

/** What the PING of a drain carries. */
const DRAIN = Uint8Array.from("drain\0\0\0", (c) => c.charCodeAt(0));
const TOO_LARGE = new Malformed("header list too large");
const monotone = (): number => performance.now();
