// One upgraded connection: what arrives, what leaves, how much may wait.
import type { ServerWebSocket } from "bun";

/** What a WebSocket belongs to. */
export interface Session {
  open(link: Link): void;
  message(bytes: Buffer): void;
  close(): void;
}

export interface SocketData {
  session: Session;
  link?: Link;
}

/** Bytes that may wait for a slow client before its source is made to wait too. */
const highWater = 1 << 20;

/** The sending side of a WebSocket. */
export class Link {
  readonly #socket: ServerWebSocket<SocketData>;
  #waiting: (() => void)[] = [];
  #isClosed = false;

  constructor(socket: ServerWebSocket<SocketData>) {
    this.#socket = socket;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Sends one binary message; resolves when more may follow. */
  send(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#socket.sendBinary(bytes);
    if (this.#socket.getBufferedAmount() < highWater) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(code = 1000, reason = ""): void {
    if (!this.#isClosed) this.#socket.close(code, reason);
  }

  /** The socket's buffer has room again. */
  drained(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  closed(): void {
    this.#isClosed = true;
    this.drained();
  }
}
