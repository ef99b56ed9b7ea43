// HTTP/1 through two proxies: CPU per request as fast as it goes (P1) and at a low rate (P2), added latency (P5), CPU of large
// bodies (P6), and memory idle and after each (P9).
import { bodies, type Cell, type Latency, latency, memoryOf, rate, saturation } from "../measure.ts";
import { type About, costRow, FAIRLEAD, type Row, rowOf, valuesRow } from "../report.ts";
import { type Chains, interleaveCells, type Measure, type Run, warmUp, withChains } from "../run.ts";
import { median } from "../statistics.ts";
import { envoy } from "../systems/envoy.ts";
import { haproxy } from "../systems/haproxy.ts";
import type { Chain } from "../systems/system.ts";

const ENVOY = envoy.name;
const HAPROXY = haproxy.name;
const DIRECT = "direct";
const QUIET = "quiet";
const RATE = 2000;
/** Proxies like these on one node: of what they share each counts a part. */
const NODE_PROXIES = 20;
/** After a load, until memory is read. */
const SETTLE_MS = 6000;
const QUANTILES = ["p50", "p99", "p999"] as const;
type Quantile = (typeof QUANTILES)[number];
const quantileName = (quantile: Quantile): string => quantile.replace("999", "99.9");

const UNIT = "CPU µs/request/proxy";
const SATURATION: About = {
  id: "P1",
  what: "saturation",
  unit: UNIT,
  bar: [
    { peer: ENVOY, max: 0.5 },
    { peer: HAPROXY, max: 1.7 },
  ],
  goal: [
    { peer: ENVOY, max: 0.26 },
    { peer: HAPROXY, max: 1 },
  ],
};
const AT_RATE: About = {
  id: "P2",
  what: "2,000 requests/s",
  unit: UNIT,
  bar: [{ peer: ENVOY, max: 0.9 }],
  goal: [{ peer: HAPROXY, max: 0.9 }],
};
const BODIES: About = {
  id: "P6",
  what: "1 MB bodies",
  unit: "CPU ms/MB, both",
  bar: [{ peer: ENVOY, max: 1 }],
  goal: [{ peer: ENVOY, max: 0.7 }],
};
/** Until a proxy that compiles as it goes has compiled what large bodies need. */
const WARM_BODIES_SECONDS = 10;
/** The first requests after a long pause are another question (README). */
const WARM_LATENCY_SECONDS = 1;
const MEGABYTE = 1.048576;

export const http1: Measure = {
  ids: ["P1", "P2", "P5", "P6", "P9"],
  measure: (run, wanted) =>
    withChains(run, run.systems, "http1", async (chains) => {
      const { lab, plan, say } = run;
      const wants = (...ids: string[]): boolean => ids.some((id) => wanted.has(id));
      const rows: Row[] = [];
      const memories: [what: string, bar: number, goal: number, values: Record<string, number>][] = [];
      const remember = async (what: string, bar: number, goal: number): Promise<void> => {
        if (!wants("P9")) return;
        await Bun.sleep(SETTLE_MS);
        const pss = (chain: Chain): number => {
          const { rss, own } = memoryOf(chain);
          return own + (rss - own) / NODE_PROXIES;
        };
        memories.push([what, bar, goal, Object.fromEntries([...chains].map(([name, chain]) => [name, pss(chain)]))]);
      };
      await remember(`memory, idle (${NODE_PROXIES} on the node)`, 12, 6);
      say("warming up");
      await warmUp(run, chains, "http1", 2);
      if (wants("P2", "P9")) {
        const cells = await interleaveCells(run, "2,000 rps", chains, plan.repeats, (chain) => rate(lab, chain, plan.rateSeconds, RATE));
        if (wants("P2")) rows.push(costRow(AT_RATE, cells));
        await remember("memory, after 2,000 rps", 20, 8);
      }
      if (wants("P1", "P3", "P5")) {
        const cells = await interleaveCells(run, "saturation", chains, plan.repeats, (chain) =>
          saturation(lab, chain, plan.saturationSeconds),
        );
        if (wants("P1")) rows.unshift(costRow(SATURATION, cells));
        if (wants("P1")) rows.push(kernelRow(cells));
        if (wants("P5")) rows.push(...(await latencies(run, chains, halfOfSlowest(cells))));
      }
      if (wants("P6", "P9")) {
        say("warming up");
        for (const chain of chains.values()) await bodies(lab, chain, WARM_BODIES_SECONDS);
        const cells = await interleaveCells(run, "1 MB bodies", chains, plan.repeats, (chain) => bodies(lab, chain, plan.bodySeconds));
        if (wants("P6")) rows.push(costRow({ ...BODIES, scale: (cell) => (cell.a + cell.b) / 1000 / MEGABYTE }, cells));
        await remember("memory, after 1 MB bodies", 40, 20);
      }
      for (const [what, bar, goal, values] of memories)
        rows.push(rowOf({ id: "P9", what, unit: "MB PSS", bar: [{ max: bar }], goal: [{ max: goal }] }, values));
      return rows;
    }),
};

/** Where the time of P1 goes: the kernel's part is system calls, TCP and the wire; the rest is the proxy's. */
function kernelRow(cells: ReadonlyMap<string, readonly Cell[]>): Row {
  return costRow({ id: "P3", what: "kernel's part of P1", unit: "%", scale: (cell) => cell.kernelShare * 100 }, cells);
}

function halfOfSlowest(cells: ReadonlyMap<string, readonly Cell[]>): number {
  const most = [...cells.values()].map((all) => median(all.filter((cell) => cell.faults.length === 0).map((cell) => cell.rate)));
  return Math.max(100, Math.floor(Math.min(...most.filter(Number.isFinite)) / 200) * 100);
}

/** Latency over that of the same request without proxies; then Fairlead's while endpoints come and go, beside its own when they do not. */
async function latencies(run: Run, chains: Chains, requestsPerSecond: number): Promise<Row[]> {
  const { lab, plan, say } = run;
  const pods = lab.pods(DIRECT);
  await lab.startServer(pods.server);
  await Bun.sleep(500);
  const samples = new Map<string, Latency[]>();
  const faults = new Map<string, string[]>();
  const take = async (name: string, client: typeof pods.client, ip: string, turn: number): Promise<void> => {
    await latency(lab, client, ip, WARM_LATENCY_SECONDS, requestsPerSecond);
    const result = await latency(lab, client, ip, plan.latencySeconds, requestsPerSecond);
    say(
      `latency ${turn}/${plan.repeats}  ${name.padEnd(12)} ${Math.round(result.p50)} / ${Math.round(result.p99)} / ${Math.round(result.p999)} µs at ${requestsPerSecond} rps${result.faults.map((fault) => `  void: ${fault}`).join("")}`,
    );
    if (result.faults.length === 0) samples.set(name, [...(samples.get(name) ?? []), result]);
    else faults.set(name, [...(faults.get(name) ?? []), ...result.faults]);
  };
  for (let turn = 1; turn <= plan.repeats; turn++) {
    await take(DIRECT, pods.client, pods.server.ip, turn);
    for (const [name, chain] of chains) await take(name, chain.client, chain.service, turn);
  }
  const own = chains.get(FAIRLEAD);
  const controlPlane = own?.controlPlane;
  const CHURN = "churn";
  if (own !== undefined && controlPlane !== undefined)
    for (let turn = 1; turn <= plan.repeats; turn++) {
      await take(QUIET, own.client, own.service, turn);
      process.kill(controlPlane, "SIGUSR2");
      await take(CHURN, own.client, own.service, turn);
      process.kill(controlPlane, "SIGUSR2");
    }
  await lab.remove([pods.client, pods.server]);
  const added = (names: readonly string[], quantile: Quantile, as: (name: string) => string): Map<string, number[]> => {
    const direct = median((samples.get(DIRECT) ?? []).map((result) => result[quantile]));
    return new Map(names.map((name) => [as(name), (samples.get(name) ?? []).map((result) => result[quantile] - direct)]));
  };
  const rows = QUANTILES.map((quantile) =>
    valuesRow(
      {
        id: "P5",
        what: `added ${quantileName(quantile)} at ${requestsPerSecond} rps`,
        unit: "µs",
        bar: [{ peer: HAPROXY, max: 1.5 }],
        goal: [{ peer: HAPROXY, max: 1 }],
      },
      added([...chains.keys()], quantile, (name) => name),
      faults,
    ),
  );
  if (controlPlane !== undefined)
    for (const quantile of QUANTILES)
      rows.push(
        valuesRow(
          {
            id: "P5",
            what: `added ${quantileName(quantile)}, endpoints changing 10/s`,
            unit: "µs",
            goal: [{ peer: QUIET, max: 1.1 }],
          },
          added([CHURN, QUIET], quantile, (name) => (name === CHURN ? FAIRLEAD : name)),
          new Map([[FAIRLEAD, faults.get(CHURN) ?? []]]),
        ),
      );
  return rows;
}
