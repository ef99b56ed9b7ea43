// Messages on a gRPC stream: a flag, a length of four bytes, the bytes. Pure.

const HEAD_BYTES = 5;

/** One message, not compressed. */
export function encodeFrame(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEAD_BYTES + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, HEAD_BYTES);
  return frame;
}

/** Why a stream cannot be read on. */
export type FrameFault = { readonly kind: "compressed" } | { readonly kind: "too long"; readonly bytes: number };

/** Cuts a stream into messages wherever its chunks were cut. Holds at most one message that is not complete. */
export class FrameReader {
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  /** @param maxBytes longest message */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Keeps a copy of `chunk`. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(new Uint8Array(chunk));
    this.#bytes += chunk.length;
  }

  /** Bytes of a message that has not come whole. */
  get partial(): boolean {
    return this.#bytes > 0;
  }

  /** The next message; null when it has not come whole; a fault when it never will. */
  next(): Uint8Array | FrameFault | null {
    if (this.#bytes < HEAD_BYTES) return null;
    const head = this.#head();
    if ((head[0] as number) !== 0) return { kind: "compressed" };
    const length = new DataView(head.buffer, head.byteOffset).getUint32(1);
    if (length > this.#maxBytes) return { kind: "too long", bytes: length };
    const end = HEAD_BYTES + length;
    if (this.#bytes < end) return null;
    const all = this.#join(end);
    if (all.length > end) this.#chunks[0] = all.subarray(end);
    else this.#chunks.shift();
    this.#bytes -= end;
    return all.subarray(HEAD_BYTES, end);
  }

  /** The first five bytes; a copy when they came in pieces. */
  #head(): Uint8Array {
    const first = this.#chunks[0] as Uint8Array;
    if (first.length >= HEAD_BYTES) return first;
    const head = new Uint8Array(HEAD_BYTES);
    let at = 0;
    for (const chunk of this.#chunks) {
      const part = chunk.subarray(0, HEAD_BYTES - at);
      head.set(part, at);
      at += part.length;
      if (at === HEAD_BYTES) break;
    }
    return head;
  }

  /** The first chunk, made to hold at least `bytes`. Chunks are joined once, when a message is whole. */
  #join(bytes: number): Uint8Array {
    const first = this.#chunks[0] as Uint8Array;
    if (first.length >= bytes) return first;
    const joined = new Uint8Array(this.#bytes);
    let at = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    this.#chunks = [joined];
    return joined;
  }
}
