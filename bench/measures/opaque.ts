// Bytes that are not looked into (P7): the 1 MB answers of P6 over ports declared opaque.
import { bodies } from "../measure.ts";
import { costRow } from "../report.ts";
import { interleaveCells, type Measure, withChains } from "../run.ts";
import { envoy } from "../systems/envoy.ts";

const MEGABYTE = 1.048576;

export const opaque: Measure = {
  ids: ["P7"],
  measure: (run) =>
    withChains(
      run,
      run.systems.filter(({ kinds }) => kinds.includes("tcp")),
      "tcp",
      async (chains) => {
        const { lab, plan } = run;
        for (const chain of chains.values()) await bodies(lab, chain, 1);
        const cells = await interleaveCells(run, "opaque TCP", chains, plan.repeats, (chain) => bodies(lab, chain, plan.otherSeconds));
        return [
          costRow(
            {
              id: "P7",
              what: "opaque TCP",
              unit: "CPU ms/MB, both",
              bar: [{ peer: envoy.name, max: 1 }],
              goal: [{ peer: envoy.name, max: 0.8 }],
              scale: (cell) => (cell.a + cell.b) / 1000 / MEGABYTE,
            },
            cells,
          ),
        ];
      },
    ),
};
