// The API server: one request from its bytes to its answer. Read `handle` top to bottom.
import { randomUUID } from "node:crypto";
import { cloneJson, Store } from "../store/index.ts";
import type { Admission } from "./admission/admission.ts";
import { defaultTolerations, namespaceLifecycle, priorities, serviceAccounts } from "./admission/plugins.ts";
import { mutatingWebhooks, type ServiceResolver, storeResolver, validatingWebhooks } from "./admission/webhooks.ts";
import { Authenticator, impersonation, type StaticToken } from "./auth/authenticate.ts";
import { type Attributes, Authorizer, denial } from "./auth/rbac.ts";
import { ServiceAccountTokens } from "./auth/tokens.ts";
import { systemUser, type User } from "./auth/user.ts";
import { checkKind, parseBody, readAs } from "./body.ts";
import { bootstrap } from "./bootstrap.ts";
import { type Call, groupResource, isDryRun, warningHeaders } from "./call.ts";
import { crdBucket } from "./custom/crd.ts";
import {
  aggregated,
  aggregatedType,
  apiGroupList,
  apiResourceList,
  apiVersions,
  oneGroup,
  versionInfo,
  wantsAggregated,
} from "./discovery.ts";
import { type HttpRequest, type HttpResponse, listen } from "./http/listener.ts";
import { reviews } from "./kinds/builtin.ts";
import { type ApiObject, groupVersion } from "./kinds/resource.ts";
import { firstAddress, parseIpv4Range, ServiceAddresses } from "./kinds/service-allocator.ts";
import { Lifecycle } from "./lifecycle.ts";
import { negotiate, render } from "./negotiate.ts";
import { NodeProxy } from "./node-proxy.ts";
import { loadDefinitions } from "./openapi/definitions.ts";
import { OpenApi } from "./openapi.ts";
import { openApiProtobufType, wantsOpenApiProtobuf } from "./openapi-protobuf.ts";
import { jsonPatch, PatchError } from "./patch/json-patch.ts";
import { mergePatch } from "./patch/merge-patch.ts";
import { bind, connect, evict, logs, requestToken, type SubresourceDeps } from "./pod-subresources.ts";
import { ProtobufDecoder, ProtobufError } from "./protobuf/decode.ts";
import { loadMessages } from "./protobuf/messages.ts";
import { Reader } from "./read.ts";
import { fromStored, Registry, type Served } from "./registry.ts";
import { type RequestInfo, requestInfo } from "./request.ts";
import { answer } from "./reviews.ts";
import { scaleOf, withScale } from "./scale.ts";
import { isRecord } from "./schema/decode.ts";
import { ApiError, badRequest, forbidden, internalError, methodNotAllowed, noSuchResource } from "./status.ts";
import { timestamp, WritePipeline } from "./write.ts";

export interface ApiServerOptions {
  /** Folder of the SQLite file; undefined: everything in memory. */
  dataDir?: string | undefined;
  /** Default 127.0.0.1. */
  bindAddress?: string;
  /** 0: any free port; default 6443. */
  securePort?: number;
  pki: { ca: string; server: { cert: string; key: string }; serviceAccount: { privateKey: string; publicKey: string } };
  staticTokens?: StaticToken[];
  /** Where pod logs, exec, attach and port-forward are relayed: `unix:/path` or `host:port`. */
  nodeAgent?: string | undefined;
  /** Default 10.96.0.0/16. */
  serviceClusterIpRange?: string;
  /** Where pods reach this server: the endpoint of the `kubernetes` Service. Its port is the secure port unless given. */
  advertise?: { address: string; port?: number } | undefined;
  /** `iss` of service-account tokens and the API's own audience. */
  issuer?: string;
  /** How a webhook's Service is reached; default: a ready endpoint, else the cluster IP. */
  resolveService?: ServiceResolver;
  /** Changes kept for watches that resume; default 10,000. */
  historyLimit?: number;
  now?: () => number;
  random?: () => number;
  log?: (message: string, fields: Record<string, unknown>) => void;
}

export interface ApiServer {
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  readonly store: Store<ApiObject>;
  /** Ends watches and connections, stops listening, closes the database. */
  close(): void;
}

const json = { "content-type": "application/json" };
const jsonAnswer = (value: unknown, status = 200): HttpResponse => ({ status, headers: json, body: JSON.stringify(value) });
const deleteOptionsName = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const defaultIssuer = "https://kubernetes.default.svc.cluster.local";
const healthChecks = ["ping", "log", "etcd", "poststarthook/rbac/bootstrap-roles"];

/** Starts a server and resolves when it accepts connections. @throws {RangeError} for a malformed option. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const {
    bindAddress = "127.0.0.1",
    securePort = 6443,
    pki,
    serviceClusterIpRange = "10.96.0.0/16",
    now = Date.now,
    random = Math.random,
    issuer = defaultIssuer,
    log = () => {},
  } = options;
  const range = parseIpv4Range(serviceClusterIpRange);
  const node = new NodeProxy(options.nodeAgent);
  const store = new Store<ApiObject>({ dir: options.dataDir, ...(options.historyLimit ? { history: options.historyLimit } : {}) });
  const uid = randomUUID;
  const registry = new Registry({ definitions: loadDefinitions() });
  const tokens = new ServiceAccountTokens({ issuer, ...pki.serviceAccount, store, now, uid });
  const authenticator = new Authenticator({ tokens, staticTokens: options.staticTokens ?? [] });
  const authorizer = new Authorizer(store);
  const services = new ServiceAddresses({ range, store, random });
  const webhooks = { store, uid, resolveService: options.resolveService ?? storeResolver(store, random) };
  const admission: Admission = {
    // The life-cycle check is first: nothing else matters in a namespace that is not there. Webhooks are last: they see what is built in.
    mutating: [namespaceLifecycle(store), serviceAccounts(store), priorities(store), defaultTolerations(), mutatingWebhooks(webhooks)],
    validating: [validatingWebhooks(webhooks)],
  };
  const reader = new Reader({ store, now });
  let lifecycle: Lifecycle | undefined;
  const writer = new WritePipeline({
    store,
    admission,
    now,
    uid,
    services,
    authorizeCreate({ info, user }) {
      const { group, resource, namespace, name } = info;
      const attributes: Attributes = { user, verb: "create", group, resource, subresource: "", namespace, name };
      if (!authorizer.allows(attributes)) throw forbidden({ group, resource }, name, denial(attributes));
    },
    onWrite: ({ resource }, object) => {
      if (resource.bucket === crdBucket) lifecycle?.crdWritten(object.metadata.name as string);
    },
  });
  const handlers = new Handlers({
    store,
    registry,
    writer,
    reader,
    tokens,
    node,
    now,
    authenticator,
    authorizer,
    openApi: new OpenApi(registry),
    log,
  });
  const stopFollowing = registry.follow(store);
  lifecycle = new Lifecycle({ store, now, log, deleteAll: (crd) => handlers.deleteCustomObjects(crd) });
  const listener = listen({
    hostname: bindAddress,
    port: securePort,
    cert: pki.server.cert,
    key: pki.server.key,
    clientCa: pki.ca,
    handler: (request) => handlers.handle(request),
  });
  const { port } = listener;
  const url = `https://${bindAddress === "0.0.0.0" ? "127.0.0.1" : bindAddress}:${port}`;
  bootstrap({
    store,
    now,
    uid,
    serviceAddress: firstAddress(range),
    advertise: options.advertise && { address: options.advertise.address, port: options.advertise.port ?? port },
    clientCa: pki.ca,
  });
  lifecycle.start();
  handlers.address = `${bindAddress}:${port}`;
  return {
    url,
    port,
    store,
    close() {
      lifecycle.stop();
      stopFollowing();
      authorizer.close();
      reader.close();
      listener.close();
      store.close();
    },
  };
}

interface HandlerDeps extends SubresourceDeps {
  authenticator: Authenticator;
  authorizer: Authorizer;
  openApi: OpenApi;
  log: (message: string, fields: Record<string, unknown>) => void;
}

class Handlers {
  address = "";
  readonly #deps: HandlerDeps;
  #protobuf: ProtobufDecoder | undefined;

  constructor(deps: HandlerDeps) {
    this.#deps = deps;
  }

  /** Who asks, may they, and the answer; every refusal is a Status. */
  async handle(request: HttpRequest): Promise<HttpResponse> {
    const warnings = new Set<string>();
    let response: HttpResponse;
    try {
      this.#plain(request);
      const info = requestInfo(request);
      const user = this.#impersonated(request, this.#deps.authenticator.authenticate(request));
      this.#authorize(info, user);
      response = await this.#dispatch(request, info, user, warnings);
    } catch (error) {
      const status = error instanceof ApiError ? error : internalError(error instanceof Error ? error.message : String(error));
      if (!(error instanceof ApiError))
        this.#deps.log("request failed", {
          method: request.method,
          path: request.path,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        });
      response = jsonAnswer(status.toStatus(), status.code);
      if (status.details?.retryAfterSeconds || status.code === 429)
        (response as { headers: Record<string, string> }).headers = {
          ...json,
          "retry-after": String(status.details?.retryAfterSeconds ?? 10),
        };
    }
    if (warnings.size > 0 && "status" in response) response.headers = { ...response.headers, warning: warningHeaders(warnings) };
    return response;
  }

  /** A protobuf body becomes the JSON of the same object: nothing behind this line knows of protobuf. */
  #plain(request: HttpRequest): void {
    if (!request.headers.get("content-type")?.startsWith("application/vnd.kubernetes.protobuf") || request.body.length === 0) return;
    this.#protobuf ??= new ProtobufDecoder(loadMessages());
    const { definitionNames } = this.#deps.registry;
    try {
      const object = this.#protobuf.decode(request.body, (apiVersion, kind) =>
        kind === "DeleteOptions"
          ? deleteOptionsName
          : definitionNames.get(`${apiVersion.includes("/") ? apiVersion : `/${apiVersion}`}/${kind}`),
      );
      request.body = Buffer.from(JSON.stringify(object));
      request.headers.set("content-type", "application/json");
    } catch (error) {
      if (error instanceof ProtobufError) throw badRequest(error.message);
      throw error;
    }
  }

  #impersonated(request: HttpRequest, user: User): User {
    const wanted = impersonation(request.headers);
    if (!wanted) return user;
    for (const { resource, name, namespace = "", subresource = "" } of wanted.asks) {
      const group = resource === "userextras" || resource === "uids" ? "authentication.k8s.io" : "";
      const attributes: Attributes = { user, verb: "impersonate", group, resource, subresource, namespace, name };
      if (!this.#deps.authorizer.allows(attributes)) throw forbidden({ group, resource }, name, denial(attributes));
    }
    return wanted.user;
  }

  #authorize(info: RequestInfo, user: User): void {
    const { isResource, verb, group, resource, subresource, namespace, name, path } = info;
    const attributes: Attributes = isResource
      ? { user, verb, group, resource, subresource, namespace, name }
      : { user, verb, group: "", resource: "", subresource: "", namespace: "", name: "", path };
    if (this.#deps.authorizer.allows(attributes)) return;
    if (isResource) throw forbidden({ group, resource }, name, denial(attributes));
    throw new ApiError(403, "Forbidden", `forbidden: ${denial(attributes)}`, {});
  }

  #dispatch(request: HttpRequest, info: RequestInfo, user: User, warnings: Set<string>): HttpResponse | Promise<HttpResponse> {
    if (!info.isResource) return this.#other(request);
    const query = new URLSearchParams(request.query);
    const review =
      info.version === "v1" ? reviews.find(({ group, plural }) => group === info.group && plural === info.resource) : undefined;
    if (review) return this.#review(request, info, user, review.kind);
    const served = this.#deps.registry.find(info.group, info.version, info.resource) ?? this.#bindings(info);
    if (!served) throw noSuchResource();
    const { resource, version } = served;
    const call: Call = { request, info, query, user, served, warnings };
    if (info.resource === "bindings" && info.group === "") return bind(call, this.#deps);
    if (info.rest.length > 0) throw noSuchResource();
    if (resource.namespaced ? info.namespace === "" && info.name !== "" : info.namespace !== "" && info.resource !== "namespaces")
      throw noSuchResource();
    if (version.deprecation && info.verb !== "watch") warnings.add(version.deprecation);
    if (info.subresource !== "") return this.#subresource(call);
    switch (info.verb) {
      case "get":
        return this.#deps.reader.get(call);
      case "list":
        return this.#deps.reader.list(call);
      case "watch":
        return this.#deps.reader.watch(call);
      case "create":
        if (info.name !== "" && resource.plural !== "namespaces") throw methodNotAllowed();
        if (info.namespace === "" && resource.namespaced) throw methodNotAllowed();
        return this.#written(call, 201, this.#deps.writer.create(call));
      case "update":
        if (info.name === "") throw methodNotAllowed();
        return this.#changed(call, this.#deps.writer.update(call));
      case "patch":
        if (info.name === "") throw methodNotAllowed();
        return this.#changed(call, this.#deps.writer.patch(call));
      case "delete":
        return this.#delete(call);
      case "deletecollection":
        if (info.namespace === "" && resource.namespaced) throw methodNotAllowed();
        return this.#deleteCollection(call);
      default:
        throw methodNotAllowed();
    }
  }

  /** The collection `bindings` has no objects of its own: it writes pods. */
  #bindings({ group, resource, verb }: RequestInfo): Served | undefined {
    return group === "" && resource === "bindings" && verb === "create" ? this.#deps.registry.find("", "v1", "pods") : undefined;
  }

  async #written(call: Call, status: number, done: Promise<ApiObject>): Promise<HttpResponse> {
    return this.#deps.reader.respond(call, status, await done);
  }

  async #changed(call: Call, done: Promise<{ object: ApiObject; created: boolean }>): Promise<HttpResponse> {
    const { object, created } = await done;
    return this.#deps.reader.respond(call, created ? 201 : 200, object);
  }

  async #delete(call: Call): Promise<HttpResponse> {
    const { writer, reader } = this.#deps;
    const { object, gone } = await writer.delete(call, writer.deleteOptions(call));
    const { resource } = call.served;
    if (!gone || (resource.group === "" && resource.plural === "pods")) return reader.respond(call, 200, object);
    const { group, resource: kind } = groupResource(call);
    return jsonAnswer({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Success",
      details: { name: object.metadata.name, ...(group ? { group } : {}), kind, uid: object.metadata.uid },
    });
  }

  async #deleteCollection(call: Call): Promise<HttpResponse> {
    const { writer, reader } = this.#deps;
    const options = writer.deleteOptions(call);
    const objects = reader.select(call);
    for (const { metadata } of objects) {
      const one: Call = { ...call, info: { ...call.info, namespace: metadata.namespace ?? "", name: metadata.name as string } };
      await writer.delete(one, options).catch((error: unknown) => {
        if (!(error instanceof ApiError && error.code === 404)) throw error;
      });
    }
    const { resource, version } = call.served;
    return jsonAnswer({
      kind: resource.listKind,
      apiVersion: groupVersion(resource.group, version.name),
      metadata: { resourceVersion: String(this.#deps.store.version) },
      items: objects.map((object) => fromStored(object, call.served)),
    });
  }

  /** Deletes all objects of a custom resource whose CRD goes away. */
  async deleteCustomObjects(crd: ApiObject): Promise<void> {
    const { registry, store, writer } = this.#deps;
    const resource = registry.findResource(crd["spec"].group, crd["spec"].names.plural);
    const version = resource?.versions.find(({ name }) => name === resource.storage);
    if (!resource || !version) return;
    for (const { metadata } of store.list(resource.bucket)) {
      const call = this.#ownCall({ resource, version }, metadata.namespace ?? "", metadata.name as string);
      await writer.delete(call, {}).catch((error: unknown) => {
        if (!(error instanceof ApiError && error.code === 404)) throw error;
      });
    }
  }

  #ownCall(served: Served, namespace: string, name: string): Call {
    const { group, plural: resource } = served.resource;
    const info: RequestInfo = {
      isResource: true,
      verb: "delete",
      path: "",
      group,
      version: served.version.name,
      resource,
      namespace,
      name,
      subresource: "",
      rest: [],
    };
    const request = {
      method: "DELETE",
      target: "",
      path: "",
      query: "",
      headers: new Map(),
      body: new Uint8Array(0),
      close: false,
      expectContinue: false,
      upgrade: false,
      peer: undefined,
      remoteAddress: "",
      onAbort: () => {},
    } satisfies HttpRequest;
    return { request, info, query: new URLSearchParams(), user: systemUser, served, warnings: new Set() };
  }

  #subresource(call: Call): HttpResponse | Promise<HttpResponse> {
    const { info, served } = call;
    const { writer, reader } = this.#deps;
    const { resource, version } = served;
    const is = (group: string, plural: string) => resource.group === group && resource.plural === plural;
    if (info.subresource === "status" && version.status) return this.#object(call);
    if (info.subresource === "scale" && version.scale) return this.#scale(call);
    if (is("", "pods")) {
      switch (info.subresource) {
        case "log":
          if (info.verb !== "get") throw methodNotAllowed();
          return logs(call, this.#deps);
        case "exec":
        case "attach":
        case "portforward":
          return connect(call, this.#deps);
        case "binding":
          if (info.verb !== "create") throw methodNotAllowed();
          return bind(call, this.#deps);
        case "eviction":
          if (info.verb !== "create") throw methodNotAllowed();
          return evict(call, this.#deps);
        case "ephemeralcontainers":
          return this.#object(call);
      }
    }
    if (is("", "serviceaccounts") && info.subresource === "token") {
      if (info.verb !== "create") throw methodNotAllowed();
      return requestToken(call, this.#deps);
    }
    if (is("", "namespaces") && info.subresource === "finalize") {
      if (info.verb !== "update") throw methodNotAllowed();
      return this.#written(
        call,
        200,
        writer.update(call).then(({ object }) => object),
      );
    }
    void reader;
    throw noSuchResource();
  }

  /** get, update and patch through a subresource that shows the object itself. */
  #object(call: Call): HttpResponse | Promise<HttpResponse> {
    const { writer, reader } = this.#deps;
    switch (call.info.verb) {
      case "get":
        return reader.get(call);
      case "update":
        return this.#changed(call, writer.update(call));
      case "patch":
        return this.#changed(call, writer.patch(call));
      default:
        throw methodNotAllowed();
    }
  }

  async #scale(call: Call): Promise<HttpResponse> {
    const { writer } = this.#deps;
    const paths = call.served.version.scale as NonNullable<Served["version"]["scale"]>;
    const { request, info } = call;
    const format = negotiate(request.headers.get("accept"));
    const respond = (object: ApiObject): HttpResponse => {
      const { body, type } = render(scaleOf(object, paths), { ...format, as: "object" });
      return { status: 200, headers: { "content-type": type }, body };
    };
    if (info.verb === "get") return respond(fromStored(writer.live(call), call.served));
    const body = parseBody(request.body, request.headers.get("content-type"));
    const media = (request.headers.get("content-type") ?? "").split(";")[0]?.trim();
    const change = (scale: ApiObject): unknown => {
      if (info.verb === "update") {
        if (!isRecord(body)) throw badRequest("the body is not a Scale");
        checkKind(body, "autoscaling/v1", "Scale");
        return body;
      }
      if (info.verb !== "patch") throw methodNotAllowed();
      if (media !== "application/json-patch+json") return mergePatch(scale, body);
      try {
        return jsonPatch(scale, body);
      } catch (error) {
        throw error instanceof PatchError ? badRequest(error.message) : error;
      }
    };
    const object = await writer.modify(
      call,
      (live) => {
        const next = cloneJson(live) as ApiObject;
        return withScale(next, change(scaleOf(next, paths)) as ApiObject, paths);
      },
      { dryRun: isDryRun(call.query) },
    );
    return respond(fromStored(object, call.served));
  }

  #review(request: HttpRequest, info: RequestInfo, user: User, kind: string): HttpResponse {
    if (info.verb !== "create") throw methodNotAllowed();
    const { registry } = this.#deps;
    const apiVersion = groupVersion(info.group, info.version);
    const value = parseBody(request.body, request.headers.get("content-type"));
    if (!isRecord(value)) throw badRequest(`the body is not a ${kind}`);
    checkKind(value, apiVersion, kind);
    const type = registry.type(registry.definitionNames.get(`${apiVersion}/${kind}`) as string);
    const review = readAs<ApiObject>(value, type, kind, apiVersion, { validation: "Ignore", warn: () => {} });
    const result = answer(
      { ...review, apiVersion, kind, metadata: { ...review.metadata, creationTimestamp: timestamp(this.#deps.now()) } },
      user,
      info.namespace,
      this.#deps,
    );
    const { body, type: media } = render(result, negotiate(request.headers.get("accept")));
    return { status: 201, headers: { "content-type": media }, body };
  }

  /** Paths that are not about a resource. */
  #other(request: HttpRequest): HttpResponse {
    const { registry, openApi, tokens } = this.#deps;
    const { path, method, headers } = request;
    if (method !== "GET" && method !== "HEAD") throw methodNotAllowed();
    const accept = headers.get("accept");
    const trimmed = path.length > 1 ? path.replace(/\/+$/, "") : path;
    const [, root = "", ...rest] = trimmed.split("/");
    switch (root) {
      case "version":
        return jsonAnswer(versionInfo());
      case "healthz":
      case "livez":
      case "readyz":
        return this.#health(root, request.query, rest);
      case "api":
        if (rest.length === 0)
          return wantsAggregated(accept)
            ? { status: 200, headers: { "content-type": aggregatedType }, body: JSON.stringify(aggregated(registry, true)) }
            : jsonAnswer(apiVersions(this.address));
        if (rest.length === 1) return this.#found(apiResourceList(registry, "", rest[0] as string));
        break;
      case "apis":
        if (rest.length === 0)
          return wantsAggregated(accept)
            ? { status: 200, headers: { "content-type": aggregatedType }, body: JSON.stringify(aggregated(registry, false)) }
            : jsonAnswer(apiGroupList(registry));
        if (rest.length === 1) return this.#found(oneGroup(registry, rest[0] as string));
        if (rest.length === 2) return this.#found(apiResourceList(registry, rest[0] as string, rest[1] as string));
        break;
      case "openapi":
        if (rest[0] === "v2" && rest.length === 1) {
          if (wantsOpenApiProtobuf(accept))
            return { status: 200, headers: { "content-type": openApiProtobufType }, body: openApi.v2Protobuf() };
          negotiate(accept);
          return { status: 200, headers: json, body: openApi.v2() };
        }
        if (rest[0] === "v3") {
          if (rest.length === 1) return jsonAnswer(openApi.index());
          const document = openApi.document(rest.slice(1).join("/"));
          if (document !== undefined) return { status: 200, headers: json, body: document };
        }
        break;
      case ".well-known":
        if (rest[0] === "openid-configuration") {
          return jsonAnswer({
            issuer: tokens.issuer,
            jwks_uri: `https://${this.address}/openid/v1/jwks`,
            response_types_supported: ["id_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: [tokens.algorithm],
          });
        }
        break;
      case "openid":
        if (rest.join("/") === "v1/jwks")
          return { status: 200, headers: { "content-type": "application/jwk-set+json" }, body: JSON.stringify(tokens.keySet()) };
        break;
      case "":
        return jsonAnswer({
          paths: ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"],
        });
    }
    throw noSuchResource();
  }

  #found(value: Record<string, unknown> | undefined): HttpResponse {
    if (!value) throw noSuchResource();
    return jsonAnswer(value);
  }

  #health(root: string, query: string, rest: string[]): HttpResponse {
    if (rest.length > 0 && !healthChecks.includes(rest.join("/"))) throw noSuchResource();
    const verbose = new URLSearchParams(query).has("verbose");
    const body = verbose ? `${healthChecks.map((name) => `[+]${name} ok`).join("\n")}\n${root} check passed\n` : "ok";
    return { status: 200, headers: { "content-type": "text/plain; charset=utf-8" }, body };
  }
}
