// One object of a manifest into the mesh: annotated for the webhook, or with the proxy itself in it (spec cli §3.4).
import { applyPatch, type Operation } from "fast-json-patch";
import { type Chart, TemplateError, type Values } from "#chart";
import {
  controlPlaneComponentLabel,
  decide,
  escapePointer,
  hasUdpPorts,
  InjectError,
  injectAnnotation,
  injectPatch,
  opaquePortsAnnotation,
  type PodTemplate,
  podTemplate,
  type Reason,
  readableReason,
  uninject,
  type Workload,
} from "#inject";
import { VERSION } from "#version";

export type Settings = {
  /** What the flags say, as annotations. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly isIngress: boolean;
  /** Present with `--manual`: what the containers are rendered from. */
  readonly manual?: {
    readonly chart: Chart;
    readonly values: Values;
    /** Of objects that name no namespace. */
    readonly namespace: string;
    readonly trustAnchorsPem: string | undefined;
    /** What may help when a value is missing. */
    readonly hint: string;
  };
};

/** What became of an object, for the report. */
export type Outcome = {
  /** Lower case; empty for an object without one. */
  readonly kind: string;
  readonly name: string;
  readonly isInjected: boolean;
  /** `linkerd.io/inject: disabled` stands on it. */
  readonly isDisabled: boolean;
  /** Injected although it has UDP ports. */
  readonly hasUdp: boolean;
};

export type Injected =
  | { readonly outcome: Outcome /** The object given, when nothing changed. */; readonly object: Workload }
  /** The object must not be injected. */
  | { readonly refusal: string };

/** Groups whose kinds are the ones meant; a custom resource named Service or Job is not. */
const groups = ["", "apps", "extensions", "batch"];

export function injectObject(original: Workload, settings: Settings): Injected {
  const outcome: Outcome = { ...identify(original), isInjected: false, isDisabled: false, hasUdp: false };
  const skipped = { outcome, object: original };
  if (!isOwnGroup(original)) return skipped;
  // Injecting again refreshes.
  const object = uninject(original).object;
  const inject = settings.isIngress ? "ingress" : "enabled";
  if (object.kind === "Namespace") return { outcome, object: annotate(object, { [injectAnnotation]: inject, ...settings.annotations }) };
  if (object.kind === "Service") {
    const ports = settings.annotations[opaquePortsAnnotation];
    return ports === undefined ? skipped : { outcome, object: annotate(object, { [opaquePortsAnnotation]: ports }) };
  }
  const template = podTemplate(object);
  if (!template) return skipped;

  const refuse = (...reasons: string[]) => ({ refusal: `failed to inject ${outcome.kind}/${outcome.name}: ${reasons.join(", ")}` });
  if (!settings.manual && controlPlaneComponentLabel in template.labels)
    return refuse("--manual must be set when injecting control plane components");
  const hasUdp = hasUdpPorts(template);
  const { reasons } = decide({ template, namespaceAnnotations: {}, where: "cli" });
  if (reasons.length > 0) {
    const isOnlyDisabled = reasons.every((reason) => reason === ("injection_disable_annotation_present" satisfies Reason));
    if (isOnlyDisabled && !hasUdp) return { outcome: { ...outcome, isDisabled: true }, object: original };
    return refuse(...reasons.map((reason) => readableReason[reason]), ...(hasUdp ? ["UDP port(s) configured on pod spec"] : []));
  }
  const done: Outcome = { ...outcome, isInjected: true, hasUdp };
  if (!settings.manual)
    return { outcome: done, object: annotate(object, { [injectAnnotation]: inject, ...settings.annotations }, template) };
  try {
    return {
      outcome: done,
      object: injectManually(object, template, settings.annotations, { ...settings.manual, isIngress: settings.isIngress }),
    };
  } catch (error) {
    if (error instanceof InjectError) return refuse(error.message);
    if (error instanceof TemplateError) return refuse(`${error.message}${settings.manual.hint}`);
    throw error;
  }
}

function injectManually(
  object: Workload,
  template: PodTemplate,
  annotations: Settings["annotations"],
  manual: NonNullable<Settings["manual"]> & { isIngress: boolean },
): Workload {
  const { kind, name } = identify(object);
  const annotated = annotate(object, { ...(manual.isIngress ? { [injectAnnotation]: "ingress" } : {}), ...annotations }, template);
  const { operations, mistakes } = injectPatch({
    chart: manual.chart,
    values: manual.values,
    trustAnchorsPem: manual.trustAnchorsPem,
    template: podTemplate(annotated) as PodTemplate,
    namespace: String(object.metadata?.["namespace"] ?? manual.namespace),
    namespaceAnnotations: {},
    owner: { kind, name },
    createdBy: `linkerd/cli ${VERSION}`,
  });
  // The webhook can only leave a wrong annotation out of account; here somebody reads what is said.
  if (mistakes.length > 0) throw new InjectError(mistakes.map(({ message }) => message).join("; "));
  return patched(annotated, operations as Operation[]);
}

/** Kind in lower case, and the name; `generateName` stands in for one. */
export function identify({ kind = "", metadata }: Workload): { kind: string; name: string } {
  return { kind: kind.toLowerCase(), name: String(metadata?.["name"] ?? metadata?.["generateName"] ?? "") };
}

export function isOwnGroup({ apiVersion = "v1" }: Workload): boolean {
  return groups.includes(apiVersion.includes("/") ? (apiVersion.split("/")[0] as string) : "");
}

/** A copy with annotations added at a pod template, or at the object itself. */
function annotate(object: Workload, annotations: Readonly<Record<string, string>>, template?: PodTemplate): Workload {
  const path = template?.path ?? "";
  const metadata = template ? template.metadata : object.metadata;
  const operations: Operation[] = [];
  if (!metadata) operations.push({ op: "add", path: `${path}/metadata`, value: {} });
  if (Object.keys(annotations).length > 0 && !metadata?.["annotations" as keyof typeof metadata])
    operations.push({ op: "add", path: `${path}/metadata/annotations`, value: {} });
  for (const [key, value] of Object.entries(annotations))
    operations.push({ op: "add", path: `${path}/metadata/annotations/${escapePointer(key)}`, value });
  return patched(object, operations);
}

function patched(object: Workload, operations: readonly Operation[]): Workload {
  return applyPatch(structuredClone(object), structuredClone(operations) as Operation[]).newDocument;
}
