import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ATTACKS } from "./attacks.ts";
import { ELSEWHERE, page, ROWS } from "./rows.ts";

const ROOT = join(import.meta.dir, "../..");
const ROWS_OF_SPEC = 35;

test("every row has its place", () => {
  const rows = [...ROWS.map(({ row }) => row), ...Object.keys(ELSEWHERE).map(Number)].sort((a, b) => a - b);
  expect(rows).toEqual(Array.from({ length: ROWS_OF_SPEC }, (_, i) => i + 1));
});

test("every test that a row names exists", () => {
  const missing: string[] = [];
  for (const { row, tests } of ROWS)
    for (const [file, names] of Object.entries(tests)) {
      const text = existsSync(join(ROOT, file)) ? readFileSync(join(ROOT, file), "utf8") : "";
      for (const name of names) if (!text.includes(name)) missing.push(`row ${row}: ${file}: ${name}`);
    }
  expect(missing).toEqual([]);
});

test("every flood belongs to a row that names it", () => {
  const named = ROWS.flatMap(({ row, tests }) => Object.values(tests).flatMap((names) => names.map((name) => ({ row, name }))));
  const orphans = ATTACKS.filter((attack) => !named.some(({ row, name }) => row === attack.row && attack.name.startsWith(name)));
  expect(orphans.map(({ name }) => name)).toEqual([]);
});

test("the page shows the rows: node scripts/run.mjs proxy/advisories/rows.ts writes it", () => {
  const text = readFileSync(join(import.meta.dir, "README.md"), "utf8");
  expect(text).toBe(page(text));
});
