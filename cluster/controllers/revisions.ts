// ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, for `kubectl rollout history` and `undo`. Pure.
import type { KubeObject } from "#kube";
import type { Action, NewObject } from "./actions.ts";
import { byAge, canonical, claim, type OwnerKind, ownedBy, shortHash } from "./meta.ts";
import type { ControllerRevision, PodTemplate } from "./types.ts";
import { candidates, controllerRevisions, type World } from "./world.ts";

export const revisionHashLabel = "controller-revision-hash";

export interface Revisions {
  /** Name of the revision of the present template, and its hash as pods carry it. */
  update: string;
  updateHash: string;
  /** Oldest first, the present one last. */
  all: ControllerRevision[];
  actions: Action[];
}

/** Finds or makes the revision of the owner's template, gives it the highest number, and removes old ones beyond the limit. */
export function syncRevisions({
  world,
  owner,
  ownerKind,
  template,
  limit = 10,
  collisions = 0,
  inUse,
}: {
  world: World;
  owner: KubeObject & { spec?: { selector?: { matchLabels?: Record<string, string> } } };
  ownerKind: OwnerKind;
  template: PodTemplate | undefined;
  limit?: number;
  collisions?: number;
  /** Names of revisions that pods still run. */
  inUse: ReadonlySet<string>;
}): Revisions {
  const selector = owner.spec?.selector;
  const { claimed, actions } = claim({
    owner,
    ownerKind,
    selector,
    candidates: candidates(world.controllerRevisions, owner),
    resource: controllerRevisions,
  });
  const sorted = claimed.sort((a, b) => a.revision - b.revision || byAge(a, b));
  const data = { spec: { template: { ...template, $patch: "replace" } } };
  const text = canonical(data);
  const next = (sorted.at(-1)?.revision ?? 0) + 1;
  const same = sorted.findLast((one) => canonical(one.data) === text);
  const hash = shortHash(text, collisions);
  const name = `${(owner.metadata.name ?? "").slice(0, 223)}-${hash}`;
  if (same) {
    if (same !== sorted.at(-1)) actions.push({ do: "patch", resource: controllerRevisions, target: same, patch: { revision: next } });
  } else {
    const labels = { ...template?.metadata?.labels, ...selector?.matchLabels, [revisionHashLabel]: hash };
    const annotations = Object.fromEntries(
      Object.entries(owner.metadata.annotations ?? {}).filter(([key]) => key !== "kubectl.kubernetes.io/last-applied-configuration"),
    );
    const object: NewObject = {
      apiVersion: "apps/v1",
      kind: "ControllerRevision",
      metadata: {
        name,
        namespace: owner.metadata.namespace ?? "",
        labels,
        ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
        ownerReferences: [ownedBy(owner, ownerKind)],
      },
      data,
      revision: next,
    };
    actions.push({
      do: "create",
      resource: controllerRevisions,
      object,
      refused: (error) => (error.reason === "AlreadyExists" ? [] : raise(error)),
    });
  }
  const update = same?.metadata.name ?? name;
  const old = sorted.filter((one) => one !== same && !inUse.has(one.metadata.name ?? ""));
  for (const target of old.slice(0, Math.max(0, old.length - limit))) actions.push({ do: "delete", resource: controllerRevisions, target });
  return { update, updateHash: same?.metadata.labels?.[revisionHashLabel] ?? hash, all: sorted, actions };
}

function raise(error: Error): never {
  throw error;
}
