// A thin client of the Kubernetes API over the runtime's fetch: requests, patches, chunked lists, watches.
import { KubeError, type StatusBody } from "./errors.ts";
import { type ClusterConfig, loadConfig } from "./kubeconfig.ts";
import { LineSplitter } from "./lines.ts";
import { type AnyObject, type KubeObject, type ResourceRef, type ResourceType, resourcePath } from "./types.ts";

type Query = Record<string, string | number | boolean | undefined>;

export interface RequestOptions {
  method?: string;
  /** Absolute path on the server, escaped. */
  path: string;
  query?: Query | undefined;
  /** Sent as JSON unless it is a string or bytes. */
  body?: unknown;
  headers?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
  /** Limit for the whole request and its answer, in ms; default 30,000; 0: none. */
  timeoutMs?: number | undefined;
}

export interface ListOptions {
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  resourceVersion?: string | undefined;
  resourceVersionMatch?: string | undefined;
  /** Objects per request; default 500; pages are fetched until the list is complete. */
  pageSize?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface ListResult<T> {
  items: T[];
  resourceVersion: string;
}

export interface WriteOptions {
  fieldManager?: string | undefined;
  dryRun?: boolean | undefined;
  /** `Strict`, `Warn`, `Ignore`. */
  fieldValidation?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** How a patch is to be read: RFC 6902, RFC 7386, Kubernetes's strategic merge, server-side apply. */
export type PatchType = "json" | "merge" | "strategic" | "apply";

export interface WatchOptions {
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Resume after this version; absent: start with the present state as ADDED events. */
  resourceVersion?: string | undefined;
  /** The server ends the watch after this time; default 300. */
  timeoutSeconds?: number | undefined;
  allowBookmarks?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export type WatchEvent<T> = { type: "ADDED" | "MODIFIED" | "DELETED"; object: T } | { type: "BOOKMARK"; object: KubeObject };

/** The runtime's fetch with Bun's additions; handed in by tests. */
export type Fetch = (url: string, init: RequestInit & Record<string, unknown>) => Promise<Response>;

const defaultTimeoutMs = 30_000;
const defaultPageSize = 500;
const defaultWatchSeconds = 300;
/** A watch that outlives its own limit by so much sits on a dead connection. */
const watchGraceMs = 15_000;

const patchContentTypes: Record<PatchType, string> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

/** A client of one cluster. Holds no timers and no connections of its own; nothing to close. */
export class KubeClient {
  readonly config: ClusterConfig;
  readonly #fetch: Fetch;
  readonly #userAgent: string;

  constructor({
    config,
    fetch = globalThis.fetch as unknown as Fetch,
    userAgent = "fairlead",
  }: { config: ClusterConfig; fetch?: Fetch; userAgent?: string }) {
    this.config = config;
    this.#fetch = fetch;
    this.#userAgent = userAgent;
  }

  /**
   * The client for `kubeconfig` (a path), else for `KUBECONFIG`, the pod's service account or `~/.kube/config`.
   * @throws {KubeconfigError} naming file and field.
   */
  static fromEnv({
    kubeconfig,
    context,
    env,
    userAgent,
  }: {
    kubeconfig?: string | undefined;
    context?: string | undefined;
    env: Record<string, string | undefined>;
    userAgent?: string;
  }): KubeClient {
    return new KubeClient({ config: loadConfig({ kubeconfig, context, env }), ...(userAgent ? { userAgent } : {}) });
  }

  /** Namespace of the context. */
  get namespace(): string {
    return this.config.namespace;
  }

  /**
   * The answer as it comes, for logs and other streams. Status ≥ 400 throws.
   * @throws {KubeError}
   */
  async open({ method = "GET", path, query, body, headers, signal, timeoutMs = defaultTimeoutMs }: RequestOptions): Promise<Response> {
    const { init, url } = await this.#prepare({ path, query });
    const sent = init.headers as Record<string, string>;
    if (body !== undefined) {
      sent["content-type"] = "application/json";
      init.body = typeof body === "string" || body instanceof Uint8Array ? (body as BodyInit) : JSON.stringify(body);
    }
    Object.assign(sent, headers);
    const limits = [signal, timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined].filter((one) => one !== undefined);
    if (limits.length > 0) init.signal = limits.length === 1 ? (limits[0] as AbortSignal) : AbortSignal.any(limits);
    const name = `${method} ${path}`;
    let response: Response;
    try {
      response = await this.#fetch(url, { ...init, method });
    } catch (error) {
      throw this.#unreachable(error, name, signal);
    }
    if (response.status < 400) return response;
    let text = "";
    try {
      text = await response.text();
    } catch {
      // The status alone must do.
    }
    throw KubeError.fromBody(response.status, text, name);
  }

  /**
   * The answer's JSON; `undefined` for an empty one; a string for another content type.
   * @throws {KubeError}
   */
  async request<T = AnyObject>(options: RequestOptions): Promise<T> {
    const response = await this.open(options);
    let text: string;
    try {
      text = await response.text();
    } catch (error) {
      throw this.#unreachable(error, `${options.method ?? "GET"} ${options.path}`, options.signal);
    }
    if (text === "") return undefined as T;
    if (!(response.headers.get("content-type") ?? "").includes("json")) return text as T;
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw new KubeError({
        code: 0,
        reason: "InvalidAnswer",
        message: `${options.method ?? "GET"} ${options.path}: the answer is not JSON`,
        cause: error,
      });
    }
  }

  get<T extends KubeObject = AnyObject>(ref: ResourceRef, { signal }: { signal?: AbortSignal } = {}): Promise<T> {
    return this.request<T>({ path: resourcePath(ref), signal });
  }

  /** As {@link get}; `undefined` when the object, or its type, does not exist. */
  async find<T extends KubeObject = AnyObject>(ref: ResourceRef, options: { signal?: AbortSignal } = {}): Promise<T | undefined> {
    try {
      return await this.get<T>(ref, options);
    } catch (error) {
      if (KubeError.isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** All objects, page by page. `apiVersion` and `kind`, which lists leave out, are filled in. */
  async list<T extends KubeObject = AnyObject>(
    ref: ResourceRef,
    { labelSelector, fieldSelector, resourceVersion, resourceVersionMatch, pageSize = defaultPageSize, signal }: ListOptions = {},
  ): Promise<ListResult<T>> {
    const items: T[] = [];
    let next: string | undefined;
    for (;;) {
      // A resourceVersion may not go with `continue`: the token carries it.
      const versions = next === undefined ? { resourceVersion, resourceVersionMatch } : {};
      const page = await this.request<{
        apiVersion?: string;
        kind?: string;
        metadata?: { resourceVersion?: string; continue?: string };
        items?: T[] | null;
      }>({
        path: resourcePath(ref),
        query: { labelSelector, fieldSelector, limit: resourceVersion === "0" ? undefined : pageSize, continue: next, ...versions },
        signal,
      });
      const kind = page.kind?.replace(/List$/, "");
      for (const item of page.items ?? []) {
        if (kind) item.kind ??= kind;
        if (page.apiVersion) item.apiVersion ??= page.apiVersion;
        items.push(item);
      }
      next = page.metadata?.continue || undefined;
      if (next === undefined) return { items, resourceVersion: page.metadata?.resourceVersion ?? "" };
    }
  }

  create<T extends KubeObject = AnyObject>(ref: ResourceRef, object: unknown, options: WriteOptions = {}): Promise<T> {
    // Subresources such as serviceaccounts/NAME/token are created below a name; objects are not.
    const target = ref.subresource ? ref : { ...ref, name: undefined };
    return this.request<T>({
      method: "POST",
      path: resourcePath(target),
      query: writeQuery(options),
      body: object,
      signal: options.signal,
    });
  }

  replace<T extends KubeObject = AnyObject>(ref: ResourceRef, object: unknown, options: WriteOptions = {}): Promise<T> {
    return this.request<T>({
      method: "PUT",
      path: resourcePath(named(ref)),
      query: writeQuery(options),
      body: object,
      signal: options.signal,
    });
  }

  /** `apply` needs a `fieldManager` (default `fairlead`); `force` takes fields over from other managers. */
  patch<T extends KubeObject = AnyObject>(
    ref: ResourceRef,
    patch: unknown,
    { type = "merge", force, ...options }: WriteOptions & { type?: PatchType; force?: boolean } = {},
  ): Promise<T> {
    const query: Query = writeQuery(options);
    if (type === "apply") {
      query["fieldManager"] ??= "fairlead";
      if (force !== undefined) query["force"] = force;
    }
    return this.request<T>({
      method: "PATCH",
      path: resourcePath(named(ref)),
      query,
      body: JSON.stringify(patch),
      headers: { "content-type": patchContentTypes[type] },
      signal: options.signal,
    });
  }

  /** Server-side apply. */
  apply<T extends KubeObject = AnyObject>(ref: ResourceRef, object: unknown, options: WriteOptions & { force?: boolean } = {}): Promise<T> {
    return this.patch<T>(ref, object, { ...options, type: "apply" });
  }

  delete(
    ref: ResourceRef,
    {
      propagationPolicy,
      gracePeriodSeconds,
      preconditions,
      signal,
    }: {
      propagationPolicy?: "Background" | "Foreground" | "Orphan";
      gracePeriodSeconds?: number;
      preconditions?: { uid?: string; resourceVersion?: string };
      signal?: AbortSignal;
    } = {},
  ): Promise<AnyObject> {
    const options = { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy, gracePeriodSeconds, preconditions };
    return this.request({ method: "DELETE", path: resourcePath(named(ref)), body: options, signal });
  }

  /**
   * The events of one watch request. Ends when the server ends it (resume from the last resourceVersion); aborting `signal` ends it too.
   * @throws {KubeError} code 410 when `resourceVersion` is too old: list again.
   */
  async *watch<T extends KubeObject = AnyObject>(
    ref: ResourceRef | ResourceType,
    {
      labelSelector,
      fieldSelector,
      resourceVersion,
      timeoutSeconds = defaultWatchSeconds,
      allowBookmarks = true,
      signal,
    }: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<T>, void, void> {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), timeoutSeconds * 1000 + watchGraceMs);
    const onAbort = () => limit.abort();
    if (signal?.aborted) limit.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const response = await this.open({
        path: resourcePath(ref),
        query: { watch: true, labelSelector, fieldSelector, resourceVersion, timeoutSeconds, allowWatchBookmarks: allowBookmarks },
        signal: limit.signal,
        timeoutMs: 0,
      });
      const reader = response.body?.getReader();
      if (!reader) return;
      const lines = new LineSplitter();
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          for (const line of lines.push(value)) {
            const event = JSON.parse(line) as WatchEvent<T> | { type: "ERROR"; object: StatusBody };
            if (event.type === "ERROR") {
              const status = event.object;
              throw new KubeError({
                code: status.code ?? 500,
                reason: status.reason ?? "Unknown",
                message: status.message ?? "the watch ended with an error",
                details: status.details,
              });
            }
            yield event;
          }
        }
      } finally {
        reader.cancel().catch(() => {});
      }
    } catch (error) {
      if (signal?.aborted) return;
      throw error instanceof KubeError ? error : this.#unreachable(error, `watch ${ref.resource}`, undefined);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      limit.abort();
    }
  }

  /** A WebSocket to an exec, attach or port-forward subresource. The caller owns it. */
  async webSocket({
    path,
    query,
    protocols,
  }: {
    path: string;
    query?: Query | [string, string][];
    protocols: string[];
  }): Promise<WebSocket> {
    const { url, init } = await this.#prepare({ path, query: Array.isArray(query) ? undefined : query });
    const full = Array.isArray(query) ? `${url}?${new URLSearchParams(query)}` : url;
    // An answer to `accept` is no WebSocket: a real API server says 406. Bun's WebSocket takes headers and tls.
    const { accept: _, ...headers } = init.headers as Record<string, string>;
    const options = { headers, protocols, ...(init["tls"] ? { tls: init["tls"] } : {}) };
    return new WebSocket(full.replace(/^http/, "ws"), options as unknown as string[]);
  }

  async #prepare({
    path,
    query,
  }: {
    path: string;
    query?: Query | undefined;
  }): Promise<{ url: string; init: RequestInit & Record<string, unknown> }> {
    const { config } = this;
    const headers: Record<string, string> = { accept: "application/json", "user-agent": this.#userAgent };
    const tls: Record<string, unknown> = { ...config.tls };
    const credentials = await config.credentials?.();
    if (credentials?.authorization) headers["authorization"] = credentials.authorization;
    if (credentials?.cert) Object.assign(tls, { cert: credentials.cert, key: credentials.key });
    if (config.impersonate) {
      headers["impersonate-user"] = config.impersonate.user;
      if (config.impersonate.uid) headers["impersonate-uid"] = config.impersonate.uid;
      if (config.impersonate.groups.length > 0) headers["impersonate-group"] = config.impersonate.groups.join(", ");
    }
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined && value !== "") search.set(name, String(value));
    const text = search.toString();
    // `timeout: false`: Bun would end a silent response after 360 s; requests have limits of their own.
    const init: RequestInit & Record<string, unknown> = { headers, redirect: "manual", timeout: false };
    if (config.server.startsWith("https:")) init["tls"] = tls;
    if (config.proxyUrl) init["proxy"] = config.proxyUrl;
    return { url: `${config.server}${path}${text ? `?${text}` : ""}`, init };
  }

  #unreachable(error: unknown, request: string, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (error instanceof KubeError || (error as Error)?.name === "KubeconfigError") return error;
    const { message = String(error), code, name } = error as { message?: string; code?: string; name?: string };
    const why = name === "TimeoutError" ? "no answer in time" : code && !message.includes(code) ? `${message} (${code})` : message;
    return new KubeError({ code: 0, reason: "Unreachable", message: `${this.config.server}: ${request}: ${why}`, cause: error });
  }
}

function writeQuery({ fieldManager, dryRun, fieldValidation }: WriteOptions): Query {
  return { fieldManager, fieldValidation, dryRun: dryRun ? "All" : undefined };
}

function named(ref: ResourceRef): ResourceRef {
  if (!ref.name) throw new RangeError(`${ref.resource}: this call needs the name of an object`);
  return ref;
}
