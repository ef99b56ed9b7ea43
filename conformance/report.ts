// Results for people: lines while running, a page per suite in results/.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CaseResult, Outcome, Suite } from "./suite.ts";

export function count(results: readonly CaseResult[], outcome: Outcome): number {
  return results.filter((result) => result.outcome === outcome).length;
}

/** `N passed, N failed[, N skipped]`. */
export function summary(results: readonly CaseResult[]): string {
  const skipped = count(results, "skipped");
  return `${count(results, "passed")} passed, ${count(results, "failed")} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Known deviations count as skipped, with their reason; an exception whose case passes is an error of its list. */
export function withExceptions(suite: Suite, results: readonly CaseResult[]): CaseResult[] {
  return results.map((result) => {
    const exception = suite.exceptions.find((one) => one.target === result.target && one.case === result.case);
    if (exception === undefined) return result;
    if (result.outcome === "passed") return { ...result, outcome: "failed", detail: "passes, but is listed as a known deviation" };
    return { ...result, outcome: "skipped", detail: exception.reason };
  });
}

/** Writes results/<suite>.md: a row a target, every case that did not pass, and the suite's own notes. */
export function writeReport(
  directory: string,
  suite: Suite,
  targets: ReadonlyMap<string, string>,
  results: readonly CaseResult[],
  notes: readonly string[] = [],
): string {
  const lines = [
    `# ${suite.name}`,
    "",
    suite.source,
    "",
    "| Target | What | Passed | Failed | Skipped |",
    "| --- | --- | --- | --- | --- |",
  ];
  for (const [target, what] of targets) {
    const own = results.filter((result) => result.target === target);
    lines.push(`| ${target} | ${what} | ${count(own, "passed")} | ${count(own, "failed")} | ${count(own, "skipped")} |`);
  }
  const open = results.filter((result) => result.outcome !== "passed");
  if (open.length > 0) {
    lines.push("", "## Not passed", "");
    for (const result of open) {
      lines.push(`- **${result.target}**, ${result.case}: ${result.outcome}. ${result.detail.replaceAll(/\s+/g, " ").trim()}`);
    }
  }
  if (notes.length > 0) lines.push("", ...notes);
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${suite.name}.md`);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}
