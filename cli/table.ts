// Plain-text tables as the reference prints them (spec cli §1.8).

export type Align = "left" | "right";

/** Each cell padded to its column and followed by two spaces, the last one too. */
export function paddedTable(header: readonly string[], rows: readonly (readonly string[])[], align: readonly Align[] = []): string {
  const widths = columnWidths([header, ...rows]);
  const line = (cells: readonly string[]) =>
    `${cells.map((cell, i) => `${align[i] === "left" ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)}  `).join("")}\n`;
  return [header, ...rows].map(line).join("");
}

/** Left-aligned columns, three spaces between them, none at the end of a line. */
export function leftTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columnWidths([header, ...rows]);
  const line = (cells: readonly string[]) =>
    `${cells
      .map((cell, i) => cell.padEnd(widths[i] as number))
      .join("   ")
      .trimEnd()}\n`;
  return [header, ...rows].map(line).join("");
}

function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  return widths;
}
