// Dials a peer, plain or with mesh TLS, within one timeout (spec proxy §4.7).
import type { Socket } from "bun";
import { formatSocketAddr, type SocketAddr } from "#addr";
import type { TlsContexts } from "../tls/context.ts";
import { Connection, type ConnectionHandler, errnoOf, socketEvents } from "./connection.ts";
import type { FlushQueue } from "./flush.ts";
import { descriptorOf, tune } from "./listen.ts";

/** Why a dial failed: `timeout` becomes 504, `io` 502, `loop` (refused by the proxy itself, spec proxy §2) 500. */
export type ConnectError = { readonly kind: "timeout" | "io" | "loop"; readonly errno: string; readonly message: string };

export type ConnectOptions = {
  readonly addr: SocketAddr;
  readonly flushQueue: FlushQueue;
  /** Covers TCP connect and TLS handshake, ms. */
  readonly timeoutMs: number;
  readonly keepaliveMs: number | null;
  /** Calls its argument, which begins to connect; default: that alone. */
  readonly begin?: ((connect: () => void) => void) | undefined;
  /** Called with the socket, for options beyond these. */
  readonly tune?: ((socket: Socket<Connection>) => void) | undefined;
  /** A connection with this file descriptor or a higher one is given up; default: none. */
  readonly maxDescriptor?: number;
  readonly tls: { readonly context: TlsContexts["client"]; readonly serverName: string; readonly alpn: Uint8Array | null } | null;
  /** Exactly one of the two is called, never within `connect` itself. The connection is ready for writing. */
  readonly onConnect: (connection: Connection) => void;
  readonly onError: (error: ConnectError) => void;
};

/** Returns a function that gives the attempt up (no callback follows). */
export function connect(options: ConnectOptions): () => void {
  const { tls, timeoutMs } = options;
  const to = formatSocketAddr(options.addr);
  let settled = false;
  let socketOfAttempt: Socket<Connection> | null = null;
  const settle = (): boolean => {
    if (settled) return false;
    settled = true;
    clearTimeout(timer);
    return true;
  };
  const fail = (kind: "timeout" | "io", errno: string, message: string): void => {
    if (!settle()) return;
    socketOfAttempt?.terminate();
    options.onError({ kind, errno, message });
  };
  const timer = setTimeout(() => fail("timeout", "ETIMEDOUT", `connect timed out after ${formatDuration(timeoutMs)}`), timeoutMs);
  const succeed = (connection: Connection): void => {
    if (settle()) options.onConnect(connection);
    else connection.abort();
  };
  const begin = (): void =>
    void Bun.connect<Connection>({
      hostname: options.addr.ip,
      port: options.addr.port,
      allowHalfOpen: true,
      ...(tls === null
        ? {}
        : {
            tls: {
              ...tls.context,
              serverName: tls.serverName,
              ...(tls.alpn === null ? {} : { ALPNProtocols: tls.alpn }),
            } as object,
          }),
      socket: {
        ...socketEvents,
        open(socket) {
          if (settled) {
            socket.terminate();
            return;
          }
          socketOfAttempt = socket;
          if (descriptorOf(socket) >= (options.maxDescriptor ?? Number.POSITIVE_INFINITY))
            return fail("io", "EMFILE", `connection to ${to}: too many open files`);
          tune(socket, options.keepaliveMs);
          options.tune?.(socket);
          const connection = new Connection({ socket, handler: idle, flushQueue: options.flushQueue });
          socket.data = connection;
          if (tls === null) succeed(connection);
        },
        handshake(socket, ok, error) {
          if (settled || tls === null) return;
          if (!ok) return fail("io", errnoOf(error), `TLS handshake with ${to}: ${error?.message ?? "failed"}`);
          const certificate = socket.getPeerX509Certificate();
          // Only a DNS SAN equal to the expected identity counts: no CN, no wildcard (spec proxy §7.3).
          if (
            !socket.authorized ||
            certificate.ca ||
            certificate.checkHost(tls.serverName, { subject: "never", wildcards: false }) === undefined
          )
            return fail("io", "EBADCERT", `TLS handshake with ${to}: the certificate is not of ${tls.serverName}`);
          const connection = socket.data;
          connection.tls = {
            peerId: tls.serverName,
            alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : null,
          };
          succeed(connection);
        },
        close(socket, error) {
          fail("io", errnoOf(error) || "ECONNRESET", `connection to ${to} closed`);
          socketEvents.close(socket, error);
        },
        error(socket, error) {
          fail("io", errnoOf(error), error.message);
          if (socket.data) socketEvents.error(socket, error);
        },
        connectError(_socket, error) {
          fail("io", errnoOf(error), error.message);
        },
      },
    }).catch((error: unknown) => fail("io", errnoOf(error), error instanceof Error ? error.message : String(error)));
  if (options.begin === undefined) begin();
  else options.begin(begin);
  return () => {
    if (settle()) socketOfAttempt?.terminate();
  };
}

const idle: ConnectionHandler = {
  onData() {},
  onFlush() {},
  onDrain() {},
  onEnd() {},
  onClose() {},
};

/** As the reference prints durations: `300ms`, `1s`, `1.5s`. */
export function formatDuration(ms: number): string {
  return ms >= 1000 ? `${ms / 1000}s` : `${ms}ms`;
}
