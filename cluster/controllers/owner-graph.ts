// Who owns whom, by uid, and what garbage collection has to do about one object. Pure; the runtime feeds it and looks up owners it does not know.
import type { ObjectMeta, OwnerReference } from "#kube";
import type { ServedType } from "./discovery.ts";

export const foregroundFinalizer = "foregroundDeletion";
export const orphanFinalizer = "orphan";

export interface GraphNode {
  uid: string;
  type: ServedType;
  metadata: ObjectMeta;
}

/** What is known of an owner: it stays, it is gone, or it is being deleted and waits for its dependents. */
export type OwnerState = "solid" | "absent" | "waiting";

export type Verdict =
  | { do: "nothing" }
  /** Owners that must be looked up before anything can be decided. */
  | { do: "look-up"; owners: OwnerReference[] }
  | { do: "delete"; propagation: "Background" | "Foreground" | "Orphan" }
  /** Some owner stays: only the references to the others go. */
  | { do: "drop-owners"; uids: string[] }
  | { do: "remove-finalizer"; finalizer: string }
  /** A foreground deletion waits: its dependents are to be judged. */
  | { do: "wait"; dependents: GraphNode[] }
  | { do: "orphan-dependents"; dependents: GraphNode[] };

export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #dependents = new Map<string, Set<string>>();

  get size(): number {
    return this.#nodes.size;
  }

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  set(node: GraphNode): void {
    const before = this.#nodes.get(node.uid);
    this.#nodes.set(node.uid, node);
    for (const { uid } of before?.metadata.ownerReferences ?? []) this.#unlink(uid, node.uid);
    for (const { uid } of node.metadata.ownerReferences ?? []) {
      const set = this.#dependents.get(uid);
      if (set) set.add(node.uid);
      else this.#dependents.set(uid, new Set([node.uid]));
    }
  }

  delete(uid: string): void {
    const node = this.#nodes.get(uid);
    if (!node) return;
    this.#nodes.delete(uid);
    for (const owner of node.metadata.ownerReferences ?? []) this.#unlink(owner.uid, uid);
  }

  dependentsOf(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].map((one) => this.#nodes.get(one)).filter((node) => node !== undefined);
  }

  /**
   * What to do about the object. `known`: states of owners found out by looking them up.
   * An owner counts as the one meant only with the same uid; one in another namespace than its dependent's does not count.
   */
  judge(uid: string, known: ReadonlyMap<string, OwnerState> = new Map()): Verdict {
    const node = this.#nodes.get(uid);
    if (!node) return { do: "nothing" };
    const { metadata } = node;
    const finalizers = metadata.finalizers ?? [];
    if (metadata.deletionTimestamp !== undefined) {
      const dependents = this.dependentsOf(uid);
      if (finalizers.includes(orphanFinalizer))
        return dependents.length > 0 ? { do: "orphan-dependents", dependents } : { do: "remove-finalizer", finalizer: orphanFinalizer };
      if (!finalizers.includes(foregroundFinalizer)) return { do: "nothing" };
      const blocking = dependents.filter((one) =>
        one.metadata.ownerReferences?.some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true),
      );
      return blocking.length > 0 ? { do: "wait", dependents } : { do: "remove-finalizer", finalizer: foregroundFinalizer };
    }
    const owners = metadata.ownerReferences ?? [];
    if (owners.length === 0) return { do: "nothing" };
    const states = owners.map((owner) => ({ owner, state: known.get(owner.uid) ?? this.#stateOf(node, owner) }));
    const unknown = states.filter(({ state }) => state === undefined).map(({ owner }) => owner);
    if (unknown.length > 0) return { do: "look-up", owners: unknown };
    const leaving = states.filter(({ state }) => state !== "solid").map(({ owner }) => owner.uid);
    if (leaving.length === 0) return { do: "nothing" };
    if (leaving.length < states.length) return { do: "drop-owners", uids: leaving };
    const isWaited = states.some(({ state }) => state === "waiting");
    if (isWaited && this.dependentsOf(uid).length > 0) return { do: "delete", propagation: "Foreground" };
    return {
      do: "delete",
      propagation: finalizers.includes(orphanFinalizer) ? "Orphan" : finalizers.includes(foregroundFinalizer) ? "Foreground" : "Background",
    };
  }

  #stateOf(node: GraphNode, { uid, kind, name }: OwnerReference): OwnerState | undefined {
    const owner = this.#nodes.get(uid);
    if (!owner) return undefined;
    if (owner.type.kind !== kind || owner.metadata.name !== name) return undefined;
    if (owner.type.namespaced && owner.metadata.namespace !== node.metadata.namespace) return undefined;
    return stateOf(owner.metadata);
  }

  #unlink(owner: string, dependent: string): void {
    const set = this.#dependents.get(owner);
    set?.delete(dependent);
    if (set?.size === 0) this.#dependents.delete(owner);
  }
}

/** The state of an owner that exists. */
export function stateOf({ deletionTimestamp, finalizers }: ObjectMeta): OwnerState {
  return deletionTimestamp !== undefined && finalizers?.includes(foregroundFinalizer) ? "waiting" : "solid";
}
