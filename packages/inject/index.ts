// Injection: the decision, the patch, the opaque-ports annotation, and the way back. Pure: objects in, patches out.
// Contract of #inject; used by the webhook and by `fairlead inject --manual` / `uninject`. Grammar of annotations included.
//
//   const template = podTemplate(deployment);                       // null for kinds without pods
//   const decision = decide({ template, namespaceAnnotations: {}, where: "cli" });
//   const { operations, mistakes } = injectPatch({ chart: controlPlaneChart(), values, template, namespace, namespaceAnnotations: {}, createdBy });
//   applyPatch(deployment, operations);                             // fast-json-patch
export { type Decision, decide, hasUdpPorts, type Reason, readableReason, tokenMount, type Where } from "./decide.ts";
export * from "./names.ts";
export { defaultOpaquePorts, opaquePortsPatch } from "./opaque-ports.ts";
export { type AnnotationMistake, annotationOverrides, inheritableAnnotations, metricAnnotations } from "./overrides.ts";
export { escapePointer, InjectError, type InjectInput, type Injection, injectPatch, type PatchOperation } from "./patch.ts";
export { containerPortNames, maxPortItems, type PortList, PortSet, parsePortList } from "./port-list.ts";
export { type Uninjected, uninject } from "./uninject.ts";
export { isCidr, parseGoBool, parseGoDuration, parseQuantity } from "./units.ts";
export { injectableKinds, type PodTemplate, podTemplate, type Workload, type WorkloadContainer, type WorkloadSpec } from "./workload.ts";
