// npm run soak -- [--minutes N | --seconds N] [--rate N]: see soak/README.md. Exit status 1 when anything was wrong.
import { mkdirSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installPrograms, root } from "../bench/tools.ts";
import { reportText } from "./report.ts";
import { soak } from "./soak.ts";

const USAGE = `npm run soak -- [--minutes N | --seconds N] [--rate N]
  --minutes    how long (default 30)
  --seconds    the same in seconds
  --rate       requests a second beside the sessions (default 300)`;

const { values: flags } = parseArgs({
  options: {
    minutes: { type: "string" },
    seconds: { type: "string" },
    rate: { type: "string", default: "300" },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<number> {
  const seconds = flags.seconds === undefined ? Number(flags.minutes ?? 30) * 60 : Number(flags.seconds);
  const rate = Number(flags.rate);
  if (flags.help || !(seconds >= 10) || !(rate > 0)) {
    console.log(USAGE);
    return flags.help ? 0 : 2;
  }
  if (process.getuid?.() !== 0) {
    console.error("Network namespaces need root: run as root.");
    return 1;
  }
  installPrograms(["ip", "iptables", "setpriv", "taskset", "curl"], console.error);
  const started = new Date().toISOString();
  const result = await soak({
    seconds,
    rate,
    cores: availableParallelism(),
    prefix: "fls",
    instances: 4,
    churnMs: 1000,
    // Renewed at 70 %: about every minute.
    certificateLifetimeMs: 90_000,
    policyMs: 5000,
    restartMs: 60_000,
    outageMs: 3000,
    sampleMs: 10_000,
    tapMs: 10_000,
    idleMs: 5000,
    say: console.error,
  });
  const document = {
    started,
    command: `npm run soak -- ${process.argv.slice(2).join(" ")}`.trim(),
    machine: `${availableParallelism()} × ${cpus()[0]?.model ?? "?"}`,
    ...result,
  };
  const text = reportText(document);
  const results = join(root, "soak", "results");
  mkdirSync(results, { recursive: true });
  await Bun.write(join(results, "latest.json"), `${JSON.stringify(document, null, 1)}\n`);
  await Bun.write(join(results, "latest.txt"), text);
  console.log(text);
  return result.faults.length > 0 ? 1 : 0;
}

process.exitCode = await main();
