// Kubernetes's strategic merge patch: like a merge patch, but lists with a merge key are merged by item. Directives:
// `$patch: replace|delete|merge`, `$deleteFromPrimitiveList/x`, `$setElementOrder/x`, `$retainKeys`.
import { equalJson } from "../../store/index.ts";
import type { ListNode, TypeNode } from "../schema/type-node.ts";
import { PatchError } from "./json-patch.ts";

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const deletePrefix = "$deleteFromPrimitiveList/";
const orderPrefix = "$setElementOrder/";

/**
 * A new document; neither argument is changed.
 * @throws {PatchError} naming the field.
 */
export function strategicMerge(target: unknown, patch: unknown, type: TypeNode | undefined): unknown {
  return merge(target, patch, type, "");
}

function merge(target: unknown, patch: unknown, type: TypeNode | undefined, path: string): unknown {
  if (!isRecord(patch)) return patch;
  const directive = patch["$patch"];
  if (directive === "replace") return without(patch, "$patch");
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge")
    throw new PatchError(`${path || "."}: unknown patch directive ${JSON.stringify(directive)}`);
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  const retain = patch["$retainKeys"];
  if (retain !== undefined) {
    if (!Array.isArray(retain)) throw new PatchError(`${path || "."}: $retainKeys is not a list`);
    for (const key of Object.keys(patch))
      if (!key.startsWith("$") && patch[key] !== null && !retain.includes(key))
        throw new PatchError(`${path || "."}: ${key} is set but not in $retainKeys`);
    for (const key of Object.keys(result)) if (!retain.includes(key)) delete result[key];
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key === "$patch" || key === "$retainKeys" || key.startsWith(orderPrefix)) continue;
    if (key.startsWith(deletePrefix)) {
      const name = key.slice(deletePrefix.length);
      const gone = Array.isArray(value) ? value : [];
      // What the same patch adds to the list is added afterwards.
      if (Array.isArray(result[name]))
        result[name] = (result[name] as unknown[]).filter((item) => !gone.some((other) => equalJson(item, other)));
      continue;
    }
    if (value === null) {
      delete result[key];
      continue;
    }
    const node = childType(type, key);
    const at = path === "" ? key : `${path}.${key}`;
    if (Array.isArray(value)) result[key] = node?.kind === "list" && node.patchMerge ? mergeList(result[key], value, node, at) : value;
    else if (isRecord(value) && node?.patchReplace) result[key] = without(value, "$patch");
    else result[key] = merge(result[key], value, node, at);
  }
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith(orderPrefix) || !Array.isArray(value)) continue;
    const name = key.slice(orderPrefix.length);
    const node = childType(type, name);
    const list = result[name];
    if (Array.isArray(list) && node?.kind === "list") result[name] = ordered(list, value, node.patchMergeKey);
  }
  return result;
}

function childType(type: TypeNode | undefined, name: string): TypeNode | undefined {
  return type?.kind === "struct" ? type.field(name) : type?.kind === "map" ? type.element() : undefined;
}

function mergeList(target: unknown, patch: unknown[], node: ListNode, path: string): unknown[] {
  const base = Array.isArray(target) ? [...(target as unknown[])] : [];
  if (node.patchMergeKey === "") {
    // A set of scalars: the union, old items first.
    for (const item of patch) if (!base.some((other) => equalJson(item, other))) base.push(item);
    return base;
  }
  const key = node.patchMergeKey;
  if (patch.some((item) => isRecord(item) && item["$patch"] === "replace"))
    return patch.filter((item) => !(isRecord(item) && item["$patch"] === "replace"));
  const element = node.element();
  for (const [index, item] of patch.entries()) {
    if (!isRecord(item)) throw new PatchError(`${path}[${index}]: expected an object with ${key}`);
    const id = item[key];
    if (id === undefined || id === null) throw new PatchError(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const at = base.findIndex((other) => isRecord(other) && other[key] === id);
    if (item["$patch"] === "delete") {
      for (let i = base.length - 1; i >= 0; i--)
        if (isRecord(base[i]) && (base[i] as Record<string, unknown>)[key] === id) base.splice(i, 1);
    } else if (at >= 0) base[at] = merge(base[at], item, element, `${path}[${index}]`);
    else base.push(merge({}, item, element, `${path}[${index}]`));
  }
  return base;
}

/** Items named in `order` in that order; others keep their place relative to the items before them. */
function ordered(list: unknown[], order: unknown[], mergeKey: string): unknown[] {
  const id = (item: unknown) => (mergeKey === "" ? item : isRecord(item) ? item[mergeKey] : undefined);
  const rank = new Map(order.map((item, index) => [id(item), index]));
  const known = list.filter((item) => rank.has(id(item))).sort((a, b) => (rank.get(id(a)) as number) - (rank.get(id(b)) as number));
  const result: unknown[] = [];
  let next = 0;
  // As the real one: server-only items stay before the first patched item that stood after them.
  const position = new Map(list.map((item, index) => [item, index]));
  for (const item of list) {
    if (rank.has(id(item))) continue;
    while (next < known.length && (position.get(known[next]) as number) < (position.get(item) as number)) result.push(known[next++]);
    result.push(item);
  }
  result.push(...known.slice(next));
  return result;
}

function without(value: Record<string, unknown>, key: string): Record<string, unknown> {
  const copy = { ...value };
  delete copy[key];
  return copy;
}
