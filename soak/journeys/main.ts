// npm run journeys [-- --short]: see soak/README.md. Exit status 1 when a journey failed or was not seen.
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installPrograms, root } from "../../bench/tools.ts";
import { FULL, journeys, journeysText, SHORT } from "./journeys.ts";
import { MARIADB_PROGRAMS } from "./mariadb.ts";

const { values: flags } = parseArgs({ options: { short: { type: "boolean", default: false }, help: { type: "boolean", default: false } } });

async function main(): Promise<number> {
  if (flags.help) {
    console.log("npm run journeys [-- --short]\n  --short    a stream of 10 s and an upload of 64 MiB, instead of 10 minutes and 1 GiB");
    return 0;
  }
  if (process.getuid?.() !== 0) {
    console.error("Network namespaces need root: run as root.");
    return 1;
  }
  installPrograms(["ip", "iptables", "setpriv", "taskset", "curl", ...MARIADB_PROGRAMS], console.error);
  const results = await journeys({
    ...(flags.short ? SHORT : FULL),
    mariadb: true,
    cores: availableParallelism(),
    prefix: "flj",
    say: console.error,
  });
  const failed = results.filter((result) => result.faults.length > 0).length;
  const text = `npm run journeys${flags.short ? " -- --short" : ""}   (${new Date().toISOString()})\n\n${journeysText(results)}\n${results.length - failed} passed, ${failed} failed\n`;
  const file = join("soak", "results", flags.short ? "journeys-short.txt" : "journeys.txt");
  mkdirSync(join(root, "soak", "results"), { recursive: true });
  await Bun.write(join(root, file), text);
  console.log(`${text}Kept in ${file}.`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
