// Runs conformance suites that others wrote against parts of this product.
//
//     npm run conformance -- [SUITE] [--target NAME] …        all suites, or one; all targets, or those named
//
// Exit status 0 when nothing failed. The last line is `N passed, N failed[, N skipped]`.
import { join, relative } from "node:path";
import { grpc } from "./grpc/suite.ts";
import { h2specd } from "./h2spec/client-suite.ts";
import { h2spec } from "./h2spec/suite.ts";
import { hostileServer } from "./hostile-server/suite.ts";
import { count, summary, withExceptions, writeReport } from "./report.ts";
import { smuggling } from "./smuggling/suite.ts";
import type { CaseResult, Suite } from "./suite.ts";
import { websocket } from "./websocket/suite.ts";

const SUITES: readonly Suite[] = [h2spec, h2specd, grpc, websocket, smuggling, hostileServer];

async function runSuite(suite: Suite, only: ReadonlySet<string>): Promise<CaseResult[]> {
  await suite.prepare();
  const results: CaseResult[] = [];
  const what = new Map<string, string>();
  for (const [name, start] of Object.entries(suite.targets)) {
    if (only.size > 0 && !only.has(name)) continue;
    const target = await start();
    what.set(name, target.what);
    try {
      const own = withExceptions(suite, await suite.run(target));
      results.push(...own);
      console.log(`${suite.name} ${name}: ${summary(own)}`);
      for (const result of own) if (result.outcome === "failed") console.log(`  failed: ${result.case}\n    ${result.detail.trim()}`);
    } finally {
      await target.stop();
    }
  }
  // A part of the targets is no result to keep.
  if (only.size === 0) {
    const path = writeReport(join(import.meta.dir, "results"), suite, what, results, await suite.notes?.());
    console.log(`written: ${relative(process.cwd(), path)}`);
  }
  return results;
}

export async function main(args: readonly string[]): Promise<number> {
  const only = new Set<string>();
  const names: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--target") only.add(args[++i] ?? "");
    else names.push(args[i] as string);
  }
  const suites = names.length === 0 ? SUITES : SUITES.filter((suite) => names.includes(suite.name));
  const unknown = [
    ...names.filter((name) => !SUITES.some((suite) => suite.name === name)).map((name) => `suite ${name}`),
    ...[...only].filter((name) => !suites.some((suite) => name in suite.targets)).map((name) => `target ${name}`),
  ];
  if (unknown.length > 0) {
    console.error(
      `No ${unknown.join(", no ")}. Suites: ${SUITES.map((suite) => `${suite.name} (${Object.keys(suite.targets).join(", ")})`).join("; ")}`,
    );
    return 2;
  }
  const results: CaseResult[] = [];
  for (const suite of suites) {
    try {
      results.push(...(await runSuite(suite, only)));
    } catch (error) {
      console.error(`${suite.name}: ${(error as Error).message}`);
      results.push({ target: "", case: suite.name, outcome: "failed", detail: (error as Error).message });
    }
  }
  console.log(summary(results));
  return count(results, "failed") === 0 && results.length > 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
