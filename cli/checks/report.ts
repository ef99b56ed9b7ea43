// Prints what checks find: as a table, short, or as JSON (spec cli §4.3).
import { type Glyphs, glyphs, type Io } from "../io.ts";
import { type Outcome, verdict } from "./runner.ts";

export type OutputFormat = "table" | "short" | "json";

/** The `-o json` document. */
export function jsonReport(outcomes: readonly Outcome[]): string {
  const categories: { categoryName: string; checks: object[] }[] = [];
  for (const { category, description, hint, error, result } of outcomes) {
    if (categories.at(-1)?.categoryName !== category) categories.push({ categoryName: category, checks: [] });
    categories.at(-1)?.checks.push({ description, ...(result === "success" ? {} : { hint, error }), result });
  }
  return `${JSON.stringify({ success: verdict(outcomes), categories: categories.length > 0 ? categories : null }, null, 2)}\n`;
}

const SPINNER_MS = 100;
const FRAMES = ["|", "/", "-", "\\"];

/**
 * Prints results as they come, in groups under a heading: everything, or (`short`) what is not well.
 * A heading without results below it is never printed in short form.
 */
export class TextReport {
  readonly #io: Io;
  readonly #isShort: boolean;
  readonly #marks: Glyphs;
  /** What stands above the next result. */
  #heading = "";
  #category: string | undefined;
  #spinner: ReturnType<typeof setInterval> | undefined;

  constructor(io: Io, { isShort }: { isShort: boolean }) {
    this.#io = io;
    this.#isShort = isShort;
    this.#marks = glyphs(io);
  }

  /** Begins a group: `Linkerd core checks`. */
  start(title: string): void {
    this.#heading = `${title}\n${"=".repeat(title.length)}\n\n`;
    if (!this.#isShort) this.#printHeading();
  }

  add({ category, description, result, error, hint }: Outcome): void {
    this.#stopSpinner();
    if (this.#isShort && result === "success") return;
    this.#printHeading();
    if (this.#category !== category) {
      if (this.#category !== undefined) this.#io.stdout("\n");
      this.#category = category;
      this.#io.stdout(`${category}\n${"-".repeat(category.length)}\n`);
    }
    const detail = result === "success" ? "" : `    ${error}\n${hint === "" ? "" : `    see ${hint} for hints\n`}`;
    this.#io.stdout(`${this.#marks[result]} ${description}\n${detail}`);
  }

  /** Something is waited for: shown on a terminal only, in one line. */
  wait(what: string): void {
    if (!this.#io.isTty) return;
    this.#stopSpinner();
    let frame = 0;
    const [line] = what.split("\n");
    this.#spinner = setInterval(() => this.#io.stdout(`\r\x1b[K${FRAMES[frame++ % FRAMES.length]} ${line}`), SPINNER_MS);
  }

  /** The status line. */
  finish(isGood: boolean): void {
    this.#io.stdout(`Status check results are ${this.#marks[isGood ? "success" : "error"]}\n`);
  }

  /** Ends the core's results, or those of one extension. */
  end(): void {
    this.#stopSpinner();
    if (this.#category !== undefined) this.#io.stdout("\n");
    this.#category = undefined;
  }

  #printHeading(): void {
    this.#io.stdout(this.#heading);
    this.#heading = "";
  }

  #stopSpinner(): void {
    if (this.#spinner === undefined) return;
    clearInterval(this.#spinner);
    this.#spinner = undefined;
    this.#io.stdout("\r\x1b[K");
  }
}
