// One control-plane service as a set of HTTP/2 connections: resolved again and again, connected on demand, the less loaded of
// two asked (spec proxy §1.6).
import { formatSocketAddr, parseSocketAddr, type SocketAddr } from "#addr";
import { PeakEwma, pickP2c } from "#balance";
import type { Channel } from "#grpc";
import type { Logger } from "#log";
import { joinLabels } from "#metrics";
import { type Backoff, backoffMs } from "#stack";
import { type ControlService, formatControlAddr } from "../config/index.ts";
import { codeName } from "../http/attempt.ts";
import type { HttpEngines } from "../http/engines.ts";
import { Http2Link } from "../http/http2-link.ts";
import { Meter } from "../http/meter.ts";
import { grpcStatusOf } from "../http/response.ts";
import type { ResponseFamilies } from "../metrics/scopes.ts";
import { clientTlsLabels } from "../metrics/scopes.ts";
import type { Runtime } from "../runtime.ts";
import { type DialContext, dial } from "../tcp/dial.ts";
import type { TlsStore } from "../tls/index.ts";
import { type Dns, resolveControl } from "./resolve.ts";

export type ServiceOptions = {
  readonly service: ControlService;
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  /** Null: identity is disabled. */
  readonly tls: TlsStore | null;
  readonly dns: Dns;
  readonly connectTimeoutMs: number;
  readonly keepaliveMs: number | null;
  readonly userTimeoutMs: number | null;
  readonly backoff: Backoff;
  /** Clamps of the TTL, ms. */
  readonly minTtlMs: number;
  readonly maxTtlMs: number;
  readonly families: ResponseFamilies;
  readonly log: Logger;
};

class Peer {
  readonly load: PeakEwma;
  readonly link: Http2Link;
  /** Its connections present no certificate: it was made before there was one. */
  readonly anonymous: boolean;

  constructor(link: Http2Link, anonymous: boolean, nowMs: number) {
    this.link = link;
    this.anonymous = anonymous;
    this.load = new PeakEwma({ nowMs });
  }

  get ready(): boolean {
    return this.link.ready !== null;
  }
}

/** Control connections count in no transport scope (spec proxy §9.6). */
const UNCOUNTED = { open: () => ({ read() {}, wrote() {}, closed() {} }) };

/** Waits for a connection are bounded by those who wait: one per watch. */
export class ServiceClient {
  readonly #options: ServiceOptions;
  readonly #authority: string;
  readonly #scope;
  #peers = new Map<string, Peer>();
  readonly #waiting = new Set<(channel: Channel) => void>();
  #resolving = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #lastProblem = "";

  constructor(options: ServiceOptions) {
    this.#options = options;
    const addr = formatControlAddr(options.service.addr);
    this.#authority = options.service.addr.port === 80 ? addr.slice(0, -":80".length) : addr;
    const tls =
      options.service.name === null
        ? ({ kind: options.tls === null ? "disabled" : "none", reason: "loopback" } as const)
        : ({ kind: "established", serverId: options.service.name } as const);
    this.#scope = options.families.scope(joinLabels(`addr="${addr}"`, clientTlsLabels(tls as never)));
  }

  /** Calls `use` with a connection as soon as there is one, never within this call. Returns a function that gives up. */
  acquire(use: (channel: Channel) => void): () => void {
    this.#waiting.add(use);
    queueMicrotask(() => this.#serve());
    return () => void this.#waiting.delete(use);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#waiting.clear();
    this.#scope.release();
    for (const { link } of this.#peers.values()) link.close();
    this.#peers.clear();
  }

  #serve(): void {
    if (this.#closed || this.#waiting.size === 0) return;
    if (this.#peers.size === 0) {
      this.#resolve();
      return;
    }
    const { runtime } = this.#options;
    this.#identify();
    // All of them: one that has come back takes its share of what is asked from now on.
    for (const { link } of this.#peers.values()) link.connect();
    for (const use of [...this.#waiting]) {
      const peer = pickP2c([...this.#peers.values()], runtime.clock.now(), runtime.random);
      const connection = peer?.link.ready;
      if (!peer || !connection) break;
      this.#waiting.delete(use);
      use({ authority: this.#authority, engine: connection.engine, observer: this.#observe(peer) });
      connection.scheduleFlush();
    }
  }

  /** With the first certificate new connections show it; streams on old ones go on. */
  #identify(): void {
    if (this.#anonymous) return;
    for (const [key, { anonymous, link }] of this.#peers) {
      if (!anonymous) continue;
      link.close();
      this.#peers.set(key, this.#peer(parseSocketAddr(key) as SocketAddr));
    }
  }

  get #anonymous(): boolean {
    const { service, tls } = this.#options;
    return service.name !== null && tls !== null && tls.server() === null;
  }

  #peer(addr: SocketAddr): Peer {
    return new Peer(this.#link(addr), this.#anonymous, this.#options.runtime.clock.now());
  }

  #observe(peer: Peer): NonNullable<Channel["observer"]> {
    const { clock } = this.#options.runtime;
    const meter = new Meter(this.#scope, clock.now(), false, null);
    peer.load.pending++;
    let pending = true;
    const done = (ms: number) => {
      if (!pending) return;
      pending = false;
      peer.load.pending--;
      if (ms >= 0) peer.load.observe(ms, clock.now());
    };
    return {
      head: (head) => meter.head(head.status, grpcStatusOf(head.fields)),
      firstByte: () => done(meter.firstByte(clock.now())),
      end: (trailers) => {
        done(-1);
        if (meter.status === 0) meter.cancel();
        else meter.end(trailers);
      },
      fail: (error) => {
        done(-1);
        meter.fail(
          error.kind === "reset" ? `h2(${codeName(error.code)})` : error.kind === "refused" ? "h2(REFUSED_STREAM)" : "unclassified",
        );
      },
    };
  }

  #resolve(): void {
    if (this.#resolving || this.#closed) return;
    this.#resolving = true;
    const { service, dns, backoff, runtime, minTtlMs, maxTtlMs } = this.#options;
    resolveControl(service.addr, dns).then(
      ({ addrs, ttlMs }) => {
        this.#resolving = false;
        this.#failures = 0;
        if (this.#closed) return;
        this.#update(addrs);
        if (Number.isFinite(ttlMs)) this.#again(Math.max(minTtlMs, Math.min(maxTtlMs, ttlMs)));
        this.#serve();
      },
      (error: Error) => {
        this.#resolving = false;
        this.#failures++;
        this.#problem(error.message);
        this.#again(backoffMs(backoff, this.#failures, runtime.random));
      },
    );
  }

  /** Looks again later. A service that nobody waits for and that is connected is looked up all the same: pods move. */
  #again(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#resolve(), ms);
  }

  #update(addrs: readonly SocketAddr[]): void {
    const next = new Map<string, Peer>();
    for (const addr of addrs) {
      const key = formatSocketAddr(addr);
      next.set(key, this.#peers.get(key) ?? this.#peer(addr));
    }
    const gone = [...this.#peers].filter(([key]) => !next.has(key));
    this.#peers = next;
    for (const [, { link }] of gone) link.close();
  }

  #link(addr: SocketAddr): Http2Link {
    const { service, runtime, engines, tls, connectTimeoutMs, keepaliveMs, userTimeoutMs, backoff } = this.#options;
    const timeoutMs = connectTimeoutMs;
    const context: DialContext = {
      runtime,
      tls,
      timeoutMs,
      keepaliveMs,
      userTimeoutMs,
      remote: true,
      refusePort: null,
      refuseLoopback: false,
    };
    const target = {
      addr,
      serverName: service.name,
      header: null,
      tls: service.name === null ? ({ kind: "disabled" } as const) : ({ kind: "established", serverId: service.name } as const),
    };
    return new Http2Link({
      runtime,
      engines,
      backoff,
      dial: (protocol, onConnect, onError) => dial(context, target, protocol, UNCOUNTED, onConnect, onError),
      // From within an engine: go on in a task of our own.
      onChange: () => queueMicrotask(() => this.#serve()),
      onError: (error) => {
        this.#problem(error.message);
        queueMicrotask(() => this.#serve());
      },
    });
  }

  /** Each problem is told once until another comes. */
  #problem(message: string): void {
    if (message === this.#lastProblem) return;
    this.#lastProblem = message;
    this.#options.log.warn("control-plane service is not reachable", { addr: this.#authority, error: message });
  }
}
