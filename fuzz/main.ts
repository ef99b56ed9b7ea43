// npm run fuzz -- [--seconds N] [--target NAME,…] [--jobs N] [--merge] [--list]: coverage-guided fuzzing of every parser and of
// the HTTP/2 connection's states. See fuzz/README.md.
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { usableAddon } from "./engine/addon.ts";
import { bundle } from "./engine/bundle.ts";
import { merge, type Outcome, run, type Workplace } from "./engine/run.ts";
import { keepCorpus, keepFinding, keptCases, unpack } from "./kept.ts";
import type { Target } from "./target.ts";
import { targets } from "./targets/index.ts";

const DEFAULT_SECONDS = 60;
const MAX_SECONDS = 24 * 3600;
const root = join(import.meta.dir, "..");
const local = join(root, ".local", "fuzz");

const USAGE = `npm run fuzz -- [--seconds N] [--target NAME,...] [--jobs N] [--merge] [--list]
  --seconds    for each target, default ${DEFAULT_SECONDS}
  --target     some of them; default all
  --jobs       targets at a time, default as many as the machine has cores
  --merge      do not fuzz: write the inputs found on this machine into fuzz/corpus, as few as reach the same
  --list       tell the targets and what each shows`;

type Row = { readonly target: string } & Omit<Outcome, "found"> & {
    readonly finding: { readonly file: string; readonly message: string } | null;
  };

export async function main(args: readonly string[]): Promise<number> {
  const { values: flags } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: String(DEFAULT_SECONDS) },
      target: { type: "string" },
      jobs: { type: "string", default: String(availableParallelism()) },
      merge: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  if (flags.list) {
    for (const target of targets) console.log(`${target.name.padEnd(22)} ${target.what}`);
    return 0;
  }
  const names = flags.target?.split(",") ?? targets.map((target) => target.name);
  const unknown = names.filter((name) => !targets.some((target) => target.name === name));
  const seconds = wholeNumber(flags.seconds, MAX_SECONDS);
  const jobs = wholeNumber(flags.jobs, 64);
  if (unknown.length > 0 || seconds === null || jobs === null) {
    if (unknown.length > 0)
      console.error(`--target: no ${unknown.join(", ")}. There are: ${targets.map((target) => target.name).join(", ")}`);
    if (seconds === null) console.error(`--seconds: ${JSON.stringify(flags.seconds)} is no whole number from 1 to ${MAX_SECONDS}`);
    if (jobs === null) console.error(`--jobs: ${JSON.stringify(flags.jobs)} is no whole number from 1 to 64`);
    console.error(USAGE);
    return 2;
  }
  const chosen = targets.filter((target) => names.includes(target.name));
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  const scratch = join(local, `run-${process.pid}`);
  try {
    const files = new Map(chosen.map(({ name }) => [name, join(import.meta.dir, "targets", `${name}.ts`)]));
    const bundles = await bundle(files, join(scratch, "bundles"));
    const addon = usableAddon(local);
    const placeOf = (target: Target): Workplace => {
      const place = {
        addon,
        bundle: bundles.get(target.name) as string,
        corpus: join(local, "corpus", target.name),
        kept: join(scratch, target.name, "kept"),
        scratch: join(scratch, target.name),
        niceness: 19,
      };
      mkdirSync(place.corpus, { recursive: true });
      unpack(
        keptCases(target).map(({ input }) => input),
        place.kept,
      );
      return place;
    };
    return flags.merge ? await mergeAll(chosen, placeOf, jobs, stop.signal) : await fuzzAll(chosen, placeOf, seconds, jobs, stop.signal);
  } finally {
    if (!process.env.KEEP) rmSync(scratch, { recursive: true, force: true });
  }
}

async function fuzzAll(
  chosen: readonly Target[],
  placeOf: (target: Target) => Workplace,
  seconds: number,
  jobs: number,
  signal: AbortSignal,
): Promise<number> {
  const started = new Date();
  const rows = await inTurns(chosen, jobs, signal, async (target): Promise<Row> => {
    const { found, ...outcome } = await run(target, placeOf(target), seconds, signal);
    const finding = found === null ? null : { file: keepFinding(target, found.input, found.message), message: found.message };
    const row = { target: target.name, ...outcome, finding };
    if (!signal.aborted) console.log(lineOf(row));
    return row;
  });
  if (signal.aborted) {
    console.log("stopped: nothing is kept of this run but the inputs it found");
    return 130;
  }
  const document = {
    started: started.toISOString(),
    command: `npm run fuzz -- --seconds ${seconds} --jobs ${jobs}`,
    machine: `${availableParallelism()} × ${cpus()[0]?.model ?? "?"}`,
    secondsPerTarget: seconds,
    targets: rows,
  };
  // A part of the targets does not replace the whole.
  const file = chosen.length === targets.length ? join("fuzz", "results", "latest.json") : join(".local", "fuzz", "latest-part.json");
  await Bun.write(join(root, file), `${JSON.stringify(document, withoutStacks, 2)}\n`);
  console.log(`written: ${file}`);
  const failed = rows.filter((row) => row.finding !== null || row.trouble !== null).length;
  console.log(`${rows.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function lineOf(row: Row): string {
  const perSecond = Math.round(row.executions / Math.max(1, row.seconds));
  const line = `${row.target.padEnd(22)} ${row.executions} executions, ${perSecond}/s, ${row.edges}/${row.edgesTotal} edges, corpus ${row.corpus}, ${row.seconds} s, slowest ${row.slowestSeconds} s, ${row.peakRssMb} MB`;
  if (row.trouble !== null) return `${line}\n  ${row.trouble}`;
  if (row.finding === null) return `${line}, no finding`;
  return `${line}\n  FINDING, kept in fuzz/${row.finding.file}:\n    ${row.finding.message.split("\n").slice(0, 12).join("\n    ")}`;
}

async function mergeAll(
  chosen: readonly Target[],
  placeOf: (target: Target) => Workplace,
  jobs: number,
  signal: AbortSignal,
): Promise<number> {
  const kept = await inTurns(chosen, jobs, signal, async (target) => {
    const place = placeOf(target);
    const paths = await merge(target, place, join(place.scratch, "merged"), signal);
    const n = keepCorpus(
      target,
      paths.map((path) => new Uint8Array(readFileSync(path))),
    );
    console.log(`${target.name.padEnd(22)} ${paths.length} inputs reach everything, ${n} kept beside the seeds`);
    return n;
  });
  console.log(`${kept.length} passed, 0 failed`);
  return signal.aborted ? 130 : 0;
}

/** Does something for each, at most `jobs` at a time; results in the order of the list. */
async function inTurns<T, R>(list: readonly T[], jobs: number, signal: AbortSignal, work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < list.length && !signal.aborted; i = next++) results[i] = await work(list[i] as T);
  };
  await Promise.all(Array.from({ length: Math.min(jobs, list.length) }, worker));
  return results;
}

function wholeNumber(text: string | undefined, max: number): number | null {
  if (text === undefined || !/^[0-9]{1,9}$/.test(text)) return null;
  const value = Number(text);
  return value >= 1 && value <= max ? value : null;
}

/** What is kept of a run is the same on every machine: no paths of this one. */
function withoutStacks(key: string, value: unknown): unknown {
  return key === "message" && typeof value === "string" ? value.replace(/\n\s+at .*/g, "") : value;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
