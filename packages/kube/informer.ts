// Keeps a copy of one resource in memory: list, watch, resume, list again; tells of each change.
import type { KubeClient } from "./client.ts";
import { KubeError } from "./errors.ts";
import type { KubeObject, ResourceType } from "./types.ts";

/** One change of the copy. `previous` is what the copy held before; a deletion carries the last known object. */
export type Change<T> = { type: "added"; object: T } | { type: "modified"; object: T; previous: T } | { type: "deleted"; object: T };

/** Keys under which an object can be found, by the name of the index. */
export type Indexers<T> = Record<string, (object: T) => readonly string[]>;

export interface InformerOptions<T extends KubeObject> {
  client: KubeClient;
  resource: ResourceType;
  /** Only this namespace; absent: all. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  indexers?: Indexers<T> | undefined;
  /** What is kept of each object; default: drops `metadata.managedFields`. */
  transform?: ((object: T) => T) | undefined;
  /** True: while the server does not know the resource type (404), the copy is empty and counts as synced; looked for again every `optionalRetryMs`. */
  optional?: boolean | undefined;
  optionalRetryMs?: number | undefined;
  /** First and longest pause before another try, in ms; each pause is 50–100 % of a doubling value. Defaults 100 and 5,000. */
  backoffMs?: { first: number; most: number } | undefined;
  /** A list or watch has failed and will be tried again. */
  onError?: ((error: unknown, retryInMs: number) => void) | undefined;
  random?: (() => number) | undefined;
}

/** The copy an informer keeps. Objects are shared: do not change them. */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #namespaces = new Map<string, Map<string, T>>();
  readonly #indexers: [string, (object: T) => readonly string[]][];
  readonly #indexes = new Map<string, Map<string, Set<T>>>();

  constructor({ indexers = {} }: { indexers?: Indexers<T> | undefined } = {}) {
    this.#indexers = Object.entries(indexers);
    for (const [name] of this.#indexers) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#objects.size;
  }

  get(name: string, namespace = ""): T | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  /** All objects, or those of one namespace, in no certain order. */
  list(namespace?: string): T[] {
    return namespace === undefined ? [...this.#objects.values()] : [...(this.#namespaces.get(namespace)?.values() ?? [])];
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /**
   * The objects that the named indexer files under `key`.
   * @throws {RangeError} when there is no such index.
   */
  byIndex(index: string, key: string): T[] {
    const found = this.#indexes.get(index);
    if (!found) throw new RangeError(`no index "${index}"`);
    return [...(found.get(key) ?? [])];
  }

  /** Adds or replaces; returns what was there. */
  set(object: T): T | undefined {
    const { name = "", namespace = "" } = object.metadata;
    const key = `${namespace}/${name}`;
    const previous = this.#objects.get(key);
    this.#objects.set(key, object);
    let inNamespace = this.#namespaces.get(namespace);
    if (!inNamespace) this.#namespaces.set(namespace, (inNamespace = new Map()));
    inNamespace.set(name, object);
    this.#reindex(previous, object);
    return previous;
  }

  /** Removes; returns what was there. */
  delete(name: string, namespace = ""): T | undefined {
    const key = `${namespace}/${name}`;
    const previous = this.#objects.get(key);
    if (!previous) return undefined;
    this.#objects.delete(key);
    const inNamespace = this.#namespaces.get(namespace);
    inNamespace?.delete(name);
    if (inNamespace?.size === 0) this.#namespaces.delete(namespace);
    this.#reindex(previous, undefined);
    return previous;
  }

  #reindex(previous: T | undefined, next: T | undefined): void {
    for (const [name, keysOf] of this.#indexers) {
      const index = this.#indexes.get(name) as Map<string, Set<T>>;
      if (previous) {
        for (const key of keysOf(previous)) {
          const set = index.get(key);
          set?.delete(previous);
          if (set?.size === 0) index.delete(key);
        }
      }
      if (next) {
        for (const key of keysOf(next)) {
          const set = index.get(key);
          if (set) set.add(next);
          else index.set(key, new Set([next]));
        }
      }
    }
  }
}

/**
 * Follows one resource until stopped. Starts at once unless `start: false`.
 *
 * list → (diff with the copy) → watch → resume from the last resourceVersion when the server ends the watch → list again after 410.
 * Failures are retried forever with growing pauses: the copy stays as it was meanwhile.
 */
export class Informer<T extends KubeObject = KubeObject> {
  readonly store: Store<T>;
  /** Resolves after the first complete list; rejects only when stopped before that. */
  readonly synced: Promise<void>;
  readonly resource: ResourceType;
  readonly #options: InformerOptions<T>;
  readonly #transform: (object: T) => T;
  readonly #callbacks = new Set<(change: Change<T>) => void>();
  readonly #stop = new AbortController();
  #isSynced = false;
  #running: Promise<void> | undefined;
  #settle!: { resolve: () => void; reject: (error: Error) => void };

  constructor(options: InformerOptions<T> & { start?: boolean }) {
    this.#options = options;
    this.resource = options.resource;
    this.store = new Store<T>({ indexers: options.indexers });
    this.#transform = options.transform ?? dropManagedFields;
    this.synced = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.synced.catch(() => {});
    if (options.start !== false) this.start();
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Begins to follow; a second call changes nothing. */
  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * Calls back for each change, in order; what the copy holds already comes first, as `added`. Returns the way to end it.
   * An exception of a callback does not reach the others; it goes to `onError`.
   */
  onChange(callback: (change: Change<T>) => void): () => void {
    for (const object of this.store.list()) this.#call(callback, { type: "added", object });
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  /** Ends the watch; resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#settle.reject(new Error(`the informer of ${this.resource.resource} was stopped`));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { first, most } = this.#options.backoffMs ?? { first: 100, most: 1_500 };
    const random = this.#options.random ?? Math.random;
    let version: string | undefined;
    let pauseMs = first;
    while (!signal.aborted) {
      let waitMs = 0;
      try {
        if (version === undefined) version = await this.#list(signal);
        const startedAt = performance.now();
        const { next, events } = await this.#watch(version, random, signal);
        version = next;
        pauseMs = first;
        // A server that ends each watch at once must not be asked in a tight loop.
        if (events === 0 && performance.now() - startedAt < 1_000) waitMs = first;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Interrupted) {
          version = error.version;
          if (error.progressed) pauseMs = first;
        }
        const cause = error instanceof Interrupted ? error.cause : error;
        if (KubeError.isExpired(cause)) version = undefined;
        if (this.#options.optional && KubeError.isNotFound(cause)) {
          this.#replace([]);
          this.#markSynced();
          version = undefined;
          waitMs = this.#options.optionalRetryMs ?? 5_000;
        } else {
          // The first retry after an expired version is immediate: nothing is wrong with the server.
          waitMs = KubeError.isExpired(cause) && pauseMs === first ? 0 : pauseMs * (0.5 + random() / 2);
          pauseMs = Math.min(pauseMs * 2, most);
          this.#options.onError?.(cause, waitMs);
        }
      }
      if (waitMs > 0) await pause(waitMs, signal);
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { client, resource, namespace, labelSelector, fieldSelector } = this.#options;
    const { items, resourceVersion } = await client.list<T>({ ...resource, namespace }, { labelSelector, fieldSelector, signal });
    this.#replace(items);
    this.#markSynced();
    return resourceVersion;
  }

  async #watch(from: string, random: () => number, signal: AbortSignal): Promise<{ next: string; events: number }> {
    const { client, resource, namespace, labelSelector, fieldSelector } = this.#options;
    let version = from;
    let events = 0;
    try {
      // Spread over 4–6 minutes, so that watches started together do not end together.
      const timeoutSeconds = Math.floor(240 + random() * 120);
      for await (const event of client.watch<T>(
        { ...resource, namespace },
        { labelSelector, fieldSelector, resourceVersion: version, timeoutSeconds, signal },
      )) {
        events++;
        version = event.object.metadata.resourceVersion ?? version;
        if (event.type === "DELETED") this.#remove(event.object);
        else if (event.type !== "BOOKMARK") this.#put(event.object);
      }
    } catch (error) {
      throw new Interrupted(version, events > 0, error);
    }
    return { next: version, events };
  }

  #markSynced(): void {
    this.#isSynced = true;
    this.#settle.resolve();
  }

  /** The copy becomes `items`; what is missing from them was deleted while nobody watched. */
  #replace(items: T[]): void {
    const names = new Set<string>();
    for (const item of items) {
      names.add(`${item.metadata.namespace ?? ""}/${item.metadata.name ?? ""}`);
      this.#put(item);
    }
    if (names.size === this.store.size) return;
    for (const object of this.store.list()) {
      if (!names.has(`${object.metadata.namespace ?? ""}/${object.metadata.name ?? ""}`)) this.#remove(object);
    }
  }

  #put(received: T): void {
    const object = this.#transform(received);
    const { name = "", namespace, resourceVersion } = object.metadata;
    const known = this.store.get(name, namespace);
    if (
      known &&
      resourceVersion !== undefined &&
      known.metadata.resourceVersion === resourceVersion &&
      known.metadata.uid === object.metadata.uid
    )
      return;
    // Deleted and made anew under the same name between two looks: two changes, not one.
    if (known && known.metadata.uid !== object.metadata.uid) this.#remove(known);
    const previous = this.store.set(object);
    this.#emit(previous ? { type: "modified", object, previous } : { type: "added", object });
  }

  #remove(received: T): void {
    const previous = this.store.delete(received.metadata.name ?? "", received.metadata.namespace);
    if (previous) this.#emit({ type: "deleted", object: previous });
  }

  #emit(change: Change<T>): void {
    for (const callback of this.#callbacks) this.#call(callback, change);
  }

  #call(callback: (change: Change<T>) => void, change: Change<T>): void {
    try {
      callback(change);
    } catch (error) {
      this.#options.onError?.(error, 0);
    }
  }
}

/** A watch that failed, and the version up to which it had come. */
class Interrupted extends Error {
  readonly version: string;
  readonly progressed: boolean;
  constructor(version: string, progressed: boolean, cause: unknown) {
    super("the watch was interrupted", { cause });
    this.version = version;
    this.progressed = progressed;
  }
}

function dropManagedFields<T extends KubeObject>(object: T): T {
  delete object.metadata.managedFields;
  return object;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
