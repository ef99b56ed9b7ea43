// Sets of fields as managedFields writes them (FieldsV1): a trie whose edges are `f:name`, `k:{keys}`, `v:value`.

/** A trie node. `member`: the field itself is in the set, not just something below it. */
export class FieldSet {
  member = false;
  readonly children = new Map<string, FieldSet>();

  static fromJson(json: unknown): FieldSet {
    const set = new FieldSet();
    if (typeof json !== "object" || json === null) return set;
    for (const [key, value] of Object.entries(json)) {
      if (key === ".") {
        set.member = true;
        continue;
      }
      const child = FieldSet.fromJson(value);
      if (child.children.size === 0) child.member = true;
      set.children.set(canonical(key), child);
    }
    return set;
  }

  /** The FieldsV1 value; keys sorted, so that equal sets are equal text. */
  toJson(): Record<string, unknown> {
    const json: Record<string, unknown> = {};
    if (this.member && this.children.size > 0) json["."] = {};
    for (const key of [...this.children.keys()].sort()) json[key] = (this.children.get(key) as FieldSet).toJson();
    return json;
  }

  isEmpty(): boolean {
    return !this.member && this.children.size === 0;
  }

  /** The child along `edge`, made when absent. */
  at(edge: string): FieldSet {
    let child = this.children.get(edge);
    if (!child) {
      child = new FieldSet();
      this.children.set(edge, child);
    }
    return child;
  }

  clone(): FieldSet {
    return FieldSet.#combine(this, undefined, (a) => a);
  }

  union(other: FieldSet): FieldSet {
    return FieldSet.#combine(this, other, (a, b) => a || b);
  }

  intersection(other: FieldSet): FieldSet {
    return FieldSet.#combine(this, other, (a, b) => a && b);
  }

  /** Members of this set that are not members of the other; what is below a member of the other stays. */
  difference(other: FieldSet): FieldSet {
    return FieldSet.#combine(this, other, (a, b) => a && !b);
  }

  equals(other: FieldSet): boolean {
    if (this.member !== other.member || this.children.size !== other.children.size) return false;
    for (const [key, child] of this.children) {
      const match = other.children.get(key);
      if (!match?.equals(child)) return false;
    }
    return true;
  }

  /** Edges from the root to each member. */
  *paths(prefix: string[] = []): Generator<string[]> {
    if (this.member && prefix.length > 0) yield prefix;
    for (const key of [...this.children.keys()].sort()) yield* (this.children.get(key) as FieldSet).paths([...prefix, key]);
  }

  /** Takes out the field at `path` and everything below it. */
  removeTree(path: string[]): void {
    const [first, ...rest] = path;
    if (first === undefined) return;
    const child = this.children.get(first);
    if (!child) return;
    if (rest.length === 0) this.children.delete(first);
    else {
      child.removeTree(rest);
      if (child.isEmpty()) this.children.delete(first);
    }
  }

  static #combine(a: FieldSet | undefined, b: FieldSet | undefined, rule: (a: boolean, b: boolean) => boolean): FieldSet {
    const result = new FieldSet();
    result.member = rule(a?.member ?? false, b?.member ?? false);
    for (const key of new Set([...(a?.children.keys() ?? []), ...(b?.children.keys() ?? [])])) {
      const child = FieldSet.#combine(a?.children.get(key), b?.children.get(key), rule);
      if (!child.isEmpty()) result.children.set(key, child);
    }
    return result;
  }
}

/** The edge to a field of a struct or map. */
export const fieldEdge = (name: string) => `f:${name}`;
/** The edge to an item of a set. */
export const valueEdge = (value: unknown) => `v:${JSON.stringify(value)}`;
/** The edge to an item of a keyed list; keys in alphabetical order. */
export const keyEdge = (keys: Record<string, unknown>) =>
  `k:${JSON.stringify(Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1))))}`;

function canonical(edge: string): string {
  if (edge.startsWith("k:") || edge.startsWith("v:")) {
    try {
      const value: unknown = JSON.parse(edge.slice(2));
      return edge.startsWith("k:") && typeof value === "object" && value !== null
        ? keyEdge(value as Record<string, unknown>)
        : valueEdge(value);
    } catch {
      return edge;
    }
  }
  return edge;
}

/** A path as messages show it: `.spec.containers[name="web"].image`. */
export function showPath(path: string[]): string {
  return path
    .map((edge) => {
      const rest = edge.slice(2);
      switch (edge.slice(0, 2)) {
        case "k:":
          return `[${Object.entries(JSON.parse(rest) as Record<string, unknown>)
            .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
            .join(",")}]`;
        case "v:":
          return `[=${rest}]`;
        case "i:":
          return `[${rest}]`;
        default:
          return `.${rest}`;
      }
    })
    .join("");
}
