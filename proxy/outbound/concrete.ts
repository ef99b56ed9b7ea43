// HTTP and TCP over the endpoints of one concrete name on behalf of one logical name (spec proxy §4.5, §4.11).
import { PeakEwma, pickP2c } from "#balance";
import { FailFast, type Held } from "#stack";
import type { Endpoint, Unsubscribe } from "../contracts.ts";
import { HttpBalancer } from "../http/balancer.ts";
import { DialGate } from "../http/dial-gate.ts";
import { HttpEndpoint } from "../http/endpoint.ts";
import { UNEXPECTED } from "../http/errors.ts";
import type { Exchange } from "../http/exchange.ts";
import { type ConnectTarget, dial, targetOf } from "../tcp/dial.ts";
import type { StackScope, TransportScope } from "../telemetry.ts";
import type { ConnectError, Connection } from "../transport/index.ts";
import type { OutboundContext } from "./context.ts";
import { httpEndpointOptions } from "./http-endpoint.ts";
import type { Resolution, ResolutionListener } from "./resolution.ts";

export class ConcreteHttp implements ResolutionListener {
  readonly balancer: HttpBalancer;
  readonly #context: OutboundContext;
  readonly #authority: string;
  readonly #held: Held<Resolution>;
  readonly #leave: Unsubscribe;
  readonly #endpoints = new Map<Endpoint, HttpEndpoint>();
  readonly #gate = new DialGate();
  readonly #stack: StackScope;
  #failed = false;

  /** @param path `name:port`; @param authority label of the logical name */
  constructor(context: OutboundContext, path: string, authority: string) {
    const { settings, runtime } = context;
    this.#context = context;
    this.#authority = authority;
    this.#stack = context.telemetry.stack("http", "concrete");
    this.balancer = new HttpBalancer({
      runtime,
      failFastMs: settings.dispatchTimeoutMs,
      queueCapacity: settings.queueCapacity,
      stack: this.#stack,
    });
    this.#held = context.resolutions.get(path);
    this.#held.hold();
    this.#leave = this.#held.value.join(this);
  }

  dispatch(exchange: Exchange): void {
    if (this.#failed) exchange.fail(UNEXPECTED);
    else this.balancer.dispatch(exchange);
  }

  added(endpoint: Endpoint): void {
    const options = httpEndpointOptions(this.#context, endpoint, { authority: this.#authority });
    const changed = (): void => this.balancer.changed(made);
    const made: HttpEndpoint = new HttpEndpoint({
      ...options,
      dial: this.#gate.through(options.dial),
      onChange: changed,
      // Asks for another attempt, which the link makes after its backoff.
      onLinkError: changed,
    });
    this.#endpoints.set(endpoint, made);
    this.balancer.add(made);
  }

  removed(endpoint: Endpoint): void {
    const made = this.#endpoints.get(endpoint);
    if (made === undefined) return;
    this.#endpoints.delete(endpoint);
    this.balancer.remove(made);
  }

  failed(): void {
    this.#failed = true;
    this.balancer.fail(UNEXPECTED);
  }

  close(): void {
    this.#leave();
    this.#held.release();
    this.balancer.close();
    this.#stack.drop();
  }
}

/** One endpoint as TCP sees it: its load is the time to connect. */
class TcpEndpoint {
  readonly ready = true;
  readonly load: PeakEwma;
  readonly target: ConnectTarget;
  readonly scope: TransportScope;
  /** Place in its balancer's list; owned by the balancer. */
  at = 0;

  constructor(nowMs: number, target: ConnectTarget, scope: TransportScope) {
    this.load = new PeakEwma({ nowMs });
    this.target = target;
    this.scope = scope;
  }
}

type Waiter = (endpoint: TcpEndpoint | null) => void;

/** Dials that a connection may take, each to another endpoint, before it is given up. */
const MAX_DIALS = 3;

export class ConcreteTcp implements ResolutionListener {
  readonly #context: OutboundContext;
  readonly #authority: string | null;
  readonly #held: Held<Resolution>;
  readonly #leave: Unsubscribe;
  readonly #endpoints = new Map<Endpoint, TcpEndpoint>();
  readonly #list: TcpEndpoint[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #failFast: FailFast;
  readonly #stack: StackScope;
  #failed = false;

  constructor(context: OutboundContext, path: string, authority: string | null) {
    this.#context = context;
    this.#authority = authority;
    this.#stack = context.telemetry.stack("tcp", "concrete");
    this.#failFast = new FailFast({
      wheel: context.runtime.wheel,
      timeoutMs: context.settings.dispatchTimeoutMs,
      onPoll: (readiness) => this.#stack.poll(readiness),
      onChange: (failing) => {
        if (failing) this.#release(null);
      },
    });
    this.#held = context.resolutions.get(path);
    this.#held.hold();
    this.#leave = this.#held.value.join(this);
  }

  /** Exactly one callback is called, later or at once. Returns a function that gives up. */
  connect(onConnect: (connection: Connection) => void, onError: (error: ConnectError, failFast: boolean) => void): () => void {
    const { runtime } = this.#context;
    let abandon: (() => void) | null = null;
    let given = false;
    let dials = 0;
    let last: TcpEndpoint | null = null;
    const start = (endpoint: TcpEndpoint | null): void => {
      abandon = null;
      if (given) return;
      if (endpoint === null) {
        onError({ kind: "io", errno: "ECONNREFUSED", message: "no endpoints" }, true);
        return;
      }
      dials++;
      last = endpoint;
      const began = runtime.clock.now();
      endpoint.load.pending++;
      const stop = dial(
        this.#context.dial,
        endpoint.target,
        null,
        endpoint.scope,
        (connection) => {
          abandon = null;
          endpoint.load.pending--;
          endpoint.load.observe(runtime.clock.now() - began, runtime.clock.now());
          onConnect(connection);
        },
        (error) => {
          abandon = null;
          endpoint.load.pending--;
          endpoint.load.observe(this.#context.dial.timeoutMs, runtime.clock.now());
          if (dials < MAX_DIALS && this.#list.some((other) => other !== last)) start(this.#pick(last));
          else onError(error, false);
        },
      );
      abandon = () => {
        endpoint.load.pending--;
        stop();
      };
    };
    const picked = this.#failed ? null : this.#pick(null);
    if (picked !== null) start(picked);
    else if (this.#failed || this.#failFast.failing || this.#waiters.size >= this.#context.settings.queueCapacity)
      queueMicrotask(() => start(null));
    else {
      this.#waiters.add(start);
      this.#failFast.unready();
      abandon = () => void this.#waiters.delete(start);
    }
    return () => {
      given = true;
      abandon?.();
    };
  }

  added(endpoint: Endpoint): void {
    const { settings, telemetry, runtime } = this.#context;
    const target = targetOf(endpoint, {
      local: settings.localIps.has(endpoint.addr.ip),
      identityEnabled: this.#context.dial.tls !== null,
    });
    const scope = telemetry.connect({ authority: this.#authority, target: endpoint.addr, tls: target.tls, labels: endpoint.labels });
    const made = new TcpEndpoint(runtime.clock.now(), target, scope);
    this.#endpoints.set(endpoint, made);
    made.at = this.#list.push(made) - 1;
    this.#failFast.ready();
    if (this.#waiters.size > 0) this.#release(this.#pick(null));
  }

  removed(endpoint: Endpoint): void {
    const made = this.#endpoints.get(endpoint);
    if (made === undefined) return;
    this.#endpoints.delete(endpoint);
    // The last one takes its place.
    const last = this.#list.pop();
    if (last === undefined || last === made) return;
    this.#list[made.at] = last;
    last.at = made.at;
  }

  failed(): void {
    this.#failed = true;
    this.#release(null);
  }

  close(): void {
    this.#leave();
    this.#held.release();
    this.#failFast.close();
    this.#release(null);
    this.#stack.drop();
  }

  #pick(skip: TcpEndpoint | null): TcpEndpoint | null {
    return pickP2c(this.#list, this.#context.runtime.clock.now(), this.#context.runtime.random, skip);
  }

  #release(endpoint: TcpEndpoint | null): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter(endpoint);
  }
}
