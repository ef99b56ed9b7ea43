import { expect, test } from "bun:test";
import { accessSync, constants } from "node:fs";

test("finds the Bun that npm installed", async () => {
  const { bun, root } = (await import("./bun.mjs" as string)) as { bun(): string; root: string };
  const path = bun();
  expect(path.startsWith(root)).toBe(true);
  accessSync(path, constants.X_OK);
});
