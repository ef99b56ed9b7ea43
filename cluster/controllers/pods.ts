// Pods that nobody will look after any more, and events that are too old. Pure.
import { type KubeObject, Resources } from "#kube";
import { nothing, type Outcome } from "./actions.ts";
import { isPodTerminal } from "./meta.ts";
import type { Event } from "./types.ts";
import type { World } from "./world.ts";

/** How long a node may be missing before its pods are removed, in ms; Kubernetes's quarantine. */
export const nodeQuarantineMs = 40_000;
/** Ended pods kept at most, Kubernetes's default; the oldest go first. */
export const maxTerminatedPods = 12_500;
/** How long an event is kept after it was last seen, in ms; Kubernetes's default. */
export const eventTtlMs = 3_600_000;

/** `missingSince`: when each node was first found missing; the caller keeps it between passes. */
export function collectPods(world: World, missingSince: Map<string, number>): Outcome {
  const now = world.now();
  const actions: Outcome["actions"] = [];
  const remove = (target: KubeObject) => actions.push({ do: "delete", resource: Resources.pods, target, graceSeconds: 0 });
  const missing = new Set<string>();
  const ended: KubeObject[] = [];
  for (const pod of world.pods.values()) {
    const nodeName = pod.spec?.nodeName;
    if (isPodTerminal(pod)) ended.push(pod);
    if (!nodeName) {
      // Never given to a node: there is nobody to end it.
      if (pod.metadata.deletionTimestamp !== undefined) remove(pod);
      continue;
    }
    if (world.nodes.get(nodeName)) continue;
    missing.add(nodeName);
    const since = missingSince.get(nodeName) ?? now;
    missingSince.set(nodeName, since);
    if (now - since >= nodeQuarantineMs) remove(pod);
  }
  for (const name of missingSince.keys()) if (!missing.has(name)) missingSince.delete(name);
  const excess = ended.length - maxTerminatedPods;
  if (excess > 0) {
    ended.sort((a, b) => ((a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? -1 : 1));
    for (const pod of ended.slice(0, excess)) remove(pod);
  }
  return actions.length > 0 ? { actions } : nothing;
}

/** Events not seen for an hour. */
export function expireEvents(world: World): Outcome {
  const now = world.now();
  const old = world.events.list().filter((event) => now - lastSeen(event) > eventTtlMs);
  return { actions: old.map((target) => ({ do: "delete", resource: Resources.events, target })) };
}

function lastSeen(event: Event): number {
  const times = [event.series?.lastObservedTime, event.lastTimestamp, event.eventTime, event.metadata.creationTimestamp];
  return Math.max(0, ...times.map((time) => (time ? Date.parse(time) : 0)).filter((time) => !Number.isNaN(time)));
}
