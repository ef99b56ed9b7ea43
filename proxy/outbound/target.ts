// Everything about one original destination: its discovery, once for all its connections, and where they go (spec proxy §4.1–§4.4).
import { formatSocketAddr, type SocketAddr } from "#addr";
import { FailFast } from "#stack";
import type { Profile, Unsubscribe } from "../contracts.ts";
import { detectHttpOn } from "../http/detect.ts";
import type { Exchange } from "../http/exchange.ts";
import { HttpServerConnection } from "../http/server.ts";
import { SingleEndpoint } from "../http/single.ts";
import { dial, targetOf } from "../tcp/dial.ts";
import { Tunnel } from "../tcp/tunnel.ts";
import type { StackScope } from "../telemetry.ts";
import type { ConnectError, Connection } from "../transport/index.ts";
import type { OutboundContext } from "./context.ts";
import { bareEndpoint, httpEndpointOptions } from "./http-endpoint.ts";
import type { OutboundHttpService, OutboundRoute } from "./http-service.ts";
import { Logical } from "./logical.ts";

/** What discovery said, fixed when the entry is built. */
type Way = {
  readonly opaque: boolean;
  readonly http: OutboundRoute;
  readonly connect: (onConnect: (connection: Connection) => void, onError: (error: ConnectError, failFast: boolean) => void) => () => void;
  readonly logical: Logical | null;
  readonly close: () => void;
};

export class OutboundTarget {
  readonly #context: OutboundContext;
  readonly #service: OutboundHttpService;
  readonly #dst: SocketAddr;
  readonly #unsubscribe: Unsubscribe | null;
  readonly #waiting = new Set<(failed: boolean) => void>();
  readonly #failFast: FailFast;
  readonly #stack: StackScope;
  #way: Way | null = null;

  constructor(context: OutboundContext, service: OutboundHttpService, dst: SocketAddr) {
    this.#context = context;
    this.#service = service;
    this.#dst = dst;
    this.#stack = context.telemetry.stack("tcp", "accept");
    this.#failFast = new FailFast({
      wheel: context.runtime.wheel,
      timeoutMs: context.settings.dispatchTimeoutMs,
      onPoll: (readiness) => this.#stack.poll(readiness),
      onChange: (failing) => {
        if (failing) this.#release(true);
      },
    });
    if (context.discovery.inProfileNetworks(dst.ip)) {
      this.#unsubscribe = context.discovery.profile(formatSocketAddr(dst), (profile) => this.#discovered(profile));
    } else {
      this.#unsubscribe = null;
      this.#way = this.#forward(dst, false);
    }
  }

  /** Serves an accepted connection; `done` is called once when it is over. */
  serve(connection: Connection, done: () => void): void {
    if (this.#way !== null) {
      this.#start(connection, this.#way, done);
      return;
    }
    if (this.#failFast.failing || this.#waiting.size >= this.#context.settings.queueCapacity) {
      this.#refuse(connection, done);
      return;
    }
    // Nothing is read until it is known what to do with it.
    connection.pause();
    const wake = (failed: boolean): void => {
      this.#waiting.delete(wake);
      if (connection.closed) done();
      else if (failed || this.#way === null) this.#refuse(connection, done);
      else {
        connection.resume();
        this.#start(connection, this.#way, done);
      }
    };
    this.#waiting.add(wake);
    connection.handler = {
      onData() {},
      onFlush() {},
      onDrain() {},
      onEnd() {},
      onClose: () => {
        if (this.#waiting.delete(wake)) done();
      },
    };
    this.#failFast.unready();
  }

  close(): void {
    this.#unsubscribe?.();
    this.#failFast.close();
    this.#way?.close();
    this.#stack.drop();
  }

  #discovered(profile: Profile | null): void {
    if (this.#way !== null) {
      // Endpoint, name and opaqueness are fixed until the entry ages out; routes and splits are live.
      if (profile !== null) this.#way.logical?.update(profile);
      return;
    }
    this.#way = this.#decide(profile);
    this.#failFast.ready();
    this.#release(false);
  }

  #decide(profile: Profile | null): Way {
    const { opaque = false, endpoint = null, fqn = null } = profile ?? {};
    if (endpoint !== null) return this.#endpoint(endpoint, opaque);
    if (profile === null || fqn === null) return this.#forward(this.#dst, opaque);
    const logical = new Logical(this.#context, { name: fqn, port: this.#dst.port }, profile);
    return {
      opaque,
      logical,
      http: { canonical: logical.canonical, serve: (exchange) => logical.serve(exchange) },
      connect: (onConnect, onError) => logical.connect(onConnect, onError),
      close: () => logical.close(),
    };
  }

  #forward(addr: SocketAddr, opaque: boolean): Way {
    return this.#endpoint(bareEndpoint(addr), opaque);
  }

  #endpoint(endpoint: Parameters<typeof httpEndpointOptions>[1], opaque: boolean): Way {
    const context = this.#context;
    const { settings, runtime } = context;
    let single: SingleEndpoint | null = null;
    const target = targetOf(endpoint, {
      local: settings.localIps.has(endpoint.addr.ip),
      identityEnabled: context.dial.tls !== null,
    });
    const serve = (exchange: Exchange): void => {
      single ??= new SingleEndpoint({
        ...httpEndpointOptions(context, endpoint, { authority: null }),
        runtime,
        layer: "HTTP Server",
        failFastMs: settings.dispatchTimeoutMs,
        queueCapacity: settings.queueCapacity,
      });
      exchange.dispatcher = single;
      single.dispatch(exchange);
    };
    const labels = { authority: null, target: endpoint.addr, tls: target.tls, labels: endpoint.labels };
    return {
      opaque,
      logical: null,
      http: { canonical: undefined, serve },
      connect: (onConnect, onError) =>
        dial(context.dial, target, null, context.telemetry.connect(labels), onConnect, (error) => onError(error, false)),
      close: () => single?.close(),
    };
  }

  #start(connection: Connection, way: Way, done: () => void): void {
    if (way.opaque) {
      this.#tcp(connection, way, null, done);
      return;
    }
    const { runtime, engines, drains, settings, log, observers } = this.#context;
    detectHttpOn({
      runtime,
      connection,
      initial: null,
      timeoutMs: settings.detectTimeoutMs,
      onClose: done,
      onDetected: (version, initial, timedOut) => {
        if (timedOut) log("info", "HTTP detection timed out; handling the connection as opaque", { dst: formatSocketAddr(this.#dst) });
        if (version === null) this.#tcp(connection, way, initial, done);
        else
          new HttpServerConnection({
            runtime,
            engines,
            connection,
            version,
            initial,
            service: this.#service,
            drains,
            tracer: observers.tracers?.outbound ?? null,
            onClose: done,
            context: way.http,
          });
      },
    });
  }

  #tcp(connection: Connection, way: Way, initial: Uint8Array | null, done: () => void): void {
    new Tunnel({
      client: connection,
      initial,
      drains: this.#context.drains,
      dial: (onConnect, onError) =>
        way.connect(onConnect, (error, failFast) => {
          const label = failFast ? "failfast" : error.kind === "loop" ? "unexpected" : "i/o";
          this.#context.telemetry.tcpError(label, this.#dst);
          onError(error);
        }),
      onError() {},
      onClose: done,
    });
  }

  #refuse(connection: Connection, done: () => void): void {
    this.#context.telemetry.tcpError("failfast", this.#dst);
    connection.abort();
    done();
  }

  #release(failed: boolean): void {
    for (const wake of [...this.#waiting]) wake(failed);
  }
}
