// Connections made to the inbound port itself: mutual TLS always, then the transport header says where they go (spec proxy §3.4).
import type { SocketAddr } from "#addr";
import { Timer } from "#stack";
import { decodeTransportHeader, TRANSPORT_ALPN, type TransportHeader } from "#transport-header";
import { detectHttpOn } from "../http/detect.ts";
import { HttpServerConnection, type HttpService } from "../http/server.ts";
import type { ServerTls } from "../telemetry.ts";
import { alpnWire } from "../tls/index.ts";
import type { Connection, ConnectionHandler } from "../transport/index.ts";
import { acceptTls } from "./accept.ts";
import { InboundClient } from "./client.ts";
import type { GatewayClient, InboundContext } from "./context.ts";
import { GatewayHttpService } from "./gateway-http.ts";
import { serveDirectTcp, serveTcp } from "./tcp.ts";

const ALPN = alpnWire(TRANSPORT_ALPN);

type Established = Extract<ServerTls, { kind: "established" }> & { readonly clientId: string };

export class DirectConnections {
  readonly #context: InboundContext;
  readonly #http: HttpService;

  constructor(context: InboundContext, http: HttpService) {
    this.#context = context;
    this.#http = http;
  }

  accept(connection: Connection, dst: SocketAddr): void {
    const { settings, telemetry, log } = this.#context;
    acceptTls({
      context: this.#context,
      connection,
      dst,
      timeoutMs: settings.detectTimeoutMs,
      alpn: ALPN,
      next: (tls, _initial, session) => {
        if (tls.kind !== "established" || tls.clientId === null || session === null) {
          log("warn", "direct connections must be mutually authenticated", { client: connection.remote.ip });
          telemetry.tcpError("gateway identity required", dst);
          connection.abort();
          return;
        }
        const established = { ...tls, clientId: tls.clientId };
        if (session.alpn === TRANSPORT_ALPN) this.#readHeader(connection, dst, established);
        else this.#legacy(connection, dst, established);
      },
    });
  }

  #readHeader(connection: Connection, dst: SocketAddr, tls: Established): void {
    connection.handler = new HeaderReader({
      context: this.#context,
      connection,
      onHeader: (header, rest) => this.#dispatch(connection, dst, tls, header, rest),
      onInvalid: (reason) => {
        this.#context.log("warn", "invalid transport header", { reason, client: connection.remote.ip });
        this.#context.telemetry.tcpError("unexpected", dst);
        connection.abort();
      },
    });
  }

  #dispatch(connection: Connection, dst: SocketAddr, tls: Established, header: TransportHeader, rest: Uint8Array | null): void {
    const { policies, telemetry } = this.#context;
    const { ip } = connection.remote;
    if (header.name !== null) {
      this.#gateway(connection, dst, tls, { name: header.name, port: header.port }, header.protocol, rest);
      return;
    }
    const target = { ip: dst.ip, port: header.port };
    const policy = policies.lookup(header.port);
    if (policy === "deny") {
      telemetry.tcpError("unknown port denied", target);
      connection.abort();
      return;
    }
    const client = new InboundClient({ dst: target, ip, tls, policy });
    this.#count(connection, client, rest);
    if (header.protocol === null) serveDirectTcp({ context: this.#context, client, connection, initial: rest });
    // Newer peers send local HTTP this way; the reference of 2.11 refuses it (spec proxy §16.7).
    else this.#serve(connection, header.protocol, rest, this.#http, client);
  }

  #gateway(
    connection: Connection,
    dst: SocketAddr,
    tls: Established,
    target: { readonly name: string; readonly port: number },
    protocol: "http1" | "http2" | null,
    rest: Uint8Array | null,
  ): void {
    const client = this.#gatewayClient(connection, dst, tls);
    if (client === null) return;
    this.#count(connection, client, rest);
    if (protocol !== null) {
      this.#serve(connection, protocol, rest, new GatewayHttpService(this.#context, target), client);
      return;
    }
    const who: GatewayClient = { clientId: tls.clientId, clientIp: client.ip, dst };
    serveTcp({
      context: this.#context,
      client,
      connection,
      initial: rest,
      connect: (onConnect, onError) => this.#context.gateway.connect(who, target, onConnect, onError),
    });
  }

  /** A peer that agreed on no protocol: HTTP whose requests name their targets. */
  #legacy(connection: Connection, dst: SocketAddr, tls: Established): void {
    const { runtime, settings, telemetry } = this.#context;
    const client = this.#gatewayClient(connection, dst, tls);
    if (client === null) return;
    this.#count(connection, client, null);
    detectHttpOn({
      runtime,
      connection,
      initial: null,
      timeoutMs: settings.detectTimeoutMs,
      onDetected: (version, initial) => {
        if (version !== null) this.#serve(connection, version, initial, new GatewayHttpService(this.#context, null), client);
        else {
          telemetry.tcpError("unexpected", dst);
          connection.abort();
        }
      },
    });
  }

  /** Gateways are governed by the policy of the inbound port itself. */
  #gatewayClient(connection: Connection, dst: SocketAddr, tls: Established): InboundClient | null {
    const policy = this.#context.policies.lookup(this.#context.settings.port);
    if (policy !== "deny") return new InboundClient({ dst, ip: connection.remote.ip, tls, policy });
    this.#context.telemetry.tcpError("unknown port denied", dst);
    connection.abort();
    return null;
  }

  #count(connection: Connection, client: InboundClient, rest: Uint8Array | null): void {
    const { telemetry } = this.#context;
    connection.counters = telemetry.accept({ target: client.dst, tls: client.tls, serverName: client.policy.current().name }).open();
    if (rest !== null) connection.counters.read(rest.length);
  }

  #serve(connection: Connection, version: "http1" | "http2", initial: Uint8Array | null, service: HttpService, context: object): void {
    const { runtime, engines, drains, observers } = this.#context;
    const tracer = observers.tracers?.inbound ?? null;
    new HttpServerConnection({ runtime, engines, connection, version, initial, service, drains, tracer, context });
  }
}

type HeaderReaderOptions = {
  readonly context: InboundContext;
  readonly connection: Connection;
  readonly onHeader: (header: TransportHeader, rest: Uint8Array | null) => void;
  readonly onInvalid: (reason: string) => void;
};

class HeaderReader implements ConnectionHandler {
  readonly #options: HeaderReaderOptions;
  readonly #timer: Timer;
  #bytes: Uint8Array = new Uint8Array(0);
  #done = false;

  constructor(options: HeaderReaderOptions) {
    this.#options = options;
    this.#timer = new Timer(options.context.runtime.wheel, this);
    this.#timer.start(options.context.settings.detectTimeoutMs);
  }

  onData(chunk: Uint8Array): void {
    if (this.#done) return;
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const decoded = decodeTransportHeader(this.#bytes);
    if (decoded.kind === "need-more") return;
    if (decoded.kind === "invalid") this.#invalid(decoded.reason);
    else if (this.#finish()) {
      const rest = this.#bytes.subarray(decoded.consumed);
      this.#options.onHeader(decoded.header, rest.length === 0 ? null : rest);
    }
  }

  onEnd(): void {
    this.#invalid("connection ended");
  }

  onTimer(): void {
    this.#invalid("timed out");
  }

  onClose(): void {
    this.#finish();
  }

  onFlush(): void {}
  onDrain(): void {}

  #invalid(reason: string): void {
    if (this.#finish()) this.#options.onInvalid(reason);
  }

  #finish(): boolean {
    if (this.#done) return false;
    this.#done = true;
    this.#timer.stop();
    return true;
  }
}
