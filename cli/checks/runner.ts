// Runs health checks and prints what they find (spec cli §4). Checks are data; this file knows none of them.
import { type Io, wantsColour } from "../io.ts";

/** One check. It holds when `run` returns, does not apply when it throws {@link Skip}, and fails with any other error's message. */
export type Check<C> = {
  readonly description: string;
  /** Fragment of the page that explains it. */
  readonly anchor: string;
  /** Its failure ends the run. */
  readonly fatal?: boolean;
  /** Its failure is a warning: the verdict stays good. */
  readonly warning?: boolean;
  /** Tried again until the deadline. */
  readonly retry?: boolean;
  readonly run: (context: C) => Promise<void>;
};

export type Category<C> = { readonly id: string; readonly checks: readonly Check<C>[] };

export class Skip extends Error {}

export type Outcome = {
  readonly category: string;
  readonly description: string;
  readonly hint: string;
  readonly result: "success" | "warning" | "error";
  /** Empty on success. */
  readonly error: string;
};

export const RETRY_INTERVAL_MS = 5000;

export type RunOptions<C> = {
  readonly categories: readonly Category<C>[];
  readonly context: C;
  readonly hintBase: string;
  /** When tries end, on the clock of `now`. */
  readonly deadlineMs: number;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Each result as it comes; also each failed try of a check that will be tried again. */
  readonly onOutcome?: (outcome: Outcome) => void;
  readonly onRetry?: (check: string, error: string) => void;
};

/** All results in order. A fatal failure is the last one. */
export async function runChecks<C>(options: RunOptions<C>): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const category of options.categories) {
    for (const check of category.checks) {
      const outcome = await runCheck(category.id, check, options);
      if (!outcome) continue;
      outcomes.push(outcome);
      options.onOutcome?.(outcome);
      if (outcome.result === "error" && check.fatal) return outcomes;
    }
  }
  return outcomes;
}

async function runCheck<C>(category: string, check: Check<C>, options: RunOptions<C>): Promise<Outcome | undefined> {
  const hint = options.hintBase + check.anchor;
  const { description } = check;
  for (;;) {
    try {
      await check.run(options.context);
      return { category, description, hint, result: "success", error: "" };
    } catch (error) {
      if (error instanceof Skip) return undefined;
      const message = error instanceof Error ? error.message : String(error);
      if (check.retry && options.now() < options.deadlineMs) {
        options.onRetry?.(description, message);
        await options.sleep(RETRY_INTERVAL_MS);
        continue;
      }
      return { category, description, hint, result: check.warning ? "warning" : "error", error: message };
    }
  }
}

/** True when nothing failed but warnings. */
export function verdict(outcomes: readonly Outcome[]): boolean {
  return outcomes.every(({ result }) => result !== "error");
}

/** The `-o json` document. */
export function jsonReport(outcomes: readonly Outcome[]): string {
  const categories: { categoryName: string; checks: object[] }[] = [];
  for (const { category, description, hint, error, result } of outcomes) {
    if (categories.at(-1)?.categoryName !== category) categories.push({ categoryName: category, checks: [] });
    categories.at(-1)?.checks.push({ description, ...(result === "success" ? {} : { hint, error }), result });
  }
  return `${JSON.stringify({ success: verdict(outcomes), categories: categories.length > 0 ? categories : null }, null, 2)}\n`;
}

/** Prints results as they come: everything, or (`short`) what is not well. */
export class TextReport {
  readonly #io: Io;
  readonly #short: boolean;
  readonly #colour: boolean;
  #category: string | null = null;
  #header = false;
  #spinner: ReturnType<typeof setInterval> | null = null;

  constructor(io: Io, { short }: { short: boolean }) {
    this.#io = io;
    this.#short = short;
    this.#colour = wantsColour(io);
  }

  /** The table's heading; in short form it waits for the first problem. */
  start(): void {
    if (!this.#short) this.#printHeader();
  }

  add(outcome: Outcome): void {
    this.#stopSpinner();
    if (this.#short && outcome.result === "success") return;
    this.#printHeader();
    if (this.#category !== outcome.category) {
      if (this.#category !== null) this.#io.stdout("\n");
      this.#category = outcome.category;
      this.#io.stdout(`${outcome.category}\n${"-".repeat(outcome.category.length)}\n`);
    }
    this.#io.stdout(`${this.#glyph(outcome.result)} ${outcome.description}\n`);
    if (outcome.result !== "success") this.#io.stdout(`    ${outcome.error}\n    see ${outcome.hint} for hints\n`);
  }

  /** A check waits for its next try: shown on a terminal only. */
  wait(error: string): void {
    if (!this.#io.isTty) return;
    this.#stopSpinner();
    const frames = ["|", "/", "-", "\\"];
    let i = 0;
    this.#spinner = setInterval(() => this.#io.stdout(`\r\x1b[K${frames[i++ % 4]} ${error.split("\n")[0]}`), 100);
  }

  finish(good: boolean): void {
    this.#stopSpinner();
    if (this.#category !== null) this.#io.stdout("\n");
    this.#io.stdout(`Status check results are ${this.#glyph(good ? "success" : "error")}\n`);
  }

  #printHeader(): void {
    if (this.#header) return;
    this.#header = true;
    this.#io.stdout(`Linkerd core checks\n${"=".repeat(19)}\n\n`);
  }

  #stopSpinner(): void {
    if (this.#spinner === null) return;
    clearInterval(this.#spinner);
    this.#spinner = null;
    this.#io.stdout("\r\x1b[K");
  }

  #glyph(result: Outcome["result"]): string {
    const [glyph, colour] = { success: ["√", 32], warning: ["‼", 33], error: ["×", 31] }[result] as [string, number];
    return this.#colour ? `\x1b[${colour};1m${glyph}\x1b[0m` : glyph;
  }
}
