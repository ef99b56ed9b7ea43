// What waits to be written: small pieces leave together in one buffer, large ones by reference.
import { OUTPUT_BYTES } from "#http";
import { EMPTY } from "./accumulator.ts";

/** From this size on a copy costs more than a write of its own. */
export const BY_REFERENCE_BYTES = 32 * 1024;

export class OutputQueue {
  #chunks: Uint8Array[] = [];
  /** Beside each chunk: whether it is body, whose bytes are credited. */
  #body: boolean[] = [];
  #first = 0;
  #credit = 0;

  get empty(): boolean {
    return this.#first === this.#chunks.length;
  }

  push(chunk: Uint8Array, body: boolean): void {
    this.#chunks.push(chunk);
    this.#body.push(body);
  }

  clear(): void {
    this.#chunks = [];
    this.#body = [];
    this.#first = 0;
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

  /** Bytes of one write, null when there are none. */
  take(): Uint8Array | null {
    const chunks = this.#chunks;
    const count = chunks.length - this.#first;
    if (count === 0) return null;
    const head = chunks[this.#first] as Uint8Array;
    if (count === 1 || head.length >= BY_REFERENCE_BYTES) {
      const body = this.#body[this.#first] as boolean;
      if (head.length > OUTPUT_BYTES) {
        chunks[this.#first] = head.subarray(OUTPUT_BYTES);
        if (body) this.#credit += OUTPUT_BYTES;
        return head.subarray(0, OUTPUT_BYTES);
      }
      if (body) this.#credit += head.length;
      this.#advance(1);
      return head;
    }
    let total = head.length;
    let n = 1;
    while (n < count) {
      const length = (chunks[this.#first + n] as Uint8Array).length;
      if (length >= BY_REFERENCE_BYTES || total + length > OUTPUT_BYTES) break;
      total += length;
      n++;
    }
    const out = new Uint8Array(total);
    let at = 0;
    for (let i = this.#first; i < this.#first + n; i++) {
      const chunk = chunks[i] as Uint8Array;
      out.set(chunk, at);
      at += chunk.length;
      if (this.#body[i] === true) this.#credit += chunk.length;
    }
    this.#advance(n);
    return out;
  }

  #advance(n: number): void {
    for (let i = 0; i < n; i++) this.#chunks[this.#first + i] = EMPTY;
    this.#first += n;
    if (this.#first === this.#chunks.length) {
      this.#chunks.length = 0;
      this.#body.length = 0;
      this.#first = 0;
    } else if (this.#first > 64) {
      this.#chunks.splice(0, this.#first);
      this.#body.splice(0, this.#first);
      this.#first = 0;
    }
  }
}
