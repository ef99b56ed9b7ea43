// What the repository keeps of a target: its corpus, one file; its findings, one file each.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { formatCases, parseCases } from "./cases.ts";
import { bytesOf, type Target } from "./target.ts";

const corpusFile = (target: Target): string => join(import.meta.dir, "corpus", `${target.name}.txt`);
const findingsDirectory = (target: Target): string => join(import.meta.dir, "findings", target.name);

export type Case = {
  /** Where it is kept, for messages. */
  readonly source: string;
  readonly input: Uint8Array;
};

/** Seeds, corpus and findings of a target. */
export function keptCases(target: Target): Case[] {
  const cases: Case[] = target.seeds.map((seed, i) => ({ source: `seed ${i}`, input: typeof seed === "string" ? bytesOf(seed) : seed }));
  const add = (path: string): void => {
    const source = relative(import.meta.dir, path);
    for (const [i, input] of parseCases(readFileSync(path, "utf8")).entries()) cases.push({ source: `${source}, input ${i + 1}`, input });
  };
  if (existsSync(corpusFile(target))) add(corpusFile(target));
  const findings = findingsDirectory(target);
  if (existsSync(findings)) for (const name of readdirSync(findings).sort()) add(join(findings, name));
  return cases;
}

/** Writes inputs as files into an empty directory, as libFuzzer wants them. */
export function unpack(inputs: readonly Uint8Array[], directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const input of inputs) writeFileSync(join(directory, digest(input)), input);
}

/** Keeps a finding for ever; returns its file. */
export function keepFinding(target: Target, input: Uint8Array, message: string): string {
  const directory = findingsDirectory(target);
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${digest(input).slice(0, 12)}.txt`);
  // The stack behind the message names places that move.
  const remark = message.split("\n").filter((line) => !/^\s+at /.test(line));
  writeFileSync(path, formatCases(remark.slice(0, 8).join("\n"), [input]));
  return relative(import.meta.dir, path);
}

/**
 * Replaces the corpus by these inputs, the shortest first, as far as {@link MAX_CORPUS_BYTES} go; returns how many are in it.
 */
export function keepCorpus(target: Target, inputs: readonly Uint8Array[]): number {
  const seeds = new Set(target.seeds.map((seed) => digest(typeof seed === "string" ? bytesOf(seed) : seed)));
  const kept: Uint8Array[] = [];
  let room = MAX_CORPUS_BYTES;
  for (const input of inputs.filter((one) => !seeds.has(digest(one))).sort(byLength)) {
    const size = formatCases("", [input]).length;
    if (size > room) break;
    room -= size;
    kept.push(input);
  }
  writeFileSync(corpusFile(target), formatCases(`${target.what}.\nWritten by \`npm run fuzz -- --merge\`.`, kept));
  return kept.length;
}

/** Text of one target's corpus. */
const MAX_CORPUS_BYTES = 7 * 1024;

const digest = (input: Uint8Array): string => createHash("sha256").update(input).digest("hex");

function byLength(a: Uint8Array, b: Uint8Array): number {
  return a.length - b.length || Buffer.compare(a, b);
}
