// The product's binary for tests of it, built when a source has changed since the last time.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../scripts/build.ts";

const ROOT = join(import.meta.dir, "../..");
const HOME = join(ROOT, ".local", "under-test");
const FOLDERS = ["api", "packages", "proxy", "proxy-init", "controller", "cli", "cluster", "charts"];
/** Binaries of other states are kept this long: a test may be about to start one. */
const KEEP_MS = 3_600_000;

/** The path of `fairlead`, compiled from the sources of this checkout. */
export function builtBinary(): string {
  const binary = join(HOME, `fairlead-${fingerprint()}`);
  if (existsSync(binary)) return binary;
  mkdirSync(HOME, { recursive: true });
  for (const name of readdirSync(HOME)) {
    const path = join(HOME, name);
    if (Date.now() - statSync(path).mtimeMs > KEEP_MS) rmSync(path, { recursive: true, force: true });
  }
  // Built aside: another process may build the same.
  const aside = join(HOME, `building-${process.pid}`);
  renameSync(compile("fairlead", aside), binary);
  rmSync(aside, { recursive: true, force: true });
  return binary;
}

/** Of the sources' names, sizes and times. */
function fingerprint(): string {
  const hash = createHash("sha256");
  const sources = FOLDERS.flatMap((folder) => [...new Bun.Glob(`${folder}/**/*`).scanSync({ cwd: ROOT })]);
  if (sources.length === 0) throw new Error(`no sources in ${ROOT}`);
  for (const name of [...sources, "main.ts", "package-lock.json"].sort()) {
    if (name.endsWith(".test.ts") || name.includes("/testing/")) continue;
    const { size, mtimeMs } = statSync(join(ROOT, name));
    hash.update(`${name} ${size} ${mtimeMs}\n`);
  }
  return hash.digest("hex").slice(0, 16);
}
