// The checks of installed extensions, which their own binaries run (spec cli §4.7).
import { findExtension } from "../extensions.ts";
import type { Io } from "../io.ts";
import type { Outcome } from "./runner.ts";

export type ExtensionRun = {
  readonly io: Io;
  /** Flags handed on, `--name=value` each. */
  readonly flags: readonly string[];
  readonly hintBase: string;
};

/** Runs `fairlead-NAME check`. Its JSON decides; its exit status does not. A missing binary is a warning, an answer that is no JSON a failure. */
export async function runExtensionChecks(name: string, { io, flags, hintBase }: ExtensionRun): Promise<Outcome[]> {
  const category = `linkerd-${name}`;
  const exists = { category, description: `Linkerd extension command linkerd-${name} exists`, hint: `${hintBase}extensions` };
  const binary = findExtension(name, io);
  if (binary === undefined)
    return [{ ...exists, result: "warning", error: `no executable linkerd-${name} or fairlead-${name} found in $PATH` }];
  const present: Outcome = { ...exists, result: "success", error: "" };

  const words = [binary, "check", ...flags, "--output=json"];
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe", env: io.env });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  const results = readResults(stdout);
  if (results) return [present, ...results];
  const error = stderr.trim() !== "" ? stderr.trim() : `invalid extension check output (JSON object expected):\n${stdout.trim()}`;
  return [present, { category, description: `Running: ${words.join(" ")}`, hint: exists.hint, result: "error", error }];
}

/** The outcomes of a report in the form of `check -o json`; undefined for anything else. */
export function readResults(text: string): Outcome[] | undefined {
  let report: unknown;
  try {
    report = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(report) || !Array.isArray(report["categories"] ?? [])) return undefined;
  const outcomes: Outcome[] = [];
  for (const category of (report["categories"] ?? []) as unknown[]) {
    if (!isRecord(category) || !Array.isArray(category["checks"] ?? [])) return undefined;
    for (const check of (category["checks"] ?? []) as unknown[]) {
      if (!isRecord(check) || !isResult(check["result"])) return undefined;
      const text = (field: string) => (typeof check[field] === "string" ? (check[field] as string) : "");
      outcomes.push({
        category: String(category["categoryName"] ?? ""),
        description: text("description"),
        hint: text("hint"),
        error: text("error"),
        result: check["result"],
      });
    }
  }
  return outcomes;
}

function isResult(value: unknown): value is Outcome["result"] {
  return value === "success" || value === "warning" || value === "error";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
