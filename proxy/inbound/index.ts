// The inbound side: connections of the world to the local application (spec proxy §3). Read top to bottom, in the order of
// the stages: allowed address, policy of the port, TLS, HTTP detection, authorization, the application.
import type { SocketAddr } from "#addr";
import { detectHttpOn } from "../http/detect.ts";
import { responsePlans } from "../http/plans.ts";
import { HttpServerConnection } from "../http/server.ts";
import type { ServerTls } from "../telemetry.ts";
import type { Connection } from "../transport/index.ts";
import { acceptTls } from "./accept.ts";
import { InboundClient } from "./client.ts";
import type { InboundContext } from "./context.ts";
import { DirectConnections } from "./direct.ts";
import { InboundHttpService } from "./http.ts";
import { serveTcp } from "./tcp.ts";

export type { InboundSettings } from "./context.ts";

export type InboundOptions = Omit<InboundContext, "plans"> & {
  /** Where a connection was bound for; null: not redirected. */
  readonly originalDst: (connection: Connection) => SocketAddr | null;
};

export class Inbound {
  readonly context: InboundContext;
  readonly #originalDst: InboundOptions["originalDst"];
  readonly #http: InboundHttpService;
  readonly #direct: DirectConnections;

  constructor(options: InboundOptions) {
    this.#originalDst = options.originalDst;
    this.context = { ...options, plans: responsePlans({ peerClose: "ignore", stripProxyError: false }) };
    this.#http = new InboundHttpService(this.context);
    this.#direct = new DirectConnections(this.context, this.#http);
  }

  /** Requests without a response head yet. */
  get inFlight(): number {
    return this.#http.inFlight;
  }

  accept(connection: Connection): void {
    const { settings, telemetry, policies, log } = this.context;
    const dst = this.#originalDst(connection);
    if (dst === null) {
      log("warn", "no original destination; dropping the connection", {});
      connection.abort();
      return;
    }
    if (settings.allowedIps !== null && !settings.allowedIps.has(dst.ip)) {
      telemetry.tcpError("unexpected", dst);
      connection.abort();
      return;
    }
    this.context.drains.accept(connection, this.context.runtime.wheel);
    if (dst.port === settings.port) {
      this.#direct.accept(connection, dst);
      return;
    }
    const policy = policies.lookup(dst.port);
    if (policy === "deny") {
      telemetry.tcpError("unknown port denied", dst);
      connection.abort();
      return;
    }
    const { ip } = connection.remote;
    if (policy.current().protocol.kind === "opaque") {
      const tls: ServerTls = this.context.tls === null ? { kind: "disabled" } : { kind: "none", reason: "port_skipped" };
      const client = new InboundClient({ dst, ip, tls, policy });
      serveTcp({ context: this.context, client, connection, initial: null });
      return;
    }
    acceptTls({
      context: this.context,
      connection,
      dst,
      timeoutMs: settings.detectTimeoutMs,
      alpn: null,
      next: (tls, initial) => this.#secured(new InboundClient({ dst, ip, tls, policy }), connection, initial),
    });
  }

  /** TLS is settled; the protocol of the policy is looked at anew, as it may have changed meanwhile. */
  #secured(client: InboundClient, connection: Connection, initial: Uint8Array | null): void {
    const { protocol } = client.policy.current();
    if (protocol.kind === "tls" || protocol.kind === "opaque") {
      serveTcp({ context: this.context, client, connection, initial });
      return;
    }
    const { telemetry, settings, log, runtime } = this.context;
    connection.counters = telemetry.accept({ target: client.dst, tls: client.tls, serverName: client.policy.current().name }).open();
    if (initial !== null) connection.counters.read(initial.length);
    const meshed = client.tls.kind === "established" || client.tls.kind === "opaque";
    if (protocol.kind === "http2" || protocol.kind === "grpc") this.#serve(client, connection, "http2", initial);
    else if (protocol.kind === "http1" && !meshed) this.#serve(client, connection, "http1", initial);
    else
      detectHttpOn({
        runtime,
        connection,
        initial,
        timeoutMs: protocol.kind === "detect" ? protocol.timeoutMs : settings.detectTimeoutMs,
        onDetected: (version, bytes, timedOut) => {
          if (timedOut) log("info", "HTTP detection timed out", { port: client.dst.port });
          // A declared HTTP/1 port is detected only because a peer may upgrade.
          const decided = version ?? (timedOut && protocol.kind === "http1" ? "http1" : null);
          if (decided === null) serveTcp({ context: this.context, client, connection, initial: bytes });
          else this.#serve(client, connection, decided, bytes);
        },
      });
  }

  #serve(client: InboundClient, connection: Connection, version: "http1" | "http2", initial: Uint8Array | null): void {
    const { runtime, engines, drains, observers } = this.context;
    new HttpServerConnection({
      runtime,
      engines,
      connection,
      version,
      initial,
      service: this.#http,
      drains,
      tracer: observers.tracers?.inbound ?? null,
      context: client,
    });
  }

  /** Forgets everything at once; connections in use are left to their owners. */
  close(): void {
    this.#http.close();
  }
}
