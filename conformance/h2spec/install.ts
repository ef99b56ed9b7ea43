// Builds h2spec and h2specd from the versions pinned in go.mod and go.sum of this folder, once, into .local/bin of the checkout.
import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";

const folder = import.meta.dir;
const root = resolve(folder, "../..");

/** Version in go.mod, and so in the binary's name: another version is another binary. */
export async function version(): Promise<string> {
  const match = /h2spec (v\S+)/.exec(await Bun.file(join(folder, "go.mod")).text());
  if (match === null) throw new Error("conformance/h2spec/go.mod names no h2spec");
  return (match[1] as string).replace("+incompatible", "");
}

/** The path of the binary of a command. Rejects when it cannot be built. */
export async function install(command: "h2spec" | "h2specd"): Promise<string> {
  const bin = join(root, ".local", "bin");
  const path = join(bin, `${command}-${await version()}`);
  if (existsSync(path)) return path;
  const go = Bun.which("go");
  if (go === null)
    throw new Error("needs Go 1.18 or newer to build h2spec: https://go.dev/doc/install, or the package golang-go of Debian and Ubuntu");
  mkdirSync(bin, { recursive: true });
  console.log(`building ${command} ...`);
  const build = Bun.spawn([go, "build", "-o", path, `github.com/summerwind/h2spec/cmd/${command}`], {
    cwd: folder,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
  });
  const messages = await new Response(build.stderr).text();
  if ((await build.exited) !== 0) throw new Error(`${command} could not be built:\n${messages.trim()}`);
  return path;
}
