// Tells the steps of the demo on a terminal: each claim is printed only after it was seen to hold. With `--json` the
// observations are printed as one document instead.

export type Observation = { readonly step: string; readonly claim: string; readonly seen: unknown };

const TICK_MS = 1000;

export class Story {
  readonly observations: Observation[] = [];
  readonly #write: (text: string) => void;
  readonly #terminal: boolean;
  readonly #quiet: boolean;
  readonly #started: number;
  #step = "";

  constructor({ write, terminal, quiet }: { write: (text: string) => void; terminal: boolean; quiet: boolean }) {
    this.#write = write;
    this.#terminal = terminal;
    this.#quiet = quiet;
    this.#started = performance.now();
  }

  step(title: string): void {
    this.#step = title;
    this.print(`\n${this.#bold(`[${this.#elapsed()}] ${title}`)}\n`);
  }

  /** Waits for `work`, showing that time passes, then prints the claim with what was seen. */
  async see<T>(claim: string, work: () => Promise<T>, show: (seen: T) => string = () => ""): Promise<T> {
    const seen = await this.wait(claim, work());
    this.observations.push({ step: this.#step, claim, seen: seen ?? true });
    const detail = show(seen);
    this.print(`  ${this.#green("√")} ${claim}${detail ? `: ${detail}` : ""}\n`);
    return seen;
  }

  /** Shows that time passes until `work` ends. */
  async wait<T>(what: string, work: Promise<T>): Promise<T> {
    const start = performance.now();
    const ticker = setInterval(() => {
      const seconds = Math.round((performance.now() - start) / 1000);
      if (this.#terminal) this.print(`\r\x1b[K  … ${what} (${seconds} s)`);
      else if (seconds === 1 || seconds % 5 === 0) this.print(`  … ${what} (${seconds} s)\n`);
    }, TICK_MS);
    try {
      return await work;
    } finally {
      clearInterval(ticker);
      if (this.#terminal) this.print("\r\x1b[K");
    }
  }

  /** A block of text, indented. */
  show(text: string): void {
    this.print(text.replace(/^(?=.)/gm, "    "));
  }

  print(text: string): void {
    if (!this.#quiet) this.#write(text);
  }

  #elapsed(): string {
    return `${((performance.now() - this.#started) / 1000).toFixed(1).padStart(5)} s`;
  }

  #bold(text: string): string {
    return this.#terminal ? `\x1b[1m${text}\x1b[0m` : text;
  }

  #green(text: string): string {
    return this.#terminal ? `\x1b[32m${text}\x1b[0m` : text;
  }
}
