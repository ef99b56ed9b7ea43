// Runs health checks (spec cli §4). Checks are data; this file knows none of them.

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

/** The check does not apply: no line is printed. */
export class Skip extends Error {}

export type Outcome = {
  readonly category: string;
  readonly description: string;
  /** Where the check is explained; empty for a line that has no explanation. */
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
  /** Each result as it comes. */
  readonly onOutcome?: (outcome: Outcome) => void;
  /** Each failure of a check that will be tried again. */
  readonly onRetry?: (error: string) => void;
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
      if (outcome.result !== "success" && check.fatal) return outcomes;
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
        options.onRetry?.(message);
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
