// Accepts connections: bound from the start, served only once the gate is open (spec proxy §1.5: before the first
// certificate the kernel completes handshakes but nothing is read).
import type { Socket, TCPSocketListener } from "bun";
import { Connection, type ConnectionHandler, socketEvents } from "./connection.ts";
import type { FlushQueue } from "./flush.ts";

/** Connections held before the gate opens. More are refused: the kernel's own backlog has the same size (somaxconn). */
export const MAX_HELD_CONNECTIONS = 4096;
/** Dropped connections are told of this often at most, ms: there may be very many. */
const DROPS_TOLD_MS = 1000;

export type ListenerOptions = {
  readonly ip: string;
  readonly port: number;
  /** Other sockets of this process listen on the same port (SO_REUSEPORT); the kernel spreads connections over them. Default: none. */
  readonly shared?: boolean;
  readonly flushQueue: FlushQueue;
  /** TCP keepalive idle time, ms; null = the kernel's. Keepalive is always on. */
  readonly keepaliveMs: number | null;
  /** Called with each socket, for options beyond these. */
  readonly tune?: (socket: Socket<Connection>) => void;
  /** Connections with this file descriptor or a higher one are dropped; default: none. */
  readonly maxDescriptor?: number;
  /** Connections were dropped before they were served: the reason of the latest, and how many since this was told last. */
  readonly onDrop?: (reason: string, count: number) => void;
  /** A connection was accepted: set its handler. */
  readonly onAccept: (connection: Connection) => void;
};

export class Listener {
  readonly #held = new Set<Connection>();
  readonly #options: ListenerOptions;
  #dropped = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  readonly #server: TCPSocketListener<Connection>;
  #open = false;

  /** Binds at once. Throws when the address cannot be bound; the message names it. */
  constructor(options: ListenerOptions) {
    this.#options = options;
    const accept = (socket: Socket<Connection>): void => {
      tune(socket, options.keepaliveMs);
      options.tune?.(socket);
      const connection = new Connection({ socket, handler: holding, flushQueue: options.flushQueue });
      socket.data = connection;
      if (descriptorOf(socket) >= (options.maxDescriptor ?? Number.POSITIVE_INFINITY)) this.#drop(connection, "too many open files");
      else if (this.#open) this.#serve(connection);
      else if (this.#held.size >= MAX_HELD_CONNECTIONS) connection.abort();
      else {
        connection.pause();
        connection.handler = { ...holding, onClose: () => void this.#held.delete(connection) };
        this.#held.add(connection);
      }
    };
    try {
      this.#server = Bun.listen<Connection>({
        hostname: options.ip,
        port: options.port,
        allowHalfOpen: true,
        ...(options.shared ? { reusePort: true } : {}),
        socket: { ...socketEvents, open: accept },
      });
    } catch (error) {
      throw new Error(`cannot listen on ${options.ip}:${options.port}: ${(error as Error).message}`, { cause: error });
    }
  }

  get port(): number {
    return this.#server.port;
  }

  /** Serves what was held and everything after. */
  open(): void {
    if (this.#open) return;
    this.#open = true;
    const held = [...this.#held];
    this.#held.clear();
    for (const connection of held) {
      // First, so that who takes it may stop it again.
      connection.resume();
      this.#serve(connection);
    }
  }

  #serve(connection: Connection): void {
    // Reset while it waited to be accepted (spec proxy §1.2: a connection without a peer is dropped).
    if (connection.socket.remoteAddress === undefined) this.#drop(connection, "the peer is gone");
    else this.#options.onAccept(connection);
  }

  #drop(connection: Connection, reason: string): void {
    connection.abort();
    this.#dropped++;
    const now = performance.now();
    if (now - this.#toldAt < DROPS_TOLD_MS) return;
    this.#toldAt = now;
    this.#options.onDrop?.(reason, this.#dropped);
    this.#dropped = 0;
  }

  /** Stops accepting; connections already accepted live on. */
  stop(): void {
    this.#server.stop(false);
    for (const connection of this.#held) connection.abort();
    this.#held.clear();
  }
}

/** Its number; NaN where the runtime does not tell. */
export function descriptorOf(socket: Socket<Connection>): number {
  return (socket as unknown as { readonly fd?: number }).fd ?? Number.NaN;
}

/** The kernel counts whole seconds of keepalive. */
const MIN_KEEPALIVE_MS = 1000;

/** TCP_NODELAY and SO_KEEPALIVE, as on every socket of the proxy (spec proxy §1.2). A peer that does not answer ten probes, one a second, is gone. */
export function tune(socket: Socket<Connection>, keepaliveMs: number | null): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, keepaliveMs === null ? 0 : Math.max(MIN_KEEPALIVE_MS, keepaliveMs));
}

const holding: ConnectionHandler = {
  onData() {},
  onFlush() {},
  onDrain() {},
  onEnd() {},
  onClose() {},
};
