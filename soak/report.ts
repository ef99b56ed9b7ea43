// A soak's result for people.
import { SIDES } from "./mesh.ts";
import type { SoakResult } from "./soak.ts";

export function reportText(result: SoakResult & { readonly started: string; readonly command: string; readonly machine: string }): string {
  const { load, events } = result;
  const lines = [
    `${result.command}   (${result.started}, ${result.machine})`,
    "",
    `${Math.round(result.seconds)} s; right answers: ${Object.entries(load.right)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(", ")}`,
    `wrong: ${load.errors}; refusals of a client without identity: ${result.refused}`,
    `meanwhile: ${events.churn} instances left and as many came, ${events.policyChanges} policy changes, ${events.restarts} control planes killed, certificates ${result.certificates.a} + ${result.certificates.b}, tap events ${result.tapped.a} + ${result.tapped.b}`,
    `last request to an instance after its removal: ${result.staleMs.median.toFixed(1)} ms (median instance), ${result.staleMs.max.toFixed(1)} ms at most`,
    load.late === 0 ? "" : `${load.late} operations could not begin in time`,
    "",
  ];
  for (const side of SIDES) {
    const { percentPerHour, margin, firstQuarter, lastQuarter } = result.memory[side];
    const { before, after } = result.handles[side];
    const peak = Math.max(...result.samples[side].map((sample) => sample.rss));
    lines.push(
      `proxy ${side}: RSS ${firstQuarter.toFixed(1)} MB in the first quarter, ${lastQuarter.toFixed(1)} in the last, at most ${peak.toFixed(1)}; slope of the second half ${percentPerHour.toFixed(2)} %/h (95 %: ±${margin.toFixed(2)})`,
      `         file descriptors ${before.fds} → ${after.fds}, connections ${before.openConnections} → ${after.openConnections}, requests without an end ${after.liveRequests}`,
    );
  }
  lines.push(
    "",
    result.faults.length === 0 ? "0 faults" : `${result.faults.length} faults:`,
    ...result.faults.map((fault) => `  ${fault}`),
  );
  lines.push(...load.reasons.map(({ kind, message, count, first, last }) => `    ${count} × ${kind}: ${message} (${first} to ${last})`));
  return `${lines.join("\n")}\n`;
}
