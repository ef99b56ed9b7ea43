// Jazzer's prebuilt addon on systems older than the one it was built on. It wants glibc 2.38 and libstdc++ 3.4.32 (Debian 12 has
// 2.36 and 3.4.30), though all it takes from them are `strtol` and `strtoul` under new names (C23's, which also read "0b…")
// and a mark that is never looked up. So a copy is made in which the old names are asked for and those two versions are
// weak needs, which the loader may leave unmet (ELF gABI, "Symbol Versioning", vna_flags).
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const NEW_PREFIX = "__isoc23_";
/** Version every x86-64 and arm64 glibc has for them, by machine. */
const OLDEST = { 62: "GLIBC_2.2.5", 183: "GLIBC_2.17" } as const;
const WEAK = 2;

/**
 * The addon to load: the package's own where Node can load it, else a copy in `directory`.
 * @throws {Error} when neither can be loaded.
 */
export function usableAddon(directory: string): string {
  const require = createRequire(import.meta.url);
  const packed = join(
    dirname(createRequire(require.resolve("@jazzer.js/core")).resolve("@jazzer.js/fuzzer/package.json")),
    `prebuilds/fuzzer-${process.platform}-${process.arch}.node`,
  );
  const first = loads(packed);
  if (first === null) return packed;
  if (!/version `(?:GLIBC|GLIBCXX)_[0-9.]+' not found/.test(first)) throw new Error(`Jazzer.js cannot be loaded: ${first}`);
  const copy = join(directory, "fuzzer.node");
  if (existsSync(copy) && loads(copy) === null) return copy;
  mkdirSync(directory, { recursive: true });
  const bytes = readFileSync(packed);
  forOlderSystem(bytes);
  writeFileSync(`${copy}.${process.pid}`, bytes);
  renameSync(`${copy}.${process.pid}`, copy);
  const second = loads(copy);
  if (second !== null) throw new Error(`Jazzer.js cannot be loaded, changed for an older system neither: ${second}`);
  return copy;
}

/** Null when Node loads it, else what it says. */
function loads(addon: string): string | null {
  const child = Bun.spawnSync(["node", "-e", "process.dlopen({ exports: {} }, process.argv[1])", addon], {
    stdout: "pipe",
    stderr: "pipe",
  });
  return child.exitCode === 0 ? null : child.stderr.toString();
}

/** Changes a 64-bit little-endian ELF library in place. */
function forOlderSystem(elf: Buffer): void {
  const u64 = (at: number): number => Number(elf.readBigUInt64LE(at));
  const sections = Array.from({ length: elf.readUInt16LE(60) }, (_, i) => {
    const at = u64(40) + i * elf.readUInt16LE(58);
    return { type: elf.readUInt32LE(at + 4), offset: u64(at + 24), size: u64(at + 32), link: elf.readUInt32LE(at + 40) };
  });
  const section = (type: number): (typeof sections)[number] => {
    const found = sections.find((one) => one.type === type);
    if (found === undefined) throw new Error(`no section of type ${type}`);
    return found;
  };
  const symbols = section(11); // SHT_DYNSYM
  const needs = section(0x6ffffffe); // SHT_GNU_verneed
  const versions = section(0x6fffffff); // SHT_GNU_versym
  const names = sections[symbols.link]?.offset ?? 0;
  const nameAt = (offset: number): string => elf.toString("latin1", names + offset, elf.indexOf(0, names + offset));

  const oldest = OLDEST[elf.readUInt16LE(18) as keyof typeof OLDEST];
  let oldestIndex = 0;
  for (let need = needs.offset, next = -1; next !== 0; need += next) {
    next = elf.readUInt32LE(need + 12);
    const file = nameAt(elf.readUInt32LE(need + 4));
    for (let entry = need + elf.readUInt32LE(need + 8), more = -1; more !== 0; entry += more) {
      more = elf.readUInt32LE(entry + 12);
      const version = nameAt(elf.readUInt32LE(entry + 8));
      if (file === "libc.so.6" && version === oldest) oldestIndex = elf.readUInt16LE(entry + 6);
      if (version === "GLIBC_2.38" || version === "GLIBCXX_3.4.32") elf.writeUInt16LE(elf.readUInt16LE(entry + 4) | WEAK, entry + 4);
    }
  }
  if (oldestIndex === 0) throw new Error(`no need of ${oldest ?? "a known machine's glibc"}`);
  for (let i = 0; i < symbols.size / 24; i++) {
    const at = symbols.offset + i * 24;
    const name = elf.readUInt32LE(at);
    if (!nameAt(name).startsWith(NEW_PREFIX)) continue;
    elf.writeUInt32LE(name + NEW_PREFIX.length, at);
    elf.writeUInt16LE(oldestIndex, versions.offset + i * 2);
  }
}
