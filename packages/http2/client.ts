// The client side of an HTTP/2 connection: sends requests.
import { BlockCache, type FieldWriter } from "#hpack";
import {
  type ClientEngine,
  type ClientStream,
  type EngineHost,
  ErrorCode,
  type RequestHead,
  type ResponseHead,
  type ResponseIncoming,
  type StreamError,
} from "#http";
import { Connection } from "./connection.ts";
import { writeGoaway } from "./frames/control.ts";
import { CONNECTION_PREFACE, DEFAULT_WINDOW, MAX_STREAM_ID } from "./frames/header.ts";
import { Setting, writeSettings } from "./frames/settings.ts";
import { Malformed, type Message, readResponse, requestWriter } from "./message.ts";
import { DEFAULT_INITIAL_MAX_SEND_STREAMS, type Http2Options } from "./options.ts";
import { CLOSED, FINISHING, HEAD_RECEIVED, HEAD_SENT, LOCAL_ENDED, NO_CONTENT, REMOTE_ENDED, Stream } from "./stream.ts";

export type Http2ClientInit = {
  readonly host: EngineHost;
  readonly options?: Http2Options;
};

/** Created when the connection is established; requests may be sent at once. */
export class Http2Client extends Connection implements ClientEngine {
  onStateChange: (() => void) | null = null;
  protected override readonly isServer = false;
  readonly #blocks = new BlockCache<Message<ResponseHead>>();
  readonly #writeRequest: FieldWriter<RequestHead>;
  #nextStream = 1;
  /** Requests up to this one may have left. */
  #flushedThrough = 0;
  #maxStreams: number;
  #retired = false;
  /** `ready` was false for want of a stream. */
  #full = false;

  constructor(init: Http2ClientInit) {
    const options = init.options ?? {};
    super(init.host, options, options.now ?? monotone, false);
    this.#writeRequest = requestWriter(options.scheme ?? "http");
    this.#maxStreams = options.initialMaxSendStreams ?? DEFAULT_INITIAL_MAX_SEND_STREAMS;
    this.out.append(CONNECTION_PREFACE as Uint8Array, 0, CONNECTION_PREFACE.length);
    const settings: number[] = [Setting.ENABLE_PUSH, 0];
    if (this.streamWindow !== DEFAULT_WINDOW) settings.push(Setting.INITIAL_WINDOW_SIZE, this.streamWindow);
    settings.push(Setting.MAX_HEADER_LIST_SIZE, this.decoder.maxHeaderListBytes);
    writeSettings(this.out, settings);
    this.announceWindow();
  }

  get ready(): boolean {
    return this.active < this.#maxStreams && !this.#retired;
  }

  get retired(): boolean {
    return this.#retired;
  }

  request(head: RequestHead, end: boolean, incoming: ResponseIncoming): ClientStream {
    if (!this.ready) throw new Error("HTTP/2 request on a connection that is not ready");
    const id = this.#nextStream;
    this.#nextStream += 2;
    let flags = end ? HEAD_SENT | LOCAL_ENDED | FINISHING : HEAD_SENT;
    if (head.method === "HEAD") flags |= NO_CONTENT;
    const stream = new Stream(this, id, incoming, this.peerInitialWindow, this.localInitialWindow, flags);
    this.streams.add(stream);
    this.active++;
    if (this.active >= this.#maxStreams) this.#full = true;
    this.sender.headers(id, this.encoder.encode(head, this.#writeRequest), end);
    // RFC 9113 §5.1.1: the last id there is.
    if (id >= MAX_STREAM_ID) this.#retire();
    return stream;
  }

  drain(): void {
    if (this.dead || this.#retired) {
      this.#finishWhenIdle();
      return;
    }
    writeGoaway(this.out, 0, ErrorCode.NO_ERROR, "");
    this.wantFlush();
    this.#retire();
  }

  override receiveEnd(): void {
    if (this.dead) return;
    this.dead = true;
    this.finishing = true;
    this.wantFlush();
    this.closeAll({ kind: "closed", errno: "" });
  }

  protected override closeAll(error: StreamError): void {
    const untold = this.#retired ? null : this.onStateChange;
    this.#retired = true;
    for (const stream of this.streams.all()) {
      if ((stream.flags & CLOSED) !== 0) continue;
      this.close(stream);
      // What never left cannot have been processed.
      stream.incoming.onReset(stream.id > this.#flushedThrough ? { kind: "refused" } : error);
    }
    untold?.();
  }

  protected override lastPeerStream(): number {
    return 0;
  }

  protected override isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId >= this.#nextStream;
  }

  protected override headersOnNewStream(streamId: number, _ends: boolean, bytes: Uint8Array, start: number, end: number): void {
    // Decoded for the sake of the compression state.
    this.decode(bytes, start, end);
    this.lateHeaders(streamId);
  }

  protected override headOnStream(stream: Stream, ends: boolean, bytes: Uint8Array, start: number, end: number): void {
    let message = this.#blocks.find(bytes, start, end, this.decoder.generation);
    if (message === null) {
      const decoder = this.decode(bytes, start, end);
      if (decoder.overflow) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "response head too large");
        return;
      }
      const read = readResponse(decoder.fields, decoder.count);
      if (read instanceof Malformed) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, read.reason);
        return;
      }
      message = read;
      if (!decoder.changed) this.#blocks.offer(bytes, start, end, this.blockGeneration, message);
    }
    const { head, contentLength } = message;
    if (head.status < 200) {
      if (ends) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "informational response with END_STREAM");
        return;
      }
      // Any number may come; a flood of them is one of frames without effect.
      this.withoutEffect();
      stream.incoming.onInformational(head);
      return;
    }
    stream.flags |= HEAD_RECEIVED;
    if (head.status === 204 || head.status === 304) stream.flags |= NO_CONTENT;
    if ((stream.flags & NO_CONTENT) === 0) {
      if (ends && contentLength > 0) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "content-length is not the length of DATA");
        return;
      }
      stream.expected = contentLength;
    }
    if (!ends) {
      stream.incoming.onResponse(head, false);
      return;
    }
    stream.flags |= REMOTE_ENDED;
    stream.incoming.onResponse(head, true);
    this.endRemoteWithHead(stream);
  }

  protected override goawayReceived(lastStreamId: number): void {
    // First: what is refused is sent again from within, and must not come back to this connection.
    const untold = this.#retired ? null : this.onStateChange;
    this.#retired = true;
    for (const stream of this.streams.all()) {
      if (stream.id <= lastStreamId || (stream.flags & CLOSED) !== 0) continue;
      // RFC 9113 §6.8: not processed.
      this.recent.resetByUs(stream.id);
      this.close(stream);
      stream.incoming.onReset({ kind: "refused" });
    }
    untold?.();
    this.#finishWhenIdle();
  }

  protected override resetReceived(stream: Stream, code: number): void {
    stream.incoming.onReset(code === ErrorCode.REFUSED_STREAM ? { kind: "refused" } : { kind: "reset", code });
  }

  protected override resetCaused(): void {
    // A server cannot bring about more of them than there are requests.
  }

  protected override settingsChanged(maxConcurrentStreams: number | undefined): void {
    if (maxConcurrentStreams !== undefined) this.#maxStreams = maxConcurrentStreams;
    else if (!this.#settled) this.#maxStreams = Number.MAX_SAFE_INTEGER;
    this.#settled = true;
    this.#full ||= this.active >= this.#maxStreams;
    this.#readyAgain();
  }

  protected override pingAcknowledged(): void {}

  protected override streamClosed(): void {
    if (this.#full) this.#readyAgain();
    if (this.#retired && this.active === 0) this.#finishWhenIdle();
  }

  protected override failed(): void {}

  protected override flushed(): void {
    this.#flushedThrough = this.#nextStream - 2;
  }

  /** The server's SETTINGS have come. */
  #settled = false;

  #readyAgain(): void {
    if (!this.#full || this.dead || !this.ready) return;
    this.#full = false;
    this.onStateChange?.();
  }

  #retire(): void {
    if (!this.#retired) {
      this.#retired = true;
      this.onStateChange?.();
    }
    this.#finishWhenIdle();
  }

  #finishWhenIdle(): void {
    if (this.active > 0 || this.finishing || this.dead) return;
    this.finishing = true;
    this.wantFlush();
  }
}

const monotone = (): number => performance.now();
