// /openapi/v2 and /openapi/v3: the published schemas of built-in kinds and those of custom ones, as kubectl reads them for explain, apply and validation.
import { createHash } from "node:crypto";
import { groups, resourcesOf } from "./discovery.ts";
import { objectMetaName } from "./kinds/builtin.ts";
import type { Resource } from "./kinds/resource.ts";
import { groupVersion } from "./kinds/resource.ts";
import { openApiProtobuf } from "./openapi-protobuf.ts";
import type { Registry } from "./registry.ts";
import type { Definitions, JsonSchema } from "./schema/type-node.ts";
import { kubernetesVersion } from "./version.ts";

type Json = Record<string, unknown>;
const info = { title: "Kubernetes", version: kubernetesVersion };

/** Documents are made when asked for and kept until what is served changes. */
export class OpenApi {
  readonly #registry: Registry;
  #generation = -1;
  #documents = new Map<string, string>();
  #index: Json | undefined;
  #v2: string | undefined;
  #v2Protobuf: Uint8Array | undefined;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** /openapi/v3: a path and hash for each group and version. */
  index(): Json {
    this.#check();
    if (!this.#index) {
      const paths: Json = {};
      for (const [group, versions] of groups(this.#registry)) {
        for (const version of versions) {
          const path = group === "" ? `api/${version}` : `apis/${group}/${version}`;
          const key = createHash("sha256")
            .update(JSON.stringify([kubernetesVersion, this.#fingerprint(group, version)]))
            .digest("hex")
            .slice(0, 32)
            .toUpperCase();
          paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${key}` };
        }
      }
      this.#index = { paths };
    }
    return this.#index;
  }

  /** /openapi/v3/PATH, as text; undefined when there is no such version. */
  document(path: string): string | undefined {
    this.#check();
    const [root, ...rest] = path.split("/");
    const [group = "", version = ""] = root === "api" ? ["", rest[0]] : rest;
    if (!groups(this.#registry).get(group)?.includes(version)) return undefined;
    let text = this.#documents.get(path);
    if (text === undefined) {
      text = JSON.stringify(this.#build(group, version));
      this.#documents.set(path, text);
    }
    return text;
  }

  /** The whole as swagger 2.0. */
  v2(): string {
    this.#check();
    this.#v2 ??= JSON.stringify({ swagger: "2.0", info, paths: {}, definitions: this.#allDefinitions() });
    return this.#v2;
  }

  /** The same in gnostic's protobuf. */
  v2Protobuf(): Uint8Array {
    this.#check();
    this.#v2Protobuf ??= openApiProtobuf({ info, definitions: this.#allDefinitions() });
    return this.#v2Protobuf;
  }

  #allDefinitions(): Definitions {
    const definitions: Definitions = { ...this.#registry.definitions };
    for (const resource of this.#registry.all())
      if (resource.custom)
        for (const version of resource.versions)
          definitions[customName(resource, version.name)] = customSchema(
            resource,
            version.name,
            version.schema as JsonSchema,
            "#/definitions/",
          );
    return definitions;
  }

  #check(): void {
    if (this.#generation === this.#registry.generation) return;
    this.#generation = this.#registry.generation;
    this.#documents.clear();
    this.#index = undefined;
    this.#v2 = undefined;
    this.#v2Protobuf = undefined;
  }

  #fingerprint(group: string, version: string): unknown {
    return this.#registry
      .all()
      .filter((resource) => resource.group === group)
      .map(({ plural, custom, versions }) => [plural, custom ? versions.find(({ name }) => name === version)?.schema : ""]);
  }

  #build(group: string, version: string): Json {
    const { definitions, definitionNames } = this.#registry;
    const schemas: Json = {};
    const add = (name: string) => {
      if (name in schemas) return;
      const definition = definitions[name];
      if (!definition) return;
      const converted = toV3(definition);
      schemas[name] = converted;
      for (const reference of references(definition)) add(reference);
    };
    const paths: Json = {};
    const prefix = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    for (const { name: plural, kind, namespaced } of resourcesOf(this.#registry, group, version)) {
      if (plural.includes("/")) continue;
      const resource = this.#registry.find(group, version, plural)?.resource;
      let schema: string;
      if (resource?.custom) {
        schema = customName(resource, version);
        schemas[schema] = customSchema(
          resource,
          version,
          resource.versions.find(({ name }) => name === version)?.schema as JsonSchema,
          "#/components/schemas/",
        );
        add(objectMetaName);
      } else {
        schema = definitionNames.get(`${group}/${version}/${kind}`) ?? "";
        if (schema === "") continue;
        add(schema);
      }
      const home = `${prefix}${namespaced ? "/namespaces/{namespace}" : ""}/${plural}`;
      paths[home] = { get: operation(group, version, kind, "list", schema), post: operation(group, version, kind, "post", schema) };
      if (resource)
        paths[`${home}/{name}`] = {
          get: operation(group, version, kind, "get", schema),
          put: operation(group, version, kind, "put", schema),
          patch: operation(group, version, kind, "patch", schema),
          delete: operation(group, version, kind, "delete", schema),
        };
    }
    add("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    add("io.k8s.apimachinery.pkg.apis.meta.v1.Status");
    return { openapi: "3.0.0", info, paths, components: { schemas } };
  }
}

const text = (name: string, description: string): Json => ({
  name,
  in: "query",
  description,
  schema: { type: "string", uniqueItems: true },
});
const dryRun = text("dryRun", "When present, indicates that modifications should not be persisted.");
const fieldManager = text("fieldManager", "fieldManager is a name associated with the actor or entity that is making these changes.");
const fieldValidation = text(
  "fieldValidation",
  "fieldValidation instructs the server on how to handle objects in the request containing unknown or duplicate fields.",
);
const force: Json = {
  name: "force",
  in: "query",
  description: "Force is going to force Apply requests.",
  schema: { type: "boolean", uniqueItems: true },
};

function operation(group: string, version: string, kind: string, action: string, schema: string): Json {
  const writes = ["post", "put", "patch"].includes(action);
  const $ref = `#/components/schemas/${schema}`;
  return {
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group, version, kind },
    ...(writes ? { parameters: [dryRun, fieldManager, fieldValidation, ...(action === "patch" ? [force] : [])] } : {}),
    responses: { "200": { description: "OK", content: { "application/json": { schema: { $ref } } } } },
  };
}

function customName({ group, kind }: Resource, version: string): string {
  return `${group.split(".").reverse().join(".")}.${version}.${kind}`;
}

function customSchema({ group, kind }: Resource, version: string, schema: JsonSchema, prefix: string): JsonSchema {
  const { definitions: _, ...body } = schema as JsonSchema & { definitions?: unknown };
  const gvk = { "x-kubernetes-group-version-kind": [{ group, version, kind }] };
  if (schema["x-kubernetes-preserve-unknown-fields"] && !schema.properties)
    return { type: "object", ...gvk, "x-kubernetes-preserve-unknown-fields": true };
  return {
    ...body,
    properties: {
      ...body.properties,
      apiVersion: {
        type: "string",
        description: `APIVersion defines the versioned schema of this representation of an object; ${groupVersion(group, version)}.`,
      },
      kind: { type: "string", description: `Kind is ${kind}.` },
      metadata: { allOf: [{ $ref: `${prefix}${objectMetaName}` }], description: "Standard object's metadata." } as JsonSchema,
    },
    ...gvk,
  };
}

function* references(value: unknown): Generator<string> {
  if (Array.isArray(value)) for (const item of value) yield* references(item);
  else if (typeof value === "object" && value !== null) {
    for (const [key, child] of Object.entries(value)) {
      if (key === "$ref" && typeof child === "string") yield child.slice("#/definitions/".length);
      else yield* references(child);
    }
  }
}

/** Swagger 2.0 references and formats in their OpenAPI 3 form. */
function toV3(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toV3);
  if (typeof value !== "object" || value === null) return value;
  const source = value as Json;
  // In OpenAPI 3 what stands beside a $ref is ignored: it moves into allOf.
  if (typeof source["$ref"] === "string" && Object.keys(source).length > 1) {
    const { $ref, ...rest } = source;
    return { ...(toV3(rest) as Json), allOf: [{ $ref: ($ref as string).replace("#/definitions/", "#/components/schemas/") }] };
  }
  if (source["format"] === "int-or-string" && source["type"] === "string")
    return { description: source["description"], oneOf: [{ type: "integer" }, { type: "string" }], format: "int-or-string" };
  const result: Json = {};
  for (const [key, child] of Object.entries(source))
    result[key] = key === "$ref" && typeof child === "string" ? child.replace("#/definitions/", "#/components/schemas/") : toV3(child);
  return result;
}
