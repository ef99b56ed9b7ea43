// Writes a set of files so that readers see either all of the old or all of the new content, as the kubelet does:
//
//   token -> ..data/token        what users open
//   ..data -> ..2026_01_02_…     swapped by one rename
//   ..2026_01_02_…/token         the files
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

export interface PayloadFile {
  data: Buffer;
  /** Permission bits. */
  mode: number;
}

/** Relative path → file. */
export type Payload = Map<string, PayloadFile>;

/** @throws {RangeError} for a path that leaves the volume, is absolute, or begins with "..". */
export function checkVolumePath(path: string, where: string): void {
  const parts = path.split("/");
  if (path === "" || path.startsWith("/") || path.startsWith("..") || parts.includes(".."))
    throw new RangeError(`${where}: path ${JSON.stringify(path)} must be relative and stay inside the volume`);
}

/**
 * Makes `directory` show exactly `payload`. Returns false when it did already.
 * @param group group that may read the files (`fsGroup`).
 */
export function writeAtomically(
  directory: string,
  payload: Payload,
  { group, now = new Date() }: { group?: number | undefined; now?: Date } = {},
): boolean {
  mkdirSync(directory, { recursive: true });
  let current: string | undefined;
  try {
    current = readlinkSync(join(directory, "..data"));
  } catch {
    // The first time.
  }
  if (current !== undefined && isSame(join(directory, current), payload)) return false;
  const stamp = `..${now.toISOString().slice(0, 19).replace(/[-:T]/g, "_")}.${randomBytes(5).toString("hex")}`;
  const target = join(directory, stamp);
  mkdirSync(target);
  // Independent of this process's umask.
  chmodSync(target, 0o755);
  for (const [path, { data, mode }] of payload) {
    const file = join(target, path);
    if (path.includes("/")) mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    writeFileSync(file, data);
    chmodSync(file, group === undefined ? mode : mode | 0o040);
    if (group !== undefined) chownSync(file, 0, group);
  }
  const temporary = join(directory, "..data_tmp");
  rmSync(temporary, { force: true });
  symlinkSync(stamp, temporary);
  renameSync(temporary, join(directory, "..data"));
  const visible = new Set([...payload.keys()].map((path) => path.split("/")[0]!));
  for (const name of visible) {
    try {
      lstatSync(join(directory, name));
    } catch {
      symlinkSync(join("..data", name), join(directory, name));
    }
  }
  for (const name of readdirSync(directory)) {
    if (name === "..data" || name === stamp || visible.has(name)) continue;
    rmSync(join(directory, name), { recursive: true, force: true });
  }
  return true;
}

function isSame(directory: string, payload: Payload): boolean {
  const found: string[] = [];
  const walk = (prefix: string) => {
    for (const entry of readdirSync(join(directory, prefix), { withFileTypes: true })) {
      const path = prefix ? `${prefix}/${entry.name}` : entry.name;
      if (entry.isDirectory()) walk(path);
      else found.push(path);
    }
  };
  try {
    walk("");
    if (found.length !== payload.size) return false;
    return found.every((path) => {
      const file = payload.get(path);
      return (
        file !== undefined &&
        (statSync(join(directory, path)).mode & 0o777 & ~0o040) === (file.mode & ~0o040) &&
        readFileSync(join(directory, path)).equals(file.data)
      );
    });
  } catch {
    return false;
  }
}
