// What `inject` and `uninject` say on standard error when the manifests are out (spec cli §3.4–3.5).
import { injectAnnotation } from "#inject";
import type { Glyphs } from "../io.ts";
import type { Outcome } from "./inject-object.ts";

/** A line of the report: a warning, or with `--verbose` that all is fine. */
type Finding = { readonly fine: string; readonly warning?: (outcomes: readonly Outcome[]) => string | undefined };

const about = (outcomes: readonly Outcome[], is: (outcome: Outcome) => boolean, text: (objects: string) => string) => {
  const objects = outcomes.filter(is).map(({ kind, name }) => `${kind}/${name}`);
  return objects.length > 0 ? text(objects.join(", ")) : undefined;
};

/** In the reference's order. Without `warning`: such an object is refused, and there is no report. */
const findings: readonly Finding[] = [
  { fine: "pods do not use host networking" },
  { fine: "pods do not have a 3rd party proxy or initContainer already injected" },
  {
    fine: "pods are not annotated to disable injection",
    warning: (outcomes) =>
      about(
        outcomes,
        ({ isDisabled }) => isDisabled,
        (objects) => `"${injectAnnotation}: disabled" annotation set on ${objects}`,
      ),
  },
  {
    fine: "at least one resource can be injected or annotated",
    warning: (outcomes) =>
      outcomes.some(({ isInjected, isDisabled }) => isInjected || isDisabled) ? undefined : "no supported objects found",
  },
  {
    fine: "pod specs do not include UDP ports",
    warning: (outcomes) =>
      about(
        outcomes,
        ({ hasUdp }) => hasUdp,
        (objects) => `${objects} use "protocol: UDP"`,
      ),
  },
  { fine: 'pods do not have automountServiceAccountToken set to "false"' },
];

export function injectReport(outcomes: readonly Outcome[], { isVerbose, marks }: { isVerbose: boolean; marks: Glyphs }): string {
  const lines = findings.flatMap(({ fine, warning }) => {
    const found = warning?.(outcomes);
    if (found !== undefined) return [`${marks.warning} ${found}`];
    return isVerbose ? [`${marks.success} ${fine}`] : [];
  });
  const summaries = outcomes.map((outcome) => summary(outcome, outcome.isInjected ? "injected" : "skipped"));
  return `\n${lines.length > 0 ? `${lines.join("\n")}\n\n` : ""}${summaries.join("\n")}\n\n`;
}

/** `deployment "web" injected`; an object without a kind is always skipped. */
export function summary({ kind, name }: { kind: string; name: string }, done: string): string {
  return kind === "" ? 'document missing "kind" field, skipped' : `${kind} "${name}" ${done}`;
}
