// In which form an answer goes out: JSON or YAML; whole objects, a Table, or metadata alone.
import { stringify } from "yaml";
import { notAcceptable } from "./status.ts";

export interface Format {
  as: "object" | "table" | "metadata";
  yaml: boolean;
}

const supported = ["application/json", "application/yaml"];
const plain: Format = { as: "object", yaml: false };

/** The first form in `accept` that this server has. @throws {ApiError} 406. */
export function negotiate(accept: string | undefined): Format {
  if (accept === undefined || accept === "" || accept === "application/json" || accept === "*/*") return plain;
  for (const clause of accept.split(",")) {
    const [media = "", ...parameters] = clause.split(";").map((part) => part.trim());
    const values = new Map(parameters.map((parameter) => parameter.split("=", 2) as [string, string]));
    const json = media === "application/json" || media === "*/*" || media === "application/*";
    const yaml = media === "application/yaml" || media === "text/yaml";
    if (!json && !yaml) continue;
    const as = values.get("as");
    if (as === undefined) return { as: "object", yaml };
    if (values.get("g") !== "meta.k8s.io" || values.get("v") !== "v1") continue;
    if (as === "Table") return { as: "table", yaml };
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return { as: "metadata", yaml };
  }
  throw notAcceptable(supported);
}

export function render(value: unknown, { yaml }: Format): { body: string; type: string } {
  return yaml ? { body: stringify(value), type: "application/yaml" } : { body: JSON.stringify(value), type: "application/json" };
}
