// npm run bench -- [--quick] [--json] [--only NAME,…] [--measure ID,…] [--repeats N]: Fairlead beside its peers, in one run, in
// network namespaces with the real redirect rules. What is measured and how: bench/README.md.
import { mkdirSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Authority } from "./certificates.ts";
import { Lab } from "./lab.ts";
import { burst } from "./measures/burst.ts";
import { connections } from "./measures/connections.ts";
import { explained } from "./measures/explained.ts";
import { http1 } from "./measures/http1.ts";
import { http2 } from "./measures/http2.ts";
import { opaque } from "./measures/opaque.ts";
import { start } from "./measures/start.ts";
import { FULL, QUICK } from "./plan.ts";
import { type Row, table } from "./report.ts";
import type { Measure } from "./run.ts";
import { envoy } from "./systems/envoy.ts";
import { fairlead, fairleadExists } from "./systems/fairlead.ts";
import { haproxy } from "./systems/haproxy.ts";
import { nghttpx } from "./systems/nghttpx.ts";
import type { System } from "./systems/system.ts";
import { installEnvoy, installPrograms, root } from "./tools.ts";

const SYSTEMS: readonly System[] = [fairlead, haproxy, nghttpx, envoy];
const MEASURES: readonly Measure[] = [start, http1, explained, http2, opaque, connections, burst];

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    only: { type: "string" },
    measure: { type: "string" },
    repeats: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const systemNames = SYSTEMS.map((system) => system.name);
const rowId = (row: string): number => Number(row.slice(1));
const measureIds = [...new Set(MEASURES.flatMap((measure) => measure.ids))].sort((a, b) => rowId(a) - rowId(b));

const USAGE = `npm run bench -- [--quick] [--json] [--only NAME,...] [--measure ID,...] [--repeats N]
  --quick      shorter runs, ${QUICK.repeats} repeats; about four minutes
  --json       the rows as JSON on standard output, progress on standard error
  --only       of ${systemNames.join(", ")}
  --measure    of ${measureIds.join(", ")}
  --repeats    repeats of each cell (default ${FULL.repeats}, quick ${QUICK.repeats})`;

const say = (line: string): void => console.error(line);

/** The names of a list, or null when one is unknown, which is said. */
function choice(flag: string, text: string | undefined, known: readonly string[]): readonly string[] | null {
  const names = text?.split(",") ?? known;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return names;
  say(`--${flag}: ${JSON.stringify(unknown)} is none of ${known.join(", ")}`);
  return null;
}

async function bench(): Promise<number> {
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  const names = choice("only", flags.only, systemNames);
  const ids = choice("measure", flags.measure, measureIds);
  const repeats = flags.repeats === undefined ? undefined : Number(flags.repeats);
  const countable = repeats === undefined || (Number.isInteger(repeats) && repeats > 0);
  if (!countable) say(`--repeats: ${JSON.stringify(flags.repeats)} is not a number above 0`);
  if (names === null || ids === null || !countable) {
    say(USAGE);
    return 2;
  }
  if (process.getuid?.() !== 0) {
    say("Network namespaces need root: run as root.");
    return 1;
  }
  const systems = SYSTEMS.filter((system) => names.includes(system.name)).filter((system) => {
    if (system !== fairlead || fairleadExists()) return true;
    say("fairlead: no proxy in this checkout, left out");
    return false;
  });
  const plan = { ...(flags.quick ? QUICK : FULL), ...(repeats === undefined ? {} : { repeats }) };
  installPrograms(
    [
      "ip",
      "iptables",
      "setpriv",
      "taskset",
      "curl",
      "nginx",
      "wrk",
      "h2load",
      ...(systems.includes(haproxy) ? ["haproxy"] : []),
      ...(systems.includes(nghttpx) ? ["nghttpx"] : []),
    ],
    say,
  );
  if (systems.includes(envoy)) installEnvoy(say);

  const lab = new Lab({ cores: availableParallelism() });
  const started = new Date();
  const busy = loadavg()[0] ?? 0;
  try {
    const run = { lab, authority: await Authority.create(), systems, plan, say };
    const wanted = new Set(ids);
    const rows: Row[] = [];
    for (const measure of MEASURES)
      if (measure.ids.some((id) => wanted.has(id))) {
        const since = performance.now();
        rows.push(...(await measure.measure(run, wanted)));
        say(`${measure.ids.filter((id) => wanted.has(id)).join(", ")}: ${Math.round((performance.now() - since) / 1000)} s`);
      }
    // In the order of the ids; the order within one is the measure's.
    rows.sort((a, b) => rowId(a.id) - rowId(b.id));
    const document = {
      started: started.toISOString(),
      mode: plan.mode,
      command: `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim(),
      machine: `${availableParallelism()} × ${cpus()[0]?.model ?? "?"}`,
      seconds: Math.round((Date.now() - started.getTime()) / 1000),
      // Work that others had for the machine, as the run began.
      loadBefore: busy,
      versions: Object.fromEntries(systems.map((system) => [system.name, system.version()])),
      rows,
    };
    mkdirSync(join(root, "bench", "results"), { recursive: true });
    // A part of the table does not replace the whole.
    const part = flags.only !== undefined || flags.measure !== undefined;
    const file = join("bench", "results", `${document.mode}${part ? "-part" : ""}.json`);
    await Bun.write(join(root, file), `${JSON.stringify(document, null, 2)}\n`);
    if (flags.json) console.log(JSON.stringify(rows));
    else {
      const columns = systems.map((system) => system.name);
      console.log(table(rows, columns));
      for (const row of rows)
        for (const [name, { faults }] of Object.entries(row.detail))
          if (faults.length > 0)
            console.log(`${row.id} ${row.what}, ${name}: ${faults.length} fault(s) in runs that are void, the first: ${faults[0]}`);
      console.log(`${document.command}: ${document.seconds} s, load before ${busy.toFixed(2)}. Kept in ${file}.`);
    }
    return 0;
  } finally {
    await lab.close();
  }
}

process.exitCode = await bench();
