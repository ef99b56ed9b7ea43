// What waits to be written: heads and framing, and body, whose bytes are credited once they are handed out.
import { OUTPUT_BYTES, OutputBuffer, type OutputPool } from "#http";

export class OutputQueue {
  readonly #out: OutputBuffer;
  /** Body bytes among those that wait. */
  #body = 0;
  #credit = 0;

  constructor(pool: OutputPool) {
    this.#out = new OutputBuffer(pool);
  }

  get empty(): boolean {
    return this.#out.pending === 0;
  }

  push(chunk: Uint8Array, body: boolean): void {
    this.#out.append(chunk, 0, chunk.length);
    if (body) this.#body += chunk.length;
  }

  clear(): void {
    this.#out.drop();
    this.#body = 0;
    this.#credit = 0;
  }

  /** Body bytes that were put into output, or swallowed, since the last call. */
  takeCredit(): number {
    const credit = this.#credit;
    this.#credit = 0;
    return credit;
  }

  /** Counts body bytes that need no output. */
  swallow(bytes: number): void {
    this.#credit += bytes;
  }

  get hasCredit(): boolean {
    return this.#credit > 0;
  }

  /** Bytes of one write, null when there are none; valid until the next call. */
  take(): Uint8Array | null {
    const bytes = this.#out.take(OUTPUT_BYTES);
    if (bytes === null || this.#body === 0) return bytes;
    // Of a part it does not matter which of its bytes are body: the sum is right when all are out.
    const body = this.#out.pending === 0 ? this.#body : Math.min(this.#body, bytes.length);
    this.#body -= body;
    this.#credit += body;
    return bytes;
  }
}
