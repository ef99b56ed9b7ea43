// Brings the foreign stacks: the PyPI package websockets by pip into .local of the checkout, once; ws is a package of package.json.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bundle, installPrograms, pip } from "../targets/install.ts";

const folder = import.meta.dir;

export type Programs = { readonly node: string; readonly python: string; readonly pythonPath: string };

function version(file: string, pattern: RegExp): string {
  const match = pattern.exec(readFileSync(join(folder, file), "utf8"));
  if (match === null) throw new Error(`conformance/websocket/${file} has no ${pattern.source}`);
  return match[1] as string;
}

export const versions = (): { readonly [stack in "ws" | "websockets" | "Bun"]: string } => ({
  ws: version("../../package.json", /"ws": "([^"]+)"/),
  websockets: version("requirements.txt", /^websockets==(\S+)/m),
  Bun: Bun.version,
});

/** @throws {Error} saying what is missing and cannot be brought. */
export async function install(): Promise<Programs> {
  const { node, python } = await installPrograms();
  return { node, python, pythonPath: await pip(python, `websockets-${versions().websockets}`, join(folder, "requirements.txt")) };
}

/** Puts the programs into a directory. */
export async function build(directory: string): Promise<void> {
  for (const name of ["ws-client", "ws-server", "raw-client", "raw-server"]) await bundle(join(folder, `${name}.ts`), directory);
  for (const name of ["websockets_client.py", "websockets_server.py"]) await Bun.write(join(directory, name), Bun.file(join(folder, name)));
}
