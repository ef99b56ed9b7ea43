// The engine finds a planted fault by coverage and makes it short; of inputs it keeps the fewest that reach the same.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unpack } from "../kept.ts";
import { bytesOf, latin1 } from "../target.ts";
import planted from "../testing/planted.ts";
import { usableAddon } from "./addon.ts";
import { bundle } from "./bundle.ts";
import { merge, run, type Workplace } from "./run.ts";

let directory: string;
let place: Workplace;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "fairlead-fuzz-"));
  const bundles = await bundle(new Map([["planted", join(import.meta.dir, "..", "testing", "planted.ts")]]), join(directory, "bundles"));
  const [corpus, kept] = [join(directory, "corpus"), join(directory, "kept")];
  mkdirSync(corpus);
  unpack([bytesOf("begin")], kept);
  place = { addon: usableAddon(directory), bundle: bundles.get("planted") as string, corpus, kept, scratch: directory, niceness: 0 };
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("a fault is found and made short", async () => {
  const { found, trouble, edgesTotal } = await run(planted, place, 25, AbortSignal.timeout(28_000));
  expect(trouble).toBeNull();
  expect(edgesTotal).toBeGreaterThan(5);
  expect(found?.message).toStartWith("Finding: the word is there");
  expect(latin1(found?.input ?? new Uint8Array(0))).toBe("BUG!");
}, 60_000);

test("what it has learnt on the way is merged", async () => {
  unpack(["BUG?", "xxBUG?", "BU??", "x???"].map(bytesOf), place.corpus);
  const into = join(directory, "merged");
  const paths = await merge(planted, place, into, AbortSignal.timeout(28_000));
  const inputs = await Promise.all(paths.map(async (path) => latin1(new Uint8Array(await Bun.file(path).arrayBuffer()))));
  expect(inputs.length).toBeLessThan(5);
  expect(inputs.some((input) => input.includes("BUG"))).toBe(true);
}, 60_000);
