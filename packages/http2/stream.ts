// One stream: its state, windows and what waits to be sent. All work is the connection's.
//
//     idle ──HEADERS──► open ──END_STREAM──► half-closed (local or remote) ──END_STREAM──► closed        RFC 9113 §5.1
//                         └──────────────────────── RST_STREAM ──────────────────────────────►
//
// The state is two flags, LOCAL_ENDED and REMOTE_ENDED, and CLOSED for both or a reset.
import type { ClientStream, Fields, Incoming, ResponseHead, ResponseIncoming, StreamError } from "#http";
import type { Connection } from "./connection.ts";

/** END_STREAM is in output. */
export const LOCAL_ENDED = 1;
/** END_STREAM has come. */
export const REMOTE_ENDED = 2;
export const CLOSED = 4;
/** The peer's head (not 1xx) has come. */
export const HEAD_RECEIVED = 8;
/** Our head (not 1xx) is in output. */
export const HEAD_SENT = 16;
/** In the connection's list of streams with something to send. */
export const QUEUED = 32;
/** The caller has ended its message. */
export const FINISHING = 64;
/** A response without content whatever its content-length says: to HEAD, or 304. */
export const NO_CONTENT = 128;

export class Stream implements ClientStream {
  readonly id: number;
  readonly connection: Connection;
  incoming: ResponseIncoming;
  flags: number;
  /** What the peer lets us send; may be negative after its SETTINGS, RFC 9113 §6.9.2. */
  sendWindow: number;
  /** What the peer may still send. */
  receiveWindow: number;
  /** Consumed and not yet given back to the peer. */
  unannounced = 0;
  /** Given to `onData` and not yet consumed. */
  held = 0;
  /** Bytes of content still to come, -1 when not known. */
  expected = -1;
  /** First chunk to send, and how much of it is sent. */
  chunk: Uint8Array | null = null;
  chunkAt = 0;
  /** The chunks behind it, from `moreAt` on. */
  more: Uint8Array[] | null = null;
  moreAt = 0;
  trailerFields: Fields | null = null;
  next: Stream | null = null;

  constructor(connection: Connection, id: number, incoming: ResponseIncoming, sendWindow: number, receiveWindow: number, flags: number) {
    this.connection = connection;
    this.id = id;
    this.incoming = incoming;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.flags = flags;
  }

  informational(head: ResponseHead): void {
    this.connection.sendInformational(this, head);
  }

  respond(head: ResponseHead, end: boolean): void {
    this.connection.sendResponse(this, head, end);
  }

  write(chunk: Uint8Array, end: boolean): void {
    if ((this.flags & (CLOSED | FINISHING)) !== 0) return;
    if (end) this.flags |= FINISHING;
    if (chunk.length > 0 || end) this.connection.send(this, chunk);
  }

  trailers(fields: Fields): void {
    if ((this.flags & (CLOSED | FINISHING)) !== 0) return;
    if (fields.length > 0) this.trailerFields = fields;
    this.flags |= FINISHING;
    this.connection.send(this, NONE);
  }

  reset(code: number): void {
    if ((this.flags & CLOSED) === 0) this.connection.resetStream(this, code);
  }

  /** Has its turn to come: the windows, the output or the head is wanting. The bytes are the stream's own. */
  keep(chunk: Uint8Array): void {
    if (this.chunk === null) {
      this.chunk = chunk;
      this.chunkAt = 0;
    } else if (this.more === null) {
      this.more = [chunk];
      this.moreAt = 0;
    } else this.more.push(chunk);
  }

  /** The first chunk is sent. */
  nextChunk(): void {
    this.chunkAt = 0;
    const { more } = this;
    if (more === null) {
      this.chunk = null;
      return;
    }
    this.chunk = more[this.moreAt++] as Uint8Array;
    if (this.moreAt === more.length) this.more = null;
    else if (this.moreAt >= 256) {
      more.splice(0, this.moreAt);
      this.moreAt = 0;
    }
  }

  consume(bytes: number): void {
    if (this.held > 0) this.connection.consume(this, bytes);
  }
}

const NONE = new Uint8Array(0);

/** Takes what comes between a request and the answer of `onRequest`: nothing can. */
export const NOBODY: ResponseIncoming = {
  onInformational(_head: ResponseHead): void {},
  onResponse(_head: ResponseHead, _end: boolean): void {},
  onData(_chunk: Uint8Array, _end: boolean): void {},
  onTrailers(_fields: Fields): void {},
  onWritten(_bytes: number): void {},
  onReset(_error: StreamError): void {},
} satisfies Incoming & ResponseIncoming;
