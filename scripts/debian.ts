// Debian packages that the embedded cluster and the tests need: which are missing, and installing them. As a program: installs what
// the tests need, or says what is missing and why; it never fails, since a test that cannot run says so itself.
import { missingTools } from "../cluster/network/tools.ts";

/** Programs of tests beside those of the node. */
const TEST_PROGRAMS: Readonly<Record<string, string>> = { curl: "curl", tar: "tar", git: "git", faketime: "faketime" };

/** Packages whose programs are not on this machine; empty when all is well. */
export function missingPackages({ forTests = false } = {}): string[] {
  const path = `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
  const missing = missingTools().map((tool) => tool.package);
  if (forTests) for (const [program, name] of Object.entries(TEST_PROGRAMS)) if (!Bun.which(program, { PATH: path })) missing.push(name);
  return [...new Set(missing)];
}

/** @throws {Error} saying what to install by hand where it cannot be done here. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  if (packages.length === 0) return;
  if (!Bun.which("apt-get")) throw new Error(`missing packages: ${packages.join(", ")} (this is no Debian: install them by hand)`);
  if (process.getuid?.() !== 0)
    throw new Error(`missing packages: ${packages.join(", ")} (root is needed: sudo apt-get install ${packages.join(" ")})`);
  const install = ["install", "-y", "--no-install-recommends", ...packages];
  // The package lists of a fresh machine are empty: the first try fails there.
  await apt(install).catch(async () => {
    await apt(["update"]);
    await apt(install);
  });
}

async function apt(args: readonly string[]): Promise<void> {
  const child = Bun.spawn(["apt-get", "-qq", ...args], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  const [stderr, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (status !== 0) throw new Error(`apt-get ${args.join(" ")}: ${stderr.trim()}`);
}

if (import.meta.main) {
  const missing = missingPackages({ forTests: true });
  if (missing.length > 0) {
    console.log(`Installing Debian packages: ${missing.join(", ")}`);
    await installPackages(missing).catch((error: Error) => console.log(`${error.message}; tests that need them are skipped or fail`));
  }
}
