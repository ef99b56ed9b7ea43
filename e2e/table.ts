// The live table of the demo: one row an edge.
import { type Edge, quantile } from "./edges.ts";

const HEADER = ["CLIENT", "SERVER", "SECURED", "SUCCESS", "RPS", "P50", "P95", "P99"];

/** `seconds` is the time in which the edges' counts came about. */
export function edgeTable(edges: readonly Edge[], seconds: number): string {
  const rows = edges.map((edge) => {
    const total = edge.successes + edge.failures;
    const latency = (q: number) => {
      const ms = quantile(edge.buckets, q);
      return ms === null ? "-" : `${Math.round(ms)}ms`;
    };
    const success = total === 0 ? "-" : `${((edge.successes / total) * 100).toFixed(2)}%`;
    return [
      short(edge.client),
      edge.server,
      edge.secured,
      success,
      `${(total / seconds).toFixed(1)}rps`,
      latency(0.5),
      latency(0.95),
      latency(0.99),
    ];
  });
  const widths = HEADER.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] as string).length)));
  return [HEADER, ...rows]
    .map(
      (row) =>
        `${row
          .map((cell, i) => (i < 3 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
          .join("   ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** `web.emojivoto` of `web.emojivoto.serviceaccount.identity.linkerd.cluster.local`. */
function short(identity: string): string {
  return identity.replace(/\.serviceaccount\.identity\..*$/, "");
}
