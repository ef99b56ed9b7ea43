// Connections to one endpoint that speak HTTP/1: one request at a time each, kept for an idle time (spec proxy §4.8).
import type { Http1Client } from "#http1";
import { Timer } from "#stack";
import type { Runtime } from "../runtime.ts";
import type { Connection } from "../transport/index.ts";
import { EngineDriver } from "./driver.ts";
import { createHttp1Client, type HttpEngines } from "./engines.ts";

/** One connection; idle ones are in the pool's table. */
export class Http1Connection extends EngineDriver {
  readonly engine: Http1Client;
  readonly driver = this;
  /** Table it goes back to; null = used once. */
  bucket: Bucket | null;
  idleSinceMs = 0;
  readonly #pool: Http1Pool;
  #tunnelled = false;

  constructor(pool: Http1Pool, runtime: Runtime, engines: HttpEngines, connection: Connection, bucket: Bucket | null) {
    super(runtime, connection);
    this.#pool = pool;
    this.bucket = bucket;
    this.engine = createHttp1Client(engines, this);
    this.engine.onStateChange = () => this.#changed();
    this.start(null);
  }

  /** The engine is done with it: raw bytes follow. */
  takeOver(): Connection {
    for (let bytes = this.engine.output(); bytes !== null; bytes = this.engine.output()) this.connection.write(bytes);
    this.#tunnelled = true;
    return this.connection;
  }

  #changed(): void {
    if (this.#tunnelled) return;
    if (this.engine.ready) this.#pool.release(this);
    else if (this.engine.retired) this.#pool.forget(this);
  }

  protected closed(): void {
    this.#pool.forget(this);
  }
}

/** Idle connections of one authority; the last one used is the first one taken. */
export class Bucket {
  readonly authority: string;
  readonly absolute: boolean;
  readonly idle: Http1Connection[] = [];

  constructor(authority: string, absolute: boolean) {
    this.authority = authority;
    this.absolute = absolute;
  }
}

export type Http1PoolOptions = {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  /** How long an unused connection is kept, ms. */
  readonly idleMs: number;
  /** Idle connections kept; Infinity = no bound. */
  readonly maxIdle: number;
};

export class Http1Pool {
  readonly #options: Http1PoolOptions;
  readonly #origin = new Map<string, Bucket>();
  readonly #absolute = new Map<string, Bucket>();
  readonly #sweep: Timer;
  #idle = 0;
  #closed = false;

  constructor(options: Http1PoolOptions) {
    this.#options = options;
    this.#sweep = new Timer(options.runtime.wheel, this);
  }

  /** Connections are shared by requests of one authority and form only. */
  bucket(authority: string, absolute: boolean): Bucket {
    const table = absolute ? this.#absolute : this.#origin;
    let bucket = table.get(authority);
    if (bucket === undefined) {
      bucket = new Bucket(authority, absolute);
      table.set(authority, bucket);
      if (!this.#sweep.running) this.#sweep.start(this.#options.idleMs);
    }
    return bucket;
  }

  /** An idle connection that can take a request now. */
  take(bucket: Bucket): Http1Connection | null {
    for (;;) {
      const connection = bucket.idle.pop();
      if (connection === undefined) return null;
      this.#idle--;
      if (connection.engine.ready) return connection;
    }
  }

  /** Makes an HTTP/1 connection of a dialed one. */
  adopt(connection: Connection, bucket: Bucket | null): Http1Connection {
    return new Http1Connection(this, this.#options.runtime, this.#options.engines, connection, bucket);
  }

  release(connection: Http1Connection): void {
    if (connection.bucket === null || this.#closed || this.#idle >= this.#options.maxIdle) {
      connection.engine.drain();
      connection.scheduleFlush();
      return;
    }
    // The table may have dropped the bucket while all its connections were busy.
    const bucket = this.bucket(connection.bucket.authority, connection.bucket.absolute);
    connection.bucket = bucket;
    if (bucket.idle.includes(connection)) return;
    connection.idleSinceMs = this.#options.runtime.clock.now();
    bucket.idle.push(connection);
    this.#idle++;
  }

  /** The connection will not be ready again. */
  forget(connection: Http1Connection): void {
    const { bucket } = connection;
    const at = bucket === null ? -1 : bucket.idle.indexOf(connection);
    if (at < 0) return;
    bucket?.idle.splice(at, 1);
    this.#idle--;
  }

  /** Ends idle connections; the rest end with their exchange. */
  close(): void {
    this.#closed = true;
    this.#sweep.stop();
    this.#prune(Number.POSITIVE_INFINITY);
  }

  onTimer(): void {
    this.#prune(this.#options.runtime.clock.now() - this.#options.idleMs);
    if (this.#origin.size > 0 || this.#absolute.size > 0) this.#sweep.start(Math.max(100, this.#options.idleMs / 2));
  }

  #prune(untilMs: number): void {
    this.#idle = 0;
    for (const table of [this.#origin, this.#absolute])
      for (const [authority, bucket] of table) {
        // The longest idle stand first.
        while (bucket.idle.length > 0 && (bucket.idle[0] as Http1Connection).idleSinceMs <= untilMs) {
          const connection = bucket.idle.shift() as Http1Connection;
          connection.engine.drain();
          connection.scheduleFlush();
        }
        this.#idle += bucket.idle.length;
        if (bucket.idle.length === 0) table.delete(authority);
      }
  }
}
