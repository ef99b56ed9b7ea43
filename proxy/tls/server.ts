// Terminates mesh TLS on an accepted connection whose first bytes have been read already (spec proxy §3.3).
import type { Socket } from "bun";
import { parseDnsName } from "#addr";
import { type Connection, errnoOf, socketEvents, type TlsSession } from "../transport/connection.ts";
import type { TlsContexts } from "./context.ts";

type TlsSocket = Socket<Connection>;

type UpgradeOptions = {
  data: Connection;
  isServer: true;
  allowHalfOpen: true;
  /** Bytes already read from the socket: the ClientHello. */
  initialData: Uint8Array;
  tls: TlsContexts["server"] & { ALPNProtocols?: Uint8Array };
  socket: Record<string, unknown>;
};

export type TerminateOptions = {
  readonly connection: Connection;
  readonly context: TlsContexts["server"];
  /** Everything read so far, replayed into the handshake. */
  readonly initialData: Uint8Array;
  /** Wire form of the ALPN list (RFC 7301 §3.1), null = do not negotiate. */
  readonly alpn: Uint8Array | null;
  /** Exactly one of the two is called, before any `onData`. After `onFailure` the connection is closed. */
  readonly onSession: (session: TlsSession) => void;
  readonly onFailure: (errno: string) => void;
};

/** The connection carries plaintext from `onSession` on. A client certificate is optional, but must verify if sent. */
export function terminateTls(options: TerminateOptions): void {
  const { connection } = options;
  const raw = connection.socket;
  let settled = false;
  // The runtime may tell the end of a handshake, and of the connection with it, before the upgrade has returned.
  const adopt = (secure: TlsSocket): void => {
    connection.socket = secure;
  };
  const fail = (errno: string): void => {
    if (settled) return;
    settled = true;
    options.onFailure(errno);
  };
  const upgrade: UpgradeOptions = {
    data: connection,
    isServer: true,
    allowHalfOpen: true,
    initialData: options.initialData,
    tls: options.alpn === null ? options.context : { ...options.context, ALPNProtocols: options.alpn },
    socket: {
      ...socketEvents,
      handshake(socket: TlsSocket, ok: boolean, error: Error | null) {
        adopt(socket);
        if (settled) return;
        if (!ok) {
          fail(errnoOf(error));
          socket.terminate();
          return;
        }
        const certificate = socket.getPeerX509Certificate();
        if (certificate && !socket.authorized) {
          // Presented, and does not chain to the anchors (or is expired): as good as a failed handshake.
          fail("EBADCERT");
          socket.terminate();
          return;
        }
        settled = true;
        options.onSession({
          peerId: certificate ? firstDnsName(certificate.subjectAltName) : null,
          alpn: typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : null,
        });
      },
      close(socket: TlsSocket, error?: Error) {
        adopt(socket);
        fail(errnoOf(error) || "ECONNRESET");
        socketEvents.close(socket, error);
      },
      error(socket: TlsSocket, error: Error) {
        adopt(socket);
        fail(errnoOf(error));
        socketEvents.error(socket, error);
      },
    },
  };
  const [, secure] = (raw.upgradeTLS as unknown as (o: UpgradeOptions) => [TlsSocket, TlsSocket])(upgrade);
  adopt(secure);
}

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
