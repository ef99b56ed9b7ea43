// Decides what an accepted connection begins with: mesh TLS for us, TLS for someone else, or plain bytes (spec proxy §3.3).
import { Timer } from "#stack";
import { MAX_SNIFF_BYTES, sniff } from "#tls-sniff";
import type { Runtime } from "../runtime.ts";
import type { Connection, ConnectionHandler } from "../transport/index.ts";

export type TlsDetected =
  /** A ClientHello for the given name, or for none. */
  { readonly kind: "hello"; readonly serverName: string | null } | { readonly kind: "plain" };

export type DetectTlsOptions = {
  readonly runtime: Runtime;
  readonly connection: Connection;
  readonly timeoutMs: number;
  /** Called once, unless one of the other two is; the connection has no handler then. `initial`: all bytes read, null when none came before the end. */
  readonly onDetected: (detected: TlsDetected, initial: Uint8Array | null) => void;
  /** Nothing conclusive came in time. */
  readonly onTimeout: () => void;
  /** The connection closed first. */
  readonly onClose?: (errno: string) => void;
};

export function detectTls(options: DetectTlsOptions): void {
  options.connection.handler = new Detector(options);
}

class Detector implements ConnectionHandler {
  readonly #options: DetectTlsOptions;
  readonly #timer: Timer;
  #bytes: Uint8Array | null = null;
  #done = false;

  constructor(options: DetectTlsOptions) {
    this.#options = options;
    this.#timer = new Timer(options.runtime.wheel, this);
    this.#timer.start(options.timeoutMs);
  }

  onData(chunk: Uint8Array): void {
    if (this.#done) return;
    this.#bytes = concat(this.#bytes, chunk);
    const result = sniff(this.#bytes);
    if (result.kind === "hello") this.#finish(result);
    else if (result.kind === "absent" || this.#bytes.length >= MAX_SNIFF_BYTES) this.#finish({ kind: "plain" });
  }

  onEnd(): void {
    this.#finish({ kind: "plain" });
  }

  onTimer(): void {
    if (this.#done) return;
    this.#done = true;
    this.#options.onTimeout();
  }

  onClose(errno: string): void {
    this.#timer.stop();
    if (this.#done) return;
    this.#done = true;
    this.#options.onClose?.(errno);
  }

  onFlush(): void {}
  onDrain(): void {}

  #finish(detected: TlsDetected): void {
    if (this.#done) return;
    this.#done = true;
    this.#timer.stop();
    this.#options.onDetected(detected, this.#bytes);
  }
}

function concat(a: Uint8Array | null, b: Uint8Array): Uint8Array {
  if (a === null) return new Uint8Array(b);
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
