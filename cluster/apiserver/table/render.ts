// Objects as a meta.k8s.io/v1 Table, and as metadata alone.
import type { ApiObject, TablePrinter } from "../kinds/resource.ts";

/** What a row carries of its object, by `includeObject`. */
export type IncludeObject = "None" | "Metadata" | "Object";

export function tableRow(object: ApiObject, printer: TablePrinter, nowMs: number, include: IncludeObject): Record<string, unknown> {
  let cells: unknown[];
  try {
    cells = printer.cells(object, nowMs);
  } catch {
    // An object of a shape nobody thought of must not cost the others their rows.
    cells = printer.columns.map(({ format }) => (format === "name" ? object.metadata.name : "<invalid>"));
  }
  return {
    cells,
    ...(include === "None" ? {} : { object: include === "Object" ? object : partialMetadata(object) }),
  };
}

export function table(
  objects: readonly ApiObject[],
  printer: TablePrinter,
  nowMs: number,
  { include, listMeta, headers }: { include: IncludeObject; listMeta: Record<string, unknown>; headers: boolean },
): Record<string, unknown> {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: listMeta,
    columnDefinitions: headers
      ? printer.columns.map(({ name, type, format = "", description = "", priority }) => ({ name, type, format, description, priority }))
      : null,
    rows: objects.map((object) => tableRow(object, printer, nowMs, include)),
  };
}

export function partialMetadata({ metadata }: ApiObject): Record<string, unknown> {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
}
