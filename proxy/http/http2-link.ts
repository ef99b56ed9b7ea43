// The one HTTP/2 connection to an endpoint: made when asked, made again after it is gone (spec proxy §4.8).
import type { ClientEngine } from "#http";
import { type Backoff, backoffMs, Timer } from "#stack";
import type { Runtime } from "../runtime.ts";
import type { ConnectError, Connection } from "../transport/index.ts";
import { EngineDriver } from "./driver.ts";
import { createHttp2Client, type HttpEngines } from "./engines.ts";

/** Dials the endpoint for a protocol; exactly one callback is called, later. Returns a function that gives up. */
export type Dial = (
  protocol: "http1" | "http2",
  onConnect: (connection: Connection) => void,
  onError: (error: ConnectError) => void,
) => () => void;

export class Http2Connection extends EngineDriver {
  readonly engine: ClientEngine;
  readonly driver = this;
  readonly #link: Http2Link;

  constructor(link: Http2Link, runtime: Runtime, engines: HttpEngines, connection: Connection) {
    super(runtime, connection);
    this.#link = link;
    this.engine = createHttp2Client(engines, this);
    this.engine.onStateChange = () => link.changed(this);
    this.start(null);
  }

  protected closed(): void {
    this.#link.changed(this);
  }
}

export type Http2LinkOptions = {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  readonly dial: Dial;
  readonly backoff: Backoff;
  /** `ready` may have changed. */
  readonly onChange: () => void;
  /** An attempt to connect failed. */
  readonly onError: (error: ConnectError) => void;
};

/**
 *   idle ──connect()──► dialing ──► connected ──GOAWAY, close──► idle
 *                          └─error─► backoff ──timer──► idle
 */
export class Http2Link {
  readonly #options: Http2LinkOptions;
  readonly #timer: Timer;
  #current: Http2Connection | null = null;
  /** Connections that take no more requests and finish what they have. */
  readonly #draining = new Set<Http2Connection>();
  #abandon: (() => void) | null = null;
  #failures = 0;
  #wanted = false;
  #closed = false;

  constructor(options: Http2LinkOptions) {
    this.#options = options;
    this.#timer = new Timer(options.runtime.wheel, this);
  }

  /** The connection, if it takes a request now. */
  get ready(): Http2Connection | null {
    const current = this.#current;
    return current?.engine.ready ? current : null;
  }

  /** There is a connection, though it may have all the streams it is allowed. */
  get connected(): boolean {
    return this.#current !== null;
  }

  /** Makes a connection unless there is one, one is made, or the last failure is too fresh (then after the delay). */
  connect(): void {
    if (this.#closed || this.#current !== null || this.#abandon !== null) return;
    if (this.#timer.running) {
      this.#wanted = true;
      return;
    }
    this.#wanted = false;
    this.#abandon = this.#options.dial(
      "http2",
      (connection) => {
        this.#abandon = null;
        this.#failures = 0;
        this.#current = new Http2Connection(this, this.#options.runtime, this.#options.engines, connection);
        this.#options.onChange();
      },
      (error) => {
        this.#abandon = null;
        this.#failures++;
        this.#timer.start(backoffMs(this.#options.backoff, this.#failures, this.#options.runtime.random));
        this.#options.onError(error);
      },
    );
  }

  onTimer(): void {
    if (this.#wanted) this.connect();
  }

  changed(connection: Http2Connection): void {
    if (connection.connection.closed) this.#draining.delete(connection);
    if (this.#current === connection && (connection.engine.retired || connection.connection.closed)) {
      this.#current = null;
      if (!connection.connection.closed) this.#draining.add(connection);
    }
    // From within the engine: what follows may send on another connection, never on this one.
    if (!this.#closed) this.#options.onChange();
  }

  /** No new requests; those in progress are finished. */
  close(): void {
    this.#closed = true;
    this.#timer.stop();
    this.#abandon?.();
    this.#abandon = null;
    this.#current?.engine.drain();
    this.#current?.scheduleFlush();
    this.#current = null;
  }
}
