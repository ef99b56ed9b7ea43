// Couples a protocol engine with its connection: the engine's edge (EngineHost) and the connection's handler in one.
import type { Engine, EngineHost } from "#http";
import { Timer } from "#stack";
import type { Runtime } from "../runtime.ts";
import type { Connection, ConnectionHandler } from "../transport/index.ts";

/** How long a connection that we ended may stay half-open before it is dropped, ms. */
export const LINGER_MS = 2000;

export abstract class EngineDriver implements ConnectionHandler, EngineHost {
  readonly inParts = true;
  readonly connection: Connection;
  protected readonly runtime: Runtime;
  abstract readonly engine: Engine;
  #linger: Timer | null = null;
  #finishing = false;

  constructor(runtime: Runtime, connection: Connection) {
    this.runtime = runtime;
    this.connection = connection;
  }

  /** Starts: bytes read before come first. The constructor of the subclass has made the engine. */
  protected start(initial: Uint8Array | null): void {
    this.connection.handler = this;
    if (initial !== null && initial.length > 0) this.engine.receive(initial);
    if (this.connection.peerEnded) this.engine.receiveEnd();
    if (this.connection.closeReported) this.onClose("");
    this.scheduleFlush();
  }

  /** The connection is gone; the engine has been told. */
  protected abstract closed(errno: string): void;

  // --- the connection's events ---

  onData(chunk: Uint8Array): void {
    // What comes after the last word is read, so that the peer sees our end and no reset, and dropped.
    if (!this.#finishing) this.engine.receive(chunk);
  }

  onFlush(): void {
    const { connection, engine } = this;
    while (connection.writable) {
      const bytes = engine.output();
      if (bytes === null) {
        if (this.#finishing) this.#end();
        return;
      }
      connection.write(bytes);
    }
  }

  onDrain(): void {
    this.onFlush();
  }

  onEnd(): void {
    if (!this.#finishing) this.engine.receiveEnd();
  }

  onClose(errno: string): void {
    this.#linger?.stop();
    this.engine.receiveClose(errno);
    this.closed(errno);
  }

  // --- the engine's calls ---

  scheduleFlush(): void {
    if (!this.connection.flushQueued) this.connection.scheduleFlush();
  }

  pauseReading(): void {
    this.connection.pause();
  }

  resumeReading(): void {
    this.connection.resume();
  }

  finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    this.connection.resume();
    this.scheduleFlush();
  }

  abort(): void {
    this.connection.abort();
  }

  #end(): void {
    this.connection.end();
    if (this.connection.closed || this.#linger !== null) return;
    this.#linger = new Timer(this.runtime.wheel, this);
    this.#linger.start(LINGER_MS);
  }

  onTimer(_timer: Timer): void {
    this.connection.abort();
  }
}
