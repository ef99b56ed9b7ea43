// What the server itself does after writes: it establishes CRDs and removes their objects, fills in aggregated ClusterRoles, and forgets old Events.
import { cloneJson, equalJson, type Store } from "../store/index.ts";
import { aggregatedRules, rbacBuckets } from "./auth/rbac.ts";
import { cleanupFinalizer, crdBucket, isEstablished, nameConflict } from "./custom/crd.ts";
import { selectorMatches } from "./kinds/names.ts";
import type { ApiObject } from "./kinds/resource.ts";
import { timestamp } from "./write.ts";

const [clusterRoles] = rbacBuckets;
/** Events are kept so long after they last happened, as in Kubernetes. */
const eventLifeMs = 3_600_000;
const eventSweepMs = 60_000;

export interface LifecycleDeps {
  store: Store<ApiObject>;
  now: () => number;
  /** Deletes every object of a custom resource, as a client would. */
  deleteAll: (crd: ApiObject) => Promise<void>;
  log: (message: string, fields: Record<string, unknown>) => void;
}

/** Changes to CRDs and roles are followed up before the next request is answered where that needs no waiting. */
export class Lifecycle {
  readonly #deps: LifecycleDeps;
  readonly #stops: (() => void)[] = [];
  readonly #draining = new Set<string>();
  #dirtyRoles = false;
  #sweep: ReturnType<typeof setInterval> | undefined;

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
  }

  /** Brings everything up to date and follows from then on. */
  start(): void {
    const { store } = this.#deps;
    for (const crd of store.list(crdBucket)) this.#settle(crd.metadata.name as string);
    this.#aggregate();
    this.#sweep = setInterval(() => this.expireEvents(), eventSweepMs);
    this.#stops.push(
      store.watch(clusterRoles, () => {
        if (this.#dirtyRoles) return;
        this.#dirtyRoles = true;
        queueMicrotask(() => this.#aggregate());
      }),
      // The last object of a custom resource that is being removed frees its CRD.
      store.watchAll((event) => {
        if (event.type === "DELETED" && this.#draining.has(event.bucket) && store.count(event.bucket) === 0)
          queueMicrotask(() => this.#release(event.bucket));
      }),
    );
  }

  stop(): void {
    clearInterval(this.#sweep);
    for (const stop of this.#stops) stop();
  }

  /** Removes Events that are past their time. */
  expireEvents(): void {
    const { store, now } = this.#deps;
    const oldest = now() - eventLifeMs;
    for (const { metadata, series, lastTimestamp, eventTime } of [...store.list("events")]) {
      const last = Date.parse(series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? "");
      if (last < oldest) store.delete({ bucket: "events", namespace: metadata.namespace ?? "", name: metadata.name as string });
    }
  }

  /** After a CRD was written: conditions, accepted names, cleanup. */
  crdWritten(name: string): void {
    this.#settle(name);
  }

  #settle(name: string): void {
    const { store } = this.#deps;
    const key = { bucket: crdBucket, namespace: "", name };
    const crd = store.get(key);
    if (!crd) return;
    if (crd.metadata.deletionTimestamp) {
      if (crd.metadata.finalizers?.includes(cleanupFinalizer)) void this.#drain(crd);
      return;
    }
    const next = this.#withStatus(crd);
    if (!equalJson(next, crd)) store.update(key, next);
  }

  #withStatus(crd: ApiObject): ApiObject {
    const { store } = this.#deps;
    const next = cloneJson(crd);
    const now = timestamp(this.#deps.now());
    const status = (next["status"] ??= {});
    const set = (type: string, value: "True" | "False", reason: string, message: string) => {
      const conditions: { type: string; status: string; reason: string; message: string; lastTransitionTime: string }[] =
        (status.conditions ??= []);
      const found = conditions.find((one) => one.type === type);
      if (found?.status === value && found.reason === reason && found.message === message) return;
      const condition = {
        lastTransitionTime: found?.status === value ? found.lastTransitionTime : now,
        message,
        reason,
        status: value,
        type,
      };
      if (found) Object.assign(found, condition);
      else conditions.push(condition);
    };
    const conflict = nameConflict(
      crd,
      store.list(crdBucket).filter((other) => isEstablished(other)),
    );
    if (conflict) set("NamesAccepted", "False", "NotAccepted", conflict);
    else {
      set("NamesAccepted", "True", "NoConflicts", "no conflicts found");
      status.acceptedNames = cloneJson(next["spec"].names);
    }
    if (!conflict || isEstablished(crd)) set("Established", "True", "InitialNamesAccepted", "the initial names have been accepted");
    else set("Established", "False", "NotAccepted", "not all names are accepted");
    const storage = next["spec"].versions.find((version: { storage: boolean }) => version.storage)?.name;
    status.storedVersions = [...new Set([...(status.storedVersions ?? []), storage])];
    if (!next.metadata.finalizers?.includes(cleanupFinalizer))
      next.metadata.finalizers = [...(next.metadata.finalizers ?? []), cleanupFinalizer];
    return next;
  }

  async #drain(crd: ApiObject): Promise<void> {
    const bucket = crd.metadata.name as string;
    if (this.#draining.has(bucket)) return;
    this.#draining.add(bucket);
    const { store, deleteAll, log } = this.#deps;
    try {
      await deleteAll(crd);
    } catch (error) {
      log("removing the objects of a custom resource failed", {
        crd: bucket,
        error: error instanceof Error ? error.message : String(error),
      });
    }
    if (store.count(bucket) === 0) this.#release(bucket);
  }

  #release(bucket: string): void {
    if (!this.#draining.delete(bucket)) return;
    const { store } = this.#deps;
    const key = { bucket: crdBucket, namespace: "", name: bucket };
    const crd = store.get(key);
    if (!crd) return;
    const finalizers = (crd.metadata.finalizers ?? []).filter((one) => one !== cleanupFinalizer);
    const next = cloneJson(crd);
    if (finalizers.length > 0) {
      next.metadata.finalizers = finalizers;
      store.update(key, next);
    } else {
      delete next.metadata.finalizers;
      store.delete(key, { last: next });
    }
  }

  #aggregate(): void {
    this.#dirtyRoles = false;
    const { store } = this.#deps;
    // A role may aggregate aggregated ones: at most so many levels.
    for (let level = 0; level < 5; level++) {
      let changed = false;
      const all = store.list(clusterRoles);
      for (const role of all) {
        if (!role["aggregationRule"]) continue;
        const rules = aggregatedRules(role, all, selectorMatches as never);
        if (equalJson(rules, role["rules"] ?? [])) continue;
        changed = true;
        store.update({ bucket: clusterRoles, namespace: "", name: role.metadata.name as string }, { ...role, rules });
      }
      if (!changed) return;
    }
  }
}
