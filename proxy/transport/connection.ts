// One byte stream over a Bun socket, plain or TLS: the only thing the HTTP and TCP stacks know of the network.
import type { Socket } from "bun";
import { formatSocketAddr, type SocketAddr } from "#addr";
import type { Flushable, FlushQueue } from "./flush.ts";

/** What happens to a connection. All calls come from the event loop, never from within a call to the connection. */
export interface ConnectionHandler {
  /** Large reads may be given in parts, as {@link Connection.pause} asks; without it, each read whole. */
  readonly inParts?: true;
  /** Bytes of the peer, valid during the call: their buffer is freed after it. */
  onData(chunk: Uint8Array): void;
  /** {@link Connection.scheduleFlush} was asked for in this turn: write what there is, once. */
  onFlush(): void;
  /** Everything refused by the kernel before has been written. */
  onDrain(): void;
  /** The peer will send no more (FIN or close_notify). Writing goes on. */
  onEnd(): void;
  /** Last event. `errno` is "" on a clean close, else a name such as `ECONNRESET`. */
  onClose(errno: string): void;
}

/** Byte counters of a connection's metrics stack. */
export interface TransportCounters {
  read(bytes: number): void;
  wrote(bytes: number): void;
  closed(errno: string): void;
}

/** TLS as terminated by this proxy (server side) or established by it (client side). */
export type TlsSession = {
  /** Verified identity of the peer; null when it presented no certificate (server side only). */
  readonly peerId: string | null;
  /** Negotiated ALPN protocol, null when none. */
  readonly alpn: string | null;
};

/** Whoever waits for a handshake with a client. Exactly one of the two is called, before any `onData`. */
export interface Handshake {
  onSession(session: TlsSession): void;
  /** The connection is closed, or about to be. */
  onFailure(errno: string): void;
}

/** Parts of a large read, where its handler takes parts. */
export const PART_BYTES = 64 * 1024;
/** Read buffers from this size on are freed at once; smaller ones are cheaper collected. */
const FREED_BYTES = 4096;

/**
 * A connection's life: open → (peer ended | we ended)* → closed. Half-closes are independent. Backpressure: `write`
 * returns false while the kernel refuses bytes; the caller stops its source until `onDrain`. What a caller writes in spite
 * of that is queued, so the bound is the caller's: one part of a read of its source.
 *
 * Bytes: what is written is sent or copied within the call. A read is handed over within its event; what a pause leaves of it
 * stays here, at most one read and one more that was in flight.
 */
export class Connection implements Flushable {
  flushQueued = false;
  handler: ConnectionHandler;
  counters: TransportCounters | null = null;
  tls: TlsSession | null = null;
  /** One is under way. */
  handshake: Handshake | null = null;
  /** The peer's half is over. */
  peerEnded = false;
  closed = false;
  /** `onClose` has been called; it comes at the end of the turn's microtask when a call of ours closed the socket. */
  closeReported = false;
  /** Called once: it is known what the connection carries, or it has closed before. */
  onDecided: (() => void) | null = null;
  socket: Socket<Connection>;
  readonly #flushQueue: FlushQueue;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #ending = false;
  #ended = false;
  #aborted = false;
  #paused = false;
  /** The runtime was told so. */
  #socketPaused = false;
  /** What reads before a pause left, the first from `#unreadAt` on. */
  #unread: Uint8Array[] = [];
  #unreadAt = 0;
  /** Within a call to the socket: the runtime may report its close from there. */
  #calling = false;

  constructor(options: { socket: Socket<Connection>; handler: ConnectionHandler; flushQueue: FlushQueue }) {
    this.socket = options.socket;
    this.handler = options.handler;
    this.#flushQueue = options.flushQueue;
  }

  get remote(): SocketAddr {
    return { ip: canonical(this.socket.remoteAddress), port: this.socket.remotePort };
  }

  /** The peer for a log: `IP:port`. */
  get peer(): string {
    return this.socket.remoteAddress === undefined ? "a closed connection" : formatSocketAddr(this.remote);
  }

  get local(): SocketAddr {
    return { ip: canonical(this.socket.localAddress), port: this.socket.localPort };
  }

  /** Bytes accepted by `write` that the kernel has not taken yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** False while the kernel refuses bytes or after {@link end}. */
  get writable(): boolean {
    return this.#pendingBytes === 0 && !this.#ending && !this.closed && !this.#aborted;
  }

  /** Asks for one `onFlush` at the end of this event-loop turn. */
  scheduleFlush(): void {
    this.#flushQueue.schedule(this);
  }

  flush(): void {
    if (this.#unread.length > 0) this.#readOn();
    if (!this.closed) this.handler.onFlush();
  }

  /** Writes at once; false when the kernel did not take everything. */
  write(chunk: Uint8Array): boolean {
    if (this.closed || this.#ending || this.#aborted || chunk.length === 0) return this.writable;
    const n = this.#pendingBytes > 0 ? 0 : this.#send(chunk);
    if (n >= chunk.length) return true;
    this.#pending.push(new Uint8Array(chunk.subarray(n)));
    this.#pendingBytes += chunk.length - n;
    return false;
  }

  /** Half-closes after what is pending: FIN, or close_notify on TLS. */
  end(): void {
    if (this.#ending || this.closed) return;
    this.#ending = true;
    if (this.#pendingBytes === 0) this.#finish();
  }

  /** Drops the connection and what is pending. `onClose` follows. */
  abort(): void {
    if (this.closed || this.#aborted) return;
    this.#aborted = true;
    this.#unread = [];
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#calling = true;
    this.socket.terminate();
    // Whatever the runtime has to say of it, or has said before: the contract of this call is that `onClose` follows.
    this.socketClose("");
    this.#calling = false;
  }

  /** Stops reading. A handler that does not take parts may still get a read that was in flight. */
  pause(): void {
    if (this.#paused || this.closed) return;
    this.#paused = true;
    if (this.#socketPaused) return;
    this.#socketPaused = true;
    this.socket.pause();
  }

  /** Goes on reading; what a pause has left is handed over at the end of the turn. */
  resume(): void {
    if (!this.#paused || this.closed) return;
    this.#paused = false;
    if (this.#unread.length > 0) this.scheduleFlush();
    else this.#resumeSocket();
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Someone has taken the connection over for good. */
  decided(): void {
    const { onDecided } = this;
    this.onDecided = null;
    onDecided?.();
  }

  // --- events of the socket ---

  /** A handler threw. */
  fault(error: Error): void {
    this.#flushQueue.report(error);
  }

  socketData(chunk: Uint8Array): void {
    this.counters?.read(chunk.length);
    if (this.#unread.length > 0) this.#unread.push(chunk);
    else if (this.handler.inParts === true && (this.#paused || chunk.length > PART_BYTES)) {
      this.#unread.push(chunk);
      this.#readOn();
    } else {
      this.handler.onData(chunk);
      free(chunk);
    }
  }

  /** Hands over what is unread until a pause. */
  #readOn(): void {
    while (this.#unread.length > 0 && !this.#paused) this.#readPart();
    if (!this.#paused) this.#resumeSocket();
  }

  #readPart(): void {
    const chunk = this.#unread[0] as Uint8Array;
    const from = this.#unreadAt;
    const to = Math.min(chunk.length, from + PART_BYTES);
    if (to < chunk.length) this.#unreadAt = to;
    else {
      this.#unread.shift();
      this.#unreadAt = 0;
    }
    this.handler.onData(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
    if (to === chunk.length) free(chunk);
  }

  /** The peer has said its last: a pause holds nothing up any more. */
  #readRest(): void {
    while (this.#unread.length > 0) this.#readPart();
  }

  #resumeSocket(): void {
    if (!this.#socketPaused || this.closed) return;
    this.#socketPaused = false;
    this.socket.resume();
  }

  socketDrain(): void {
    while (this.#pendingBytes > 0) {
      const chunk = this.#pending[0] as Uint8Array;
      const n = this.#send(chunk);
      if (this.closed) return;
      this.#pendingBytes -= n;
      if (n < chunk.length) {
        this.#pending[0] = chunk.subarray(n);
        return;
      }
      this.#pending.shift();
    }
    if (this.#ending) this.#finish();
    else this.handler.onDrain();
  }

  socketEnd(): void {
    this.#readRest();
    if (this.peerEnded || this.closed) return;
    this.peerEnded = true;
    this.handler.onEnd();
    if (this.#ended && !this.closed) this.#shut();
  }

  socketClose(errno: string): void {
    if (this.closed) return;
    this.closed = true;
    this.#pending = [];
    this.#pendingBytes = 0;
    // Once our half is over the runtime reports the peer's end as a close alone.
    const end = errno === "" && !this.peerEnded && !this.#aborted;
    if (this.#calling) queueMicrotask(() => this.#reportClose(errno, end));
    else this.#reportClose(errno, end);
  }

  #reportClose(errno: string, end: boolean): void {
    this.#readRest();
    if (end) {
      this.peerEnded = true;
      this.handler.onEnd();
    }
    this.counters?.closed(errno);
    this.closeReported = true;
    this.handler.onClose(errno);
    this.decided();
  }

  #send(chunk: Uint8Array): number {
    this.#calling = true;
    const n = Math.max(0, this.socket.write(chunk));
    this.#calling = false;
    if (n > 0) this.counters?.wrote(n);
    return n;
  }

  #finish(): void {
    this.#ended = true;
    this.#shut();
  }

  #shut(): void {
    this.#calling = true;
    if (this.peerEnded) this.socket.end();
    else this.socket.shutdown();
    this.#calling = false;
  }
}

/** Gives a read buffer back to the allocator: the collector would let many of them pile up, cold in every cache. */
function free(chunk: Uint8Array): void {
  if (chunk.length >= FREED_BYTES && chunk.length === chunk.buffer.byteLength) (chunk.buffer as ArrayBuffer).transfer(0);
}

/** IPv4-mapped text, as dual-stack sockets give it, is folded. */
function canonical(ip: string): string {
  return ip.startsWith("::ffff:") ? ip.slice(7) : ip;
}

/** The name of a socket error for the `errno` label; "" for none. */
export function errnoOf(error: unknown): string {
  if (error === undefined || error === null) return "";
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : "EIO";
}

/** Socket callbacks that hand every event to the connection in `socket.data`, if the socket is still the one it uses. */
export const socketEvents = {
  binaryType: "uint8array",
  data(socket: Socket<Connection>, chunk: Uint8Array): void {
    if (socket.data?.socket === socket) socket.data.socketData(chunk);
  },
  drain(socket: Socket<Connection>): void {
    if (socket.data?.socket === socket) socket.data.socketDrain();
  },
  end(socket: Socket<Connection>): void {
    if (socket.data?.socket === socket) socket.data.socketEnd();
  },
  close(socket: Socket<Connection>, error?: Error): void {
    if (socket.data?.socket === socket) socket.data.socketClose(errnoOf(error));
  },
  error(socket: Socket<Connection>, error: Error): void {
    // The error's name is more telling than that of the close that follows. An exception of a handler comes here too, and
    // nothing follows it: the socket is ended.
    if (socket.data?.socket !== socket) return;
    if (typeof (error as { code?: unknown }).code !== "string") socket.data.fault(error);
    socket.data.socketClose(errnoOf(error));
    socket.terminate();
  },
} as const;
