// Terminates mesh TLS on an accepted connection whose first bytes have been read already (spec proxy §3.3).
import type { Socket } from "bun";
import { parseDnsName } from "#addr";
import { type Connection, errnoOf, type Handshake, socketEvents } from "../transport/connection.ts";
import type { TlsContexts } from "./context.ts";

type TlsSocket = Socket<Connection>;

type UpgradeOptions = {
  data: Connection;
  isServer: true;
  allowHalfOpen: true;
  /** Bytes already read from the socket: the ClientHello. */
  initialData: Uint8Array;
  tls: TlsContexts["server"] & { ALPNProtocols?: Uint8Array };
  socket: typeof secureEvents;
};

export type TerminateOptions = Handshake & {
  readonly connection: Connection;
  readonly context: TlsContexts["server"];
  /** Everything read so far, replayed into the handshake. */
  readonly initialData: Uint8Array;
  /** Wire form of the ALPN list (RFC 7301 §3.1), null = do not negotiate. */
  readonly alpn: Uint8Array | null;
};

/** The connection carries plaintext from `onSession` on. A client certificate is optional, but must verify if sent. */
export function terminateTls(options: TerminateOptions): void {
  const { connection, context, initialData, alpn } = options;
  connection.handshake = options;
  const upgrade: UpgradeOptions = {
    data: connection,
    isServer: true,
    allowHalfOpen: true,
    initialData,
    tls: alpn === null ? context : { ...context, ALPNProtocols: alpn },
    socket: secureEvents,
  };
  const [, secure] = (connection.socket.upgradeTLS as unknown as (o: UpgradeOptions) => [TlsSocket, TlsSocket])(upgrade);
  connection.socket = secure;
}

/** Ends the wait. The runtime may tell how it ended before the upgrade has returned, and the connection's end with it. */
function settle(secure: TlsSocket): Handshake | null {
  const connection = secure.data;
  const { handshake } = connection;
  if (handshake !== null) connection.socket = secure;
  connection.handshake = null;
  return handshake;
}

// The same for all connections: an idle one keeps nothing of its handshake.
const secureEvents = {
  ...socketEvents,
  handshake(socket: TlsSocket, ok: boolean, error: Error | null): void {
    const waiting = settle(socket);
    if (waiting === null) return;
    const certificate = ok ? socket.getPeerX509Certificate() : undefined;
    // One that was presented and does not chain to the anchors, or is expired, is as good as a failed handshake.
    if (!ok || (certificate && !socket.authorized)) {
      waiting.onFailure(ok ? "EBADCERT" : errnoOf(error));
      socket.terminate();
      return;
    }
    waiting.onSession({
      peerId: certificate ? firstDnsName(certificate.subjectAltName) : null,
      alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : null,
    });
  },
  close(socket: TlsSocket, error?: Error): void {
    settle(socket)?.onFailure(errnoOf(error) || "ECONNRESET");
    socketEvents.close(socket, error);
  },
  error(socket: TlsSocket, error: Error): void {
    settle(socket)?.onFailure(errnoOf(error));
    socketEvents.error(socket, error);
  },
};

/** The first DNS entry of a certificate's subject alternative names if it is a plain DNS name; wildcards are none. */
export function firstDnsName(subjectAltName: string | undefined): string | null {
  if (subjectAltName === undefined) return null;
  // Names with unusual bytes (NUL, comma, quote) come quoted by the runtime and so never parse as a DNS name.
  for (const entry of subjectAltName.split(", ")) {
    if (!entry.startsWith("DNS:")) continue;
    const name = entry.slice(4);
    return name.endsWith(".") ? null : parseDnsName(name);
  }
  return null;
}

/** ALPN protocol list in wire form, RFC 7301 §3.1. */
export function alpnWire(...protocols: string[]): Uint8Array {
  return Buffer.concat(protocols.map((p) => Buffer.concat([Buffer.of(p.length), Buffer.from(p, "latin1")])));
}
