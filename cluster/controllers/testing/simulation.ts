// A cluster in memory for tests of the controllers: carries actions out on the copies themselves, plays the API server's and the node's part.
import { type KubeObject, Resources, type ResourceType, type Store } from "#kube";
import { mergePatch } from "../../apiserver/patch/merge-patch.ts";
import type { Action, Outcome } from "../actions.ts";
import { typeKey } from "../discovery.ts";
import type { Condition, Pod } from "../types.ts";
import { emptyWorld, type StoreName, type World, watched } from "../world.ts";

export class Simulation {
  readonly world: World;
  /** Milliseconds since 1970; moved by the test. */
  now: number;
  /** `reason: message` of every event, in order. */
  readonly events: string[] = [];
  /** Names of deleted objects, `resource/name`, in order. */
  readonly deleted: string[] = [];
  /** Throws for a create that the server is to refuse. */
  refuse: ((object: KubeObject) => void) | undefined;
  readonly #stores = new Map<string, Store<KubeObject>>();
  #version = 0;
  #serial = 0;

  constructor({ now = Date.parse("2026-01-01T00:00:00Z") }: { now?: number } = {}) {
    this.now = now;
    this.world = emptyWorld({ now: () => this.now });
    for (const [name, { resource }] of Object.entries(watched))
      this.#stores.set(typeKey(resource), this.world[name as StoreName] as unknown as Store<KubeObject>);
    this.#stores.set(typeKey(Resources.configMaps), this.world.rootCas as unknown as Store<KubeObject>);
    this.#stores.set(typeKey(Resources.secrets), this.world.tokenSecrets as unknown as Store<KubeObject>);
  }

  /** Puts an object into the world as the server would: uid, version, time of creation, generation. */
  put<T extends KubeObject>(resource: ResourceType, object: T): T {
    const name = object.metadata.name ?? `${object.metadata.generateName}${String(++this.#serial).padStart(5, "0")}`;
    const { generateName: _, ...metadata } = object.metadata;
    const made = {
      ...structuredClone(object),
      metadata: {
        uid: `uid-${++this.#serial}`,
        generation: 1,
        creationTimestamp: new Date(this.now + this.#serial).toISOString(),
        ...structuredClone(metadata),
        name,
        resourceVersion: String(++this.#version),
      },
    };
    this.store(resource).set(made);
    return made;
  }

  store(resource: ResourceType): Store<KubeObject> {
    const store = this.#stores.get(typeKey(resource));
    if (!store) throw new Error(`the simulation has no ${resource.resource}`);
    return store;
  }

  perform({ actions }: Outcome): void {
    for (const action of actions) this.#perform(action);
  }

  #perform(action: Action): void {
    switch (action.do) {
      case "create": {
        let made: KubeObject;
        try {
          this.refuse?.(action.object);
          made = this.put(action.resource, action.object);
        } catch (error) {
          if (!action.refused) throw error;
          this.perform({ actions: action.refused(error as never) });
          return;
        }
        this.perform({ actions: action.done?.(made) ?? [] });
        return;
      }
      case "patch": {
        const store = this.store(action.resource);
        const { name = "", namespace } = action.target.metadata;
        const live = store.get(name, namespace);
        if (!live || live.metadata.uid !== action.target.metadata.uid) return;
        const next = mergePatch(structuredClone(live), action.patch) as KubeObject & { spec?: unknown };
        next.metadata.resourceVersion = String(++this.#version);
        if (action.patch["spec"] !== undefined) next.metadata.generation = (live.metadata.generation ?? 0) + 1;
        if (next.metadata.deletionTimestamp !== undefined && (next.metadata.finalizers ?? []).length === 0) store.delete(name, namespace);
        else store.set(next);
        this.perform({ actions: action.done?.() ?? [] });
        return;
      }
      case "delete": {
        const store = this.store(action.resource);
        const { name = "", namespace } = action.target.metadata;
        const live = store.get(name, namespace);
        if (!live) return;
        this.deleted.push(`${action.resource.resource}/${name}`);
        if ((live.metadata.finalizers ?? []).length > 0)
          store.set({ ...live, metadata: { ...live.metadata, deletionTimestamp: new Date(this.now).toISOString() } });
        else store.delete(name, namespace);
        this.perform({ actions: action.done?.() ?? [] });
        return;
      }
      case "event":
        this.events.push(`${action.reason}: ${action.message}`);
        return;
      case "slow-start":
        try {
          for (const one of action.actions) this.#perform(one);
        } catch (error) {
          this.perform({ actions: action.failed?.(error) ?? [] });
        }
        return;
      default:
        action satisfies never;
    }
  }

  pods(namespace?: string): Pod[] {
    return this.world.pods.list(namespace).sort((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  }

  /** The node's part: the pod runs, and is ready or not. */
  run(pod: Pod, { ready = true, ip = `10.0.0.${this.#serial % 250}` }: { ready?: boolean; ip?: string } = {}): void {
    const condition: Condition = { type: "Ready", status: ready ? "True" : "False", lastTransitionTime: new Date(this.now).toISOString() };
    this.setStatus(pod, { phase: "Running", podIP: ip, conditions: [condition] });
  }

  end(pod: Pod, phase: "Succeeded" | "Failed"): void {
    this.setStatus(pod, { phase, conditions: [{ type: "Ready", status: "False", lastTransitionTime: new Date(this.now).toISOString() }] });
  }

  setStatus(pod: Pod, status: NonNullable<Pod["status"]>): void {
    const live = this.world.pods.get(pod.metadata.name ?? "", pod.metadata.namespace);
    if (live)
      this.world.pods.set({
        ...live,
        spec: { nodeName: "node", ...live.spec },
        metadata: { ...live.metadata, resourceVersion: String(++this.#version) },
        status,
      });
  }
}

/** Labels, template and selector of a workload with one container. */
export function workload(app: string, image = "app:1") {
  return {
    selector: { matchLabels: { app } },
    template: { metadata: { labels: { app } }, spec: { containers: [{ name: "main", image }] } },
  };
}
