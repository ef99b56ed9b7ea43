// From cells to the table of goals: medians, ratios, verdicts.
import type { Cell } from "./measure.ts";
import { median, spread } from "./statistics.ts";

export const FAIRLEAD = "fairlead";

/** Of one system in one row. */
export type Detail = {
  /** CPU µs of proxy A and of proxy B per request. */
  readonly a?: number;
  readonly b?: number;
  /** Requests a second. */
  readonly rate?: number;
  /** Half the range of the repeats, as a share of the median. */
  readonly spread: number;
  /** That count. */
  readonly repeats: number;
  /** Why the others do not. */
  readonly faults: readonly string[];
};

/** One line of the table. `fairlead`: null when it was not measured. */
export type Row = {
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  readonly fairlead: number | null;
  /** Other systems, or Fairlead under other conditions. */
  readonly peers: Readonly<Record<string, number>>;
  /** Fairlead's value divided by the peer's. */
  readonly ratio: Readonly<Record<string, number>>;
  readonly bar: string;
  readonly goal: string;
  /** null: there is none, or something needed was not measured. */
  readonly barMet: boolean | null;
  readonly goalMet: boolean | null;
  readonly detail: Readonly<Record<string, Detail>>;
};

/** A bound on a ratio to a peer, or on the value itself. */
export type Bound = { readonly peer?: string; readonly max: number } | { readonly min: number };

export type About = {
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  readonly bar?: readonly Bound[];
  readonly goal?: readonly Bound[];
};

export function describeBounds(bounds: readonly Bound[]): string {
  return bounds
    .map((bound) => ("min" in bound ? `≥ ${bound.min}` : bound.peer === undefined ? `≤ ${bound.max}` : `≤ ${bound.max}× ${bound.peer}`))
    .join(", ");
}

/** Whether all bounds hold; null when there is none, or something needed was not measured. */
export function holds(row: Pick<Row, "fairlead" | "ratio">, bounds: readonly Bound[]): boolean | null {
  let known = bounds.length > 0;
  for (const bound of bounds) {
    const value = "min" in bound || bound.peer === undefined ? row.fairlead : row.ratio[bound.peer];
    if (value === null || value === undefined) known = false;
    else if ("min" in bound ? value < bound.min : value > bound.max) return false;
  }
  return known ? true : null;
}

/** A row of CPU per request and proxy: the mean of A and B. `scale`: from a cell to the row's unit. */
export function costRow(about: About & { readonly scale?: (cell: Cell) => number }, cells: ReadonlyMap<string, readonly Cell[]>): Row {
  const scale = about.scale ?? ((cell) => (cell.a + cell.b) / 2);
  const values: Record<string, number> = {};
  const detail: Record<string, Detail> = {};
  for (const [name, all] of cells) {
    const good = all.filter((cell) => cell.faults.length === 0);
    if (good.length > 0) values[name] = median(good.map(scale));
    detail[name] = {
      a: median(good.map((cell) => cell.a)),
      b: median(good.map((cell) => cell.b)),
      rate: median(good.map((cell) => cell.rate)),
      spread: spread(good.map(scale)),
      repeats: good.length,
      faults: all.flatMap((cell) => cell.faults),
    };
  }
  return rowOf(about, values, detail);
}

/** A row of plain numbers, several of each system. */
export function valuesRow(
  about: About,
  samples: ReadonlyMap<string, readonly number[]>,
  faults: ReadonlyMap<string, readonly string[]> = new Map(),
): Row {
  const values: Record<string, number> = {};
  const detail: Record<string, Detail> = {};
  for (const [name, all] of samples) {
    if (all.length > 0) values[name] = median(all);
    detail[name] = { spread: spread(all), repeats: all.length, faults: faults.get(name) ?? [] };
  }
  return rowOf(about, values, detail);
}

export function rowOf(about: About, values: Readonly<Record<string, number>>, detail: Row["detail"] = {}): Row {
  const { [FAIRLEAD]: own, ...peers } = values;
  const ratio = own === undefined ? {} : Object.fromEntries(Object.entries(peers).map(([name, value]) => [name, own / value]));
  const { bar = [], goal = [] } = about;
  const row = { fairlead: own ?? null, ratio };
  return {
    id: about.id,
    what: about.what,
    unit: about.unit,
    ...row,
    peers,
    bar: describeBounds(bar),
    goal: describeBounds(goal),
    barMet: holds(row, bar),
    goalMet: holds(row, goal),
    detail,
  };
}

/** The table as text. Peers that are no system of the run stand under Fairlead. */
export function table(rows: readonly Row[], systems: readonly string[]): string {
  const lines = [["", "measure", "unit", ...systems, "release bar", "goal", ""]];
  for (const row of rows)
    lines.push([row.id, row.what, row.unit, ...systems.map((name) => cellText(row, name, systems)), row.bar, row.goal, verdict(row)]);
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

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function cellText(row: Row, name: string, systems: readonly string[]): string {
  const value = name === FAIRLEAD ? row.fairlead : row.peers[name];
  const detail = row.detail[name];
  if (value === null || value === undefined) return (detail?.faults.length ?? 0) > 0 ? "void" : "–";
  const remarks: string[] = [];
  if (detail?.a !== undefined && detail.b !== undefined) remarks.push(`${digits(detail.a)} + ${digits(detail.b)} µs`);
  if (detail !== undefined && detail.repeats > 1) remarks.push(`±${Math.round(detail.spread * 100)} %`);
  const others = name !== FAIRLEAD ? [] : Object.entries(row.peers).filter(([peer]) => !systems.includes(peer));
  for (const [peer, other] of others) remarks.push(`${peer} ${digits(other)}: ${row.ratio[peer]?.toFixed(2)}×`);
  const ratio = row.ratio[name];
  return `${digits(value)}${remarks.length === 0 ? "" : ` (${remarks.join(", ")})`}${ratio === undefined ? "" : `, ${ratio.toFixed(2)}×`}`;
}

function verdict({ barMet, goalMet }: Row): string {
  const word = (met: boolean | null, what: string): string => (met === null ? "" : `${what} ${met ? "met" : "missed"}`);
  return [word(barMet, "bar"), word(goalMet, "goal")].filter(Boolean).join(", ");
}
