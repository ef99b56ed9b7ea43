// CustomResourceDefinitions: their own validation, and the Resource that one makes the server serve.
import { isDnsLabel } from "#kube";
import { dns1035Label, dnsSubdomain } from "../kinds/names.ts";
import { type ApiObject, allVerbs, type Resource, type ResourceVersionInfo, type ScalePaths } from "../kinds/resource.ts";
import { isRecord } from "../schema/decode.ts";
import { type JsonSchema, type StructNode, TypeCatalog, type TypeNode } from "../schema/type-node.ts";
import { type FieldError, field } from "../status.ts";
import { JsonPathError, parseJsonPath } from "../table/json-path.ts";
import { apiSpecificPrinter } from "./columns.ts";
import { compilePattern, validateSchema } from "./schema-validation.ts";

export const crdBucket = "customresourcedefinitions.apiextensions.k8s.io";
export const cleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";
/** Deeper schemas are refused. */
export const maxSchemaDepth = 64;

const versionPattern = /^v\d+((alpha|beta)\d+)?$/;

export function validateCrd(crd: ApiObject, errors: FieldError[]): void {
  const { spec } = crd;
  const { names } = spec;
  if (!spec.group) errors.push(field.required("spec.group"));
  else {
    const wrong = dnsSubdomain(spec.group);
    if (wrong) errors.push(field.invalid("spec.group", spec.group, wrong));
    else if (!spec.group.includes(".")) errors.push(field.invalid("spec.group", spec.group, "should be a domain with at least one dot"));
  }
  if (!["Cluster", "Namespaced"].includes(spec.scope))
    errors.push(spec.scope ? field.notSupported("spec.scope", spec.scope, ["Cluster", "Namespaced"]) : field.required("spec.scope"));
  for (const name of ["plural", "singular", "kind", "listKind"]) {
    const value = names[name];
    if (!value) errors.push(field.required(`spec.names.${name}`));
    else {
      const wrong = dns1035Label(value.toLowerCase());
      if (wrong || ((name === "plural" || name === "singular") && value !== value.toLowerCase()))
        errors.push(field.invalid(`spec.names.${name}`, value, wrong ?? "must be lower case"));
    }
  }
  if (names.kind && names.kind === names.listKind)
    errors.push(field.invalid("spec.names.listKind", names.listKind, "kind and listKind may not be the same"));
  const wanted = `${names.plural}.${spec.group}`;
  if (crd.metadata.name !== wanted)
    errors.push(field.invalid("metadata.name", crd.metadata.name, `must be spec.names.plural+"."+spec.group`));
  for (const [index, short] of (names.shortNames ?? []).entries()) {
    if (!isDnsLabel(short)) errors.push(field.invalid(`spec.names.shortNames[${index}]`, short, "must be a lower-case DNS label"));
  }
  const versions: ApiObject["spec"][] = spec.versions ?? [];
  if (versions.length === 0) errors.push(field.required("spec.versions", "must have at least one version"));
  const seen = new Set<string>();
  for (const [index, version] of versions.entries()) {
    const at = `spec.versions[${index}]`;
    const wrong = dns1035Label(version.name ?? "");
    if (wrong) errors.push(field.invalid(`${at}.name`, version.name ?? "", wrong));
    if (seen.has(version.name)) errors.push(field.duplicate(`${at}.name`, version.name));
    seen.add(version.name);
    const schema = version.schema?.openAPIV3Schema;
    if (!schema) errors.push(field.required(`${at}.schema.openAPIV3Schema`, "schemas are required"));
    else {
      if (schema.type !== "object")
        errors.push(field.invalid(`${at}.schema.openAPIV3Schema.type`, schema.type ?? "", 'must be "object" at the root'));
      validateStructural(schema, `${at}.schema.openAPIV3Schema`, 0, errors);
    }
    for (const [i, column] of (version.additionalPrinterColumns ?? []).entries()) {
      const here = `${at}.additionalPrinterColumns[${i}]`;
      for (const name of ["name", "type", "jsonPath"]) if (!column[name]) errors.push(field.required(`${here}.${name}`));
      if (column.jsonPath) {
        try {
          parseJsonPath(column.jsonPath);
        } catch (error) {
          if (!(error instanceof JsonPathError)) throw error;
          errors.push(field.invalid(`${here}.jsonPath`, column.jsonPath, error.message));
        }
      }
      if (column.type && !["integer", "number", "string", "boolean", "date"].includes(column.type))
        errors.push(field.notSupported(`${here}.type`, column.type, ["boolean", "date", "integer", "number", "string"]));
    }
    const scale = version.subresources?.scale;
    if (scale) {
      if (!scale.specReplicasPath?.startsWith(".spec."))
        errors.push(
          field.invalid(`${at}.subresources.scale.specReplicasPath`, scale.specReplicasPath ?? "", "should be a json path under .spec"),
        );
      if (!scale.statusReplicasPath?.startsWith(".status."))
        errors.push(
          field.invalid(
            `${at}.subresources.scale.statusReplicasPath`,
            scale.statusReplicasPath ?? "",
            "should be a json path under .status",
          ),
        );
    }
  }
  if (versions.length > 0 && versions.filter((version) => version.storage).length !== 1)
    errors.push(
      field.invalid(
        "spec.versions",
        versions.map(({ name }) => name),
        "must have exactly one version marked as storage version",
      ),
    );
  const { strategy } = spec.conversion ?? {};
  if (!["None", "Webhook"].includes(strategy)) errors.push(field.notSupported("spec.conversion.strategy", strategy, ["None", "Webhook"]));
  if (strategy === "Webhook")
    errors.push(field.forbidden("spec.conversion.strategy", "conversion webhooks are not supported by this server"));
}

/** The rules of structural schemas: types everywhere, properties and additionalProperties not together, sound patterns and defaults. */
function validateStructural(schema: JsonSchema, at: string, depth: number, errors: FieldError[]): void {
  if (depth > maxSchemaDepth) {
    errors.push(field.invalid(at, depth, `nested deeper than ${maxSchemaDepth}`));
    return;
  }
  const free = schema["x-kubernetes-preserve-unknown-fields"] || schema["x-kubernetes-int-or-string"];
  if (!schema.type && !free)
    errors.push(
      field.required(`${at}.type`, depth === 0 ? "must not be empty at the root" : "must not be empty for specified object fields"),
    );
  if (schema.type && !["object", "array", "string", "integer", "number", "boolean"].includes(schema.type))
    errors.push(field.notSupported(`${at}.type`, schema.type, ["array", "boolean", "integer", "number", "object", "string"]));
  if (schema.$ref) errors.push(field.forbidden(`${at}.$ref`, "$ref is not supported"));
  if (schema.uniqueItems)
    errors.push(field.forbidden(`${at}.uniqueItems`, "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"));
  if (schema.properties && schema.additionalProperties)
    errors.push(field.forbidden(`${at}.additionalProperties`, "additionalProperties and properties are mutual exclusive"));
  if (schema.pattern !== undefined) {
    try {
      compilePattern(schema.pattern);
    } catch (error) {
      errors.push(
        field.invalid(
          `${at}.pattern`,
          schema.pattern,
          `must be a valid regular expression, but isn't: ${error instanceof Error ? error.message : String(error)}`,
        ),
      );
    }
  }
  if (schema["x-kubernetes-list-type"] === "map") {
    const keys = schema["x-kubernetes-list-map-keys"] ?? [];
    if (keys.length === 0)
      errors.push(field.required(`${at}.x-kubernetes-list-map-keys`, "must not be empty if x-kubernetes-list-type is map"));
    for (const key of keys) {
      const property = schema.items?.properties?.[key];
      if (!property) errors.push(field.invalid(`${at}.x-kubernetes-list-map-keys`, key, "entries must all be names of item properties"));
      else if (property.default === undefined && !schema.items?.required?.includes(key))
        errors.push(
          field.required(
            `${at}.items.properties[${key}].default`,
            "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
          ),
        );
    }
  }
  if (schema.type === "array" && !schema.items) errors.push(field.required(`${at}.items`, "must be specified"));
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    validateStructural(property, `${at}.properties[${name}]`, depth + 1, errors);
  if (isRecord(schema.additionalProperties))
    validateStructural(schema.additionalProperties as JsonSchema, `${at}.additionalProperties`, depth + 1, errors);
  if (schema.items) validateStructural(schema.items, `${at}.items`, depth + 1, errors);
  if (schema.default !== undefined && errors.length === 0) {
    const found: FieldError[] = [];
    validateSchema(schema.default, schema, "default", found);
    for (const one of found) errors.push({ ...one, field: `${at}.default`, message: `${at}.default: ${one.detail}` });
  }
}

/** Kubernetes's order of preference: GA before beta before alpha, newer first, other names last in alphabet. */
export function compareVersions(a: string, b: string): number {
  const parse = (version: string) => /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  const [left, right] = [parse(a), parse(b)];
  if (!left || !right) return left ? -1 : right ? 1 : a < b ? -1 : 1;
  const rank = (level: string | undefined) => (level === undefined ? 0 : level === "beta" ? 1 : 2);
  return rank(left[2]) - rank(right[2]) || Number(right[1]) - Number(left[1]) || Number(right[3] ?? 0) - Number(left[3] ?? 0);
}

/** The resource that an established CRD defines. `metaType`: the type of ObjectMeta. */
export function customResource(crd: ApiObject, metaType: TypeNode): Resource {
  const { spec } = crd;
  const { names } = spec;
  const versions = (spec.versions as ApiObject["spec"][]).map((version): ResourceVersionInfo => {
    const schema = version.schema.openAPIV3Schema as JsonSchema;
    const paths = version.subresources?.scale;
    const scale: ScalePaths | undefined = paths && {
      specReplicas: paths.specReplicasPath.slice(1),
      statusReplicas: paths.statusReplicasPath.slice(1),
      selector: paths.labelSelectorPath?.slice(1),
    };
    return {
      name: version.name,
      served: version.served === true,
      type: rootType(schema, metaType),
      schema,
      status: version.subresources?.status !== undefined,
      ...(scale ? { scale } : {}),
      table: apiSpecificPrinter(version.additionalPrinterColumns),
      ...(version.deprecated
        ? { deprecation: version.deprecationWarning ?? `${spec.group}/${version.name} ${names.kind} is deprecated` }
        : {}),
    };
  });
  return {
    group: spec.group,
    plural: names.plural,
    singular: names.singular,
    kind: names.kind,
    listKind: names.listKind,
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: spec.scope === "Namespaced",
    bucket: `${names.plural}.${spec.group}`,
    versions: versions.sort((a, b) => compareVersions(a.name, b.name)),
    storage: spec.versions.find((version: { storage: boolean }) => version.storage).name,
    subresources: [],
    verbs: allVerbs,
    selectable: selectableFields(spec.versions[0]?.selectableFields),
    strategy: { generation: true },
    custom: true,
  };
}

function selectableFields(fields: { jsonPath: string }[] | undefined): Resource["selectable"] {
  const read = (path: string) => (object: ApiObject) => {
    let value: unknown = object;
    for (const name of path.slice(1).split(".")) value = isRecord(value) ? value[name] : undefined;
    return value === undefined ? "" : String(value);
  };
  return Object.fromEntries((fields ?? []).map(({ jsonPath }) => [jsonPath.slice(1), read(jsonPath)]));
}

function rootType(schema: JsonSchema, metaType: TypeNode): StructNode {
  const catalog = new TypeCatalog({}, { structural: true });
  const base = catalog.of({ ...schema, type: "object", properties: schema.properties ?? {} }) as StructNode;
  const text = catalog.of({ type: "string" });
  const own: Record<string, TypeNode> = { apiVersion: text, kind: text, metadata: metaType };
  return {
    ...base,
    field: (name) => own[name] ?? base.field(name),
    fieldNames: () => [...new Set([...Object.keys(own), ...base.fieldNames()])],
  };
}

/** Names in use by other resources of the group, or undefined when `crd` may have its names. */
export function nameConflict(crd: ApiObject, others: readonly ApiObject[]): string | undefined {
  const { group, names } = crd["spec"];
  for (const other of others) {
    if (other.metadata.name === crd.metadata.name || other["spec"].group !== group) continue;
    const theirs = other["spec"].names;
    if (
      theirs.kind === names.kind ||
      theirs.listKind === names.kind ||
      theirs.kind === names.listKind ||
      theirs.listKind === names.listKind
    )
      return `"${names.kind}" is already in use`;
    const taken = new Set([theirs.plural, theirs.singular, ...(theirs.shortNames ?? [])]);
    for (const name of [names.plural, names.singular, ...(names.shortNames ?? [])])
      if (taken.has(name)) return `"${name}" is already in use`;
  }
  return undefined;
}

export const isEstablished = (crd: ApiObject) =>
  (crd["status"]?.conditions ?? []).some((one: { type: string; status: string }) => one.type === "Established" && one.status === "True");
export const servedVersionName = (name: string) => versionPattern.test(name);
