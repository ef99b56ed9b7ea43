// Who manages which fields: what each write adds to or takes from metadata.managedFields, and server-side apply itself.
import { equalJson } from "../../store/index.ts";
import type { TypeNode } from "../schema/type-node.ts";
import { FieldSet, showPath } from "./field-set.ts";
import { compare, mergeTyped, removeItems, toFieldSet, withNamedFields } from "./typed.ts";

export interface ManagedFieldsEntry {
  manager?: string;
  operation?: "Apply" | "Update";
  apiVersion?: string;
  time?: string;
  fieldsType?: string;
  fieldsV1?: Record<string, unknown>;
  subresource?: string;
}

export interface ManagedObject {
  apiVersion?: string;
  kind?: string;
  metadata: { managedFields?: ManagedFieldsEntry[] | undefined; [field: string]: unknown };
  [field: string]: unknown;
}

/** One writer: what of a request decides whose entry it is. */
export interface Writer {
  manager: string;
  /** `apps/v1` */
  apiVersion: string;
  /** "" for the object itself. */
  subresource: string;
  /** RFC 3339, whole seconds. */
  time: string;
}

export interface ApplyConflict {
  /** As shown: `"kubectl" using apps/v1`. */
  manager: string;
  /** `.spec.replicas` */
  path: string;
}

/** Other managers have fields that this apply would change. */
export class ApplyConflictError extends Error {
  constructor(readonly conflicts: ApplyConflict[]) {
    super(conflictMessage(conflicts));
  }
}

interface Manager {
  entry: ManagedFieldsEntry;
  set: FieldSet;
}

/** Update entries beyond this number are folded into one, oldest first, as in Kubernetes. */
export const maxUpdateManagers = 10;
const foldedManager = "ancient-changes";

/** Paths nobody manages: the server's own. */
const unmanaged = [
  ["f:apiVersion"],
  ["f:kind"],
  ...[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ].map((name) => ["f:metadata", `f:${name}`]),
];

function identity({ manager, operation, apiVersion, subresource }: ManagedFieldsEntry): string {
  // An applier keeps its entry when it changes the version it applies with.
  return JSON.stringify([manager ?? "", operation ?? "", operation === "Apply" ? "" : (apiVersion ?? ""), subresource ?? ""]);
}

function managersOf(object: ManagedObject | undefined): Map<string, Manager> {
  const managers = new Map<string, Manager>();
  for (const entry of object?.metadata.managedFields ?? []) {
    if (entry.operation !== "Apply" && entry.operation !== "Update") continue;
    const set = FieldSet.fromJson(entry.fieldsV1);
    const key = identity(entry);
    const before = managers.get(key);
    managers.set(key, before ? { entry: before.entry, set: before.set.union(set) } : { entry, set });
  }
  return managers;
}

/** The writer's own part of a set: without the server's fields and those the endpoint does not write (`status` or `spec`). */
function owned(set: FieldSet, ignored: readonly string[]): FieldSet {
  const copy = set.clone();
  for (const path of unmanaged) copy.removeTree(path);
  for (const name of ignored) copy.removeTree([`f:${name}`]);
  const metadata = copy.children.get("f:metadata");
  if (metadata) {
    metadata.member = false;
    if (metadata.isEmpty()) copy.children.delete("f:metadata");
  }
  return copy;
}

function stripped(object: ManagedObject | undefined): ManagedObject | undefined {
  if (!object) return undefined;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function write(managers: Map<string, Manager>): ManagedFieldsEntry[] {
  const updates = [...managers.values()].filter(({ entry }) => entry.operation === "Update" && !entry.subresource);
  if (updates.length > maxUpdateManagers) {
    const oldest = updates
      .sort((a, b) => ((a.entry.time ?? "") < (b.entry.time ?? "") ? -1 : 1))
      .slice(0, updates.length - maxUpdateManagers + 1);
    let folded: FieldSet | undefined;
    const last = oldest.at(-1) as Manager;
    for (const one of oldest) {
      folded = folded ? folded.union(one.set) : one.set;
      managers.delete(identity(one.entry));
    }
    const entry: ManagedFieldsEntry = { ...last.entry, manager: foldedManager };
    managers.set(identity(entry), { entry, set: folded as FieldSet });
  }
  return [...managers.values()]
    .filter(({ set }) => !set.isEmpty())
    .sort((a, b) => order(a.entry).localeCompare(order(b.entry)))
    .map(({ entry, set }) => ({
      manager: entry.manager ?? "",
      operation: entry.operation ?? "Update",
      apiVersion: entry.apiVersion ?? "",
      ...(entry.time ? { time: entry.time } : {}),
      fieldsType: "FieldsV1",
      fieldsV1: set.toJson(),
      ...(entry.subresource ? { subresource: entry.subresource } : {}),
    }));
}

const order = ({ operation, time, manager, subresource }: ManagedFieldsEntry) =>
  `${operation === "Apply" ? 0 : 1} ${time ?? ""} ${manager ?? ""} ${subresource ?? ""}`;

/** What others lose: fields that changed (they conflict) and fields that are gone. */
function takeFromOthers(managers: Map<string, Manager>, self: string, changed: FieldSet, removed: FieldSet): void {
  for (const [key, manager] of managers) {
    if (key === self) continue;
    const set = manager.set.difference(changed).difference(removed);
    if (set.isEmpty()) managers.delete(key);
    else managers.set(key, { ...manager, set });
  }
}

/**
 * managedFields after a create, update or patch that turned `live` into `next`.
 * `ignored`: top-level fields this endpoint does not write.
 */
export function afterUpdate({
  live,
  next,
  type,
  writer,
  ignored,
}: {
  live: ManagedObject | undefined;
  next: ManagedObject;
  type: TypeNode;
  writer: Writer;
  ignored: readonly string[];
}): ManagedFieldsEntry[] {
  // A client may rewrite managedFields, or reset them with an empty list or entry.
  const given = next.metadata.managedFields;
  const reset = given !== undefined && (given.length === 0 || (given.length === 1 && Object.keys(given[0] as object).length === 0));
  if (reset) return [];
  const managers = managersOf(given && given.length > 0 ? next : live);
  const difference = compare(stripped(live) ?? { metadata: {} }, stripped(next), type);
  const changed = owned(difference.modified.union(difference.added), ignored);
  const removed = owned(difference.removed, []);
  const entry: ManagedFieldsEntry = {
    manager: writer.manager,
    operation: "Update",
    apiVersion: writer.apiVersion,
    ...(writer.subresource ? { subresource: writer.subresource } : {}),
  };
  const self = identity(entry);
  takeFromOthers(managers, self, changed, removed);
  const before = managers.get(self);
  const set = (before?.set ?? new FieldSet()).difference(removed).union(changed);
  if (set.isEmpty()) managers.delete(self);
  else
    managers.set(self, { entry: { ...entry, time: before?.set.equals(set) && before.entry.time ? before.entry.time : writer.time }, set });
  return write(managers);
}

/**
 * Server-side apply: the object after `config` was applied, with its managedFields; defaulting and validation are the caller's.
 * @throws {ApplyConflictError} unless `force`; {TypedError} for a config whose keyed lists are malformed.
 */
export function applyConfig({
  live,
  config,
  type,
  writer,
  force,
  ignored,
}: {
  live: ManagedObject | undefined;
  config: ManagedObject;
  type: TypeNode;
  writer: Writer;
  force: boolean;
  ignored: readonly string[];
}): ManagedObject {
  const managers = managersOf(live);
  if (live && managers.size === 0) {
    // An object from before anybody tracked fields: its present fields belong to a manager of this name.
    const entry: ManagedFieldsEntry = {
      manager: "before-first-apply",
      operation: "Update",
      apiVersion: writer.apiVersion,
      time: writer.time,
    };
    managers.set(identity(entry), { entry, set: owned(toFieldSet(stripped(live), type), []) });
  }
  const base = stripped(live);
  const wanted = stripped(config) as ManagedObject;
  const merged = base ? (mergeTyped(base, wanted, type) as ManagedObject) : wanted;
  const entry: ManagedFieldsEntry = {
    manager: writer.manager,
    operation: "Apply",
    apiVersion: writer.apiVersion,
    ...(writer.subresource ? { subresource: writer.subresource } : {}),
  };
  const self = identity(entry);
  const before = managers.get(self);
  const set = owned(toFieldSet(wanted, type), ignored);
  managers.set(self, { entry: { ...entry, time: before?.set.equals(set) && before.entry.time ? before.entry.time : writer.time }, set });

  let next = merged;
  if (before && base) {
    let kept = new FieldSet();
    for (const manager of managers.values()) kept = kept.union(manager.set);
    const present = withNamedFields(toFieldSet(merged, type), type);
    const gone = withNamedFields(before.set, type).intersection(present).difference(withNamedFields(kept, type));
    for (const path of unmanaged) gone.removeTree(path);
    next = removeItems(merged, gone, type) as ManagedObject;
  }

  const difference = compare(base ?? { metadata: {} }, next, type);
  const changed = owned(difference.modified.union(difference.added), ignored);
  const conflicts: ApplyConflict[] = [];
  for (const [key, manager] of managers) {
    if (key === self) continue;
    for (const path of manager.set.intersection(changed).paths())
      conflicts.push({ manager: showManager(manager.entry), path: showPath(path) });
  }
  if (conflicts.length > 0 && !force) throw new ApplyConflictError(conflicts);
  takeFromOthers(managers, self, changed, owned(difference.removed, []));
  return { ...next, metadata: { ...next.metadata, managedFields: write(managers) } };
}

/** Are both the same but for the bookkeeping: version, and times of managers? */
export function sameButBookkeeping(a: ManagedObject, b: ManagedObject): boolean {
  const core = ({ managedFields, resourceVersion: _, ...metadata }: ManagedObject["metadata"]) => ({
    ...metadata,
    managedFields: (managedFields ?? []).map(({ time: __, ...entry }) => entry),
  });
  return equalJson({ ...a, metadata: core(a.metadata) }, { ...b, metadata: core(b.metadata) });
}

function showManager({ manager, operation, apiVersion, subresource }: ManagedFieldsEntry): string {
  const name = `${JSON.stringify(manager ?? "")}${subresource ? ` with subresource ${JSON.stringify(subresource)}` : ""}`;
  if (operation !== "Update") return name;
  return `${name} using ${apiVersion}`;
}

function conflictMessage(conflicts: ApplyConflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first) return `Apply failed with 1 conflict: conflict with ${first.manager}: ${first.path}`;
  const managers = [...new Set(conflicts.map(({ manager }) => manager))].sort();
  const lines = managers.flatMap((manager) => [
    `conflicts with ${manager}:`,
    ...conflicts.filter((one) => one.manager === manager).map(({ path }) => `- ${path}`),
  ]);
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join("\n")}`;
}
