// Owners, claims, pods' readiness, template hashes: what several controllers share. Pure.
import { type KubeObject, type LabelSelector, matchesSelector, type OwnerReference, type ResourceType } from "#kube";
import type { Action, NewObject } from "./actions.ts";
import type { Condition, IntOrPercent, Pod, PodTemplate } from "./types.ts";

/** Kind and version of an owner, as its dependents name it. */
export interface OwnerKind {
  apiVersion: string;
  kind: string;
}

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

/** `blockOwnerDeletion` as Kubernetes's controllers set it: a foreground deletion of the owner waits for this object. */
export function ownedBy(owner: KubeObject, { apiVersion, kind }: OwnerKind): OwnerReference {
  return { apiVersion, kind, name: owner.metadata.name ?? "", uid: owner.metadata.uid ?? "", controller: true, blockOwnerDeletion: true };
}

/**
 * The objects that belong to `owner`: those it controls and selects, and those without a controller that it selects, which it adopts;
 * those it controls but no longer selects are released. An owner that is being deleted adopts nothing.
 */
export function claim<T extends KubeObject>({
  owner,
  ownerKind,
  selector,
  candidates,
  resource,
  takes = () => true,
}: {
  owner: KubeObject;
  ownerKind: OwnerKind;
  selector: LabelSelector | undefined;
  candidates: Iterable<T>;
  resource: ResourceType;
  /** Further condition for adoption. */
  takes?: (candidate: T) => boolean;
}): { claimed: T[]; actions: Action[] } {
  const claimed: T[] = [];
  const actions: Action[] = [];
  const isDeleted = owner.metadata.deletionTimestamp !== undefined;
  for (const candidate of candidates) {
    const controller = controllerOf(candidate);
    const matches = matchesSelector(selector, candidate.metadata.labels);
    if (controller) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (matches) claimed.push(candidate);
      else if (!isDeleted) {
        const ownerReferences = (candidate.metadata.ownerReferences ?? []).filter((one) => one.uid !== owner.metadata.uid);
        actions.push({ do: "patch", resource, target: candidate, patch: { metadata: { ownerReferences } } });
      }
    } else if (matches && !isDeleted && candidate.metadata.deletionTimestamp === undefined && takes(candidate)) {
      const ownerReferences = [...(candidate.metadata.ownerReferences ?? []), ownedBy(owner, ownerKind)];
      actions.push({ do: "patch", resource, target: candidate, patch: { metadata: { ownerReferences } } });
      claimed.push(candidate);
    }
  }
  return { claimed, actions };
}

/** A pod of `template` for `owner`; the server completes the name when none is given. */
export function podFromTemplate({
  template,
  owner,
  ownerKind,
  name,
}: {
  template: PodTemplate | undefined;
  owner: KubeObject;
  ownerKind: OwnerKind;
  name?: string;
}): NewObject & Pod {
  const { labels, annotations, finalizers } = template?.metadata ?? {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...(name === undefined ? { generateName: `${(owner.metadata.name ?? "").slice(0, maxGeneratedPrefix)}-` } : { name }),
      namespace: owner.metadata.namespace ?? "",
      ...(labels ? { labels: { ...labels } } : {}),
      ...(annotations ? { annotations: { ...annotations } } : {}),
      ...(finalizers ? { finalizers: [...finalizers] } : {}),
      ownerReferences: [ownedBy(owner, ownerKind)],
    },
    spec: structuredClone(template?.spec ?? {}),
  };
}

/** A pod's name is at most 253 characters, of which the server adds "-" and five. */
const maxGeneratedPrefix = 246;

export function conditionOf(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((one) => one.type === type);
}

export function isPodReady(pod: Pod): boolean {
  return conditionOf(pod.status?.conditions, "Ready")?.status === "True";
}

/** Ended for good: phase Succeeded or Failed. */
export function isPodTerminal(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function isPodActive(pod: Pod): boolean {
  return !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined;
}

/** When the pod has been ready for `minReadySeconds`, in ms since 1970; `undefined` while it is not ready. */
export function podAvailableAt(pod: Pod, minReadySeconds: number): number | undefined {
  const ready = conditionOf(pod.status?.conditions, "Ready");
  if (ready?.status !== "True") return undefined;
  if (minReadySeconds <= 0) return 0;
  return Date.parse(ready.lastTransitionTime ?? "") + minReadySeconds * 1000;
}

export function isPodAvailable(pod: Pod, minReadySeconds: number, now: number): boolean {
  const at = podAvailableAt(pod, minReadySeconds);
  return at !== undefined && at <= now;
}

/** RFC 3339 with whole seconds, as Kubernetes writes times. */
export function timestamp(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`;
}

/** Conditions with `next` in place of the one of its type. The transition time stays while the status does; the same status and reason change nothing. */
export function withCondition(conditions: readonly Condition[] | undefined, next: Condition): Condition[] {
  const all = conditions ?? [];
  const current = conditionOf(all, next.type);
  if (current && current.status === next.status && current.reason === next.reason) return [...all];
  const kept =
    current?.status === next.status && current.lastTransitionTime !== undefined
      ? { ...next, lastTransitionTime: current.lastTransitionTime }
      : next;
  return [...all.filter((one) => one.type !== next.type), kept];
}

export function withoutCondition(conditions: readonly Condition[] | undefined, type: string): Condition[] {
  return (conditions ?? []).filter((one) => one.type !== type);
}

/** `value` of `total`: a number as it is, a percentage rounded up or down; what is neither counts as 0. */
export function scaled(value: IntOrPercent | undefined, total: number, round: "up" | "down"): number {
  if (typeof value === "number") return value;
  const percent = /^(\d+)%$/.exec(value ?? "");
  if (!percent) return /^\d+$/.test(value ?? "") ? Number(value) : 0;
  const exact = (Number(percent[1]) * total) / 100;
  return round === "up" ? Math.ceil(exact) : Math.floor(exact);
}

/** JSON with sorted keys, without empty mappings, lists, nulls: equal for templates that mean the same. */
export function canonical(value: unknown): string {
  const clean = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.length === 0 ? undefined : part.map((item) => clean(item) ?? null);
    if (typeof part !== "object" || part === null) return part ?? undefined;
    const entries = Object.entries(part)
      .map(([name, inner]) => [name, clean(inner)] as const)
      .filter(([, inner]) => inner !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return entries.length === 0 ? undefined : Object.fromEntries(entries);
  };
  return JSON.stringify(clean(value) ?? {});
}

/** Ten letters and digits at most that cannot spell a word: FNV-1a of `text`, with `collisions` mixed in. */
export function shortHash(text: string, collisions = 0): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(collisions > 0 ? `${text}/${collisions}` : text)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  const alphabet = "bcdfghjklmnpqrstvwxz2456789";
  return [...String(hash)].map((digit) => alphabet[digit.charCodeAt(0) % alphabet.length]).join("");
}

/** Oldest first; names decide between equals. */
export function byAge(a: KubeObject, b: KubeObject): number {
  const [first = "", second = ""] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
  if (first !== second) return first < second ? -1 : 1;
  const [name = "", other = ""] = [a.metadata.name, b.metadata.name];
  return name < other ? -1 : name > other ? 1 : 0;
}

export const keyOf = (object: KubeObject): string => `${object.metadata.namespace ?? ""}/${object.metadata.name ?? ""}`;

export const sum = <T>(items: readonly T[], value: (item: T) => number | undefined): number =>
  items.reduce((total, item) => total + (value(item) ?? 0), 0);
