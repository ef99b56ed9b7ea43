// Where Fairlead's time goes (P3): P1 again with one thing left out at a time. Metrics cannot be left out: they have no switch.
import { saturation } from "../measure.ts";
import { costRow, FAIRLEAD } from "../report.ts";
import { interleaveCells, type Measure, warmUp, withChains } from "../run.ts";
import { fairlead, fairleadWithout } from "../systems/fairlead.ts";

const POLICY_OFF = "policy off";
const DETECTION_FIXED = "HTTP/2 declared";
const BYTES = "opaque";

export const explained: Measure = {
  ids: ["P3"],
  async measure(run) {
    const { lab, plan } = run;
    if (!run.systems.includes(fairlead)) return [];
    const http = [
      fairlead,
      fairleadWithout(POLICY_OFF, "http1", { policy: true }),
      fairleadWithout(DETECTION_FIXED, "http1", { inboundDetection: true }),
    ];
    return withChains(run, http, "http1", (httpChains) =>
      withChains(run, [fairleadWithout(BYTES, "tcp", {})], "tcp", async (tcpChains) => {
        const chains = new Map([...httpChains, ...tcpChains]);
        await warmUp(run, chains, "http1", 1);
        const cells = await interleaveCells(run, "explained", chains, plan.repeats, (chain) => saturation(lab, chain, plan.otherSeconds));
        const row = (what: string, name: string) =>
          costRow(
            { id: "P3", what, unit: "CPU µs/request/proxy" },
            new Map([
              [FAIRLEAD, cells.get(name) ?? []],
              ["P1", cells.get(FAIRLEAD) ?? []],
            ]),
          );
        return [
          row("P1, default policy, no controller", POLICY_OFF),
          row("P1, HTTP/2 declared, everyone let in", DETECTION_FIXED),
          row("P1's bytes as opaque TCP", BYTES),
        ];
      }),
    );
  },
};
