// Every case of spec proxy §17 has its test, named by its number.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const CASES = 60;

test("each of the 60 cases has a test", () => {
  const numbers = new Set<number>();
  for (const name of readdirSync(import.meta.dir)) {
    if (!name.endsWith(".test.ts")) continue;
    const text = readFileSync(join(import.meta.dir, name), "utf8");
    for (const [, number] of text.matchAll(/^it\("17\.(\d+) /gm)) numbers.add(Number(number));
  }
  expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: CASES }, (_, i) => i + 1));
});
