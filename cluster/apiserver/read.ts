// The reading verbs of every resource: get, list in pages, watch.
import { type ChangeEvent, type Store, TooOldError } from "../store/index.ts";
import { type Call, groupResource } from "./call.ts";
import type { HttpResponse, Sink } from "./http/listener.ts";
import { type ApiObject, groupVersion } from "./kinds/resource.ts";
import { type Format, negotiate, render } from "./negotiate.ts";
import { fromStored, type Served } from "./registry.ts";
import { fieldPredicate, labelPredicate, type Predicate } from "./selectors.ts";
import { ApiError, badRequest, expired, notFound } from "./status.ts";
import { type IncludeObject, partialMetadata, table, tableRow } from "./table/render.ts";

/** Time between bookmarks of a quiet watch. */
const bookmarkMs = 55_000;
const defaultWatchSeconds = { least: 1800, most: 3600 };
/** Lists that clients are paging through, kept so that all pages are of one version; the oldest is dropped, its clients get 410. */
const maxSnapshots = 64;

interface Snapshot {
  bucket: string;
  namespace: string | undefined;
  version: number;
  objects: readonly ApiObject[];
}

export class Reader {
  readonly #store: Store<ApiObject>;
  readonly #now: () => number;
  readonly #texts = new WeakMap<object, string>();
  readonly #snapshots: Snapshot[] = [];
  readonly #watches = new Set<() => void>();

  constructor({ store, now }: { store: Store<ApiObject>; now: () => number }) {
    this.#store = store;
    this.#now = now;
  }

  /** Ends every watch. */
  close(): void {
    for (const stop of [...this.#watches]) stop();
  }

  get(call: Call): HttpResponse {
    const { info, served } = call;
    const object = this.#store.get({
      bucket: served.resource.bucket,
      namespace: served.resource.namespaced ? info.namespace : "",
      name: info.name,
    });
    if (!object) throw notFound(groupResource(call), info.name);
    return this.respond(call, 200, object);
  }

  /** One stored object in the form the client wants. */
  respond(call: Call, status: number, object: ApiObject): HttpResponse {
    const format = negotiate(call.request.headers.get("accept"));
    const { served } = call;
    if (format.as === "object" && !format.yaml)
      return { status, headers: { "content-type": "application/json" }, body: this.#text(object, served) };
    const view = fromStored(object, served);
    const value =
      format.as === "table"
        ? table([view], served.version.table, this.#now(), {
            include: include(call),
            listMeta: { resourceVersion: object.metadata.resourceVersion },
            headers: true,
          })
        : format.as === "metadata"
          ? partialMetadata(view)
          : view;
    const { body, type } = render(value, format);
    return { status, headers: { "content-type": type }, body };
  }

  list(call: Call): HttpResponse {
    const { served, query, info } = call;
    const { resource } = served;
    const format = negotiate(call.request.headers.get("accept"));
    const namespace = resource.namespaced && info.namespace !== "" ? info.namespace : undefined;
    const { objects, version, rest, remaining } = this.#page(call, namespace);
    const metadata: Record<string, unknown> = {
      resourceVersion: String(version),
      ...(rest ? { continue: rest, ...(remaining !== undefined ? { remainingItemCount: remaining } : {}) } : {}),
    };
    const headers = { "content-type": "application/json" };
    if (format.as === "object" && !format.yaml) {
      const apiVersion = groupVersion(resource.group, served.version.name);
      const items = objects.map((object) => this.#text(object, served)).join(",");
      return {
        status: 200,
        headers,
        body: `{"kind":${JSON.stringify(resource.listKind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":${JSON.stringify(metadata)},"items":[${items}]}`,
      };
    }
    const views = objects.map((object) => fromStored(object, served));
    const value =
      format.as === "table"
        ? table(views, served.version.table, this.#now(), {
            include: include(call),
            listMeta: metadata,
            headers: query.get("continue") === null || query.get("continue") === "",
          })
        : format.as === "metadata"
          ? { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata, items: views.map(partialMetadata) }
          : { kind: resource.listKind, apiVersion: groupVersion(resource.group, served.version.name), metadata, items: views };
    const { body, type } = render(value, format);
    return { status: 200, headers: { "content-type": type }, body };
  }

  /** The objects a collection request is about. */
  select(call: Call): ApiObject[] {
    const { served, info } = call;
    const { predicate } = predicates(call);
    const all = this.#store.list(served.resource.bucket, served.resource.namespaced && info.namespace !== "" ? info.namespace : undefined);
    return predicate ? all.filter(predicate) : [...all];
  }

  #page(
    call: Call,
    namespace: string | undefined,
  ): { objects: readonly ApiObject[]; version: number; rest: string | undefined; remaining: number | undefined } {
    const { served, query } = call;
    const { bucket } = served.resource;
    const { predicate } = predicates(call);
    const limit = wholeNumber(query, "limit") ?? 0;
    const token = query.get("continue");
    let all: readonly ApiObject[];
    let version = this.#store.version;
    let start = 0;
    if (token) {
      const { rv, after } = readContinue(token);
      const snapshot = this.#snapshots.find((one) => one.version === rv && one.bucket === bucket && one.namespace === namespace);
      if (!snapshot) {
        if (rv !== version)
          throw expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
          );
        all = this.#store.list(bucket, namespace);
      } else all = snapshot.objects;
      version = rv;
      start = lowerBound(all, after);
    } else {
      checkVersion(query, version, this.#store.oldestVersion);
      all = this.#store.list(bucket, namespace);
    }
    if (limit === 0 && start === 0)
      return { objects: predicate ? all.filter(predicate) : all, version, rest: undefined, remaining: undefined };
    const objects: ApiObject[] = [];
    let at = start;
    while (at < all.length && (limit === 0 || objects.length < limit)) {
      const object = all[at++] as ApiObject;
      if (!predicate || predicate(object)) objects.push(object);
    }
    while (predicate && at < all.length && !predicate(all[at] as ApiObject)) at++;
    if (at >= all.length) return { objects, version, rest: undefined, remaining: undefined };
    if (!this.#snapshots.some((one) => one.version === version && one.bucket === bucket && one.namespace === namespace)) {
      this.#snapshots.push({ bucket, namespace, version, objects: all });
      if (this.#snapshots.length > maxSnapshots) this.#snapshots.shift();
    }
    return {
      objects,
      version,
      rest: writeContinue(version, position(objects.at(-1) as ApiObject)),
      remaining: predicate ? undefined : all.length - at,
    };
  }

  watch(call: Call): HttpResponse {
    const { served, query, info, request } = call;
    const { resource } = served;
    const format = negotiate(request.headers.get("accept"));
    const { predicate, name } = predicates(call);
    const namespace = resource.namespaced ? (info.namespace === "" ? undefined : info.namespace) : "";
    const asked = query.get("resourceVersion") ?? "";
    const version = asked === "" || asked === "0" ? undefined : Number(asked);
    if (version !== undefined && !(Number.isInteger(version) && version >= 0))
      throw badRequest(`Invalid value: ${JSON.stringify(asked)}: resourceVersion is not an integer`);
    const initial = query.get("sendInitialEvents") === "true";
    if (initial && query.get("resourceVersionMatch") !== "NotOlderThan") {
      throw new ApiError(
        422,
        "Invalid",
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      );
    }
    const bookmarks = query.get("allowWatchBookmarks") === "true";
    const seconds =
      wholeNumber(query, "timeoutSeconds") ||
      defaultWatchSeconds.least + Math.floor(((this.#now() % 1000) / 1000) * (defaultWatchSeconds.most - defaultWatchSeconds.least));
    const inScope = (object: ApiObject, where: string) =>
      (namespace === undefined || where === namespace) && (name === undefined || object.metadata.name === name);
    const headers = { "content-type": format.yaml ? "application/yaml;stream=watch" : "application/json" };
    return {
      status: 200,
      headers,
      stream: (sink) => {
        const writer = new EventWriter({
          sink,
          served,
          format,
          include: include(call),
          now: this.#now,
          text: (object) => this.#text(object, served),
        });
        let stop = () => {};
        let timers: ReturnType<typeof setTimeout>[] = [];
        const end = () => {
          stop();
          for (const timer of timers) clearTimeout(timer);
          timers = [];
          this.#watches.delete(finish);
        };
        const finish = () => {
          end();
          sink.end();
        };
        this.#watches.add(finish);
        sink.onClose(end);
        const withState = version === undefined || initial;
        if (withState) {
          for (const object of this.#store.list(resource.bucket, namespace === "" ? undefined : namespace)) {
            if (inScope(object, object.metadata.namespace ?? "") && (!predicate || predicate(object))) writer.event("ADDED", object);
          }
          if (initial && bookmarks) writer.bookmark(this.#store.version, true);
        }
        try {
          stop = this.#store.watch(
            resource.bucket,
            (event) => {
              if (!inScope(event.object, event.namespace)) return;
              const type = visible(event, predicate);
              if (type) writer.event(type, type === "DELETED" && event.type !== "DELETED" ? leaving(event) : event.object);
            },
            withState ? undefined : Math.min(version, this.#store.version),
          );
        } catch (error) {
          if (!(error instanceof TooOldError)) throw error;
          writer.error(expired(error.message));
          finish();
          return;
        }
        if (bookmarks) timers.push(setInterval(() => writer.bookmark(this.#store.version, false), bookmarkMs));
        timers.push(
          setTimeout(() => {
            if (bookmarks) writer.bookmark(this.#store.version, false);
            finish();
          }, seconds * 1000),
        );
      },
    };
  }

  #text(object: ApiObject, served: Served): string {
    const view = fromStored(object, served);
    if (view !== object) return JSON.stringify(view);
    let text = this.#texts.get(object);
    if (text === undefined) {
      text = JSON.stringify(object);
      this.#texts.set(object, text);
    }
    return text;
  }
}

/** How a change looks to a watch with a selector. */
function visible(event: ChangeEvent<ApiObject>, predicate: Predicate | undefined): ChangeEvent["type"] | undefined {
  if (!predicate) return event.type;
  const now = event.type !== "DELETED" && predicate(event.object);
  const before = event.previous !== undefined && predicate(event.previous);
  if (now) return before ? "MODIFIED" : "ADDED";
  return before ? "DELETED" : undefined;
}

/** An object that no longer matches is shown as it was, with the version of the change. */
function leaving({ previous, object }: ChangeEvent<ApiObject>): ApiObject {
  const last = previous as ApiObject;
  return { ...last, metadata: { ...last.metadata, resourceVersion: object.metadata.resourceVersion as string } };
}

class EventWriter {
  readonly #options: {
    sink: Sink;
    served: Served;
    format: Format;
    include: IncludeObject;
    now: () => number;
    text: (object: ApiObject) => string;
  };
  #first = true;

  constructor(options: {
    sink: Sink;
    served: Served;
    format: Format;
    include: IncludeObject;
    now: () => number;
    text: (object: ApiObject) => string;
  }) {
    this.#options = options;
  }

  event(type: ChangeEvent["type"], object: ApiObject): void {
    const { format, text, served, sink } = this.#options;
    if (format.as === "object") {
      sink.write(`{"type":"${type}","object":${text(object)}}\n`);
      return;
    }
    const view = fromStored(object, served);
    this.#write(type, format.as === "table" ? this.#table(view) : partialMetadata(view));
  }

  /** `endOfList`: the marker after the initial events. */
  bookmark(version: number, endOfList: boolean): void {
    const { served, format } = this.#options;
    const metadata = {
      resourceVersion: String(version),
      creationTimestamp: null,
      ...(endOfList ? { annotations: { "k8s.io/initial-events-end": "true" } } : {}),
    };
    const object = { kind: served.resource.kind, apiVersion: groupVersion(served.resource.group, served.version.name), metadata };
    if (format.as === "table") {
      this.#write("BOOKMARK", {
        kind: "Table",
        apiVersion: "meta.k8s.io/v1",
        metadata: { resourceVersion: String(version) },
        columnDefinitions: null,
        rows: [
          {
            cells: served.version.table.columns.map(() => ""),
            object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata },
          },
        ],
      });
    } else
      this.#write(
        "BOOKMARK",
        format.as === "metadata" ? { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata } : object,
      );
  }

  error(error: ApiError): void {
    this.#write("ERROR", error.toStatus());
  }

  #table(view: ApiObject): Record<string, unknown> {
    const { served, include: wanted, now } = this.#options;
    const headers = this.#first;
    this.#first = false;
    const { columns } = served.version.table;
    return {
      kind: "Table",
      apiVersion: "meta.k8s.io/v1",
      metadata: { resourceVersion: view.metadata.resourceVersion },
      columnDefinitions: headers ? columns : null,
      rows: [tableRow(view, served.version.table, now(), wanted)],
    };
  }

  #write(type: string, object: unknown): void {
    this.#options.sink.write(`${JSON.stringify({ type, object })}\n`);
  }
}

function predicates({ query, served: { resource }, info }: Call): { predicate: Predicate | undefined; name: string | undefined } {
  const labels = query.get("labelSelector");
  const fields = query.get("fieldSelector");
  const byLabel = labels ? labelPredicate(labels) : undefined;
  const byField = fields ? fieldPredicate(fields, resource) : undefined;
  const name = byField?.name ?? (info.name !== "" && info.verb === "watch" ? info.name : undefined);
  const byFields = byField?.predicate;
  return { name, predicate: byLabel && byFields ? (object) => byLabel(object) && byFields(object) : (byLabel ?? byFields) };
}

function include({ query }: Call): IncludeObject {
  const value = query.get("includeObject") ?? "";
  if (value === "" || value === "Metadata") return "Metadata";
  if (value === "None" || value === "Object") return value;
  throw badRequest(`unrecognized includeObject value: ${value}`);
}

function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`${name} is not a number: ${JSON.stringify(text)}`);
  return Number(text);
}

/** @throws {ApiError} when the version asked for is of the future, or exactly an old one. */
function checkVersion(query: URLSearchParams, version: number, oldest: number): void {
  const asked = query.get("resourceVersion") ?? "";
  const match = query.get("resourceVersionMatch") ?? "";
  if (asked === "" || asked === "0") return;
  const wanted = Number(asked);
  if (!Number.isInteger(wanted)) throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(asked)}`);
  if (wanted > version) {
    throw new ApiError(504, "Timeout", `Too large resource version: ${wanted}, current: ${version}`, {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      retryAfterSeconds: 1,
    });
  }
  if (match === "Exact" && wanted < oldest) throw expired(`The resourceVersion for the provided list is too old.`);
  if (match === "Exact" && wanted !== version) throw expired("The resourceVersion for the provided list is no longer available.");
}

const position = ({ metadata }: ApiObject) => `${metadata.namespace ?? ""}/${metadata.name}`;

function lowerBound(list: readonly ApiObject[], after: string): number {
  const [namespace = "", name = ""] = [after.slice(0, after.indexOf("/")), after.slice(after.indexOf("/") + 1)];
  const index = list.findIndex(
    ({ metadata }) => (metadata.namespace ?? "") > namespace || ((metadata.namespace ?? "") === namespace && (metadata.name ?? "") > name),
  );
  return index < 0 ? list.length : index;
}

const writeContinue = (rv: number, after: string) =>
  Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv, start: after })).toString("base64url");

function readContinue(token: string): { rv: number; after: string } {
  try {
    const { rv, start } = JSON.parse(Buffer.from(token, "base64url").toString()) as { rv: unknown; start: unknown };
    if (typeof rv === "number" && typeof start === "string") return { rv, after: start };
  } catch {
    // Answered below.
  }
  throw badRequest("continue key is not valid");
}
