import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { cliReference, referencePath } from "./reference.ts";

test("docs/reference/cli.md is what the command tree says: npm run generate", () => {
  expect(readFileSync(referencePath, "utf8")).toBe(cliReference());
});

test("every command has a section, hidden flags have no row", () => {
  const page = cliReference();
  for (const path of ["authz", "check config", "diagnostics endpoints", "install control-plane", "local start", "uninject"])
    expect(page).toContain(`\n## fairlead ${path}\n`);
  expect(page).not.toContain("--cli-version-override");
  expect(page).toContain('| `-o`, `--output` | string | `"table"` |');
});
