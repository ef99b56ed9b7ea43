// Garbage collection: follows every resource type that can be deleted and removes what lost all its owners.
import { type Informer, type KubeClient, KubeError, type KubeObject, type OwnerReference } from "#kube";
import { type Discovery, type ServedType, typeKey } from "./discovery.ts";
import { type GraphNode, OwnerGraph, type OwnerState, stateOf } from "./owner-graph.ts";

export interface GarbageCollectorOptions {
  client: KubeClient;
  /** Puts the object with this uid up for {@link GarbageCollector.process}. */
  enqueue: (uid: string) => void;
  /** A started informer of the type; one that a controller has already where there is one. */
  follow: (type: ServedType) => { informer: Informer<KubeObject>; stop: () => Promise<void> };
}

/** Kinds that come and go by themselves and own nothing. */
const ignored = new Set(["events.", "events.events.k8s.io", "componentstatuses.", "bindings."]);

export class GarbageCollector {
  readonly #options: GarbageCollectorOptions;
  readonly #graph = new OwnerGraph();
  readonly #followed = new Map<string, { type: ServedType; stop: () => Promise<void> }>();
  #kinds = new Map<string, ServedType>();

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
  }

  /** Objects known. */
  get size(): number {
    return this.#graph.size;
  }

  /** Follows what the server serves now; types that are gone are forgotten with their objects. A group that could not be read keeps its types. */
  update({ types, failures }: Discovery): void {
    const wanted = new Map<string, ServedType>();
    this.#kinds = new Map(types.map((type) => [`${type.group}/${type.kind}`, type]));
    for (const type of types) {
      if (["delete", "list", "watch"].every((verb) => type.verbs.includes(verb)) && !ignored.has(typeKey(type)))
        wanted.set(typeKey(type), type);
    }
    const unread = new Set(failures.map(({ groupVersion }) => groupVersion.split("/")[0]));
    for (const [key, { type, stop }] of this.#followed) {
      if (wanted.has(key) || unread.has(type.group)) continue;
      this.#followed.delete(key);
      void stop();
    }
    for (const [key, type] of wanted) {
      if (this.#followed.has(key)) continue;
      const { informer, stop } = this.#options.follow(type);
      const unsubscribe = informer.onChange((change) => this.#changed(type, change.object, change.type === "deleted"));
      const forget = () => {
        for (const object of informer.store.list()) this.#changed(type, object, true);
      };
      this.#followed.set(key, {
        type,
        stop: async () => {
          unsubscribe();
          forget();
          await stop();
        },
      });
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#followed.values()].map(({ stop }) => stop()));
    this.#followed.clear();
  }

  /** Does what the graph says about one object; safe to repeat. */
  async process(uid: string): Promise<void> {
    const node = this.#graph.get(uid);
    if (!node) return;
    let verdict = this.#graph.judge(uid);
    if (verdict.do === "look-up") {
      const known = new Map<string, OwnerState>();
      for (const owner of verdict.owners) known.set(owner.uid, await this.#lookUp(node, owner));
      verdict = this.#graph.judge(uid, known);
    }
    switch (verdict.do) {
      case "nothing":
      case "look-up":
        return;
      case "delete":
        await this.#tolerating(() =>
          this.#options.client.delete(this.#ref(node), {
            propagationPolicy: (verdict as { propagation: "Background" }).propagation,
            preconditions: { uid },
          }),
        );
        return;
      case "drop-owners":
        return this.#dropOwners(node, new Set(verdict.uids));
      case "remove-finalizer":
        return this.#removeFinalizer(node, verdict.finalizer);
      case "wait":
        for (const dependent of verdict.dependents) this.#options.enqueue(dependent.uid);
        return;
      case "orphan-dependents":
        await Promise.all(verdict.dependents.map((dependent) => this.#dropOwners(dependent, new Set([uid]))));
        // The finalizer goes in a later pass, when the copy shows that no dependent is left.
        this.#options.enqueue(uid);
        return;
      default:
        verdict satisfies never;
    }
  }

  #changed(type: ServedType, object: KubeObject, isDeleted: boolean): void {
    const { uid, ownerReferences } = object.metadata;
    if (!uid) return;
    if (isDeleted) {
      const dependents = this.#graph.dependentsOf(uid);
      this.#graph.delete(uid);
      for (const dependent of dependents) this.#options.enqueue(dependent.uid);
    } else {
      const before = this.#graph.get(uid)?.metadata;
      const { name = "", namespace, finalizers, deletionTimestamp } = object.metadata;
      this.#graph.set({
        uid,
        type,
        metadata: {
          name,
          ...(namespace === undefined ? {} : { namespace }),
          ...(ownerReferences ? { ownerReferences } : {}),
          ...(finalizers ? { finalizers } : {}),
          ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
        },
      });
      const isInteresting = ownerReferences?.length || deletionTimestamp !== undefined || before?.ownerReferences?.length;
      if (isInteresting) this.#options.enqueue(uid);
    }
    // Owners that wait for their dependents, or orphan them, look again.
    for (const owner of ownerReferences ?? [])
      if (this.#graph.get(owner.uid)?.metadata.deletionTimestamp !== undefined) this.#options.enqueue(owner.uid);
  }

  /** @throws when the owner's kind is unknown or the server cannot be asked: the object is kept and looked at again. */
  async #lookUp(node: GraphNode, owner: OwnerReference): Promise<OwnerState> {
    const group = owner.apiVersion.includes("/") ? (owner.apiVersion.split("/")[0] as string) : "";
    const type = this.#kinds.get(`${group}/${owner.kind}`);
    if (!type) throw new Error(`${describe(node)}: metadata.ownerReferences names the unknown kind ${owner.kind} of ${owner.apiVersion}`);
    if (type.namespaced && node.metadata.namespace === undefined)
      throw new Error(`${describe(node)}: a cluster-wide object cannot be owned by the namespaced ${owner.kind} ${owner.name}`);
    const found = await this.#options.client.find({
      ...type,
      namespace: type.namespaced ? node.metadata.namespace : undefined,
      name: owner.name,
    });
    return found?.metadata.uid === owner.uid ? stateOf(found.metadata) : "absent";
  }

  #ref({ type, metadata }: GraphNode) {
    return {
      group: type.group,
      version: type.version,
      resource: type.resource,
      namespace: type.namespaced ? metadata.namespace : undefined,
      name: metadata.name ?? "",
    };
  }

  async #dropOwners(node: GraphNode, uids: ReadonlySet<string>): Promise<void> {
    await this.#change(node, (metadata) => {
      const kept = (metadata.ownerReferences ?? []).filter((owner) => !uids.has(owner.uid));
      return kept.length === (metadata.ownerReferences ?? []).length ? undefined : { ownerReferences: kept };
    });
  }

  async #removeFinalizer(node: GraphNode, finalizer: string): Promise<void> {
    await this.#change(node, (metadata) =>
      metadata.finalizers?.includes(finalizer) ? { finalizers: metadata.finalizers.filter((one) => one !== finalizer) } : undefined,
    );
  }

  /** Changes the object as the server has it now. */
  async #change(node: GraphNode, patchOf: (metadata: KubeObject["metadata"]) => Record<string, unknown> | undefined): Promise<void> {
    const { client } = this.#options;
    const live = await client.find(this.#ref(node));
    if (live?.metadata.uid !== node.uid) return;
    const patch = patchOf(live.metadata);
    if (!patch) return;
    await this.#tolerating(() =>
      client.patch(this.#ref(node), { metadata: { ...patch, uid: node.uid, resourceVersion: live.metadata.resourceVersion } }),
    );
  }

  /** Gone meanwhile is as well. */
  async #tolerating(request: () => Promise<unknown>): Promise<void> {
    try {
      await request();
    } catch (error) {
      if (!KubeError.isNotFound(error)) throw error;
    }
  }
}

function describe({ type, metadata }: GraphNode): string {
  return `${type.kind} ${metadata.namespace === undefined ? "" : `${metadata.namespace}/`}${metadata.name}`;
}
