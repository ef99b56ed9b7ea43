// What a connection sends of its messages: header blocks in order, DATA as far as the peer's windows and the output allow, and the
// streams that wait for more of either (RFC 9113 §5.2, §6.9).
import type { Encoder } from "#hpack";
import { ErrorCode, OUTPUT_BYTES, OutputBuffer, type OutputPool } from "#http";
import type { Budget } from "./budget.ts";
import { ConnectionError } from "./connection-error.ts";
import { DEFAULT_WINDOW, Flag, FRAME_HEADER_BYTES, FrameType, MAX_FRAME_BYTES, MAX_WINDOW, writeFrameHeader } from "./frames/header.ts";
import { writeTrailers } from "./message.ts";
import { CLOSED, FINISHING, HEAD_SENT, LOCAL_ENDED, QUEUED, type Stream } from "./stream.ts";
import { StreamQueue } from "./stream-queue.ts";

/** The connection that sends. */
export interface SenderHost {
  /** There is output. */
  wantFlush(): void;
  /** Our END_STREAM of the stream is in output. */
  endLocal(stream: Stream): void;
}

export type SenderOptions = {
  readonly host: SenderHost;
  readonly encoder: Encoder;
  readonly pool: OutputPool;
  /** Of WINDOW_UPDATE frames: what is sent earns the peer some. */
  readonly windowUpdates: Budget;
};

export class Sender {
  readonly out: OutputBuffer;
  /** The largest frame to send; SETTINGS_MAX_FRAME_SIZE beyond what the protocol begins with is not used. */
  maxFrame = MAX_FRAME_BYTES;
  readonly #host: SenderHost;
  readonly #encoder: Encoder;
  readonly #pool: OutputPool;
  readonly #windowUpdates: Budget;
  /** The connection's. */
  #window = DEFAULT_WINDOW;
  /** Streams with something to send, and those of them that wait for the connection's window. */
  readonly #ready = new StreamQueue();
  readonly #blocked = new StreamQueue();
  /** Closed since the lists were swept: at most so many are in them. */
  #closedInQueue = 0;

  constructor(options: SenderOptions) {
    this.#host = options.host;
    this.#encoder = options.encoder;
    this.#pool = options.pool;
    this.#windowUpdates = options.windowUpdates;
    this.out = new OutputBuffer(options.pool);
  }

  /** A header block in HEADERS and, where it is longer than a frame, CONTINUATION. */
  headers(streamId: number, block: Uint8Array, ends: boolean): void {
    const { out } = this;
    const length = block.length;
    const endStream = ends ? Flag.END_STREAM : 0;
    if (length <= MAX_FRAME_BYTES) {
      out.room(FRAME_HEADER_BYTES + length);
      writeFrameHeader(out, length, FrameType.HEADERS, Flag.END_HEADERS | endStream, streamId);
      out.append(block, 0, length);
    } else {
      out.room(length + FRAME_HEADER_BYTES * (Math.ceil(length / MAX_FRAME_BYTES) + 1));
      writeFrameHeader(out, MAX_FRAME_BYTES, FrameType.HEADERS, endStream, streamId);
      out.append(block, 0, MAX_FRAME_BYTES);
      for (let at = MAX_FRAME_BYTES; at < length; at += MAX_FRAME_BYTES) {
        const end = Math.min(length, at + MAX_FRAME_BYTES);
        writeFrameHeader(out, end - at, FrameType.CONTINUATION, end === length ? Flag.END_HEADERS : 0, streamId);
        out.append(block, at, end);
      }
    }
    this.#host.wantFlush();
  }

  /** Content, or what ends the message (the stream's flags tell): framed at once as far as it may be, and kept beyond that. */
  data(stream: Stream, chunk: Uint8Array): void {
    let sent = 0;
    if (stream.chunk === null && (stream.flags & (QUEUED | HEAD_SENT)) === HEAD_SENT) {
      sent = this.#frame(stream, chunk);
      if ((stream.flags & CLOSED) !== 0) return;
    }
    if (sent < chunk.length) stream.keep(this.#pool.copy(sent === 0 ? chunk : chunk.subarray(sent)));
    else if ((stream.flags & (FINISHING | LOCAL_ENDED)) !== FINISHING) return;
    this.queue(stream);
  }

  /** The stream has something to send. */
  queue(stream: Stream): void {
    if ((stream.flags & (QUEUED | HEAD_SENT)) !== HEAD_SENT) return;
    // It comes back with WINDOW_UPDATE.
    if (stream.chunk !== null && stream.sendWindow <= 0) return;
    this.#ready.push(stream);
    this.#host.wantFlush();
  }

  /** The peer gives more of the connection's window. Throws {@link ConnectionError} beyond what RFC 9113 §6.9.1 allows. */
  grow(increment: number): void {
    this.#window += increment;
    if (this.#window > MAX_WINDOW) throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "connection window above 2^31-1");
    if (this.#blocked.empty) return;
    this.#ready.append(this.#blocked);
    this.#host.wantFlush();
  }

  /** A stream has closed. Queued ones are passed over in their turn; when turns do not come they must not pile up. */
  closed(stream: Stream): void {
    if (stream.chunk !== null) this.#pool.give(stream.chunk);
    if ((stream.flags & QUEUED) === 0 || ++this.#closedInQueue < MAX_CLOSED_IN_QUEUE) return;
    this.#closedInQueue = 0;
    this.#ready.sweep();
    this.#blocked.sweep();
  }

  /** One frame of each stream in turn, until the output is full or the windows are. */
  fill(): void {
    const { out } = this;
    while (out.pending < OUTPUT_BYTES) {
      const stream = this.#ready.shift();
      if (stream === null) return;
      if ((stream.flags & CLOSED) === 0) this.#frameKept(stream);
    }
  }

  /** What one write takes, valid until the next call; null when there is nothing. */
  take(): Uint8Array | null {
    return this.out.take(OUTPUT_BYTES + MAX_FRAME_BYTES + FRAME_HEADER_BYTES);
  }

  /** DATA frames of `chunk`, and of the message's end behind it, until a window or the output is full. Returns the bytes sent. */
  #frame(stream: Stream, chunk: Uint8Array): number {
    const { out } = this;
    const { length } = chunk;
    let at = 0;
    while (at < length && out.pending < OUTPUT_BYTES) {
      const n = Math.min(length - at, this.maxFrame, this.#window, stream.sendWindow);
      if (n <= 0) break;
      out.room(FRAME_HEADER_BYTES + n);
      const ends = at + n === length && (stream.flags & FINISHING) !== 0 && stream.trailerFields === null;
      writeFrameHeader(out, n, FrameType.DATA, ends ? Flag.END_STREAM : 0, stream.id);
      out.append(chunk, at, at + n);
      at += n;
      this.#sent(stream, n, ends);
    }
    if (at === length) this.#endMessage(stream);
    this.#host.wantFlush();
    if (at > 0) stream.incoming.onWritten(at);
    return at;
  }

  /** One frame of what the stream keeps. */
  #frameKept(stream: Stream): void {
    const { out } = this;
    let written = 0;
    if (stream.chunk !== null) {
      if (stream.sendWindow <= 0) return;
      if (this.#window <= 0) {
        this.#blocked.push(stream);
        return;
      }
      const max = Math.min(this.maxFrame, this.#window, stream.sendWindow);
      out.room(FRAME_HEADER_BYTES + Math.min(max, stream.chunk.length - stream.chunkAt));
      // The frame's header is written when its length is known.
      out.end += FRAME_HEADER_BYTES;
      while (stream.chunk !== null && written < max) {
        const n = Math.min(stream.chunk.length - stream.chunkAt, max - written);
        out.append(stream.chunk, stream.chunkAt, stream.chunkAt + n);
        written += n;
        stream.chunkAt += n;
        if (stream.chunkAt === stream.chunk.length) {
          this.#pool.give(stream.chunk);
          stream.nextChunk();
        }
      }
      const ends = stream.chunk === null && (stream.flags & FINISHING) !== 0 && stream.trailerFields === null;
      const end = out.end;
      out.end = end - written - FRAME_HEADER_BYTES;
      writeFrameHeader(out, written, FrameType.DATA, ends ? Flag.END_STREAM : 0, stream.id);
      out.end = end;
      this.#sent(stream, written, ends);
    }
    if (stream.chunk !== null) this.queue(stream);
    else this.#endMessage(stream);
    if (written > 0) stream.incoming.onWritten(written);
  }

  #sent(stream: Stream, bytes: number, ends: boolean): void {
    stream.sendWindow -= bytes;
    this.#window -= bytes;
    this.#windowUpdates.earn(10);
    if (ends) this.#host.endLocal(stream);
  }

  /** All content is sent: what is still to be said of a message that its sender has finished. */
  #endMessage(stream: Stream): void {
    if ((stream.flags & (FINISHING | LOCAL_ENDED)) !== FINISHING) return;
    if (stream.trailerFields !== null) {
      const fields = stream.trailerFields;
      stream.trailerFields = null;
      this.headers(stream.id, this.#encoder.encodeShared(fields, writeTrailers), true);
    } else {
      this.out.room(FRAME_HEADER_BYTES);
      writeFrameHeader(this.out, 0, FrameType.DATA, Flag.END_STREAM, stream.id);
    }
    this.#host.endLocal(stream);
  }
}

const MAX_CLOSED_IN_QUEUE = 256;
