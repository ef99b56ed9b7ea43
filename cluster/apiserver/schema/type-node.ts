// One view of a type for everybody: field pruning, strategic merge and server-side apply read the same nodes,
// made from the published OpenAPI definitions (built-in kinds) or from a CRD's structural schema.

/** An OpenAPI v2/v3 schema or a JSONSchemaProps of a CRD. */
export interface JsonSchema {
  $ref?: string;
  type?: string;
  format?: string;
  description?: string;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  items?: JsonSchema;
  required?: string[];
  default?: unknown;
  enum?: unknown[];
  nullable?: boolean;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minProperties?: number;
  maxProperties?: number;
  allOf?: JsonSchema[];
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  not?: JsonSchema;
  "x-kubernetes-list-type"?: "atomic" | "set" | "map";
  "x-kubernetes-list-map-keys"?: string[];
  "x-kubernetes-map-type"?: "atomic" | "granular";
  "x-kubernetes-patch-strategy"?: string;
  "x-kubernetes-patch-merge-key"?: string;
  "x-kubernetes-preserve-unknown-fields"?: boolean;
  "x-kubernetes-int-or-string"?: boolean;
  "x-kubernetes-embedded-resource"?: boolean;
  "x-kubernetes-group-version-kind"?: { group: string; version: string; kind: string }[];
  [extension: `x-${string}`]: unknown;
}

export type Definitions = Record<string, JsonSchema>;

export type ScalarType = "string" | "integer" | "number" | "boolean" | "int-or-string" | "quantity" | "time" | "bytes";

export type TypeNode = StructNode | MapNode | ListNode | ScalarNode | AnyNode;

interface Common {
  /** Has one owner as a whole under server-side apply. */
  atomic: boolean;
  /** From x-kubernetes-patch-strategy: `replace` and `retainKeys` as strategic merge reads them. */
  patchReplace: boolean;
  retainKeys: boolean;
  schema: JsonSchema;
}
export interface StructNode extends Common {
  kind: "struct";
  field(name: string): TypeNode | undefined;
  fieldNames(): string[];
  /** Fields without a type stay (x-kubernetes-preserve-unknown-fields). */
  preserveUnknown: boolean;
  /** Has its own apiVersion, kind and metadata. */
  embedded: boolean;
}
export interface MapNode extends Common {
  kind: "map";
  element(): TypeNode;
}
export interface ListNode extends Common {
  kind: "list";
  element(): TypeNode;
  /** For server-side apply. `map`: items are known by `keys`; `set`: by their value. */
  listType: "atomic" | "set" | "map";
  keys: string[];
  /** For strategic merge: merged by this key; "" with `patchMerge`: a set of scalars. */
  patchMerge: boolean;
  patchMergeKey: string;
}
export interface ScalarNode extends Common {
  kind: "scalar";
  scalar: ScalarType;
}
/** Anything at all; kept as it is, owned as a whole. */
export interface AnyNode extends Common {
  kind: "any";
}

const scalarFormats: Record<string, ScalarType> = { "int-or-string": "int-or-string", "date-time": "time", byte: "bytes" };
const quantityName = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const refPrefix = /^#\/(definitions|components\/schemas)\//;

/** Makes nodes on demand and remembers them by definition, so that recursive types end. */
export class TypeCatalog {
  readonly #definitions: Definitions;
  readonly #named = new Map<string, TypeNode>();
  readonly #structural: boolean;

  /** `structural`: a CRD's rules, where an object has just the fields it declares, even none. */
  constructor(definitions: Definitions, { structural = false }: { structural?: boolean } = {}) {
    this.#definitions = definitions;
    this.#structural = structural;
  }

  /** The type of a definition. @throws {Error} when there is none of this name. */
  named(name: string): TypeNode {
    let node = this.#named.get(name);
    if (!node) {
      const schema = this.#definitions[name];
      if (!schema) throw new Error(`no definition ${name}`);
      node = name === quantityName ? scalar("quantity", schema) : this.of(schema);
      this.#named.set(name, node);
    }
    return node;
  }

  /** The type that a schema describes; `$ref`s are looked up among the definitions. */
  of(schema: JsonSchema): TypeNode {
    const reference = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
    if (reference !== undefined) {
      const target = this.named(reference.replace(refPrefix, ""));
      // What stands beside the reference (patch strategy, map type) wins over the definition.
      return schema["x-kubernetes-map-type"] || schema["x-kubernetes-patch-strategy"] ? { ...target, ...common(schema, target) } : target;
    }
    if (schema["x-kubernetes-int-or-string"] || schema.format === "int-or-string") return scalar("int-or-string", schema);
    switch (schema.type) {
      case "array":
        return this.#list(schema);
      case "string":
        return scalar(scalarFormats[schema.format ?? ""] ?? "string", schema);
      case "integer":
      case "number":
      case "boolean":
        return scalar(schema.type, schema);
      default:
        if (schema.properties || schema["x-kubernetes-embedded-resource"] || schema["x-kubernetes-preserve-unknown-fields"])
          return this.#struct(schema);
        if (typeof schema.additionalProperties === "object") return this.#map(schema, schema.additionalProperties);
        if (schema.additionalProperties === true) return this.#map(schema, {});
        if (this.#structural && schema.type === "object") return this.#struct(schema);
        // RawExtension and FieldsV1 are objects without fields; JSON has no type at all.
        return { kind: "any", ...common(schema), atomic: true };
    }
  }

  #struct(schema: JsonSchema): StructNode {
    const fields = new Map<string, TypeNode | undefined>();
    const properties = schema.properties ?? {};
    const embedded = schema["x-kubernetes-embedded-resource"] === true;
    return {
      kind: "struct",
      ...common(schema),
      preserveUnknown: schema["x-kubernetes-preserve-unknown-fields"] === true,
      embedded,
      fieldNames: () => Object.keys(properties),
      field: (name) => {
        if (!fields.has(name)) {
          const found = Object.hasOwn(properties, name) ? properties[name] : undefined;
          fields.set(name, found ? this.of(found) : undefined);
        }
        return fields.get(name);
      },
    };
  }

  #map(schema: JsonSchema, values: JsonSchema): MapNode {
    let node: TypeNode | undefined;
    return { kind: "map", ...common(schema), element: () => (node ??= this.of(values)) };
  }

  #list(schema: JsonSchema): ListNode {
    let node: TypeNode | undefined;
    const keys = schema["x-kubernetes-list-map-keys"] ?? [];
    const listType = schema["x-kubernetes-list-type"] ?? "atomic";
    return {
      kind: "list",
      ...common(schema),
      atomic: listType === "atomic",
      element: () => (node ??= this.of(schema.items ?? {})),
      listType,
      keys: listType === "map" ? keys : [],
      patchMerge: (schema["x-kubernetes-patch-strategy"] ?? "").split(",").includes("merge"),
      patchMergeKey: schema["x-kubernetes-patch-merge-key"] ?? "",
    };
  }
}

function common(schema: JsonSchema, base?: TypeNode): Common {
  const strategies = (schema["x-kubernetes-patch-strategy"] ?? "").split(",");
  return {
    atomic: schema["x-kubernetes-map-type"] === "atomic" || (schema["x-kubernetes-map-type"] === undefined && base?.atomic === true),
    patchReplace: strategies.includes("replace"),
    retainKeys: strategies.includes("retainKeys"),
    schema: base?.schema ?? schema,
  };
}

function scalar(type: ScalarType, schema: JsonSchema): ScalarNode {
  return { kind: "scalar", ...common(schema), atomic: true, scalar: type };
}
