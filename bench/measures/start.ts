// From the start of the process until it is ready, with a certificate (P12).
import { FAIRLEAD, valuesRow } from "../report.ts";
import type { Measure } from "../run.ts";
import { fairlead } from "../systems/fairlead.ts";

const REPEATS = 5;

export const start: Measure = {
  ids: ["P12"],
  async measure(run) {
    if (!run.systems.includes(fairlead)) return [];
    const times = await fairlead.startTimes(run.lab, run.authority, REPEATS);
    run.say(`starts  ${times.map(Math.round).join(", ")} ms`);
    const about = { id: "P12", what: "start until ready with identity", unit: "ms", bar: [{ max: 300 }], goal: [{ max: 100 }] };
    return [valuesRow(about, new Map([[FAIRLEAD, times]]))];
  },
};
