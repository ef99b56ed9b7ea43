// Finds the Bun binary that npm installed; installs the npm packages first when they are missing. Runs on plain Node.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the checkout. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** CPUs without AVX2 need Bun's baseline build. */
function candidates() {
  const flags = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "latin1") : "avx2";
  const arch = process.arch === "arm64" ? "aarch64" : "x64";
  const names = flags.includes("avx2") || arch === "aarch64" ? [`bun-linux-${arch}`, `bun-linux-${arch}-baseline`] : [`bun-linux-${arch}-baseline`];
  return names.map((name) => join(root, "node_modules", "@oven", name, "bin", "bun"));
}

/**
 * The path of Bun. npm packages are installed when absent.
 * @throws {Error} when this system is not Linux or npm brought no Bun for its CPU.
 */
export function bun() {
  if (process.platform !== "linux") throw new Error(`Fairlead runs on Linux; this is ${process.platform}`);
  if (!candidates().some(existsSync)) {
    console.error("Installing npm packages ...");
    const done = spawnSync("npm", ["ci", "--no-fund", "--no-audit", "--loglevel=error"], { cwd: root, stdio: ["ignore", 2, 2] });
    if (done.status !== 0) throw new Error("npm ci failed; see its messages above");
  }
  const found = candidates().find(existsSync);
  if (!found) throw new Error(`npm installed no Bun for this CPU (looked for ${candidates().join(", ")})`);
  return found;
}
