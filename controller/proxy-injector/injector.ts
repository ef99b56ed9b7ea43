// The answer to one admission review: inject, or write opaque ports, or let pass (spec control-plane §6.2). What it needs to know is handed in.
import type { Chart, Values } from "#chart";
import { decide, injectPatch, metricAnnotations, opaquePortsPatch, podTemplate, readableReason, type Workload } from "#inject";
import type { AdmissionAnswer, AdmissionRequest, EventInput, EventObject, Logger } from "../runtime/index.ts";

export type Owner = {
  /** Lower case. */ readonly kind: string;
  readonly name: string /** Set when the object is known, so that an event can be written on it. */;
  readonly object?: EventObject | undefined;
};

export type InjectorWorld = {
  readonly chart: Chart;
  /** Read anew for each review. Throws when the installation cannot be read: the pod is refused then. */
  readonly installation: () => { readonly values: Values; readonly trustAnchorsPem: string };
  /** Annotations of a namespace; undefined when there is no such. */
  readonly namespaceAnnotations: (name: string) => Promise<Readonly<Record<string, string>> | undefined>;
  readonly ownerOf: (object: Workload, namespace: string) => Promise<Owner | undefined>;
  readonly record: (event: EventInput) => void;
  readonly count: (kind: "request" | "response", labels: Readonly<Record<string, string>>) => void;
  readonly createdBy: string;
  readonly log: Logger;
};

export async function admit(request: AdmissionRequest, world: InjectorWorld): Promise<AdmissionAnswer> {
  const namespace = request.namespace ?? "";
  const { values, trustAnchorsPem } = world.installation();
  const namespaceAnnotations = await world.namespaceAnnotations(namespace);
  if (!namespaceAnnotations) throw new Error(`namespace ${JSON.stringify(namespace)} is not known`);
  const raw = request.object;
  if (typeof raw !== "object" || raw === null) throw new Error(`the review of a ${request.kind.kind} carries no object`);
  // The object of a review may leave its kind out.
  const object = { ...(raw as Workload), kind: request.kind.kind };
  const isPod = object.kind === "Pod";
  const template = isPod ? podTemplate(object) : null;
  const owner = isPod ? await world.ownerOf(object, namespace) : undefined;
  const name = String(object.metadata?.["name"] ?? object.metadata?.["generateName"] ?? request.name ?? "");
  const shown = `${request.kind.kind} ${namespace}/${name}`;
  const decision = decide({ template, namespaceAnnotations, where: "webhook" });
  const labels = {
    owner_kind: owner?.kind ?? object.kind.toLowerCase(),
    namespace,
    annotation_at: decision.annotationAt,
    ...annotationLabels(template?.annotations ?? {}),
  };
  world.count("request", labels);
  if (decision.inject && template) {
    const { operations, mistakes } = injectPatch({
      chart: world.chart,
      values,
      trustAnchorsPem,
      template,
      namespace,
      namespaceAnnotations,
      owner,
      createdBy: world.createdBy,
    });
    for (const { message } of mistakes) world.log.warning("ignored an annotation", { object: shown, mistake: message });
    if (owner?.object)
      world.record({ type: "Normal", reason: "Injected", message: "Linkerd sidecar proxy injected", object: owner.object });
    world.count("response", { ...labels, skip: "false", skip_reason: "" });
    world.log.info("injected", { object: shown, owner: owner ? `${owner.kind}/${owner.name}` : undefined });
    return { allowed: true, patch: operations, warnings: mistakes.map(({ message }) => `${shown}: ${message}`) };
  }
  const opaque = opaquePortsPatch({
    object,
    namespaceAnnotations,
    defaults: String((values["proxy"] as { opaquePorts?: unknown } | undefined)?.opaquePorts ?? ""),
  });
  // A skipped pod tells why, also when it gets its opaque ports (quirk Q32).
  if (isPod) {
    const reasons = decision.reasons.map((reason) => readableReason[reason]).join(", ");
    if (owner?.object)
      world.record({
        type: "Normal",
        reason: "InjectionSkipped",
        message: `Linkerd sidecar proxy injection skipped: ${reasons}`,
        object: owner.object,
      });
    world.log.info("skipped", { object: shown, reasons });
  }
  world.count(
    "response",
    isPod ? { ...labels, skip: "true", skip_reason: decision.reasons.join(",") } : { ...labels, skip: "false", skip_reason: "" },
  );
  const invalid = decision.reasons.filter((reason) => reason.startsWith("invalid_inject_annotation"));
  const warnings = invalid.map((reason) => `${shown}: ${readableReason[reason]}: expected enabled, disabled or ingress`);
  return opaque ? { allowed: true, patch: opaque.operations, warnings } : { allowed: true, warnings };
}

/** One label per inheritable annotation, with the pod's own value (spec control-plane §6.7). */
export const annotationLabelNames: readonly string[] = metricAnnotations.map(labelName);

function annotationLabels(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(metricAnnotations.map((key) => [labelName(key), annotations[key] ?? ""]));
}

function labelName(key: string): string {
  return key.slice(key.indexOf("/") + 1).replaceAll("-", "_");
}
