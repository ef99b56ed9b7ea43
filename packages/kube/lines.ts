// Cuts a stream of bytes into lines, as a watch sends its events.

/** Longest line taken, in bytes. The server's own limit for an object is 3 MiB of JSON; a list never comes in a watch. */
export const maxLineBytes = 16 * 1024 * 1024;

/** Feed chunks in, get complete lines out; the same for every way of splitting the input. */
export class LineSplitter {
  readonly #limit: number;
  readonly #decoder = new TextDecoder();
  #parts: Uint8Array[] = [];
  #held = 0;

  constructor({ limit = maxLineBytes }: { limit?: number } = {}) {
    this.#limit = limit;
  }

  /**
   * The lines that `chunk` completes, without their line feed, empty lines left out.
   * @throws {RangeError} when a line is longer than the limit.
   */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(10, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      if (this.#held + piece.length > this.#limit) throw new RangeError(`a line of the watch is longer than ${this.#limit} bytes`);
      if (end < 0) {
        if (piece.length > 0) {
          this.#parts.push(piece);
          this.#held += piece.length;
        }
        return lines;
      }
      const line = this.#parts.length === 0 ? piece : this.#join(piece);
      if (line.length > 0) lines.push(this.#decoder.decode(line));
      from = end + 1;
    }
  }

  #join(last: Uint8Array): Uint8Array {
    const whole = Buffer.concat([...this.#parts, last]);
    this.#parts = [];
    this.#held = 0;
    return whole;
  }
}
