// The workload a new pod belongs to, and whether an event can be written on it.

import type { Workload } from "#inject";
import { type AnyObject, type KubeClient, Resources, type ResourceType } from "#kube";
import type { Owner } from "./injector.ts";

type Reference = { readonly apiVersion?: string; readonly kind?: string; readonly name?: string; readonly uid?: string };

const resources: Record<string, ResourceType> = {
  ReplicaSet: Resources.replicaSets,
  Job: Resources.jobs,
};
/** Kinds an event can be written on (spec control-plane §6.2). */
const eventKinds = ["CronJob", "DaemonSet", "Deployment", "Job", "ReplicationController", "ReplicaSet", "StatefulSet"];
/** Owners of ReplicaSets that are told in their place. */
const replicaSetOwners = ["Job", "StatefulSet", "DaemonSet", "Deployment"];

/** Follows pod → ReplicaSet → Deployment and pod → Job → CronJob; `find` gives an object or undefined. */
export async function ownerOf(
  object: Workload,
  namespace: string,
  find: (resource: ResourceType, namespace: string, name: string) => Promise<AnyObject | undefined>,
): Promise<Owner | undefined> {
  const reference = single(object.metadata?.["ownerReferences"]);
  if (!reference) return undefined;
  const { kind = "", name = "" } = reference;
  const resource = Object.hasOwn(resources, kind) ? resources[kind] : undefined;
  if (resource) {
    const above = single((await find(resource, namespace, name))?.metadata.ownerReferences);
    if (above && (kind === "Job" || replicaSetOwners.includes(above.kind ?? ""))) return make(above, namespace);
  }
  return make(reference, namespace);
}

function single(references: unknown): Reference | undefined {
  return Array.isArray(references) && references.length === 1 ? (references[0] as Reference) : undefined;
}

function make({ apiVersion = "", kind = "", name = "", uid }: Reference, namespace: string): Owner {
  return { kind: kind.toLowerCase(), name, ...(eventKinds.includes(kind) ? { object: { apiVersion, kind, namespace, name, uid } } : {}) };
}

/** Reads through a small memory: the pods of a roll-out come together and have one owner. */
export function ownerReader(
  client: KubeClient,
  { keepMs = 5_000, most = 500, now = Date.now }: { keepMs?: number; most?: number; now?: () => number } = {},
): (resource: ResourceType, namespace: string, name: string) => Promise<AnyObject | undefined> {
  const memory = new Map<string, { at: number; object: Promise<AnyObject | undefined> }>();
  return (resource, namespace, name) => {
    const key = `${resource.resource}/${namespace}/${name}`;
    const known = memory.get(key);
    if (known && now() - known.at < keepMs) return known.object;
    const object = client.find({ ...resource, namespace, name }).then((found) => {
      // What was not there may come in a moment.
      if (!found) memory.delete(key);
      return found;
    });
    object.catch(() => memory.delete(key));
    memory.delete(key);
    memory.set(key, { at: now(), object });
    if (memory.size > most) memory.delete(memory.keys().next().value as string);
    return object;
  };
}
