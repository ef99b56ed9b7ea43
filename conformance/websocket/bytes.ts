// Bytes that both ends can make and check without sending them first.
import { createHash } from "node:crypto";

/** A stream of bytes by xorshift32: the same for the same seed. */
export class Bytes {
  #state: number;

  constructor(seed: number) {
    this.#state = seed || 1;
  }

  /** The next `size` bytes; `size` is a multiple of 4. */
  take(size: number): Buffer {
    const out = Buffer.allocUnsafe(size);
    let state = this.#state;
    for (let at = 0; at < size; at += 4) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      out.writeInt32LE(state, at);
    }
    this.#state = state;
    return out;
  }
}

/** Digest of the first `size` bytes of a seed. */
export function digestOf(seed: number, size: number): string {
  return createHash("sha256").update(new Bytes(seed).take(size)).digest("hex");
}
