// Couples an accepted connection with a dialed one, holding the client still while the dial goes on.
import type { DrainRegistry } from "../drain.ts";
import { type ConnectError, type Connection, type ConnectionHandler, forward } from "../transport/index.ts";

export type TunnelOptions = {
  readonly client: Connection;
  /** Bytes of the client read for detection, the tunnel's own from now on; they go first. */
  readonly initial: Uint8Array | null;
  /** Dials the other side; returns a function that gives up. */
  readonly dial: (onConnect: (connection: Connection) => void, onError: (error: ConnectError) => void) => () => void;
  readonly drains: DrainRegistry;
  /** The dial failed; the client's connection is dropped. */
  readonly onError: (error: ConnectError) => void;
  /** Called once: everything is closed. */
  readonly onClose?: () => void;
};

/** A tunnel is not cut by a drain: the process waits for it (spec proxy §1.8). */
export class Tunnel implements ConnectionHandler {
  readonly #options: TunnelOptions;
  #abandon: (() => void) | null = null;
  #upstream: Connection | null = null;
  #over = false;
  readonly #early: Uint8Array[] = [];

  constructor(options: TunnelOptions) {
    this.#options = options;
    const { client } = options;
    options.drains.add(this);
    client.decided();
    client.pause();
    client.handler = this;
    if (client.closeReported) {
      this.onClose();
      return;
    }
    this.#abandon = options.dial(
      (connection) => this.#connected(connection),
      (error) => {
        this.#abandon = null;
        options.onError(error);
        client.abort();
      },
    );
  }

  drain(): void {}

  /** Cuts both sides: no longer allowed. */
  cut(): void {
    this.#options.client.abort();
    this.#upstream?.abort();
  }

  describe(): string {
    const { client } = this.#options;
    const upstream = this.#upstream === null ? "an endpoint not reached yet" : this.#upstream.peer;
    const half = client.peerEnded ? " (the client has ended)" : this.#upstream?.peerEnded === true ? " (the endpoint has ended)" : "";
    return `TCP from ${client.peer} to ${upstream}${half}`;
  }

  #connected(upstream: Connection): void {
    this.#abandon = null;
    const { client, initial } = this.#options;
    if (client.closed) {
      upstream.abort();
      return;
    }
    this.#upstream = upstream;
    // Before the coupling, which passes a half-close on.
    if (initial !== null) upstream.write(initial);
    for (const chunk of this.#early) upstream.write(chunk);
    forward({ a: client, b: upstream, onDone: () => this.#done() });
    if (upstream.writable || upstream.closed) client.resume();
  }

  // --- the client, while the dial goes on ---

  onData(chunk: Uint8Array): void {
    // One read may have been in flight when reading was paused.
    this.#early.push(new Uint8Array(chunk));
  }

  onEnd(): void {}
  onFlush(): void {}
  onDrain(): void {}

  onClose(): void {
    this.#abandon?.();
    this.#abandon = null;
    this.#done();
  }

  #done(): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.drains.delete(this);
    this.#options.onClose?.();
  }
}
