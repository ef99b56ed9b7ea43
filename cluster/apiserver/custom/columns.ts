// Printer columns of custom resources: JSONPath cells, dates as ages.
import type { Column, TablePrinter } from "../kinds/resource.ts";
import { age } from "../table/duration.ts";
import { evaluate, JsonPathError, parseJsonPath } from "../table/json-path.ts";
import { defaultPrinter } from "../table/printers.ts";

interface ColumnSpec {
  name: string;
  type: Column["type"];
  format?: string;
  description?: string;
  priority?: number;
  jsonPath: string;
}

/** Name, then the columns declared; name and age when there are none. */
export function apiSpecificPrinter(specs: ColumnSpec[] | undefined): TablePrinter {
  if (!specs?.length) return defaultPrinter;
  const paths = specs.map(({ jsonPath }) => {
    try {
      return parseJsonPath(jsonPath);
    } catch (error) {
      if (error instanceof JsonPathError) return undefined;
      throw error;
    }
  });
  return {
    columns: [
      { name: "Name", type: "string", format: "name", description: "", priority: 0 },
      ...specs.map(({ name, type, format = "", description = "", priority = 0 }) => ({ name, type, format, description, priority })),
    ],
    cells: (object, nowMs) => [
      object.metadata.name,
      ...paths.map((path, index) => {
        const found = path ? evaluate(path, object) : [];
        return cell(found, (specs[index] as ColumnSpec).type, nowMs);
      }),
    ],
  };
}

function cell(found: unknown[], type: Column["type"], nowMs: number): unknown {
  const [value] = found;
  if (value === undefined || value === null) return null;
  switch (type) {
    case "date":
      return age(value, nowMs);
    case "string":
      return found.length > 1 ? found.map(text).join(",") : text(value);
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "integer":
    case "number":
      return typeof value === "number" ? value : null;
    default:
      return type satisfies never;
  }
}

const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
