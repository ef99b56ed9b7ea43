// One target under libFuzzer for a time: what it did and what it found.
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Target } from "../target.ts";

/** An input on which the target fails, made short. */
export type Found = { readonly input: Uint8Array; readonly message: string };

export type Outcome = {
  readonly seconds: number;
  readonly executions: number;
  /** Branches of the bundle that were reached, and of how many. */
  readonly edges: number;
  readonly edgesTotal: number;
  /** Inputs libFuzzer keeps because each reaches something of its own. */
  readonly corpus: number;
  readonly peakRssMb: number;
  readonly slowestSeconds: number;
  readonly found: Found | null;
  /** Why there is no outcome to rely on; null when all went well. */
  readonly trouble: string | null;
};

export type Workplace = {
  /** See `usableAddon`. */
  readonly addon: string;
  /** The target's bundle, see `bundle`. */
  readonly bundle: string;
  /** Inputs of earlier runs on this machine; grows. */
  readonly corpus: string;
  /** Inputs that are kept in the repository: read only. */
  readonly kept: string;
  /** For files of this run. */
  readonly scratch: string;
  /** 0 to 19, the lowest priority. */
  readonly niceness: number;
};

/** A single input that takes so long is a finding: typical ones take less than a millisecond. */
const TIMEOUT_MS = 20_000;
/** The process with Node and the corpus, not one input. */
const RSS_LIMIT_MB = 1024;
const MINIMISE_SECONDS = 30;
/** Counters that Jazzer sets aside for modules of CommonJS; there are none. */
const UNUSED_COUNTERS = 512;

const launcher = join(import.meta.dir, "launch.mjs");

/** Runs the target for `seconds`, or until it fails. `signal` stops it. */
export async function run(target: Target, place: Workplace, seconds: number, signal: AbortSignal): Promise<Outcome> {
  const artifacts = join(place.scratch, "artifacts");
  rmSync(artifacts, { recursive: true, force: true });
  mkdirSync(artifacts, { recursive: true });
  const dictionary = join(place.scratch, "dictionary");
  await Bun.write(dictionary, target.dictionary.map(dictionaryLine).join(""));
  const started = performance.now();
  const { stderr, code } = await libFuzzer(place, signal, [
    place.corpus,
    place.kept,
    `-max_total_time=${seconds}`,
    `-max_len=${target.maxBytes}`,
    `-dict=${dictionary}`,
    `-artifact_prefix=${artifacts}/`,
    `-rss_limit_mb=${RSS_LIMIT_MB}`,
    "-print_final_stats=1",
    // Slow inputs are told by the figures; the file is not wanted.
    "-report_slow_units=1000",
  ]);
  await Bun.write(join(place.scratch, "log.txt"), stderr);
  const stat = (name: string): number => Number(new RegExp(`^stat::${name}:\\s+(\\d+)`, "m").exec(stderr)?.[1] ?? 0);
  const progress = [...stderr.matchAll(/^#(\d+)\s.*?cov: (\d+) .*?corp: (\d+)\//gm)].at(-1);
  const counters = /\((\d+) inline 8-bit counters\)/.exec(stderr)?.[1];
  const artifact = readdirSync(artifacts).at(0);
  const found = artifact === undefined ? null : await minimised(place, join(artifacts, artifact), messageOf(stderr), signal);
  return {
    seconds: Math.round((performance.now() - started) / 1000),
    executions: stat("number_of_executed_units") || Number(progress?.[1] ?? 0),
    edges: Number(progress?.[2] ?? 0),
    edgesTotal: Math.max(0, Number(counters ?? 0) - UNUSED_COUNTERS),
    corpus: Number(progress?.[3] ?? 0),
    peakRssMb: stat("peak_rss_mb"),
    slowestSeconds: stat("slowest_unit_time_sec"),
    found,
    trouble:
      found !== null || (code === 0 && progress !== undefined)
        ? null
        : `ended with ${code}: ${stderr.trim().split("\n").slice(-5).join(" | ")}`,
  };
}

/** Fewest inputs of several directories that reach all that they reach together; the paths of them, in `into`. */
export async function merge(target: Target, place: Workplace, into: string, signal: AbortSignal): Promise<string[]> {
  rmSync(into, { recursive: true, force: true });
  mkdirSync(into, { recursive: true });
  const { stderr, code } = await libFuzzer(place, signal, [
    // The first makes Jazzer write the wrapper by which libFuzzer starts itself again, the second asks for the fewest inputs.
    "-merge=1",
    "-set_cover_merge=1",
    `-max_len=${target.maxBytes}`,
    into,
    place.kept,
    place.corpus,
  ]);
  if (code !== 0) throw new Error(`${target.name}: merging ended with ${code}: ${stderr.trim().split("\n").slice(-5).join(" | ")}`);
  return readdirSync(into).map((name) => join(into, name));
}

async function libFuzzer(
  { addon, bundle, niceness }: Workplace,
  signal: AbortSignal,
  args: readonly string[],
): Promise<{ stderr: string; code: number }> {
  const child = Bun.spawn(
    ["nice", "-n", String(niceness), "node", "--max-old-space-size=512", launcher, addon, bundle, String(TIMEOUT_MS), ...args],
    {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      signal,
    },
  );
  const stderr = await new Response(child.stderr).text();
  return { stderr, code: await child.exited };
}

async function minimised({ bundle, niceness }: Workplace, path: string, message: string, signal: AbortSignal): Promise<Found> {
  const output = `${path}.minimised`;
  const child = Bun.spawn(
    ["nice", "-n", String(niceness), "node", join(import.meta.dir, "minimise.mjs"), bundle, path, output, String(MINIMISE_SECONDS)],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      // An input that hangs cannot be made shorter here.
      timeout: (MINIMISE_SECONDS + 30) * 1000,
      signal,
    },
  );
  const shown = (await new Response(child.stdout).text()).trim();
  await child.exited;
  const shorter = shown !== "" && (await Bun.file(output).exists());
  return { input: new Uint8Array(readFileSync(shorter ? output : path)), message: shorter ? shown : message };
}

/** What Jazzer or libFuzzer said of the failure. */
function messageOf(stderr: string): string {
  const said = /^==\d+== (?:Uncaught Exception: )?([\s\S]*?)(?:^MS: |^==\d+==|^artifact_prefix=)/m.exec(stderr)?.[1]?.trim();
  return said ?? stderr.trim().split("\n").slice(-5).join("\n");
}

/** A line of a libFuzzer dictionary; one char is one byte. */
function dictionaryLine(word: string): string {
  const escaped = Array.from(word, (char) =>
    /[A-Za-z0-9 ]/.test(char) ? char : `\\x${(char.charCodeAt(0) & 255).toString(16).padStart(2, "0")}`,
  );
  return `"${escaped.join("")}"\n`;
}
