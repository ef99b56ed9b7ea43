// The object store: every write is one SQLite transaction and then one event; reads come from memory.
//
//   write ──► SQLite (WAL) ──► memory ──► history (bounded) ──► watchers
//
// A write is on disk (in the WAL, flushed to the kernel) before it is acknowledged, so killing the process loses nothing.
import { Database, type Statement } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

/** What the store reads of an object; everything else passes through. Stored objects are shared: never change one, copy it first. */
export interface StoredObject {
  metadata: { name?: string; namespace?: string; resourceVersion?: string; uid?: string };
}

/** Where an object lives. `bucket` is one kind of object (`pods`, `deployments.apps`); `namespace` is "" for cluster-wide kinds. */
export interface Key {
  bucket: string;
  namespace: string;
  name: string;
}

export interface ChangeEvent<T extends StoredObject = StoredObject> {
  type: "ADDED" | "MODIFIED" | "DELETED";
  bucket: string;
  namespace: string;
  /** After the change; of a deletion, the last state with the version of the deletion. */
  object: T;
  /** Before the change; absent when added. */
  previous: T | undefined;
  /** The store's version after this change. */
  version: number;
}

/** Is called inside the write, in order of versions; must not throw or write. */
export type Watcher<T extends StoredObject = StoredObject> = (event: ChangeEvent<T>) => void;

export class ExistsError extends Error {}
export class NotFoundError extends Error {}
/** The object changed since the version the writer knew. */
export class ConflictError extends Error {}
/** The version asked for is older than the history. */
export class TooOldError extends Error {
  constructor(
    readonly asked: number,
    readonly oldest: number,
  ) {
    super(`too old resource version: ${asked} (${oldest})`);
  }
}

interface Bucket<T> {
  namespaces: Map<string, Map<string, T>>;
  /** Sorted lists by namespace ("*": all), made when asked for and dropped on change of membership or content. */
  sorted: Map<string, T[]>;
  size: number;
  watchers: Set<Watcher>;
}

const schema = `
CREATE TABLE IF NOT EXISTS objects (
  bucket TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, object TEXT NOT NULL,
  PRIMARY KEY (bucket, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
`;

/** Changes kept for watches that start in the past; older versions get TooOldError. */
const defaultHistory = 10_000;

export class Store<T extends StoredObject = StoredObject> {
  readonly #db: Database;
  readonly #put: Statement;
  readonly #remove: Statement;
  readonly #setVersion: Statement;
  readonly #buckets = new Map<string, Bucket<T>>();
  readonly #history: (ChangeEvent<T> | undefined)[];
  readonly #watchers = new Set<Watcher<T>>();
  #historyNext = 0;
  /** Every change after this version is in the history. */
  #historyAfter: number;
  #version: number;
  #closed = false;

  /**
   * Opens or makes `objects.db` in `dir`; `dir` undefined keeps everything in memory.
   * `history`: number of changes kept for late watchers, 1..1,000,000, default 10,000.
   */
  constructor({ dir, history = defaultHistory }: { dir?: string | undefined; history?: number }) {
    if (dir !== undefined) mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#db = new Database(dir === undefined ? ":memory:" : join(dir, "objects.db"), { create: true });
    this.#db.run("PRAGMA journal_mode = WAL");
    this.#db.run("PRAGMA synchronous = NORMAL");
    this.#db.run("PRAGMA busy_timeout = 2000");
    this.#db.run(schema);
    this.#put = this.#db.prepare("INSERT OR REPLACE INTO objects (bucket, namespace, name, version, object) VALUES (?, ?, ?, ?, ?)");
    this.#remove = this.#db.prepare("DELETE FROM objects WHERE bucket = ? AND namespace = ? AND name = ?");
    this.#setVersion = this.#db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES ('version', ?)");
    this.#history = new Array(history);
    for (const row of this.#db.query("SELECT bucket, namespace, name, object FROM objects").all() as {
      bucket: string;
      namespace: string;
      name: string;
      object: string;
    }[]) {
      this.#bucket(row.bucket).size += 1;
      this.#space(row.bucket, row.namespace).set(row.name, JSON.parse(row.object) as T);
    }
    const stored = this.#db.query("SELECT value FROM meta WHERE name = 'version'").get() as { value: number } | null;
    this.#version = stored?.value ?? 1;
    this.#historyAfter = this.#version;
  }

  /** The version of the newest change; grows by one with each. */
  get version(): number {
    return this.#version;
  }

  /** Versions below this one cannot be watched from. */
  get oldestVersion(): number {
    return this.#historyAfter;
  }

  get({ bucket, namespace, name }: Key): T | undefined {
    return this.#buckets.get(bucket)?.namespaces.get(namespace)?.get(name);
  }

  count(bucket: string): number {
    return this.#buckets.get(bucket)?.size ?? 0;
  }

  /** Names of the buckets that hold or held objects. */
  buckets(): string[] {
    return [...this.#buckets.keys()];
  }

  /** All objects of a bucket, or of one namespace of it, sorted by namespace and name. Do not change the list. */
  list(bucket: string, namespace?: string): readonly T[] {
    const found = this.#buckets.get(bucket);
    if (!found) return [];
    const label = namespace ?? "*";
    let list = found.sorted.get(label);
    if (!list) {
      const spaces =
        namespace === undefined ? [...found.namespaces].sort(byFirst).map(([, space]) => space) : [found.namespaces.get(namespace)];
      list = spaces.flatMap((space) => (space ? [...space].sort(byFirst).map(([, object]) => object) : []));
      found.sorted.set(label, list);
    }
    return list;
  }

  /**
   * Stores a new object; its resourceVersion is set in the copy that is kept and returned.
   * @throws {ExistsError}
   */
  create(key: Key, object: T): T {
    if (this.get(key)) throw new ExistsError(`${key.bucket} ${key.namespace}/${key.name} exists`);
    return this.#write(key, object, undefined);
  }

  /**
   * Replaces an object. With `expected` (a resourceVersion) only if the stored one still has that version.
   * @throws {NotFoundError | ConflictError}
   */
  update(key: Key, object: T, expected?: string): T {
    const previous = this.#expect(key, expected);
    return this.#write(key, object, previous);
  }

  /**
   * Removes an object and returns its last state, with the version of the deletion.
   * @throws {NotFoundError | ConflictError}
   */
  delete(key: Key, { expected, last }: { expected?: string | undefined; last?: T } = {}): T {
    const previous = this.#expect(key, expected);
    const version = this.#version + 1;
    this.#transaction(() => {
      this.#remove.run(key.bucket, key.namespace, key.name);
      this.#setVersion.run(version);
    });
    this.#version = version;
    const bucket = this.#bucket(key.bucket);
    bucket.namespaces.get(key.namespace)?.delete(key.name);
    bucket.size -= 1;
    bucket.sorted.clear();
    const object = { ...(last ?? previous), metadata: { ...(last ?? previous).metadata, resourceVersion: String(version) } };
    this.#emit({ type: "DELETED", bucket: key.bucket, namespace: key.namespace, object, previous, version });
    return object;
  }

  /**
   * Calls `watcher` for each change of `bucket` after version `from` (default: the present one), beginning with those in the history.
   * Returns a function that ends it.
   * @throws {TooOldError} when the history does not reach back to `from`.
   */
  watch(bucket: string, watcher: Watcher<T>, from = this.#version): () => void {
    if (from < this.#historyAfter) throw new TooOldError(from, this.#historyAfter);
    for (const event of this.#since(from)) if (event.bucket === bucket) watcher(event);
    const watchers = this.#bucket(bucket).watchers;
    watchers.add(watcher as Watcher);
    return () => watchers.delete(watcher as Watcher);
  }

  /** Calls `watcher` for each change of any bucket from now on. */
  watchAll(watcher: Watcher<T>): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const statement of [this.#put, this.#remove, this.#setVersion]) statement.finalize();
    this.#db.close();
  }

  #expect(key: Key, expected: string | undefined): T {
    const previous = this.get(key);
    if (!previous) throw new NotFoundError(`${key.bucket} ${key.namespace}/${key.name} not found`);
    if (expected !== undefined && previous.metadata.resourceVersion !== expected) throw new ConflictError("the object has been modified");
    return previous;
  }

  #write(key: Key, object: T, previous: T | undefined): T {
    const version = this.#version + 1;
    const kept = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    const text = JSON.stringify(kept);
    this.#transaction(() => {
      this.#put.run(key.bucket, key.namespace, key.name, version, text);
      this.#setVersion.run(version);
    });
    this.#version = version;
    const bucket = this.#bucket(key.bucket);
    this.#space(key.bucket, key.namespace).set(key.name, kept);
    if (!previous) bucket.size += 1;
    bucket.sorted.clear();
    this.#emit({ type: previous ? "MODIFIED" : "ADDED", bucket: key.bucket, namespace: key.namespace, object: kept, previous, version });
    return kept;
  }

  #transaction(work: () => void): void {
    this.#db.run("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.run("COMMIT");
    } catch (error) {
      this.#db.run("ROLLBACK");
      throw error;
    }
  }

  #emit(event: ChangeEvent<T>): void {
    const slot = this.#historyNext % this.#history.length;
    const dropped = this.#history[slot];
    if (dropped) this.#historyAfter = dropped.version;
    this.#history[slot] = event;
    this.#historyNext += 1;
    for (const watcher of this.#bucket(event.bucket).watchers) (watcher as Watcher<T>)(event);
    for (const watcher of this.#watchers) watcher(event);
  }

  *#since(version: number): Generator<ChangeEvent<T>> {
    const size = this.#history.length;
    let low = Math.max(0, this.#historyNext - size);
    let high = this.#historyNext;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#history[middle % size]?.version ?? 0) <= version) low = middle + 1;
      else high = middle;
    }
    for (let at = low, end = this.#historyNext; at < end; at++) {
      const event = this.#history[at % size];
      if (event) yield event;
    }
  }

  #bucket(name: string): Bucket<T> {
    let bucket = this.#buckets.get(name);
    if (!bucket) {
      bucket = { namespaces: new Map(), sorted: new Map(), size: 0, watchers: new Set() };
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }

  #space(bucket: string, namespace: string): Map<string, T> {
    const { namespaces } = this.#bucket(bucket);
    let space = namespaces.get(namespace);
    if (!space) {
      space = new Map();
      namespaces.set(namespace, space);
    }
    return space;
  }
}

function byFirst(a: [string, unknown], b: [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
