// Which resources are served: the built-in ones and those of established CRDs, found by group, version and plural.
import type { Store } from "../store/index.ts";
import { crdBucket, customResource, isEstablished } from "./custom/crd.ts";
import { builtinResources, objectMetaName } from "./kinds/builtin.ts";
import type { ApiObject, Resource, ResourceVersionInfo } from "./kinds/resource.ts";
import { groupVersion } from "./kinds/resource.ts";
import type { Definitions, TypeCatalog, TypeNode } from "./schema/type-node.ts";

export interface Served {
  resource: Resource;
  version: ResourceVersionInfo;
}

export class Registry {
  readonly definitions: Definitions;
  readonly catalog: TypeCatalog;
  /** Definition names by `group/version/Kind`. */
  readonly definitionNames: Map<string, string>;
  readonly builtin: Resource[];
  readonly #metaType: TypeNode;
  #all: Resource[] = [];
  #byPath = new Map<string, Served>();
  #byKind = new Map<string, Served>();
  #custom = new Map<string, { crd: ApiObject; resource: Resource }>();
  #generation = 0;

  constructor({ definitions }: { definitions: Definitions }) {
    this.definitions = definitions;
    const { resources, catalog, names } = builtinResources(definitions);
    this.catalog = catalog;
    this.definitionNames = names;
    this.builtin = resources;
    this.#metaType = catalog.named(objectMetaName);
    this.#index();
  }

  /** Follows the CRDs of a store from now on. */
  follow(store: Store<ApiObject>): () => void {
    const refresh = () => this.#refresh(store.list(crdBucket));
    refresh();
    return store.watch(crdBucket, refresh);
  }

  /** Grows with every change of what is served. */
  get generation(): number {
    return this.#generation;
  }

  all(): readonly Resource[] {
    return this.#all;
  }

  find(group: string, version: string, plural: string): Served | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  findKind(apiVersion: string, kind: string): Served | undefined {
    return this.#byKind.get(`${apiVersion}/${kind}`);
  }

  /** In its version of preference. */
  findResource(group: string, plural: string): Resource | undefined {
    return this.#all.find((resource) => resource.group === group && resource.plural === plural);
  }

  /** The definition of a built-in kind or type. */
  type(name: string): TypeNode {
    return this.catalog.named(name);
  }

  #refresh(crds: readonly ApiObject[]): void {
    const next = new Map<string, { crd: ApiObject; resource: Resource }>();
    for (const crd of crds) {
      if (!isEstablished(crd)) continue;
      const name = crd.metadata.name as string;
      const before = this.#custom.get(name);
      // A status change keeps the resource, and with it the caches of its types.
      if (before && before.crd.metadata.generation === crd.metadata.generation && before.crd.metadata.uid === crd.metadata.uid) {
        next.set(name, before);
        continue;
      }
      try {
        next.set(name, { crd, resource: customResource(crd, this.#metaType) });
      } catch {
        // Validation lets no such definition in; one that is there all the same is not served, and the others are.
      }
    }
    this.#custom = next;
    this.#index();
  }

  #index(): void {
    this.#generation += 1;
    const builtin = new Set(this.builtin.map(({ group, plural }) => `${group}/${plural}`));
    this.#all = [
      ...this.builtin,
      ...[...this.#custom.values()].map(({ resource }) => resource).filter(({ group, plural }) => !builtin.has(`${group}/${plural}`)),
    ];
    this.#byPath = new Map();
    this.#byKind = new Map();
    for (const resource of this.#all) {
      for (const version of resource.versions) {
        if (!version.served) continue;
        this.#byPath.set(`${resource.group}/${version.name}/${resource.plural}`, { resource, version });
        this.#byKind.set(`${groupVersion(resource.group, version.name)}/${resource.kind}`, { resource, version });
      }
    }
  }
}

/** The object as a version shows it. Shares parts with the stored one. */
export function fromStored(object: ApiObject, { resource, version }: Served): ApiObject {
  if (resource.conversion) return resource.conversion.fromStored(object, version.name);
  const apiVersion = groupVersion(resource.group, version.name);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

export function toStored(object: ApiObject, { resource, version }: Served): ApiObject {
  const apiVersion = groupVersion(resource.group, resource.storage);
  if (resource.conversion) return resource.conversion.toStored(object, version.name);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}
