// Takes the mesh out of a manifest again (spec control-plane §6.8).
import {
  controlPlaneComponentLabel,
  debugContainerName,
  endEntityVolume,
  identityTokenVolume,
  initContainerName,
  injectAnnotation,
  proxyContainerName,
  xtablesVolume,
} from "./names.ts";
import { podTemplate, type Workload } from "./workload.ts";

export type Uninjected = {
  readonly object: Workload;
  /** What was taken away, for the report. */
  readonly removed: { readonly proxy: boolean; readonly init: boolean };
};

/** A copy without proxy, init container, their volumes and `linkerd.io/*` metadata of the workload and its pods; `linkerd.io/inject: disabled` and `config.linkerd.io/*` stay. */
export function uninject(original: Workload): Uninjected {
  const object = structuredClone(original);
  const removed = { proxy: false, init: false };
  const template = podTemplate(object);
  if (template) {
    const { spec } = template;
    const keep = (name: string | undefined) => {
      if (name === proxyContainerName) removed.proxy = true;
      if (name === initContainerName) removed.init = true;
      return name !== proxyContainerName && name !== initContainerName && name !== debugContainerName;
    };
    if (spec.containers) spec.containers = spec.containers.filter(({ name }) => keep(name));
    if (spec.initContainers) {
      spec.initContainers = spec.initContainers.filter(({ name }) => keep(name));
      if (spec.initContainers.length === 0) delete spec.initContainers;
    }
    if (spec.volumes) {
      spec.volumes = spec.volumes.filter(({ name }) => ![endEntityVolume, xtablesVolume, identityTokenVolume].includes(name));
      if (spec.volumes.length === 0) delete spec.volumes;
    }
    if (!(controlPlaneComponentLabel in template.labels)) {
      clean(template.metadata as Record<string, unknown> | undefined);
      clean(object.metadata);
    }
  } else if (object.kind === "Namespace" || object.kind === "Service") clean(object.metadata);
  return { object, removed };
}

function clean(metadata: Record<string, unknown> | undefined): void {
  if (!metadata) return;
  for (const field of ["annotations", "labels"]) {
    const map = metadata[field] as Record<string, string> | undefined | null;
    if (!map) continue;
    for (const key of Object.keys(map)) {
      if (!key.startsWith("linkerd.io")) continue;
      if (key === injectAnnotation && map[key] === "disabled") continue;
      delete map[key];
    }
    if (Object.keys(map).length === 0) delete metadata[field];
  }
}
