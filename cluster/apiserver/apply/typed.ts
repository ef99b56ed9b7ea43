// Typed values for server-side apply: which fields a value sets, how two differ, merging and taking out fields.
// The rules are those of Kubernetes's structured-merge-diff.
import { equalJson } from "../../store/index.ts";
import type { ListNode, TypeNode } from "../schema/type-node.ts";
import { FieldSet, fieldEdge, keyEdge, valueEdge } from "./field-set.ts";

type Obj = Record<string, unknown>;
const isRecord = (value: unknown): value is Obj => typeof value === "object" && value !== null && !Array.isArray(value);

/** An item of a keyed list without its keys, or twice the same. */
export class TypedError extends Error {}

/** How a value is walked: as one piece, by field, or by item. */
function shape(value: unknown, type: TypeNode | undefined): "leaf" | "fields" | "items" {
  if (type && !type.atomic) {
    if ((type.kind === "struct" || type.kind === "map") && isRecord(value)) return "fields";
    if (type.kind === "list" && Array.isArray(value)) return "items";
    return "leaf";
  }
  // Unknown fields below preserve-unknown-fields: objects are granular, lists are not.
  if (!type && isRecord(value)) return "fields";
  return "leaf";
}

function child(type: TypeNode | undefined, name: string): TypeNode | undefined {
  if (type?.kind === "struct") return type.field(name);
  if (type?.kind === "map") return type.element();
  return undefined;
}

const isNamedField = (type: TypeNode | undefined, name: string) => type?.kind === "struct" && type.field(name) !== undefined;

/** The edge of a list item; keys that are absent take the default of their schema. Undefined when it has none of its keys. */
function itemEdge(item: unknown, list: ListNode, at: string): string | undefined {
  if (list.listType === "set") return valueEdge(item);
  if (!isRecord(item)) throw new TypedError(`${at}: an item of this list must be an object`);
  const keys: Obj = {};
  let found = 0;
  for (const key of list.keys) {
    const value = keyOf(item, list, key);
    if (value === undefined || value === null) continue;
    keys[key] = value;
    found++;
  }
  return found === 0 && list.keys.length > 0 ? undefined : keyEdge(keys);
}

function keyOf(item: Obj, list: ListNode, key: string): unknown {
  const own = item[key];
  if (own !== undefined && own !== null) return own;
  const element = list.element();
  const declared = element.kind === "struct" ? element.field(key)?.schema.default : undefined;
  return declared ?? keyDefaults[key];
}

/** The published definitions leave this one default out (v1.Container ports, v1.Service ports). */
const keyDefaults: Record<string, unknown> = { protocol: "TCP" };

/** Items by edge, in order. @throws {TypedError} for duplicates and items without keys unless `lenient`: there the first counts, and a place is an edge. */
function itemsByEdge(value: unknown, type: ListNode, at: string, lenient: boolean): Map<string, unknown> {
  const items = new Map<string, unknown>();
  for (const [index, item] of ((value as unknown[] | undefined | null) ?? []).entries()) {
    const known = itemEdge(item, type, `${at}[${index}]`);
    if (known === undefined && !lenient)
      throw new TypedError(`${at}[${index}]: associative list with keys has an element that omits key field "${type.keys[0]}"`);
    const edge = known ?? `i:${index}`;
    if (items.has(edge)) {
      if (!lenient) throw new TypedError(`${at}: duplicate entries for key ${edge.slice(2)}`);
      continue;
    }
    items.set(edge, item);
  }
  return items;
}

/** The fields that a value sets. */
export function toFieldSet(value: unknown, type: TypeNode | undefined): FieldSet {
  const set = new FieldSet();
  collect(value, type, set, "");
  return set;
}

function collect(value: unknown, type: TypeNode | undefined, set: FieldSet, at: string): void {
  switch (shape(value, type)) {
    case "leaf":
      set.member = true;
      return;
    case "fields":
      for (const [name, field] of Object.entries(value as Obj)) {
        if (field === undefined) continue;
        const below = set.at(fieldEdge(name));
        collect(field, child(type, name), below, `${at}.${name}`);
        if (field === null || (isRecord(field) && Object.keys(field).length === 0) || !isNamedField(type, name)) below.member = true;
        if (Array.isArray(field) && field.length === 0) below.member = true;
      }
      return;
    case "items": {
      const list = type as ListNode;
      for (const [edge, item] of itemsByEdge(value, list, at, false)) {
        const below = set.at(edge);
        collect(item, list.element(), below, at);
        below.member = true;
      }
    }
  }
}

export interface Comparison {
  added: FieldSet;
  modified: FieldSet;
  removed: FieldSet;
}

/** How `after` differs from `before`. */
export function compare(before: unknown, after: unknown, type: TypeNode | undefined): Comparison {
  const added = new FieldSet();
  const modified = new FieldSet();
  const removed = new FieldSet();
  const path: string[] = [];
  const insert = (set: FieldSet) => {
    let node = set;
    for (const edge of path) node = node.at(edge);
    node.member = true;
  };
  const walk = (left: unknown, right: unknown, node: TypeNode | undefined): void => {
    if (left === right && left !== undefined) return;
    const shapes = [left === undefined ? undefined : shape(left, node), right === undefined ? undefined : shape(right, node)];
    if (shapes.includes("leaf") || (shapes[0] && shapes[1] && shapes[0] !== shapes[1])) {
      if (left === undefined) insert(added);
      else if (right === undefined) insert(removed);
      else if (!equalJson(left, right)) insert(modified);
      return;
    }
    if (shapes.includes("items")) {
      const list = node as ListNode;
      const lefts = itemsByEdge(left, list, "", true);
      const rights = itemsByEdge(right, list, "", true);
      for (const edge of new Set([...lefts.keys(), ...rights.keys()])) step(edge, lefts.get(edge), rights.get(edge), list.element());
    } else {
      const lefts = (left ?? {}) as Obj;
      const rights = (right ?? {}) as Obj;
      for (const name of new Set([...Object.keys(lefts), ...Object.keys(rights)]))
        step(fieldEdge(name), lefts[name], rights[name], child(node, name));
    }
    if (left === undefined) insert(added);
    else if (right === undefined) insert(removed);
  };
  const step = (edge: string, left: unknown, right: unknown, node: TypeNode | undefined) => {
    path.push(edge);
    walk(left, right, node);
    path.pop();
  };
  walk(before, after, type);
  return { added, modified, removed };
}

/** `config` laid over `live`; items of keyed lists and sets are merged, new ones take their place relative to their neighbours in `config`. */
export function mergeTyped(live: unknown, config: unknown, type: TypeNode | undefined): unknown {
  if (config === undefined) return live;
  if (live === undefined || live === null) return config;
  const kinds = [shape(live, type), shape(config, type)];
  if (kinds[0] === "leaf" || kinds[0] !== kinds[1]) return config;
  if (kinds[0] === "fields") {
    const result: Obj = { ...(live as Obj) };
    for (const [name, value] of Object.entries(config as Obj)) result[name] = mergeTyped(result[name], value, child(type, name));
    return result;
  }
  const list = type as ListNode;
  const lefts = [...itemsByEdge(live, list, "", true)];
  const rights = [...itemsByEdge(config, list, "", false)];
  const leftMap = new Map(lefts);
  const rightMap = new Map(rights);
  const result: unknown[] = [];
  // Items of both, in the order of the config: live items out of that order wait for their turn.
  const shared = rights.map(([edge]) => edge).filter((edge) => leftMap.has(edge));
  const take = ([edge, item]: [string, unknown]) => {
    result.push(mergeTyped(leftMap.get(edge), item, list.element()));
    if (shared[0] === edge) shared.shift();
  };
  let l = 0;
  let r = 0;
  while (l < lefts.length || r < rights.length) {
    const left = lefts[l];
    const right = rights[r];
    if (left && right && left[0] === right[0]) {
      take(right);
      l++;
      r++;
    } else if (left && rightMap.has(left[0]) && (!right || shared[0] !== left[0])) l++;
    else if (left && !rightMap.has(left[0])) {
      result.push(left[1]);
      l++;
    } else if (right) {
      take(right);
      r++;
    }
  }
  return result;
}

/** `value` without the members of `set` and all below them. Containers that become empty stay, except the fields named. */
export function removeItems(value: unknown, set: FieldSet, type: TypeNode | undefined): unknown {
  if (set.children.size === 0) return value;
  switch (shape(value, type)) {
    case "leaf":
      return value;
    case "fields": {
      const result: Obj = {};
      for (const [name, field] of Object.entries(value as Obj)) {
        const below = set.children.get(fieldEdge(name));
        if (below?.member) continue;
        result[name] = below ? removeItems(field, below, child(type, name)) : field;
      }
      return result;
    }
    case "items": {
      const list = type as ListNode;
      const result: unknown[] = [];
      for (const item of value as unknown[]) {
        const edge = itemEdge(item, list, "");
        const below = edge === undefined ? undefined : set.children.get(edge);
        if (below?.member) continue;
        result.push(below ? removeItems(item, below, list.element()) : item);
      }
      return result;
    }
  }
}

/** Adds to a set the struct fields that it has something below of. */
export function withNamedFields(set: FieldSet, type: TypeNode | undefined): FieldSet {
  const result = new FieldSet();
  result.member = set.member;
  for (const [edge, below] of set.children) {
    const name = edge.slice(2);
    const next = edge.startsWith("f:") ? child(type, name) : type?.kind === "list" ? type.element() : undefined;
    const copy = withNamedFields(below, next);
    if (edge.startsWith("f:") && isNamedField(type, name) && below.children.size > 0) copy.member = true;
    result.children.set(edge, copy);
  }
  return result;
}
