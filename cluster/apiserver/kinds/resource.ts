// What the server knows of a resource: one description read by every verb. Built-in kinds and custom ones are values of this type.
import type { Store } from "../../store/index.ts";
import type { JsonSchema, TypeNode } from "../schema/type-node.ts";
import type { FieldError } from "../status.ts";

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: Record<string, unknown>[];
  [field: string]: unknown;
}

/** Any API object; fields below `metadata` are read at the reader's own risk. */
export interface ApiObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  // biome-ignore lint/suspicious/noExplicitAny: objects of every kind pass through the same code
  [field: string]: any;
}

/** What strategies may look at beside the object. */
export interface World {
  store: Store<ApiObject>;
  /** Milliseconds since 1970. */
  now(): number;
  uid(): string;
  services: ServiceAllocator;
}

/** Hands out cluster IPs and node ports; what it gave in a request that came to nothing is given back by `release`. */
export interface ServiceAllocator {
  nextAddress(): string | undefined;
  reserveAddress(address: string): "ok" | "taken" | "out-of-range";
  nextNodePort(): number | undefined;
  reserveNodePort(port: number): "ok" | "taken" | "out-of-range";
  release(): void;
  readonly range: string;
}

export interface Strategy {
  /** What is wrong with a name of this kind; default: a DNS subdomain. */
  checkName?(name: string): string | undefined;
  /** Fills in absent fields of an object that is the caller's own. */
  defaults?(object: ApiObject): void;
  /** Last touch before validation: sets what clients may not, allocates. */
  prepareCreate?(object: ApiObject, world: World): void;
  prepareUpdate?(object: ApiObject, old: ApiObject, world: World): void;
  validate?(object: ApiObject, errors: FieldError[], world: World): void;
  validateUpdate?(object: ApiObject, old: ApiObject, errors: FieldError[], world: World): void;
  /** Of an update that came through `/status`. */
  validateStatus?(object: ApiObject, old: ApiObject, errors: FieldError[]): void;
  /** Is `metadata.generation` kept? Default: when the kind has a status. */
  generation?: boolean;
  /** `PUT` of a name that does not exist creates it. */
  createOnUpdate?: boolean;
  /** A delete without gracePeriodSeconds: seconds until gone, 0 or undefined at once. */
  gracePeriodSeconds?(object: ApiObject): number;
  /** Marks an object whose deletion begins (it has a deletionTimestamp now). */
  beginDeletion?(object: ApiObject): void;
  /** May an object whose finalizers are gone be removed? Default: yes. */
  deletable?(object: ApiObject): boolean;
  /** Default of propagationPolicy where the client says nothing. */
  orphanByDefault?: boolean;
}

/** A column of a server-side table. */
export interface Column {
  name: string;
  type: "string" | "integer" | "number" | "boolean" | "date";
  format?: string;
  description?: string;
  /** 0: always shown; 1: with `-o wide`. */
  priority: number;
}

export interface TablePrinter {
  columns: Column[];
  /** Cells of one object. `nowMs` for ages. */
  cells(object: ApiObject, nowMs: number): unknown[];
}

export interface ScalePaths {
  /** Dotted, without the leading dot: `spec.replicas`. */
  specReplicas: string;
  statusReplicas: string;
  /** A LabelSelector object or its text; undefined: none. */
  selector?: string | undefined;
}

export interface ResourceVersionInfo {
  name: string;
  served: boolean;
  type: TypeNode;
  /** Of custom kinds: validates, defaults and prunes. */
  schema?: JsonSchema;
  status: boolean;
  scale?: ScalePaths;
  table: TablePrinter;
  /** Sent as a Warning header. */
  deprecation?: string;
}

export interface Resource {
  group: string;
  plural: string;
  singular: string;
  kind: string;
  listKind: string;
  shortNames: string[];
  categories: string[];
  namespaced: boolean;
  /** Where its objects are stored; two views of the same objects share one. */
  bucket: string;
  /** In order of preference. */
  versions: ResourceVersionInfo[];
  /** The version objects are stored in. */
  storage: string;
  /** Between a version and the stored form; absent: only apiVersion differs. */
  conversion?: { fromStored(object: ApiObject, version: string): ApiObject; toStored(object: ApiObject, version: string): ApiObject };
  /** Names of subresources beside status and scale, with their kind and verbs, for discovery. */
  subresources: { name: string; kind: string; group?: string; version?: string; verbs: string[] }[];
  verbs: string[];
  /** Field selectors beside metadata.name and metadata.namespace: label to value. */
  selectable: Record<string, (object: ApiObject) => string>;
  strategy: Strategy;
  custom: boolean;
}

export const allVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

export const groupVersion = (group: string, version: string) => (group === "" ? version : `${group}/${version}`);
