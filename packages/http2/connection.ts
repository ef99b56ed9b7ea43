// What both sides of an HTTP/2 connection have in common: frames in, frames out, windows, states, bounds (RFC 9113).
//
//     receive ─► FrameReader ─► frame / dataPiece ─► streams' callbacks
//     calls of streams ─► Sender: header blocks and DATA, as far as the windows allow ─► output
import { BlockCache, Decoder, Encoder, HpackError, SensitiveNames } from "#hpack";
import {
  type Engine,
  type EngineHost,
  ErrorCode,
  type Fields,
  type OutputBuffer,
  OutputPool,
  type ResponseHead,
  type StreamError,
} from "#http";
import { Budget } from "./budget.ts";
import { ConnectionError } from "./connection-error.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { PING_BYTES, RST_STREAM_BYTES, writeGoaway, writePing, writeRstStream, writeWindowUpdate } from "./frames/control.ts";
import { DEFAULT_WINDOW, Flag, FrameType, MAX_FRAME_BYTES, MAX_WINDOW, readUint31, readUint32 } from "./frames/header.ts";
import { readSettings, SETTINGS_ACK_BYTES, writeSettingsAck } from "./frames/settings.ts";
import { HeaderBlock } from "./header-block.ts";
import { Malformed, readTrailers, writeResponse } from "./message.ts";
import {
  checkOptions,
  DEFAULT_CONNECTION_WINDOW,
  DEFAULT_LIMITS,
  DEFAULT_STREAM_WINDOW,
  type Http2Limits,
  type Http2Options,
} from "./options.ts";
import { RecentStreams } from "./recent.ts";
import { Sender, type SenderHost } from "./sender.ts";
import { CLOSED, FINISHING, HEAD_RECEIVED, HEAD_SENT, LOCAL_ENDED, NO_CONTENT, REMOTE_ENDED, type Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

export abstract class Connection implements Engine, FrameSink, SenderHost {
  /** Nothing more is received or begun. */
  dead = false;

  protected readonly host: EngineHost;
  protected readonly limits: Http2Limits;
  protected readonly sender: Sender;
  /** The sender's, for frames that are no message's. */
  protected readonly out: OutputBuffer;
  protected readonly decoder: Decoder;
  protected readonly encoder: Encoder;
  protected readonly sensitive: SensitiveNames;
  protected readonly streams = new StreamTable();
  protected readonly recent = new RecentStreams();
  protected readonly streamWindow: number;
  /** Initial windows in force: ours since the peer's acknowledgement, the peer's since its SETTINGS. */
  protected localInitialWindow = DEFAULT_WINDOW;
  protected peerInitialWindow = DEFAULT_WINDOW;
  /** Of this connection's streams: not closed. */
  protected active = 0;
  /** Streams closed by an END_STREAM that waits in output: the peer still counts them. */
  protected unflushed = 0;
  /** What waits in output is all to say: {@link EngineHost.finish} when it is out. */
  protected finishing = false;

  readonly #reader: FrameReader;
  readonly #trailerBlocks = new BlockCache<Fields>();
  readonly #connectionWindow: number;
  #receiveWindow: number;
  #unannounced = 0;
  /** Of the window: lent beyond its size, because streams that nobody reads hold most of it. */
  #lent = 0;
  #settingsReceived = false;
  #finished = false;
  #flushWanted = false;
  #paused = false;
  #controlBytes = 0;
  // The DATA frame in progress; null: its content is dropped.
  #dataStream: Stream | null = null;
  #dataEnds = false;
  readonly #block = new HeaderBlock();
  readonly #settingsBudget: Budget;
  readonly #pingBudget: Budget;
  readonly #emptyBudget: Budget;
  readonly #windowUpdateBudget: Budget;

  protected constructor(host: EngineHost, options: Http2Options, now: () => number, server: boolean) {
    checkOptions(options);
    this.host = host;
    this.limits = options.limits === undefined ? DEFAULT_LIMITS : { ...DEFAULT_LIMITS, ...options.limits };
    this.sensitive = options.sensitive ?? new SensitiveNames();
    this.decoder = new Decoder(options);
    this.encoder = new Encoder({ sensitive: this.sensitive });
    this.streamWindow = options.initialStreamWindow ?? DEFAULT_STREAM_WINDOW;
    this.#connectionWindow = Math.max(DEFAULT_WINDOW, options.initialConnectionWindow ?? DEFAULT_CONNECTION_WINDOW);
    this.#receiveWindow = this.#connectionWindow;
    this.#reader = new FrameReader(this, server);
    this.#settingsBudget = new Budget(this.limits.settings, now);
    this.#pingBudget = new Budget(this.limits.pings, now);
    this.#emptyBudget = new Budget(this.limits.emptyFrames, now);
    this.#windowUpdateBudget = new Budget(this.limits.windowUpdates, now);
    this.sender = new Sender({
      host: this,
      encoder: this.encoder,
      pool: options.pool ?? new OutputPool(),
      windowUpdates: this.#windowUpdateBudget,
    });
    this.out = this.sender.out;
  }

  get activeStreams(): number {
    return this.active;
  }

  // --- Engine ---

  receive(chunk: Uint8Array): void {
    if (this.dead) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#fatal(error.code, error.message);
    }
    this.#boundOutput();
  }

  abstract receiveEnd(): void;

  receiveClose(errno: string): void {
    this.dead = true;
    this.#finished = true;
    this.out.drop();
    this.closeAll({ kind: "closed", errno });
  }

  output(): Uint8Array | null {
    this.#flushWanted = false;
    this.sender.fill();
    const { out } = this;
    const bytes = this.sender.take();
    if (out.pending === 0) {
      this.#controlBytes = 0;
      this.unflushed = 0;
      this.flushed();
    }
    if (this.#paused && out.pending <= this.limits.pauseOutputBytes / 2) {
      this.#paused = false;
      this.host.resumeReading();
    }
    if (bytes === null && this.finishing && !this.#finished) {
      this.#finished = true;
      this.host.finish();
    }
    return bytes;
  }

  // --- calls of streams ---

  sendInformational(stream: Stream, head: ResponseHead): void {
    // 101 has no meaning in HTTP/2, RFC 9113 §8.6.
    if ((stream.flags & (CLOSED | HEAD_SENT)) !== 0 || head.status === 101) return;
    this.sender.headers(stream.id, this.encoder.encode(head, writeResponse), false);
  }

  sendResponse(stream: Stream, head: ResponseHead, end: boolean): void {
    if ((stream.flags & (CLOSED | HEAD_SENT)) !== 0) return;
    this.sender.headers(stream.id, this.encoder.encode(head, writeResponse), end);
    if (end) {
      stream.flags |= HEAD_SENT | FINISHING;
      this.endLocal(stream);
    } else {
      stream.flags |= HEAD_SENT;
      if (stream.chunk !== null || (stream.flags & FINISHING) !== 0) this.sender.queue(stream);
    }
  }

  /** Content of a stream, or its end. */
  send(stream: Stream, chunk: Uint8Array): void {
    this.sender.data(stream, chunk);
  }

  /** The caller gives the stream up. */
  resetStream(stream: Stream, code: number): void {
    this.#reset(stream.id, code);
    this.close(stream);
  }

  consume(stream: Stream, bytes: number): void {
    const n = Math.min(bytes, stream.held);
    stream.held -= n;
    this.#credit(n);
    if ((stream.flags & (REMOTE_ENDED | CLOSED)) === 0) this.#creditStream(stream, n);
  }

  // --- frames of the peer ---

  frame(type: number, flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#block.streamId !== 0 && (type !== FrameType.CONTINUATION || streamId !== this.#block.streamId)) {
      // RFC 9113 §6.10.
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "header block interrupted");
    }
    if (!this.#settingsReceived && type !== FrameType.SETTINGS)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS is not first");
    switch (type) {
      case FrameType.HEADERS:
        this.#headers(flags, streamId, bytes, start, end);
        break;
      case FrameType.WINDOW_UPDATE:
        this.#windowUpdate(streamId, bytes, start, end);
        break;
      case FrameType.RST_STREAM:
        this.#rstStream(streamId, bytes, start, end);
        break;
      case FrameType.SETTINGS:
        this.#settings(flags, streamId, bytes, start, end);
        break;
      case FrameType.PING:
        this.#ping(flags, streamId, bytes, start, end);
        break;
      case FrameType.GOAWAY:
        if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream");
        if (end - start < 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY too short");
        this.goawayReceived(readUint31(bytes, start), readUint32(bytes, start + 4));
        break;
      case FrameType.CONTINUATION:
        this.#continuation(flags, bytes, start, end);
        break;
      case FrameType.PRIORITY:
        this.#priority(streamId, bytes, start, end);
        break;
      case FrameType.PUSH_PROMISE:
        // ENABLE_PUSH is 0, and clients cannot push: RFC 9113 §8.4.
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE");
      default:
        // RFC 9113 §4.1: ignored.
        this.withoutEffect();
    }
  }

  dataBegin(flags: number, streamId: number, length: number, content: number): void {
    this.#dataStream = null;
    if (this.#block.streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "header block interrupted");
    if (!this.#settingsReceived) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS is not first");
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0");
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0) throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window");
    if (this.#receiveWindow * 4 < this.#connectionWindow) this.#lend();
    const stream = this.streams.get(streamId);
    if (stream === undefined || (stream.flags & REMOTE_ENDED) !== 0) {
      this.#credit(length - content);
      // `dataPiece` drops the content and gives the connection's window back.
      if (content === 0) this.withoutEffect();
      if (stream === undefined) this.#lateFrame(streamId, "DATA", false);
      else this.streamError(stream, ErrorCode.STREAM_CLOSED, "DATA after END_STREAM");
      return;
    }
    const ends = (flags & Flag.END_STREAM) !== 0;
    this.#credit(length - content);
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) {
      this.streamError(stream, ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream's window");
      return;
    }
    if ((stream.flags & HEAD_RECEIVED) === 0) {
      this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "DATA before a head");
      return;
    }
    if (length > content && !ends) this.#creditStream(stream, length - content);
    if (content > 0) {
      if ((stream.flags & NO_CONTENT) !== 0) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "content where there is none");
        return;
      }
      this.#pingBudget.earn(1);
      this.#emptyBudget.earn(1);
    } else if (!ends) {
      this.withoutEffect();
      return;
    }
    if (stream.expected >= 0) {
      // RFC 9113 §8.1.1: content-length is the sum of DATA.
      stream.expected -= content;
      if (stream.expected < 0 || (ends && stream.expected > 0)) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "content-length is not the length of DATA");
        return;
      }
    }
    if (content === 0) {
      this.#endRemote(stream, NONE);
      return;
    }
    this.#dataStream = stream;
    this.#dataEnds = ends;
  }

  dataPiece(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    const stream = this.#dataStream;
    const n = end - start;
    if (stream === null || (stream.flags & CLOSED) !== 0) {
      this.#credit(n);
      return;
    }
    stream.held += n;
    const piece = n === bytes.length ? bytes : bytes.subarray(start, end);
    if (last && this.#dataEnds) this.#endRemote(stream, piece);
    else stream.incoming.onData(piece, false);
  }

  // --- for the two sides ---

  /** Highest stream of the peer that was or may be processed, for GOAWAY. */
  protected abstract lastPeerStream(): number;
  /** Whether nobody has opened the stream yet. */
  protected abstract isIdle(streamId: number): boolean;
  /** A whole header block on a stream that is not in the table. */
  protected abstract headersOnNewStream(streamId: number, ends: boolean, bytes: Uint8Array, start: number, end: number): void;
  /** A whole header block of a stream whose head has not come. */
  protected abstract headOnStream(stream: Stream, ends: boolean, bytes: Uint8Array, start: number, end: number): void;
  protected abstract goawayReceived(lastStreamId: number, code: number): void;
  protected abstract resetReceived(stream: Stream, code: number): void;
  /** The peer made this side reset a stream, or did it itself. */
  protected abstract resetCaused(): void;
  protected abstract settingsChanged(maxConcurrentStreams: number | undefined): void;
  protected abstract pingAcknowledged(bytes: Uint8Array, start: number): void;
  /** A stream has left the table. */
  protected abstract streamClosed(completed: boolean): void;
  /** The connection is over because of the peer. */
  protected abstract failed(message: string): void;
  /** Everything made so far has been taken. */
  protected abstract flushed(): void;
  protected abstract readonly isServer: boolean;

  /** @internal */
  wantFlush(): void {
    if (this.#flushWanted || this.#finished) return;
    this.#flushWanted = true;
    this.host.scheduleFlush();
  }

  /** What a side says of its connection window at the beginning. */
  protected announceWindow(): void {
    if (this.#connectionWindow > DEFAULT_WINDOW) writeWindowUpdate(this.out, 0, this.#connectionWindow - DEFAULT_WINDOW);
    this.wantFlush();
  }

  /** @internal Our END_STREAM is in output. */
  endLocal(stream: Stream): void {
    stream.flags |= LOCAL_ENDED;
    if ((stream.flags & (REMOTE_ENDED | CLOSED)) === REMOTE_ENDED) this.#complete(stream);
  }

  /** The list of a header block. */
  protected decode(bytes: Uint8Array, start: number, end: number): Decoder {
    const { decoder } = this;
    try {
      decoder.decode(bytes, start, end);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      throw new ConnectionError(ErrorCode.COMPRESSION_ERROR, error.message);
    }
    for (let i = 0; i < decoder.count; i++) {
      const field = decoder.fields[i];
      if (field?.sensitive === true) this.sensitive.add(field.name);
    }
    return decoder;
  }

  /** Generation to keep the block decoded last under. */
  protected get blockGeneration(): number {
    return this.decoder.usedDynamic ? this.decoder.generation : -1;
  }

  /** The peer's END_STREAM came with a head. */
  protected endRemoteWithHead(stream: Stream): void {
    if ((stream.flags & (LOCAL_ENDED | CLOSED)) === LOCAL_ENDED) this.#complete(stream);
  }

  /** A stream error that the peer caused, RFC 9113 §5.4.2. */
  protected streamError(stream: Stream, code: number, message: string): void {
    this.#reset(stream.id, code);
    this.close(stream);
    stream.incoming.onReset({ kind: "protocol", message });
    this.resetCaused();
  }

  /** The same for a stream that never came into being, or is no more. */
  protected refuse(streamId: number, code: number): void {
    this.#reset(streamId, code);
    this.resetCaused();
  }

  /** A frame for a stream that is not in the table: RFC 9113 §5.1, "idle" and "closed". */
  protected lateHeaders(streamId: number): void {
    this.#lateFrame(streamId, "HEADERS", true);
  }

  /** The stream ends without both messages having ended. */
  protected close(stream: Stream): void {
    stream.flags |= CLOSED;
    this.sender.closed(stream);
    stream.chunk = null;
    stream.more = null;
    stream.trailerFields = null;
    if (stream.held > 0) {
      // Whoever holds these bytes may never say that they are consumed.
      this.#credit(stream.held);
      stream.held = 0;
    }
    this.streams.delete(stream.id);
    this.active--;
    this.streamClosed(false);
  }

  protected closeAll(error: StreamError): void {
    for (const stream of this.streams.all()) {
      if ((stream.flags & CLOSED) !== 0) continue;
      this.close(stream);
      stream.incoming.onReset(error);
    }
  }

  // --- receiving ---

  #headers(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0");
    let from = start;
    let to = end;
    if ((flags & Flag.PADDED) !== 0) {
      if (from === to) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short");
      to -= bytes[from++] as number;
    }
    if ((flags & Flag.PRIORITY) !== 0) {
      if (end - from < 5) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short");
      if (readUint31(bytes, from) === streamId) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "stream depends on itself");
      from += 5;
    }
    if (from > to) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "padding longer than HEADERS");
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.#wholeBlock(streamId, (flags & Flag.END_STREAM) !== 0, bytes, from, to);
      return;
    }
    this.#block.begin(streamId, flags);
    this.#block.append(bytes, from, to);
  }

  #continuation(flags: number, bytes: Uint8Array, start: number, end: number): void {
    const block = this.#block;
    if (block.streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    const whole = (flags & Flag.END_HEADERS) !== 0;
    if (++block.continuations > this.limits.continuations || block.length + end - start > this.limits.headerBlockBytes) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "header block too long");
    }
    if (end === start && !whole) this.withoutEffect();
    block.append(bytes, start, end);
    if (!whole) return;
    const { streamId, bytes: all, length } = block;
    block.end();
    this.#wholeBlock(streamId, (block.flags & Flag.END_STREAM) !== 0, all, 0, length);
  }

  #wholeBlock(streamId: number, ends: boolean, bytes: Uint8Array, start: number, end: number): void {
    this.#pingBudget.earn(1);
    const stream = this.streams.get(streamId);
    if (stream === undefined) this.headersOnNewStream(streamId, ends, bytes, start, end);
    else if ((stream.flags & (HEAD_RECEIVED | REMOTE_ENDED)) === 0) this.headOnStream(stream, ends, bytes, start, end);
    else this.#trailers(stream, ends, bytes, start, end);
  }

  #trailers(stream: Stream, ends: boolean, bytes: Uint8Array, start: number, end: number): void {
    let fields: Fields | Malformed | null = this.#trailerBlocks.find(bytes, start, end, this.decoder.generation);
    if (fields === null) {
      const decoder = this.decode(bytes, start, end);
      fields = decoder.overflow ? new Malformed("trailers too large") : readTrailers(decoder.fields, decoder.count);
      if (!decoder.changed && !(fields instanceof Malformed)) this.#trailerBlocks.offer(bytes, start, end, this.blockGeneration, fields);
    }
    if ((stream.flags & REMOTE_ENDED) !== 0) {
      this.streamError(stream, ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM");
      return;
    }
    if (fields instanceof Malformed) {
      this.streamError(stream, ErrorCode.PROTOCOL_ERROR, fields.reason);
      return;
    }
    // RFC 9113 §8.1.
    if (!ends) {
      this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "trailers without END_STREAM");
      return;
    }
    if (stream.expected > 0) {
      this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "content-length is not the length of DATA");
      return;
    }
    stream.flags |= REMOTE_ENDED;
    stream.incoming.onTrailers(fields);
    if ((stream.flags & (LOCAL_ENDED | CLOSED)) === LOCAL_ENDED) this.#complete(stream);
  }

  #endRemote(stream: Stream, chunk: Uint8Array): void {
    stream.flags |= REMOTE_ENDED;
    stream.incoming.onData(chunk, true);
    if ((stream.flags & (LOCAL_ENDED | CLOSED)) === LOCAL_ENDED) this.#complete(stream);
  }

  #windowUpdate(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong length");
    if (!this.#windowUpdateBudget.spend()) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many WINDOW_UPDATE");
    const increment = readUint31(bytes, start);
    if (streamId === 0) {
      if (increment === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      this.sender.grow(increment);
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
      return;
    }
    if (increment === 0) {
      this.streamError(stream, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      return;
    }
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_WINDOW) {
      this.streamError(stream, ErrorCode.FLOW_CONTROL_ERROR, "stream window above 2^31-1");
      return;
    }
    if (stream.chunk !== null) this.sender.queue(stream);
  }

  #rstStream(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on stream 0");
    if (end - start !== 4) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a wrong length");
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on an idle stream");
      this.withoutEffect();
      return;
    }
    const code = readUint32(bytes, start);
    this.recent.resetByPeer(streamId);
    this.close(stream);
    this.resetReceived(stream, code);
  }

  #settings(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream");
    if ((flags & Flag.ACK) !== 0) {
      if (length !== 0) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with a payload");
      this.#settingsAcknowledged();
      return;
    }
    if (length % 6 !== 0) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong length");
    if (length > this.limits.settingsPerFrame * 6 || !this.#settingsBudget.spend()) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many SETTINGS");
    }
    this.#settingsReceived = true;
    const change = readSettings(bytes, start, end, !this.isServer);
    if ("code" in change) throw new ConnectionError(change.code, change.message);
    if (change.tableSize !== undefined && change.smallestTableSize !== undefined) {
      if (change.smallestTableSize < change.tableSize) this.encoder.setPeerTableSize(change.smallestTableSize);
      this.encoder.setPeerTableSize(change.tableSize);
    }
    if (change.maxFrameBytes !== undefined) this.sender.maxFrame = Math.min(change.maxFrameBytes, MAX_FRAME_BYTES);
    writeSettingsAck(this.out);
    this.#countControl(SETTINGS_ACK_BYTES);
    if (change.initialWindow !== undefined) this.#peerWindow(change.initialWindow);
    this.settingsChanged(change.maxConcurrentStreams);
  }

  /** RFC 9113 §6.9.2. */
  #peerWindow(initial: number): void {
    const delta = initial - this.peerInitialWindow;
    this.peerInitialWindow = initial;
    if (delta === 0) return;
    for (const stream of this.streams.all()) {
      stream.sendWindow += delta;
      if (stream.sendWindow > MAX_WINDOW) throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "stream window above 2^31-1");
      if (delta > 0 && stream.chunk !== null) this.sender.queue(stream);
    }
  }

  #settingsAcknowledged(): void {
    const delta = this.streamWindow - this.localInitialWindow;
    if (delta === 0) return;
    this.localInitialWindow = this.streamWindow;
    for (const stream of this.streams.all()) stream.receiveWindow += delta;
  }

  #ping(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PING on a stream");
    if (end - start !== 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong length");
    if (!this.#pingBudget.spend()) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many PING");
    if ((flags & Flag.ACK) !== 0) {
      this.pingAcknowledged(bytes, start);
      return;
    }
    writePing(this.out, true, bytes, start);
    this.#countControl(PING_BYTES);
  }

  #priority(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0");
    this.withoutEffect();
    if (end - start !== 5) {
      // RFC 9113 §6.3: a stream error; a stream that is not there cannot have one.
      const stream = this.streams.get(streamId);
      if (stream === undefined) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong length");
      this.streamError(stream, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong length");
      return;
    }
    if (readUint31(bytes, start) === streamId) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "stream depends on itself");
  }

  #lateFrame(streamId: number, what: string, headers: boolean): void {
    if (this.isIdle(streamId)) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `${what} on an idle stream`);
    // The peer had not seen our RST_STREAM.
    if (this.recent.wasResetByUs(streamId)) return;
    if (this.recent.wasResetByPeer(streamId)) {
      this.refuse(streamId, ErrorCode.STREAM_CLOSED);
      return;
    }
    if (this.recent.wasEnded(streamId)) throw new ConnectionError(ErrorCode.STREAM_CLOSED, `${what} on a closed stream`);
    if (headers) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `HEADERS on stream ${streamId}, lower than one before`);
    this.refuse(streamId, ErrorCode.STREAM_CLOSED);
  }

  // --- states ---

  /** A connection error, RFC 9113 §5.4.1: GOAWAY, and every stream is over. */
  #fatal(code: number, message: string): void {
    if (this.dead) return;
    this.dead = true;
    writeGoaway(this.out, this.lastPeerStream(), code, message);
    this.finishing = true;
    this.wantFlush();
    this.failed(message);
    this.closeAll({ kind: "protocol", message });
  }

  /** Both messages have ended. */
  #complete(stream: Stream): void {
    stream.flags |= CLOSED;
    this.streams.delete(stream.id);
    this.active--;
    this.unflushed++;
    this.recent.ended(stream.id);
    this.#emptyBudget.earn(1);
    this.streamClosed(true);
  }

  #reset(streamId: number, code: number): void {
    this.recent.resetByUs(streamId);
    if (this.dead) return;
    writeRstStream(this.out, streamId, code);
    this.#countControl(RST_STREAM_BYTES);
  }

  // --- windows ---

  /**
   * Bytes of the connection's window that the peer may have again. Told when they are as many as the peer has left: at half of the
   * window, and earlier when streams that nobody reads hold a part of it, so that those cannot stop the others.
   */
  #credit(bytes: number): void {
    this.#unannounced += this.#lent === 0 ? bytes : bytes - this.#takeBack(bytes);
    if (this.#unannounced < this.#receiveWindow || this.#unannounced === 0 || this.dead) return;
    writeWindowUpdate(this.out, 0, this.#unannounced);
    this.#receiveWindow += this.#unannounced;
    this.#unannounced = 0;
    this.wantFlush();
  }

  /** Three quarters of the window are with streams that may never be read: the others get as much again, up to a bound. */
  #lend(): void {
    if (this.dead || (this.#receiveWindow + this.#unannounced) * 4 >= this.#connectionWindow) return;
    const bytes = Math.min(
      this.#connectionWindow,
      this.limits.lentWindowBytes - this.#lent,
      MAX_WINDOW - this.#connectionWindow - this.#lent,
    );
    if (bytes <= 0) return;
    writeWindowUpdate(this.out, 0, bytes);
    this.#lent += bytes;
    this.#receiveWindow += bytes;
    this.wantFlush();
  }

  /** How much of what was consumed pays back what was lent: as much as leaves the peer half a window. */
  #takeBack(bytes: number): number {
    const spare = this.#receiveWindow + this.#unannounced + bytes - Math.ceil(this.#connectionWindow / 2);
    const back = Math.max(0, Math.min(bytes, this.#lent, spare));
    this.#lent -= back;
    return back;
  }

  #creditStream(stream: Stream, bytes: number): void {
    stream.unannounced += bytes;
    if (stream.unannounced * 2 < this.streamWindow || this.dead) return;
    writeWindowUpdate(this.out, stream.id, stream.unannounced);
    stream.receiveWindow += stream.unannounced;
    stream.unannounced = 0;
    this.wantFlush();
  }

  // --- bounds ---

  /** A frame that changes nothing has come. */
  protected withoutEffect(): void {
    if (!this.#emptyBudget.spend()) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many frames without effect");
  }

  #countControl(bytes: number): void {
    this.#controlBytes += bytes;
    this.wantFlush();
  }

  /** A peer that does not read what it makes this side say is not read any further. */
  #boundOutput(): void {
    const waiting = this.isServer ? this.out.pending : Math.min(this.#controlBytes, this.out.pending);
    if (waiting <= this.limits.pauseOutputBytes) return;
    if (waiting > this.limits.maxOutputBytes) {
      this.#fatal(ErrorCode.ENHANCE_YOUR_CALM, "output is not read");
      this.host.abort();
      return;
    }
    if (this.#paused) return;
    this.#paused = true;
    this.host.pauseReading();
  }
}

const NONE = new Uint8Array(0);
