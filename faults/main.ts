// npm run faults -- [floods | outage | tests] …: see faults/README.md. Exit status 1 when something was not as it should be.
import { mkdirSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installPackages, missingPackages } from "../scripts/debian.ts";
import { floods, floodsText, meets } from "./floods.ts";
import { outage, outageHeld, outageText } from "./outage.ts";

const USAGE = `npm run faults -- [floods] [outage] [tests] [--seconds N] [--outage N] [--only TEXT]
  without a name: all three
  floods       every flood of proxy/advisories: memory of the proxy, latency of its neighbours
  outage       the control plane away for minutes under 500 requests a second
  tests        all tests of proxy/faults and proxy/advisories, those too that npm test leaves out
  --seconds    of each flood, and of the quiet times before and after (default 10)
  --outage     how long the control plane is away, in seconds (default 180)
  --only       floods whose name contains this`;

const ROOT = join(import.meta.dir, "..");
const RESULTS = join(import.meta.dir, "results");
const PARTS = ["floods", "outage", "tests"] as const;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "10" },
    outage: { type: "string", default: "180" },
    only: { type: "string", default: "" },
    help: { type: "boolean", default: false },
  },
});

/** Keeps what a part has shown: numbers for programs, lines for people. */
async function keep(part: string, result: unknown, text: string): Promise<void> {
  mkdirSync(RESULTS, { recursive: true });
  const about = {
    command: `npm run faults -- ${process.argv.slice(2).join(" ")}`.trim(),
    ended: new Date().toISOString(),
    machine: `${availableParallelism()} × ${cpus()[0]?.model ?? "?"}`,
  };
  await Bun.write(join(RESULTS, `${part}.json`), `${JSON.stringify({ ...about, result }, null, 1)}\n`);
  await Bun.write(join(RESULTS, `${part}.txt`), `${about.command}\n${about.ended}, ${about.machine}\n\n${text}`);
  console.log(text);
}

async function tests(): Promise<boolean> {
  const child = Bun.spawn([process.execPath, "test", "--timeout=120000", "proxy/faults", "proxy/advisories"], {
    cwd: ROOT,
    env: { ...process.env, FAIRLEAD_FAULTS: "long" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, status] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  const lines = `${output}${errors}`.split("\n");
  const shown = lines.filter((line) => /^\((pass|fail)\)|^ *\d+ (pass|fail)$|^Ran /.test(line));
  await keep("tests", { status, lines: shown }, `${shown.join("\n")}\n`);
  if (status !== 0) console.error(errors);
  return status === 0;
}

async function main(): Promise<number> {
  const unknown = positionals.filter((name) => !(PARTS as readonly string[]).includes(name));
  const seconds = Number(flags.seconds);
  const away = Number(flags.outage);
  if (flags.help || unknown.length > 0 || !(seconds >= 1) || !(away >= 5)) {
    if (unknown.length > 0) console.error(`not a part: ${unknown.join(", ")}`);
    console.log(USAGE);
    return flags.help ? 0 : 2;
  }
  if (process.getuid?.() !== 0) {
    console.error("Network namespaces need root: run as root.");
    return 1;
  }
  await installPackages(missingPackages({ forTests: true }));
  const chosen = positionals.length === 0 ? PARTS : PARTS.filter((part) => positionals.includes(part));
  const say = (line: string): void => console.error(line);
  let well = true;
  for (const part of chosen) {
    const tag = `${process.pid}${part[0]}`;
    if (part === "floods") {
      const result = await floods({ tag, only: flags.only, seconds, frameRate: 10_000, neighbourRate: 200, say });
      await keep(part, result, floodsText(result));
      well = well && result.alive && result.internalErrors.length === 0 && result.floods.every(meets);
    } else if (part === "outage") {
      const result = await outage({ tag, seconds: away, rate: 500, say });
      await keep(part, result, outageText(result));
      well = well && outageHeld(result);
    } else well = (await tests()) && well;
  }
  return well ? 0 : 1;
}

process.exitCode = await main();
