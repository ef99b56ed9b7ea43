// The opaque-ports annotation that Services and pods get at their creation (spec control-plane §6.6).
import { opaquePortsAnnotation } from "./names.ts";
import { escapePointer, type PatchOperation } from "./patch.ts";
import { parsePortList } from "./port-list.ts";
import { podTemplate, type Workload } from "./workload.ts";

/** The ports of `exposed` whose `matched` is in the default list; `listed` is what is written. Order and duplicates as given, once each. */
export function defaultOpaquePorts(exposed: readonly { readonly listed: number; readonly matched: number }[], defaults: string): string {
  const { ports } = parsePortList(defaults);
  return [...new Set(exposed.filter(({ matched }) => ports.has(matched)).map(({ listed }) => listed))].join(",");
}

type ServiceSpec = { ports?: { port: number; targetPort?: number | string }[] };

/** The patch that writes the annotation; undefined when the object has one or exposes no default-opaque port. */
export function opaquePortsPatch({
  object,
  namespaceAnnotations,
  defaults,
}: {
  object: Workload;
  namespaceAnnotations: Readonly<Record<string, string>>;
  defaults: string;
}): { operations: PatchOperation[]; ports: string } | undefined {
  const annotations = (object.metadata?.["annotations"] ?? undefined) as Record<string, string> | undefined;
  if (annotations && Object.hasOwn(annotations, opaquePortsAnnotation)) return undefined;
  const ports = Object.hasOwn(namespaceAnnotations, opaquePortsAnnotation)
    ? (namespaceAnnotations[opaquePortsAnnotation] as string)
    : defaultOpaquePorts(exposedPorts(object), defaults);
  if (ports === "" && !Object.hasOwn(namespaceAnnotations, opaquePortsAnnotation)) return undefined;
  const operations: PatchOperation[] = [];
  if (!annotations) operations.push({ op: "add", path: "/metadata/annotations", value: {} });
  operations.push({ op: "add", path: `/metadata/annotations/${escapePointer(opaquePortsAnnotation)}`, value: ports });
  return { operations, ports };
}

function exposedPorts(object: Workload): { listed: number; matched: number }[] {
  if (object.kind === "Service") {
    return ((object.spec as ServiceSpec | undefined)?.ports ?? []).flatMap(({ port, targetPort }) => {
      // Without a target port it is the port itself; a name is not resolved here.
      if (targetPort === undefined || targetPort === 0 || targetPort === "") return [{ listed: port, matched: port }];
      return typeof targetPort === "number" ? [{ listed: port, matched: targetPort }] : [];
    });
  }
  const template = object.kind === "Pod" ? podTemplate(object) : null;
  return (template?.spec.containers ?? []).flatMap((container) =>
    (container.ports ?? []).map(({ containerPort }) => ({ listed: containerPort, matched: containerPort })),
  );
}
