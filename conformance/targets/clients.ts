// Runs clients of suites in the client's pod of a scene.
import type { CaseResult } from "../suite.ts";
import type { Scene } from "./pods.ts";

/** Cases of a program that tells of each by a line of JSON (`cases.ts`): error or null by case. */
export async function casesOf(
  scene: Scene,
  argv: readonly string[],
  cases: readonly string[],
  deadlineMs: number,
): Promise<ReadonlyMap<string, string | null>> {
  const { status, stdout, stderr } = await scene.client(argv, deadlineMs);
  const results = new Map<string, string | null>();
  for (const line of stdout.split("\n")) {
    if (!line.startsWith("{")) continue;
    const told = JSON.parse(line) as { case: string; error: string | null };
    results.set(told.case, told.error);
  }
  for (const name of cases) if (!results.has(name)) results.set(name, `no result; status ${status}. ${stderr.trim().slice(-500)}`);
  return results;
}

/** Works on all items, `n` at a time, in their order. */
export async function inParallel<T>(n: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: n }, worker));
}

export function result(target: string, name: string, error: string | null): CaseResult {
  return { target, case: name, outcome: error === null ? "passed" : "failed", detail: error ?? "" };
}
