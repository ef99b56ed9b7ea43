// npm run bench -- [--quick] [--json] [--only NAME,…] [--repeats N]: Fairlead beside its peers, in one run, in network
// namespaces with the real redirect rules. What is measured and how: bench/README.md.
import { mkdirSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Authority } from "./certificates.ts";
import { Lab } from "./lab.ts";
import { bodies, type Cell, type Latency, latency, memoryOf, rate, saturation, waitForAnswer } from "./measure.ts";
import { type Bound, costRow, FAIRLEAD, type Row, rowOf, table } from "./report.ts";
import { median } from "./statistics.ts";
import { envoy } from "./systems/envoy.ts";
import { fairlead, fairleadExists } from "./systems/fairlead.ts";
import { haproxy } from "./systems/haproxy.ts";
import { nghttpx } from "./systems/nghttpx.ts";
import type { Chain, System } from "./systems/system.ts";
import { installEnvoy, installPrograms, root } from "./tools.ts";

const SYSTEMS: readonly System[] = [fairlead, haproxy, nghttpx, envoy];
const HAPROXY = haproxy.name;
const ENVOY = envoy.name;
const DIRECT = "direct";
const RATE = 2000;
/** Proxies of one node over which file pages are shared (goals P9). */
const NODE_PROXIES = 20;

type Plan = {
  readonly repeats: number;
  readonly saturationSeconds: number;
  readonly rateSeconds: number;
  readonly bodySeconds: number;
  readonly bodyRepeats: number;
  readonly latencySeconds: number;
  readonly latencyRepeats: number;
};
const QUICK: Plan = {
  repeats: 3,
  saturationSeconds: 2,
  rateSeconds: 3,
  bodySeconds: 2,
  bodyRepeats: 2,
  latencySeconds: 2,
  latencyRepeats: 2,
};
const FULL: Plan = {
  repeats: 5,
  saturationSeconds: 6,
  rateSeconds: 10,
  bodySeconds: 5,
  bodyRepeats: 5,
  latencySeconds: 10,
  latencyRepeats: 5,
};

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    only: { type: "string" },
    repeats: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const USAGE = `npm run bench -- [--quick] [--json] [--only NAME,...] [--repeats N]
  --quick      shorter runs, 3 repeats; about two minutes
  --json       the rows as JSON on standard output, progress on standard error
  --only       of ${SYSTEMS.map((system) => system.name).join(", ")}
  --repeats    repeats of each cell (default 5, quick 3)`;

const say = (line: string): void => console.error(line);

async function bench(): Promise<number> {
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  const names = flags.only?.split(",") ?? SYSTEMS.map((system) => system.name);
  const unknown = names.find((name) => !SYSTEMS.some((system) => system.name === name));
  const repeats = flags.repeats === undefined ? undefined : Number(flags.repeats);
  if (unknown !== undefined || (repeats !== undefined && !(Number.isInteger(repeats) && repeats > 0))) {
    say(
      unknown !== undefined
        ? `--only: unknown system ${JSON.stringify(unknown)}`
        : `--repeats: ${JSON.stringify(flags.repeats)} is not a number above 0`,
    );
    say(USAGE);
    return 2;
  }
  if (process.getuid?.() !== 0) {
    say("Network namespaces need root: run as root.");
    return 1;
  }
  const wanted = SYSTEMS.filter((system) => names.includes(system.name)).filter((system) => {
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
      ...(wanted.includes(haproxy) ? ["haproxy"] : []),
      ...(wanted.includes(nghttpx) ? ["nghttpx"] : []),
    ],
    say,
  );
  if (wanted.includes(envoy)) installEnvoy(say);

  const lab = new Lab({ cores: availableParallelism() });
  const stop = (): void => {
    void lab.close().then(() => process.exit(130));
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    const rows = await measureAll(lab, wanted, plan);
    const document = {
      started: new Date().toISOString(),
      mode: flags.quick ? "quick" : "full",
      command: `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim(),
      machine: `${availableParallelism()} × ${cpus()[0]?.model ?? "?"}`,
      versions: Object.fromEntries(wanted.map((system) => [system.name, system.version()])),
      rows: rows.map(({ row }) => row),
    };
    mkdirSync(join(root, "bench", "results"), { recursive: true });
    const file = join("bench", "results", `${document.mode}.json`);
    await Bun.write(join(root, file), `${JSON.stringify(document, null, 2)}\n`);
    if (flags.json) console.log(JSON.stringify(document.rows));
    else {
      console.log(
        table(
          rows,
          wanted.map((system) => system.name),
        ),
      );
      for (const { row } of rows)
        for (const [name, detail] of Object.entries(row.detail))
          if (detail.faults.length > 0) console.log(`${row.id} ${name}: ${detail.faults.length} run(s) void: ${detail.faults[0]}`);
      console.log(`Kept in ${file}.`);
    }
    return 0;
  } finally {
    await lab.close();
  }
}

type Entry = { row: Row; bar: readonly Bound[]; goal: readonly Bound[] };

async function measureAll(lab: Lab, systems: readonly System[], plan: Plan): Promise<Entry[]> {
  const authority = await Authority.create();
  const chains = new Map<string, Chain>();
  for (const system of systems) {
    const pods = lab.pods(system.name.slice(0, 8));
    await lab.startServer(pods.server);
    lab.redirect(pods.client);
    lab.redirect(pods.server);
    const chain = await system.start(lab, authority, pods);
    await waitForAnswer(lab, chain, 30_000);
    const wrong = system.check?.(lab, chain) ?? null;
    if (wrong !== null) throw new Error(`${system.name}: ${wrong}`);
    chains.set(system.name, chain);
    say(`${system.name} ${system.version()} answers`);
  }
  if (chains.has(FAIRLEAD)) {
    // With its node full, as a proxy is.
    await fairlead.fill(lab, authority, NODE_PROXIES - 2);
    await Bun.sleep(5000);
  }
  const idle = memories(chains);
  const starts = chains.has(FAIRLEAD) ? await fairlead.startTimes(lab, authority, 5) : [];
  for (const [name, chain] of chains) {
    say(`${name}: warming up`);
    await saturation(lab, chain, 2);
  }
  const atRate = await interleave("2,000 rps", chains, plan.repeats, (chain) => rate(lab, chain, plan.rateSeconds, RATE));
  const afterRate = memories(chains);
  const saturated = await interleave("saturation", chains, plan.repeats, (chain) => saturation(lab, chain, plan.saturationSeconds));
  const late = await latencies(lab, chains, saturated, plan);
  const withBodies = await interleave("1 MB bodies", chains, plan.bodyRepeats, (chain) => bodies(lab, chain, plan.bodySeconds));
  const afterBodies = memories(chains);

  const entries: Entry[] = [];
  const cost = (about: Parameters<typeof costRow>[0], cells: ReadonlyMap<string, readonly Cell[]>): void => {
    entries.push({ row: costRow(about, cells), bar: about.bar, goal: about.goal });
  };
  const size = (id: string, what: string, values: Record<string, number>, bar: number, goal: number): void => {
    const about = { id, what, unit: "MB PSS", bar: [{ max: bar }], goal: [{ max: goal }] };
    entries.push({ row: rowOf(about, values), bar: about.bar, goal: about.goal });
  };
  const unit = "CPU µs/request/proxy";
  cost(
    {
      id: "P1",
      what: "saturation",
      unit,
      bar: [
        { peer: ENVOY, max: 0.5 },
        { peer: HAPROXY, max: 1.7 },
      ],
      goal: [
        { peer: ENVOY, max: 0.26 },
        { peer: HAPROXY, max: 1 },
      ],
    },
    saturated,
  );
  cost({ id: "P2", what: "2,000 requests/s", unit, bar: [{ peer: ENVOY, max: 0.9 }], goal: [{ peer: HAPROXY, max: 0.9 }] }, atRate);
  for (const quantile of ["p50", "p99", "p999"] as const) {
    const about = {
      id: "P5",
      what: `added ${quantile.replace("999", "99.9")} at ${late.rate} rps`,
      unit: "µs",
      bar: [{ peer: HAPROXY, max: 1.5 }],
      goal: [{ peer: HAPROXY, max: 1 }],
    };
    entries.push({ row: rowOf(about, late.added(quantile)), bar: about.bar, goal: about.goal });
  }
  const megabyte = 1.048576;
  cost(
    {
      id: "P6",
      what: "1 MB bodies",
      unit: "CPU ms/MB, both",
      bar: [{ peer: ENVOY, max: 1 }],
      goal: [{ peer: ENVOY, max: 0.7 }],
      scale: (cell) => (cell.a + cell.b) / 1000 / megabyte,
    },
    withBodies,
  );
  size("P9", `memory, idle (${NODE_PROXIES} on the node)`, idle, 12, 6);
  size("P9", "memory, after 2,000 rps", afterRate, 20, 8);
  size("P9", "memory, after 1 MB bodies", afterBodies, 40, 20);
  if (starts.length > 0) {
    const about = { id: "P12", what: "start until ready with identity", unit: "ms", bar: [{ max: 300 }], goal: [{ max: 100 }] };
    entries.push({ row: rowOf(about, { [FAIRLEAD]: median(starts) }), bar: about.bar, goal: about.goal });
  }
  return entries;
}

/** Latency over that of the same request without proxies, at half of what the slowest system can take. */
async function latencies(
  lab: Lab,
  chains: ReadonlyMap<string, Chain>,
  saturated: ReadonlyMap<string, readonly Cell[]>,
  plan: Plan,
): Promise<{ rate: number; added(quantile: "p50" | "p99" | "p999"): Record<string, number> }> {
  const most = [...saturated.values()].map((cells) => median(cells.filter((cell) => cell.faults.length === 0).map((cell) => cell.rate)));
  const requestsPerSecond = Math.max(100, Math.floor(Math.min(...most.filter(Number.isFinite)) / 200) * 100);
  const pods = lab.pods("direct");
  await lab.startServer(pods.server);
  await Bun.sleep(500);
  const all = new Map<string, Latency[]>();
  for (let i = 0; i < plan.latencyRepeats; i++)
    for (const [name, client, ip] of [
      [DIRECT, pods.client, pods.server.ip] as const,
      ...[...chains].map(([name, chain]) => [name, chain.client, chain.service] as const),
    ]) {
      const result = await latency(lab, client, ip, plan.latencySeconds, requestsPerSecond);
      say(
        `latency ${i + 1}/${plan.latencyRepeats}  ${name.padEnd(12)} ${Math.round(result.p50)} / ${Math.round(result.p99)} / ${Math.round(result.p999)} µs at ${requestsPerSecond} rps${result.faults.map((fault) => `  void: ${fault}`).join("")}`,
      );
      if (result.faults.length === 0) all.set(name, [...(all.get(name) ?? []), result]);
    }
  return {
    rate: requestsPerSecond,
    added(quantile) {
      const of = (name: string): number => median((all.get(name) ?? []).map((result) => result[quantile]));
      return Object.fromEntries([...chains.keys()].filter((name) => all.has(name)).map((name) => [name, of(name) - of(DIRECT)]));
    },
  };
}

function memories(chains: ReadonlyMap<string, Chain>): Record<string, number> {
  return Object.fromEntries([...chains].map(([name, chain]) => [name, memoryOf(chain).pss]));
}

/** A/B/A/B: every system once, then again. */
async function interleave(
  what: string,
  chains: ReadonlyMap<string, Chain>,
  repeats: number,
  run: (chain: Chain) => Promise<Cell>,
): Promise<Map<string, Cell[]>> {
  const cells = new Map<string, Cell[]>([...chains.keys()].map((name) => [name, []]));
  for (let i = 0; i < repeats; i++)
    for (const [name, chain] of chains) {
      const cell = await run(chain);
      cells.get(name)?.push(cell);
      const note = cell.faults.length > 0 ? `  void: ${cell.faults.join("; ")}` : "";
      say(
        `${what} ${i + 1}/${repeats}  ${name.padEnd(12)} ${cell.a.toFixed(1).padStart(7)} + ${cell.b.toFixed(1).padStart(6)} µs  ${Math.round(cell.rate)} rps  generator ${Math.round(cell.generatorShare * 100)} %${note}`,
      );
    }
  return cells;
}

process.exitCode = await bench();
