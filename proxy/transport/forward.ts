// Copies bytes between two connections until both directions are over: opaque TCP, and HTTP tunnels after 101 or CONNECT.
import type { Connection, ConnectionHandler } from "./connection.ts";

/** `onDone` is called once, when both connections are closed. */
export type ForwardOptions = {
  readonly a: Connection;
  readonly b: Connection;
  readonly onDone?: () => void;
};

/**
 * Half-close is propagated; an abortive close of one side aborts the other. Bound: one read of each side is in memory, and what
 * the sink refused of a part of it; the source is paused meanwhile.
 */
export function forward(options: ForwardOptions): void {
  const { a, b } = options;
  let open = 2;
  const closed = (): void => {
    if (--open === 0) options.onDone?.();
  };
  a.handler = new Half(a, b, closed);
  b.handler = new Half(b, a, closed);
  // A half that ended before the forward was set up.
  if (a.peerEnded) b.end();
  if (b.peerEnded) a.end();
  if (a.closeReported) a.handler.onClose("");
  if (b.closeReported) b.handler.onClose("");
}

class Half implements ConnectionHandler {
  readonly inParts = true;
  readonly #from: Connection;
  readonly #to: Connection;
  readonly #closed: () => void;

  constructor(from: Connection, to: Connection, closed: () => void) {
    this.#from = from;
    this.#to = to;
    this.#closed = closed;
  }

  onData(chunk: Uint8Array): void {
    if (!this.#to.write(chunk) && !this.#to.closed) this.#from.pause();
  }

  onFlush(): void {}

  /** What was refused has gone out: the other side may send again. */
  onDrain(): void {
    this.#to.resume();
  }

  onEnd(): void {
    this.#to.end();
  }

  onClose(errno: string): void {
    // After a clean end of our half the other side keeps its own pace; a reset tears down both.
    if (errno === "" && this.#from.peerEnded) this.#to.end();
    else this.#to.abort();
    this.#closed();
  }
}
