// The writing verbs of every resource: create, update, patch, delete. One pipeline:
//
//   decode → defaults → mutating admission → strategy.prepare → managedFields → validate → validating admission → store
//
// An update runs it on what a transformation makes of the stored object, again when somebody else was faster.
import { randomBytes } from "node:crypto";
import { ConflictError, cloneJson, ExistsError, equalJson, type Key, type Store } from "../store/index.ts";
import { type Admission, type AdmissionRequest, run } from "./admission/admission.ts";
import {
  ApplyConflictError,
  afterUpdate,
  applyConfig,
  type ManagedObject,
  sameButBookkeeping,
  type Writer,
} from "./apply/managed-fields.ts";
import { TypedError } from "./apply/typed.ts";
import { checkKind, fieldValidation, parseBody, readAs, readObject } from "./body.ts";
import { type Call, groupResource, isDryRun } from "./call.ts";
import { applyDefaults, validateSchema } from "./custom/schema-validation.ts";
import { dnsSubdomain, validateMetadata } from "./kinds/names.ts";
import { type ApiObject, groupVersion, type ServiceAllocator, type World } from "./kinds/resource.ts";
import { jsonPatch, PatchError } from "./patch/json-patch.ts";
import { mergePatch } from "./patch/merge-patch.ts";
import { strategicMerge } from "./patch/strategic-merge.ts";
import { fromStored, type Served, toStored } from "./registry.ts";
import { isRecord } from "./schema/decode.ts";
import {
  ApiError,
  alreadyExists,
  badRequest,
  conflict,
  type FieldError,
  field,
  invalid,
  modified,
  notFound,
  unsupportedMediaType,
} from "./status.ts";

export interface WriterDeps {
  store: Store<ApiObject>;
  admission: Admission;
  now: () => number;
  uid: () => string;
  services: { forRequest(): ServiceAllocator };
  /** May this request, though no POST, create the object? @throws {ApiError} 403 */
  authorizeCreate: (call: Call) => void;
  /** Is called after an object whose deletion must be followed up was marked; see lifecycle.ts. */
  onWrite?: (served: Served, object: ApiObject) => void;
}

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  propagationPolicy?: "Orphan" | "Background" | "Foreground";
  orphanDependents?: boolean;
  preconditions?: { uid?: string; resourceVersion?: string };
  dryRun?: string[];
}

type Transform = (live: ApiObject | undefined) => ApiObject;

/** How often an update is tried again when other writers come between. */
const maxAttempts = 8;
const maxNameLength = 63;
const suffixLength = 5;
const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";

export const timestamp = (ms: number) => new Date(Math.floor(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");

export class WritePipeline {
  readonly #deps: WriterDeps;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
  }

  key({ served: { resource } }: Pick<Call, "served">, namespace: string, name: string): Key {
    return { bucket: resource.bucket, namespace: resource.namespaced ? namespace : "", name };
  }

  live(call: Call, name = call.info.name): ApiObject {
    const found = this.#deps.store.get(this.key(call, call.info.namespace, name));
    if (!found) throw notFound(groupResource(call), name);
    return found;
  }

  /** POST. The object as stored. */
  async create(call: Call): Promise<ApiObject> {
    const object = readObject(parseBody(call.request.body, call.request.headers.get("content-type")), call.served, {
      validation: fieldValidation(call.query),
      warn: (message) => call.warnings.add(message),
    });
    return this.createObject(call, object, { dryRun: isDryRun(call.query) });
  }

  async createObject(
    call: Call,
    object: ApiObject,
    { dryRun, applied = false }: { dryRun: boolean; applied?: boolean },
  ): Promise<ApiObject> {
    const { served, info } = call;
    const { resource, version } = served;
    const { metadata } = object;
    this.#checkNamespace(call, object);
    if (metadata.resourceVersion) throw badRequest("resourceVersion should not be set on objects to be created");
    if (!metadata.name && metadata.generateName) metadata.name = generatedName(metadata.generateName);
    for (const name of ["uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation", "resourceVersion"])
      delete metadata[name];
    if (!applied) delete metadata.managedFields;
    metadata.creationTimestamp = timestamp(this.#deps.now());
    metadata.uid = this.#deps.uid();
    if (resource.namespaced) metadata.namespace = info.namespace;
    else delete metadata.namespace;
    const key = this.key(call, info.namespace, metadata.name ?? "");
    const services = this.#deps.services.forRequest();
    const world = this.#world(services);
    try {
      let stored = this.#defaulted(toStored(object, served), served);
      // What admission and strategies add afterwards belongs to nobody.
      const managedFields = applied
        ? metadata.managedFields
        : ownersAfter({
            live: undefined,
            next: fromStored(stored, served) as ManagedObject,
            type: version.type,
            writer: this.#writer(call),
            ignored: this.#unwritten(call),
          });
      attach(stored, managedFields);
      const request = this.#admission(call, "CREATE", fromStored(stored, served), undefined, dryRun);
      await run(this.#deps.admission.mutating, request);
      stored = this.#defaulted(toStored(request.object as ApiObject, served), served);
      // A webhook may not rename.
      stored.metadata.name = metadata.name as string;
      if (version.status && resource.custom) delete stored["status"];
      resource.strategy.prepareCreate?.(stored, world);
      if (resource.strategy.generation) stored.metadata.generation = 1;
      const errors: FieldError[] = [];
      validateMetadata(stored.metadata, resource.strategy.checkName ?? dnsSubdomain, errors);
      if (errors.length === 0 || stored.metadata.name) this.#validate(stored, served, errors, world);
      if (errors.length > 0) throw invalid(resource, stored.metadata.name ?? "", errors);
      attach(stored, managedFields);
      request.object = fromStored(stored, served);
      await run(this.#deps.admission.validating, request);
      if (dryRun) {
        if (this.#deps.store.get(key)) throw alreadyExists(groupResource(call), key.name);
        return stored;
      }
      const result = this.#deps.store.create(key, stored);
      this.#deps.onWrite?.(served, result);
      return result;
    } catch (error) {
      if (error instanceof ExistsError) throw alreadyExists(groupResource(call), key.name);
      throw error;
    } finally {
      services.release();
    }
  }

  /** PUT, of an object or its status. */
  async update(call: Call): Promise<{ object: ApiObject; created: boolean }> {
    const { served, info } = call;
    const body = readObject(parseBody(call.request.body, call.request.headers.get("content-type")), served, {
      validation: fieldValidation(call.query),
      warn: (message) => call.warnings.add(message),
    });
    this.#checkNamespace(call, body);
    if (body.metadata.name === undefined || body.metadata.name === "") throw badRequest("name must be provided");
    if (body.metadata.name !== info.name)
      throw badRequest(`the name of the object (${body.metadata.name}) does not match the name on the URL (${info.name})`);
    const dryRun = isDryRun(call.query);
    if (
      !this.#deps.store.get(this.key(call, info.namespace, info.name)) &&
      served.resource.strategy.createOnUpdate &&
      info.subresource === ""
    ) {
      this.#deps.authorizeCreate(call);
      delete body.metadata.resourceVersion;
      return { object: await this.createObject(call, body, { dryRun }), created: true };
    }
    return { object: await this.modify(call, () => cloneJson(body), { dryRun }), created: false };
  }

  /** PATCH of any kind. */
  async patch(call: Call): Promise<{ object: ApiObject; created: boolean }> {
    const { request, served, info, query } = call;
    const media = (request.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
    const dryRun = isDryRun(query);
    if (media === "application/apply-patch+yaml") return this.#apply(call, dryRun);
    const patch = parseBody(request.body, media);
    const validation = fieldValidation(query);
    const warn = (message: string) => call.warnings.add(message);
    const apply = patcher(media, patch, served);
    const object = await this.modify(
      call,
      (live) => {
        let patched: unknown;
        try {
          patched = apply(cloneJson(live));
        } catch (error) {
          if (!(error instanceof PatchError)) throw error;
          if (media === "application/json-patch+json")
            throw new ApiError(422, "Invalid", `the server rejected our request due to an error in our request: ${error.message}`);
          throw badRequest(error.message);
        }
        const object = readObject(patched, served, { validation, warn });
        if (object.metadata.name !== live?.metadata.name)
          throw badRequest(`the name of the object (${object.metadata.name}) does not match the name on the URL (${info.name})`);
        this.#checkNamespace(call, object);
        return object;
      },
      { dryRun },
    );
    return { object, created: false };
  }

  async #apply(call: Call, dryRun: boolean): Promise<{ object: ApiObject; created: boolean }> {
    const { served, info, query, request } = call;
    const manager = query.get("fieldManager") ?? "";
    if (manager === "")
      throw new ApiError(
        422,
        "Invalid",
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
        { causes: [{ reason: "FieldValueRequired", message: "Required value: is required for apply patch", field: "fieldManager" }] },
      );
    const value = parseBody(request.body, "application/apply-patch+yaml");
    if (!isRecord(value)) throw badRequest("the apply configuration is not an object");
    if (!value["apiVersion"] || !value["kind"]) throw badRequest("the apply configuration must have apiVersion and kind");
    const config = readObject(value, served, { validation: fieldValidation(query), warn: (message) => call.warnings.add(message) });
    if (config.metadata.managedFields) throw badRequest("metadata.managedFields must be nil");
    this.#checkNamespace(call, config);
    if (config.metadata.name !== undefined && config.metadata.name !== info.name)
      throw badRequest(`the name of the object (${config.metadata.name}) does not match the name on the URL (${info.name})`);
    config.metadata.name = info.name;
    const force = query.get("force") === "true";
    const merge = (live: ApiObject | undefined) => {
      try {
        // A copy: what apply left alone is still the stored object's own.
        return cloneJson(
          applyConfig({
            live: live as ManagedObject | undefined,
            config: cloneJson(config) as ManagedObject,
            type: served.version.type,
            writer: this.#writer(call),
            force,
            ignored: this.#unwritten(call),
          }),
        ) as ApiObject;
      } catch (error) {
        if (error instanceof ApplyConflictError) {
          throw new ApiError(409, "Conflict", error.message, {
            causes: error.conflicts.map(({ manager: other, path }) => ({
              reason: "FieldManagerConflict",
              message: `conflict with ${other}`,
              field: path,
            })),
          });
        }
        if (error instanceof TypedError)
          throw badRequest(
            `failed to create typed patch object (${info.namespace}/${info.name}; ${groupVersion(served.resource.group, served.version.name)}, Kind=${served.resource.kind}): ${error.message}`,
          );
        throw error;
      }
    };
    for (let attempt = 0; ; attempt++) {
      if (!this.#deps.store.get(this.key(call, info.namespace, info.name))) {
        if (config.metadata.uid)
          throw conflict(
            groupResource(call),
            info.name,
            "uid mismatch: the provided object specified uid, and no existing object was found",
          );
        if (info.subresource !== "") throw notFound(groupResource(call), info.name);
        this.#deps.authorizeCreate(call);
        delete config.metadata.resourceVersion;
        try {
          return { object: await this.createObject(call, merge(undefined), { dryRun, applied: true }), created: true };
        } catch (error) {
          // Made by somebody else meanwhile: apply to that.
          if (error instanceof ApiError && error.reason === "AlreadyExists" && attempt === 0) continue;
          throw error;
        }
      }
      return { object: await this.modify(call, merge, { dryRun, applied: true }), created: false };
    }
  }

  /**
   * Changes a stored object by `transform` (live → next, both in the version of the request).
   * `applied`: managedFields are already those of the result.
   */
  async modify(call: Call, transform: Transform, { dryRun, applied = false }: { dryRun: boolean; applied?: boolean }): Promise<ApiObject> {
    for (let attempt = 1; ; attempt++) {
      const services = this.#deps.services.forRequest();
      try {
        return await this.#modifyOnce(call, transform, { dryRun, applied, services });
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
        if (attempt >= maxAttempts) throw modified(groupResource(call), call.info.name);
      } finally {
        services.release();
      }
    }
  }

  async #modifyOnce(
    call: Call,
    transform: Transform,
    { dryRun, applied, services }: { dryRun: boolean; applied: boolean; services: ServiceAllocator },
  ): Promise<ApiObject> {
    const { served, info } = call;
    const { resource, version } = served;
    const live = this.live(call);
    const before = fromStored(live, served);
    const next = transform(before);
    const { metadata } = next;
    if (metadata.uid && metadata.uid !== live.metadata.uid) {
      throw conflict(
        groupResource(call),
        info.name,
        `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${live.metadata.uid}`,
      );
    }
    if (metadata.resourceVersion && metadata.resourceVersion !== live.metadata.resourceVersion)
      throw modified(groupResource(call), info.name);
    // What a client cannot change.
    for (const name of [
      "uid",
      "creationTimestamp",
      "deletionTimestamp",
      "deletionGracePeriodSeconds",
      "generation",
      "generateName",
      "selfLink",
    ]) {
      if (live.metadata[name] === undefined) delete metadata[name];
      else metadata[name] = live.metadata[name];
    }
    metadata.resourceVersion = live.metadata.resourceVersion as string;
    metadata.name = live.metadata.name as string;
    if (live.metadata.namespace) metadata.namespace = live.metadata.namespace;
    const givenManagers = metadata.managedFields;
    const old = live;
    let stored = toStored(next, served);
    const isStatus = info.subresource === "status";
    stored = this.#only(stored, old, served, info.subresource);
    stored = this.#defaulted(stored, served);
    const managedFields = applied
      ? givenManagers
      : ownersAfter({
          live: before as ManagedObject,
          next: { ...fromStored(stored, served), metadata: { ...stored.metadata, managedFields: givenManagers } } as ManagedObject,
          type: version.type,
          writer: this.#writer(call),
          ignored: this.#unwritten(call),
        });
    attach(stored, managedFields);
    const request = this.#admission(call, "UPDATE", fromStored(stored, served), before, dryRun);
    await run(this.#deps.admission.mutating, request);
    if (request.object !== undefined)
      stored = this.#defaulted(this.#only(toStored(request.object, served), old, served, info.subresource), served);
    const world = this.#world(services);
    if (info.subresource === "") resource.strategy.prepareUpdate?.(stored, old, world);
    if (resource.strategy.generation && !isStatus && specChanged(stored, old, version.status))
      stored.metadata.generation = (old.metadata.generation ?? 1) + 1;
    const errors: FieldError[] = [];
    validateMetadata(stored.metadata, resource.strategy.checkName ?? dnsSubdomain, errors);
    if (old.metadata.deletionTimestamp) {
      const added = (stored.metadata.finalizers ?? []).filter((one) => !old.metadata.finalizers?.includes(one));
      if (added.length > 0)
        errors.push(
          field.forbidden(
            "metadata.finalizers",
            `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((one) => JSON.stringify(one)).join(", ")}}`,
          ),
        );
    }
    this.#validate(stored, served, errors, world, isStatus);
    if (isStatus) resource.strategy.validateStatus?.(stored, old, errors);
    else if (info.subresource === "") resource.strategy.validateUpdate?.(stored, old, errors, world);
    if (errors.length > 0) throw invalid(resource, info.name, errors);
    attach(stored, managedFields);
    request.object = fromStored(stored, served);
    await run(this.#deps.admission.validating, request);
    if (sameButBookkeeping(stored as ManagedObject, old as ManagedObject)) return old;
    if (dryRun) return stored;
    const key = this.key(call, info.namespace, info.name);
    if (isFinished(stored, served)) return this.#deps.store.delete(key, { expected: old.metadata.resourceVersion, last: stored });
    const result = this.#deps.store.update(key, stored, old.metadata.resourceVersion as string);
    this.#deps.onWrite?.(served, result);
    return result;
  }

  /** DELETE of one object. `gone`: removed at once, or marked and waiting for somebody. */
  async delete(call: Call, options: DeleteOptions, name = call.info.name): Promise<{ object: ApiObject; gone: boolean }> {
    const { served } = call;
    const { resource } = served;
    const dryRun = isDryRun(call.query, options);
    for (let attempt = 1; ; attempt++) {
      const live = this.live(call, name);
      const { preconditions } = options;
      if (preconditions?.uid && preconditions.uid !== live.metadata.uid)
        throw conflict(
          groupResource(call),
          name,
          `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${live.metadata.uid}`,
        );
      if (preconditions?.resourceVersion && preconditions.resourceVersion !== live.metadata.resourceVersion) {
        throw conflict(
          groupResource(call),
          name,
          `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${live.metadata.resourceVersion}`,
        );
      }
      const request = {
        ...this.#admission(call, "DELETE", undefined, fromStored(live, served), dryRun),
        name,
        options: { kind: "DeleteOptions", apiVersion: "meta.k8s.io/v1", ...options },
      };
      await run(this.#deps.admission.mutating, request);
      await run(this.#deps.admission.validating, request);
      const key = this.key(call, call.info.namespace, name);
      const now = this.#deps.now();
      const graceful = resource.strategy.gracePeriodSeconds;
      const wanted = graceful ? graceful(live) : 0;
      let grace = options.gracePeriodSeconds === undefined || wanted === 0 ? wanted : Math.max(0, options.gracePeriodSeconds);
      if (live.metadata.deletionTimestamp && graceful) grace = Math.min(grace, live.metadata.deletionGracePeriodSeconds ?? grace);
      const finalizers = deletionFinalizers(live, options, resource.strategy.orphanByDefault === true);
      const next = cloneJson(live);
      if (finalizers.length > 0) next.metadata.finalizers = finalizers;
      else delete next.metadata.finalizers;
      const first = live.metadata.deletionTimestamp === undefined;
      if (first || grace !== live.metadata.deletionGracePeriodSeconds) {
        next.metadata.deletionTimestamp = timestamp(now + grace * 1000);
        next.metadata.deletionGracePeriodSeconds = grace;
        if (first && resource.strategy.generation) next.metadata.generation = (next.metadata.generation ?? 1) + 1;
        resource.strategy.beginDeletion?.(next);
      }
      try {
        if (grace === 0 && isFinished(next, served)) {
          return {
            object: dryRun ? live : this.#deps.store.delete(key, { expected: live.metadata.resourceVersion, last: live }),
            gone: true,
          };
        }
        if (dryRun) return { object: next, gone: false };
        if (equalJson(next, live)) return { object: live, gone: false };
        const object = this.#deps.store.update(key, next, live.metadata.resourceVersion as string);
        this.#deps.onWrite?.(served, object);
        return { object, gone: false };
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
        if (attempt >= maxAttempts) throw modified(groupResource(call), name);
      }
    }
  }

  /** The body of a DELETE, or its options in the query. */
  deleteOptions(call: Call): DeleteOptions {
    const { request, query } = call;
    const body = request.body.length > 0 ? parseBody(request.body, request.headers.get("content-type")) : {};
    if (!isRecord(body)) throw badRequest("the body is not a DeleteOptions object");
    const options = { ...body } as DeleteOptions & Record<string, unknown>;
    const grace = query.get("gracePeriodSeconds");
    if (grace !== null && grace !== "") options.gracePeriodSeconds = Number(grace);
    const policy = query.get("propagationPolicy");
    if (policy) options.propagationPolicy = policy as "Orphan";
    if (query.get("orphanDependents")) options.orphanDependents = query.get("orphanDependents") === "true";
    if (options.propagationPolicy && !["Orphan", "Background", "Foreground"].includes(options.propagationPolicy)) {
      throw new ApiError(
        422,
        "Invalid",
        `DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: ${JSON.stringify(options.propagationPolicy)}: supported values: "Background", "Foreground", "Orphan"`,
      );
    }
    if (options.gracePeriodSeconds !== undefined && !Number.isInteger(options.gracePeriodSeconds))
      throw badRequest("gracePeriodSeconds is not an integer");
    return options;
  }

  /** Keeps of `next` what the endpoint writes: `/status` only the status, others everything else. */
  #only(next: ApiObject, old: ApiObject, { resource, version }: Served, subresource: string): ApiObject {
    if (subresource === "status") {
      // The status of a node or pod carries what agents annotate; labels and annotations of others stay.
      const metadata = {
        ...old.metadata,
        ...(resource.group === "" ? { annotations: next.metadata.annotations, labels: next.metadata.labels } : {}),
        managedFields: next.metadata.managedFields,
      };
      for (const [name, value] of Object.entries(metadata)) if (value === undefined) delete (metadata as Record<string, unknown>)[name];
      return { ...cloneJson(old), metadata: metadata as ApiObject["metadata"], ...("status" in next ? { status: next["status"] } : {}) };
    }
    if (version.status && subresource === "") {
      const copy = { ...next };
      if (old["status"] === undefined) delete copy["status"];
      else copy["status"] = cloneJson(old["status"]);
      return copy;
    }
    return next;
  }

  /** Top-level fields that this endpoint does not write, and nobody comes to own through it. */
  #unwritten({ served: { resource, version }, info }: Call): string[] {
    if (info.subresource === "status") return ["spec"];
    return version.status && (resource.custom || info.subresource === "") ? ["status"] : [];
  }

  #defaulted(object: ApiObject, { resource, version }: Served): ApiObject {
    if (version.schema) applyDefaults(object, version.schema);
    resource.strategy.defaults?.(object);
    return object;
  }

  #validate(object: ApiObject, served: Served, errors: FieldError[], world: World, statusOnly = false): void {
    const { resource, version } = served;
    if (version.schema) {
      const { apiVersion: _, kind: __, metadata: ___, ...body } = fromStored(object, served);
      validateSchema(
        body,
        {
          ...version.schema,
          required: (version.schema.required ?? []).filter((name) => !["apiVersion", "kind", "metadata"].includes(name)),
        },
        "",
        errors,
      );
    }
    if (!statusOnly) resource.strategy.validate?.(object, errors, world);
  }

  #admission(
    call: Call,
    operation: AdmissionRequest["operation"],
    object: ApiObject | undefined,
    oldObject: ApiObject | undefined,
    dryRun: boolean,
  ): AdmissionRequest {
    const { served, info, user } = call;
    const kind =
      operation === "CREATE"
        ? "CreateOptions"
        : operation === "UPDATE"
          ? info.verb === "patch"
            ? "PatchOptions"
            : "UpdateOptions"
          : "DeleteOptions";
    const manager = call.query.get("fieldManager");
    const validation = call.query.get("fieldValidation");
    return {
      operation,
      served,
      subresource: info.subresource,
      namespace: served.resource.namespaced
        ? info.namespace
        : served.resource.plural === "namespaces"
          ? ((object ?? oldObject)?.metadata.name ?? "")
          : "",
      name: (object ?? oldObject)?.metadata.name ?? info.name,
      object,
      oldObject,
      options: {
        kind,
        apiVersion: "meta.k8s.io/v1",
        ...(dryRun ? { dryRun: ["All"] } : {}),
        ...(manager ? { fieldManager: manager } : {}),
        ...(validation ? { fieldValidation: validation } : {}),
      },
      user,
      dryRun,
      warn: (message) => call.warnings.add(message),
    };
  }

  #world(services: ServiceAllocator): World {
    const { store, now, uid } = this.#deps;
    return { store, now, uid, services };
  }

  #writer(call: Call): Writer {
    const { served, query, request, info } = call;
    return {
      manager: query.get("fieldManager") || managerOf(request.headers.get("user-agent")),
      apiVersion: groupVersion(served.resource.group, served.version.name),
      subresource: info.subresource,
      time: timestamp(this.#deps.now()),
    };
  }

  #checkNamespace({ served: { resource }, info }: Call, { metadata }: ApiObject): void {
    if (!resource.namespaced || !metadata.namespace) return;
    if (metadata.namespace !== info.namespace)
      throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
  }
}

/** The first word of a user agent: `kubectl/v1.35.0 (linux/amd64) …` is `kubectl`. */
function managerOf(agent: string | undefined): string {
  return (agent ?? "").split("/")[0]?.slice(0, 128) || "unknown";
}

/**
 * Who owns what after a write that is no apply. Where list items lack their key nobody can be named: as on the real server that is no failure of
 * its own, since validation, which follows, says what is wrong with the object.
 */
function ownersAfter(options: Parameters<typeof afterUpdate>[0]): ReturnType<typeof afterUpdate> {
  try {
    return afterUpdate(options);
  } catch (error) {
    if (!(error instanceof TypedError)) throw error;
    return options.live?.metadata.managedFields as ReturnType<typeof afterUpdate>;
  }
}

function attach({ metadata }: ApiObject, managedFields: object[] | undefined): void {
  if (managedFields?.length) metadata.managedFields = managedFields as Record<string, unknown>[];
  else delete metadata.managedFields;
}

function generatedName(base: string): string {
  const suffix = [...randomBytes(suffixLength)].map((byte) => suffixAlphabet[byte % suffixAlphabet.length]).join("");
  return `${base.slice(0, maxNameLength - suffixLength)}${suffix}`;
}

function patcher(media: string, patch: unknown, served: Served): (live: unknown) => unknown {
  switch (media) {
    case "application/json-patch+json":
      return (live) => jsonPatch(live, patch);
    case "application/merge-patch+json":
      if (!isRecord(patch)) throw badRequest("the patch is not an object");
      return (live) => mergePatch(live, patch);
    case "application/strategic-merge-patch+json":
      if (served.resource.custom) break;
      if (!isRecord(patch)) throw badRequest("the patch is not an object");
      return (live) => strategicMerge(live, patch, served.version.type);
  }
  throw unsupportedMediaType([
    "application/json-patch+json",
    "application/merge-patch+json",
    ...(served.resource.custom ? [] : ["application/strategic-merge-patch+json"]),
    "application/apply-patch+yaml",
  ]);
}

/** Did anything but metadata and status change? */
function specChanged(next: ApiObject, old: ApiObject, hasStatus: boolean): boolean {
  for (const name of new Set([...Object.keys(next), ...Object.keys(old)])) {
    if (name === "metadata" || name === "apiVersion" || name === "kind" || (name === "status" && hasStatus)) continue;
    if (!equalJson(next[name], old[name])) return true;
  }
  return false;
}

/** Being deleted, with nothing left to wait for. */
function isFinished({ metadata, ...rest }: ApiObject, { resource: { strategy } }: Served): boolean {
  if (!metadata.deletionTimestamp || metadata.finalizers?.length) return false;
  if (strategy.gracePeriodSeconds && (metadata.deletionGracePeriodSeconds ?? 0) > 0) return false;
  return strategy.deletable?.({ metadata, ...rest }) ?? true;
}

function deletionFinalizers(
  { metadata }: ApiObject,
  { propagationPolicy, orphanDependents }: DeleteOptions,
  orphanByDefault: boolean,
): string[] {
  const others = (metadata.finalizers ?? []).filter((one) => one !== "orphan" && one !== "foregroundDeletion");
  const had = (name: string) => metadata.finalizers?.includes(name) === true;
  const policy = propagationPolicy ?? (orphanDependents === undefined ? undefined : orphanDependents ? "Orphan" : "Background");
  switch (policy) {
    case "Orphan":
      return [...others, "orphan"];
    case "Foreground":
      return [...others, "foregroundDeletion"];
    case "Background":
      return others;
    case undefined:
      if (had("orphan") || (orphanByDefault && !had("foregroundDeletion"))) return [...others, "orphan"];
      return had("foregroundDeletion") ? [...others, "foregroundDeletion"] : others;
    default:
      return policy satisfies never;
  }
}

export { checkKind, readAs };
