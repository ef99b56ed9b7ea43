// What a burst leaves behind (P11): RSS a minute after a hundred times the load, on a hundred times the connections, over RSS before.

import { atRate } from "../load.ts";
import { memoryOf } from "../measure.ts";
import { valuesRow } from "../report.ts";
import { type Measure, withChains } from "../run.ts";
import type { Chain } from "../systems/system.ts";

const BASE_RATE = 20;
const BASE_CONNECTIONS = 4;
const FACTOR = 100;
const BASE_SECONDS = 2;

export const burst: Measure = {
  ids: ["P11"],
  async measure(run) {
    const { lab, plan, systems } = run;
    const ratios = new Map<string, number[]>(systems.map(({ name }) => [name, []]));
    const faults = new Map<string, string[]>();
    const load = async (name: string, chain: Chain, factor: number, seconds: number): Promise<void> => {
      const result = await atRate(lab, chain.client, chain.service, "/", seconds, BASE_RATE * factor, BASE_CONNECTIONS * factor);
      // The base rate is too low for its arrivals to be counted against it.
      if (factor > 1 && result.faults.length > 0) faults.set(name, [...(faults.get(name) ?? []), ...result.faults]);
    };
    // Repeats stand side by side, so that they wait together; each has a chain of its own, as what a burst left is not to be found
    // "before" the next.
    const replicas = Array.from({ length: plan.burstRepeats }, (_, n) =>
      systems.map((system) => ({ ...system, name: `${system.name} ${n + 1}` })),
    );
    await withChains(run, replicas.flat(), "http1", async (chains) => {
      const before = new Map<string, number>();
      const ended = new Map<string, number>();
      for (const [name, chain] of chains) {
        await load(systemOf(name), chain, 1, BASE_SECONDS);
        before.set(name, memoryOf(chain).rss);
        await load(systemOf(name), chain, FACTOR, plan.burstSeconds);
        ended.set(name, performance.now());
        run.say(`burst  ${name.padEnd(12)} ${before.get(name)?.toFixed(0)} → ${memoryOf(chain).rss.toFixed(0)} MB RSS`);
      }
      for (const [name, chain] of chains) {
        await Bun.sleep(Math.max(0, (ended.get(name) ?? 0) + plan.afterBurstSeconds * 1000 - performance.now()));
        const after = memoryOf(chain).rss;
        run.say(`burst  ${name.padEnd(12)} ${after.toFixed(0)} MB RSS ${plan.afterBurstSeconds} s later`);
        if (!faults.has(systemOf(name))) ratios.get(systemOf(name))?.push(after / (before.get(name) ?? Number.NaN));
      }
    });
    const what = `RSS ${plan.afterBurstSeconds} s after a burst`;
    return [valuesRow({ id: "P11", what, unit: "× before", bar: [{ max: 1.5 }], goal: [{ max: 1.1 }] }, ratios, faults)];
  },
};

const systemOf = (replica: string): string => replica.slice(0, replica.lastIndexOf(" "));
