// Dials an endpoint the way its metadata asks: plain or mesh TLS, to the opaque-transport port, with the transport header
// (spec proxy §4.7), behind the guards against loops (§2).
import { isLoopback, parseDnsName, type SocketAddr, splitAuthority } from "#addr";
import { encodeTransportHeader, TRANSPORT_ALPN } from "#transport-header";
import type { Endpoint } from "../contracts.ts";
import type { Runtime } from "../runtime.ts";
import type { ClientTls, TransportScope } from "../telemetry.ts";
import { alpnWire, type TlsStore } from "../tls/index.ts";
import { type ConnectError, type Connection, connect, descriptorOf, errnoOf } from "../transport/index.ts";

/** Where and how to connect; worked out once per endpoint. */
export type ConnectTarget = {
  readonly addr: SocketAddr;
  /** SNI and identity to verify; null = plain. */
  readonly serverName: string | null;
  /** Offer the transport protocol, and this is what to say when it is agreed on. */
  readonly header: { readonly port: number; readonly name: string | null } | null;
  readonly tls: ClientTls;
};

export type DialContext = {
  readonly runtime: Runtime;
  /** Null: identity is disabled. */
  readonly tls: TlsStore | null;
  readonly timeoutMs: number;
  readonly keepaliveMs: number | null;
  /** How long sent bytes may stay unacknowledged; default: see {@link PEER_USER_TIMEOUT_MS}. */
  readonly userTimeoutMs?: number | null;
  /** The peer is on another machine: what is given up is not to keep its descriptor. Default: it is here. */
  readonly remote?: boolean;
  /** Refuse this port (inbound loop guard); null = none. */
  readonly refusePort: number | null;
  /** Refuse loopback addresses (outbound loopback guard). */
  readonly refuseLoopback: boolean;
  /** Connections with this file descriptor or a higher one are given up; default: none. */
  readonly maxDescriptor?: number;
};

/**
 * Of HTTP/2 between proxies, and to the control plane, where nothing else is set: a peer that is gone without a word is left after
 * half a minute, as later versions of the reference have it (spec proxy §15). Flow control keeps such a connection's bytes moving; of
 * other protocols a peer may well leave bytes unread for longer, and the kernel counts those too.
 */
export const PEER_USER_TIMEOUT_MS = 30_000;
/** The same for a connection with nothing under way: when the kernel begins to ask whether the peer is there. */
export const PEER_KEEPALIVE_MS = 10_000;

/** After a dial has been given up, ms: its end by the kernel is nobody's news. */
const KERNEL_GIVES_UP_MS = 500;

const ALPN = alpnWire(TRANSPORT_ALPN);

/** The target of an endpoint. `local`: its IP is one of this pod: plain, and no hint of the mesh counts (spec proxy §2). */
export function targetOf(endpoint: Endpoint, options: { local: boolean; identityEnabled: boolean }): ConnectTarget {
  const { addr, identity } = endpoint;
  if (!options.identityEnabled) return { addr, serverName: null, header: null, tls: { kind: "disabled" } };
  if (options.local) return { addr, serverName: null, header: null, tls: { kind: "none", reason: "loopback" } };
  if (identity === null)
    return { addr, serverName: null, header: null, tls: { kind: "none", reason: "not_provided_by_service_discovery" } };
  const override = endpoint.authorityOverride === null ? null : splitAuthority(endpoint.authorityOverride);
  const name = override === null ? null : parseDnsName(override.host);
  const port = override?.port ?? addr.port;
  return {
    addr: endpoint.opaqueTransportPort === null ? addr : { ip: addr.ip, port: endpoint.opaqueTransportPort },
    serverName: identity,
    header: endpoint.opaqueTransportPort === null && override === null ? null : { port, name },
    tls: { kind: "established", serverId: identity },
  };
}

/** Exactly one callback is called, later. Returns a function that gives up. */
export function dial(
  context: DialContext,
  target: ConnectTarget,
  protocol: "http1" | "http2" | null,
  scope: TransportScope,
  onConnect: (connection: Connection) => void,
  onError: (error: ConnectError) => void,
): () => void {
  const { addr } = target;
  if ((context.refuseLoopback && isLoopback(addr.ip)) || addr.port === context.refusePort) return refused(addr, context, onError);
  const { tls, runtime } = context;
  const peer = protocol === "http2" && target.serverName !== null && tls !== null;
  const userTimeoutMs = context.userTimeoutMs ?? (peer ? PEER_USER_TIMEOUT_MS : null);
  const { userTimeout } = runtime;
  const bounded = context.remote === true && userTimeout !== undefined && !isLoopback(addr.ip);
  return connect({
    addr,
    flushQueue: runtime.flushQueue,
    timeoutMs: context.timeoutMs,
    keepaliveMs: context.keepaliveMs ?? (peer ? PEER_KEEPALIVE_MS : null),
    begin: bounded ? (begin) => userTimeout.bound(begin, context.timeoutMs + KERNEL_GIVES_UP_MS) : undefined,
    tune: bounded || userTimeoutMs !== null ? (socket) => userTimeout?.set(descriptorOf(socket), userTimeoutMs ?? 0) : undefined,
    ...(context.maxDescriptor === undefined ? {} : { maxDescriptor: context.maxDescriptor }),
    tls:
      target.serverName === null || tls === null
        ? null
        : { context: tls.client(), serverName: target.serverName, alpn: target.header === null ? null : ALPN },
    onConnect(connection) {
      // Before anything else; the first bytes of the stream may share its segment.
      if (target.header !== null && connection.tls?.alpn === TRANSPORT_ALPN)
        connection.write(encodeTransportHeader({ ...target.header, protocol }));
      connection.counters = scope.open();
      onConnect(connection);
    },
    onError,
  });
}

function refused(addr: SocketAddr, context: DialContext, onError: (error: ConnectError) => void): () => void {
  let given = false;
  const loop = addr.port === context.refusePort;
  queueMicrotask(() => {
    if (!given)
      onError({
        kind: loop ? "loop" : "io",
        errno: errnoOf({ code: "ECONNREFUSED" }),
        message: loop ? "unexpected error" : "connection refused: loopback address",
      });
  });
  return () => {
    given = true;
  };
}
