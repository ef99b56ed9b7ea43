// From cells to the table of goals: medians, ratios, verdicts.
import type { Cell } from "./measure.ts";
import { median, spread } from "./statistics.ts";

export const FAIRLEAD = "fairlead";

/** One line of the table. `fairlead`: null when it was not measured. */
export type Row = {
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  readonly fairlead: number | null;
  readonly peers: Readonly<Record<string, number>>;
  /** Fairlead's value divided by the peer's. */
  readonly ratio: Readonly<Record<string, number>>;
  readonly bar: string;
  readonly goal: string;
  /** Of each system: proxy A and B, requests a second, half the range of the repeats as a share of the median, runs that do not count. */
  readonly detail: Readonly<
    Record<
      string,
      {
        readonly a: number;
        readonly b: number;
        readonly rate: number;
        readonly spread: number;
        readonly repeats: number;
        readonly faults: readonly string[];
      }
    >
  >;
};

/** A bound on a ratio to a peer, or on the value itself. */
export type Bound = { readonly peer?: string; readonly max: number };

export function describeBounds(bounds: readonly Bound[]): string {
  return bounds.map(({ peer, max }) => (peer === undefined ? `≤ ${max}` : `≤ ${max}× ${peer}`)).join(", ");
}

/** Whether all bounds hold; null when something needed was not measured. */
export function holds(row: Pick<Row, "fairlead" | "ratio">, bounds: readonly Bound[]): boolean | null {
  let known = true;
  for (const { peer, max } of bounds) {
    const value = peer === undefined ? row.fairlead : row.ratio[peer];
    if (value === null || value === undefined) known = false;
    else if (value > max) return false;
  }
  return known ? true : null;
}

/** A row of CPU per request and proxy: the mean of A and B. `scale`: from µs per request to the row's unit. */
export function costRow(
  about: { id: string; what: string; unit: string; bar: readonly Bound[]; goal: readonly Bound[]; scale?: (cell: Cell) => number },
  cells: ReadonlyMap<string, readonly Cell[]>,
): Row {
  const scale = about.scale ?? ((cell) => (cell.a + cell.b) / 2);
  const values: Record<string, number> = {};
  const detail: Record<string, Row["detail"][string]> = {};
  for (const [name, all] of cells) {
    const good = all.filter((cell) => cell.faults.length === 0);
    const faults = all.flatMap((cell) => cell.faults);
    if (good.length > 0) values[name] = median(good.map(scale));
    detail[name] = {
      a: median(good.map((cell) => cell.a)),
      b: median(good.map((cell) => cell.b)),
      rate: median(good.map((cell) => cell.rate)),
      spread: spread(good.map(scale)),
      repeats: good.length,
      faults,
    };
  }
  return rowOf(about, values, detail);
}

export function rowOf(
  about: { id: string; what: string; unit: string; bar: readonly Bound[]; goal: readonly Bound[] },
  values: Readonly<Record<string, number>>,
  detail: Row["detail"] = {},
): Row {
  const { [FAIRLEAD]: own, ...peers } = values;
  const ratio = own === undefined ? {} : Object.fromEntries(Object.entries(peers).map(([name, value]) => [name, own / value]));
  return {
    id: about.id,
    what: about.what,
    unit: about.unit,
    fairlead: own ?? null,
    peers,
    ratio,
    bar: describeBounds(about.bar),
    goal: describeBounds(about.goal),
    detail,
  };
}

/** The table as text. */
export function table(rows: readonly { row: Row; bar: readonly Bound[]; goal: readonly Bound[] }[], systems: readonly string[]): string {
  const digits = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
  const cell = (row: Row, name: string): string => {
    const value = name === FAIRLEAD ? row.fairlead : row.peers[name];
    if (value === null || value === undefined) return (row.detail[name]?.faults.length ?? 0) > 0 ? "void" : "–";
    const detail = row.detail[name];
    const pair = detail === undefined ? "" : ` (${digits(detail.a)} + ${digits(detail.b)} µs, ±${Math.round(detail.spread * 100)} %)`;
    const ratio = row.ratio[name];
    return `${digits(value)}${pair}${ratio === undefined ? "" : `, ${ratio.toFixed(2)}×`}`;
  };
  const verdict = ({ row, bar, goal }: { row: Row; bar: readonly Bound[]; goal: readonly Bound[] }): string =>
    holds(row, goal) === true ? "goal met" : holds(row, bar) === true ? "bar met" : holds(row, bar) === false ? "bar missed" : "";
  const lines = [["", "measure", "unit", ...systems, "bar", "goal", ""]];
  for (const entry of rows) {
    const { row } = entry;
    lines.push([row.id, row.what, row.unit, ...systems.map((name) => cell(row, name)), row.bar, row.goal, verdict(entry)]);
  }
  const widths = (lines[0] as string[]).map((_, column) => Math.max(...lines.map((line) => (line[column] as string).length)));
  return lines
    .map((line) =>
      line
        .map((text, column) => text.padEnd(widths[column] as number))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
