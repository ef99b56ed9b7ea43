// Finds the Bun binary that npm installed; installs the npm packages first when they are missing. Runs on plain Node.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the checkout. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Where the binary may be. npm's install script of `bun` moves it to the first place; where npm holds install scripts back
 * it stays in the package of its platform. CPUs without AVX2 need the baseline build.
 */
function candidates() {
  const flags = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "latin1") : "avx2";
  const arch = process.arch === "arm64" ? "aarch64" : "x64";
  const baseline = `bun-linux-${arch}-baseline`;
  const packages = flags.includes("avx2") || arch === "aarch64" ? [`bun-linux-${arch}`, baseline] : [baseline];
  const modules = join(root, "node_modules");
  return [join(modules, "bun", "bin", "bun.exe"), ...packages.map((name) => join(modules, "@oven", name, "bin", "bun"))];
}

/** Without its install script `bun/bin/bun.exe` is a text that only says so: existing is not enough. */
const runs = (path) => existsSync(path) && spawnSync(path, ["--version"], { stdio: "ignore" }).status === 0;

/**
 * The path of Bun. npm packages are installed when absent.
 * @throws {Error} when this system is not Linux or npm brought no Bun for its CPU.
 */
export function bun() {
  if (process.platform !== "linux") throw new Error(`Fairlead runs on Linux; this is ${process.platform}`);
  let found = candidates().find(runs);
  if (!found) {
    console.error("Installing npm packages ...");
    const done = spawnSync("npm", ["ci", "--no-fund", "--no-audit", "--loglevel=error"], { cwd: root, stdio: ["ignore", 2, 2] });
    if (done.error) throw new Error(`npm could not be started: ${done.error.message}`);
    if (done.status !== 0) throw new Error("npm ci failed; see its messages above");
    found = candidates().find(runs);
  }
  if (!found) throw new Error(`npm installed no Bun that runs on this CPU (looked for ${candidates().join(", ")})`);
  return found;
}
