// Lines of a program's output, kept until they are asked for.

/** Lines nobody asks for are dropped, the oldest first. */
const MAX_LINES = 1000;

export class Lines {
  readonly #lines: string[] = [];
  readonly #waiting = new Set<() => void>();
  #ended = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    void this.#read(stream);
  }

  /** The next line, null after the last. */
  async next(): Promise<string | null> {
    while (this.#lines.length === 0) {
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    return this.#lines.shift() ?? null;
  }

  /** Waits for a line; those before it are dropped, or given to `other`. @throws {Error} when the program ends without it */
  async until(line: string, other: (line: string) => void = () => {}): Promise<void> {
    for (;;) {
      const next = await this.next();
      if (next === line) return;
      if (next === null) throw new Error(`the program ended without ${JSON.stringify(line)}`);
      other(next);
    }
  }

  /** Everything that has come, oldest first. */
  drain(): string[] {
    return this.#lines.splice(0);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of stream) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      this.#lines.push(...parts);
      if (this.#lines.length > MAX_LINES) this.#lines.splice(0, this.#lines.length - MAX_LINES);
      this.#wake();
    }
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
