// Where log lines go: never waited for. A pipe that nobody reads and a disk that is full cost lines, not the process.

/** What of a writable stream is used; `process.stdout` is one. */
export interface LineStream {
  /** `done` is called when the text has been handed to the kernel, or could not be. */
  write(text: string, done: (error?: Error | null) => void): unknown;
  on(event: "error", listener: () => void): unknown;
}

/** Text that waits for a reader, UTF-16 units; lines beyond are lost, and counted. */
export const MAX_WAITING_LENGTH = 1 << 20;

export class LineOutput {
  /** Lines were lost, and there is room again. */
  onLost: (lines: number) => void = () => {};
  readonly #stream: LineStream;
  #waiting = 0;
  #lost = 0;

  constructor(stream: LineStream) {
    this.#stream = stream;
    // Each write tells of its own failure; unheard, the event would be an exception.
    stream.on("error", () => {});
  }

  write(line: string): void {
    if (this.#waiting + line.length > MAX_WAITING_LENGTH) {
      this.#lost++;
      return;
    }
    this.#waiting += line.length;
    this.#stream.write(line, (error) => {
      this.#waiting -= line.length;
      // A reader that is gone, a disk that is full. The next line is tried again.
      if (error) this.#lost++;
      if (error || this.#lost === 0 || this.#waiting > MAX_WAITING_LENGTH / 2) return;
      const lost = this.#lost;
      this.#lost = 0;
      this.onLost(lost);
    });
  }
}
