// Waits for the one read that decides whether a connection speaks HTTP (spec proxy §3.5).
import { detectHttp, type HttpVersion } from "#detect";
import { Timer } from "#stack";
import type { Runtime } from "../runtime.ts";
import type { Connection, ConnectionHandler } from "../transport/index.ts";

export type DetectHttpOptions = {
  readonly runtime: Runtime;
  readonly connection: Connection;
  /** Bytes read already: they are the one read. */
  readonly initial: Uint8Array | null;
  readonly timeoutMs: number;
  /** `version` null: not HTTP. `timedOut`: nothing was read. Called once; may be called at once. */
  readonly onDetected: (version: HttpVersion | null, initial: Uint8Array | null, timedOut: boolean) => void;
  /** The connection closed first. */
  readonly onClose?: (errno: string) => void;
};

export function detectHttpOn(options: DetectHttpOptions): void {
  const { initial, connection } = options;
  if (initial !== null && initial.length > 0) options.onDetected(detectHttp(initial), initial, false);
  else if (connection.closeReported) options.onClose?.("");
  else if (connection.peerEnded) options.onDetected(null, null, false);
  else connection.handler = new Detector(options);
}

class Detector implements ConnectionHandler {
  readonly #options: DetectHttpOptions;
  readonly #timer: Timer;
  #done = false;

  constructor(options: DetectHttpOptions) {
    this.#options = options;
    this.#timer = new Timer(options.runtime.wheel, this);
    this.#timer.start(options.timeoutMs);
  }

  onData(chunk: Uint8Array): void {
    this.#finish(detectHttp(chunk), new Uint8Array(chunk), false);
  }

  onEnd(): void {
    this.#finish(null, null, false);
  }

  onTimer(): void {
    this.#finish(null, null, true);
  }

  onClose(errno: string): void {
    this.#timer.stop();
    if (this.#done) return;
    this.#done = true;
    this.#options.onClose?.(errno);
  }

  onFlush(): void {}
  onDrain(): void {}

  #finish(version: HttpVersion | null, initial: Uint8Array | null, timedOut: boolean): void {
    if (this.#done) return;
    this.#done = true;
    this.#timer.stop();
    this.#options.onDetected(version, initial, timedOut);
  }
}
