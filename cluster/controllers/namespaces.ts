// Deletion of a namespace: all its objects by discovery, pods first, then the namespace itself.
import { type KubeClient, KubeError, type KubeObject, Resources } from "#kube";
import { mergePatch } from "./actions.ts";
import { type Discovery, discover, type ServedType, typeKey } from "./discovery.ts";
import { timestamp, withCondition } from "./meta.ts";
import type { Condition, Namespace } from "./types.ts";

/** The finalizer in a namespace's spec that stands for this work. */
const finalizer = "kubernetes";

/** What was found of a namespace's content. */
export interface Content {
  failures: Discovery["failures"];
  /** Types whose objects could not be listed or deleted, with the reason. */
  errors: { type: string; message: string }[];
  remaining: { type: string; count: number }[];
  /** Finalizers that hold objects back, and how many. */
  finalizers: Record<string, number>;
}

/**
 * One pass over a namespace that is being deleted. False: something is left, look again.
 * @throws {KubeError} when the server cannot be asked.
 */
export async function emptyNamespace({
  client,
  namespace,
  now,
  kubeDiscovery = discover,
}: {
  client: KubeClient;
  namespace: Namespace;
  now: number;
  kubeDiscovery?: typeof discover;
}): Promise<boolean> {
  const name = namespace.metadata.name ?? "";
  if (!(namespace.spec?.finalizers ?? []).includes(finalizer)) return true;
  const { types, failures } = await kubeDiscovery(client);
  const content: Content = { failures, errors: [], remaining: [], finalizers: {} };
  const deletable = types.filter((type) => type.namespaced && type.verbs.includes("delete") && type.verbs.includes("list"));
  const isPods = (type: ServedType) => type.group === "" && type.resource === "pods";
  // Pods first, so that what they need (policies, accounts, configuration) outlives them.
  await Promise.all(deletable.filter(isPods).map((type) => emptyType({ client, namespace: name, type, content })));
  if (content.remaining.length === 0 && content.errors.length === 0) {
    await Promise.all(deletable.filter((type) => !isPods(type)).map((type) => emptyType({ client, namespace: name, type, content })));
  }
  const isDone = content.remaining.length === 0 && content.errors.length === 0 && failures.length === 0;
  await report({ client, namespace, content, now });
  if (!isDone) return false;
  const live = await client.find<Namespace>({ ...Resources.namespaces, name });
  if (!live || live.metadata.uid !== namespace.metadata.uid) return true;
  const rest = (live.spec?.finalizers ?? []).filter((one) => one !== finalizer);
  try {
    await client.replace(
      { ...Resources.namespaces, name, subresource: "finalize" },
      { ...live, apiVersion: "v1", kind: "Namespace", spec: { ...live.spec, finalizers: rest } },
    );
  } catch (error) {
    if (!KubeError.isNotFound(error)) throw error;
  }
  return true;
}

async function emptyType({
  client,
  namespace,
  type,
  content,
}: {
  client: KubeClient;
  namespace: string;
  type: ServedType;
  content: Content;
}): Promise<void> {
  const where = { group: type.group, version: type.version, resource: type.resource, namespace };
  const label = typeKey(type);
  try {
    const { items } = await client.list<KubeObject>(where);
    if (items.length === 0) return;
    for (const { metadata } of items) {
      if (metadata.deletionTimestamp !== undefined) continue;
      try {
        await client.delete(
          { ...where, name: metadata.name ?? "" },
          { propagationPolicy: "Background", ...(metadata.uid ? { preconditions: { uid: metadata.uid } } : {}) },
        );
      } catch (error) {
        if (!KubeError.isNotFound(error)) throw error;
      }
    }
    const { items: left } = await client.list<KubeObject>(where);
    if (left.length === 0) return;
    content.remaining.push({ type: label, count: left.length });
    for (const { metadata } of left)
      for (const one of metadata.finalizers ?? []) content.finalizers[one] = (content.finalizers[one] ?? 0) + 1;
  } catch (error) {
    // The type went away between discovery and list.
    if (KubeError.isNotFound(error)) return;
    content.errors.push({ type: label, message: (error as Error).message });
  }
}

async function report({
  client,
  namespace,
  content,
  now,
}: {
  client: KubeClient;
  namespace: Namespace;
  content: Content;
  now: number;
}): Promise<void> {
  const conditions = conditionsOf(content, namespace.status?.conditions, now);
  const patch = mergePatch({ conditions: namespace.status?.conditions }, { conditions });
  if (!patch) return;
  try {
    await client.patch({ ...Resources.namespaces, name: namespace.metadata.name ?? "", subresource: "status" }, { status: patch });
  } catch (error) {
    if (!KubeError.isNotFound(error)) throw error;
  }
}

/** The five conditions of a namespace under deletion, in Kubernetes's words. */
export function conditionsOf(
  { failures, errors, remaining, finalizers }: Content,
  before: readonly Condition[] | undefined,
  now: number,
): Condition[] {
  const lastTransitionTime = timestamp(now);
  const kinds = [...remaining]
    .sort((a, b) => (a.type < b.type ? -1 : 1))
    .map(({ type, count }) => `${type} has ${count} resource instances`);
  const held = Object.entries(finalizers)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} in ${count} resource instances`);
  const found: [type: string, isSet: boolean, reason: string, message: string, reasonElse: string, messageElse: string][] = [
    [
      "NamespaceDeletionDiscoveryFailure",
      failures.length > 0,
      "DiscoveryFailed",
      `Discovery failed for some groups, ${failures.length} failing: ${failures.map((one) => `${one.groupVersion}: ${one.message}`).join(", ")}`,
      "ResourcesDiscovered",
      "All resources successfully discovered",
    ],
    [
      "NamespaceDeletionGroupVersionParsingFailure",
      false,
      "GroupVersionParsingFailed",
      "",
      "ParsedGroupVersions",
      "All legacy kube types successfully parsed",
    ],
    [
      "NamespaceDeletionContentFailure",
      errors.length > 0,
      "ContentDeletionFailed",
      `Failed to delete all resource types, ${errors.length} remaining: ${errors.map((one) => `${one.type}: ${one.message}`).join(", ")}`,
      "ContentDeleted",
      "All content successfully deleted, may be waiting on finalization",
    ],
    [
      "NamespaceContentRemaining",
      remaining.length > 0,
      "SomeResourcesRemain",
      `Some resources are remaining: ${kinds.join(", ")}`,
      "ContentRemoved",
      "All content successfully removed",
    ],
    [
      "NamespaceFinalizersRemaining",
      held.length > 0,
      "SomeFinalizersRemain",
      `Some content in the namespace has finalizers remaining: ${held.join(", ")}`,
      "ContentHasNoFinalizers",
      "All content-preserving finalizers finished",
    ],
  ];
  let conditions = [...(before ?? [])];
  for (const [type, isSet, reason, message, reasonElse, messageElse] of found) {
    const next: Condition = {
      type,
      status: isSet ? "True" : "False",
      lastTransitionTime,
      reason: isSet ? reason : reasonElse,
      message: isSet ? message : messageElse,
    };
    const current = conditions.find((one) => one.type === type);
    conditions =
      current && current.status === next.status && current.message !== next.message
        ? conditions.map((one) =>
            one === current ? { ...next, lastTransitionTime: current.lastTransitionTime ?? lastTransitionTime } : one,
          )
        : withCondition(conditions, next);
  }
  return conditions;
}
