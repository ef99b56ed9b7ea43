// Brings what suites in pods need: programs of the system, packages of PyPI into .local of the checkout, and bundles for Node.
import { existsSync, renameSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { installPackages } from "../../scripts/debian.ts";

/** Where installed things are kept. */
export const local: string = resolve(import.meta.dir, "../../.local");

/** Programs of the namespaces and the Debian packages that bring them. */
const PACKAGES: Readonly<Record<string, string>> = { ip: "iproute2", iptables: "iptables", setpriv: "util-linux", curl: "curl" };

/** @throws {Error} with the messages of a program that failed. */
export async function run(argv: readonly string[], cwd: string): Promise<void> {
  const child = Bun.spawn([...argv], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, messages] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")}:\n${(messages + output).trim().slice(-2000)}`);
}

/** The programs of pods; the paths of Node and Python. @throws {Error} saying what is missing and cannot be brought. */
export async function installPrograms(): Promise<{ node: string; python: string }> {
  if (process.getuid?.() !== 0) throw new Error("needs root, for network namespaces");
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  const missing = Object.keys(PACKAGES).filter((program) => Bun.which(program, { PATH: path }) === null);
  await installPackages([...new Set(missing.map((program) => PACKAGES[program] as string))]);
  const node = Bun.which("node");
  if (node === null) throw new Error("needs Node.js 20 or newer");
  const python = Bun.which("python3");
  if (python === null)
    throw new Error("needs Python 3.10 or newer with pip: https://www.python.org, or the packages python3 and python3-pip");
  return { node, python };
}

/** Makes a directory of .local once: `fill` gets one that takes its name when it is whole. Returns its path. */
export async function once(name: string, fill: (directory: string) => Promise<void>): Promise<string> {
  const home = join(local, name);
  if (existsSync(home)) return home;
  console.log(`installing ${name} ...`);
  const half = `${home}.${process.pid}`;
  try {
    await fill(half);
    renameSync(half, home);
  } finally {
    rmSync(half, { recursive: true, force: true });
  }
  return home;
}

/** Installs the requirements of a file. Returns the path for PYTHONPATH. */
export function pip(python: string, name: string, requirements: string): Promise<string> {
  return once(name, (directory) =>
    run(
      [python, "-m", "pip", "install", "-q", "--no-deps", "--root-user-action=ignore", "--target", directory, "-r", requirements],
      resolve(requirements, ".."),
    ),
  );
}

/** Bundles a program for Node as `NAME.mjs` of a directory. */
export async function bundle(entry: string, directory: string, name = basename(entry, ".ts")): Promise<void> {
  const built = await Bun.build({ entrypoints: [entry], target: "node", format: "esm", outdir: directory, naming: `${name}.mjs` });
  if (!built.success) throw new AggregateError(built.logs, `${entry} could not be bundled`);
}
