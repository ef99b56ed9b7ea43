// The published schemas of built-in kinds, read when first needed; the file stays a file in a compiled executable.
import { readFileSync } from "node:fs";
import type { Definitions } from "../schema/type-node.ts";
import path from "./kubernetes.json" with { type: "file" };

export function loadDefinitions(): Definitions {
  return (JSON.parse(readFileSync(path as unknown as string, "utf8")) as { definitions: Definitions }).definitions;
}
