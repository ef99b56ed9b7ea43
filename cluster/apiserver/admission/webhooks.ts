// Admission webhooks: which ones a request concerns, calling them, and what their answers do.
import type { Store } from "../../store/index.ts";
import { selectorMatches } from "../kinds/names.ts";
import type { ApiObject } from "../kinds/resource.ts";
import { groupVersion } from "../kinds/resource.ts";
import { jsonPatch, PatchError } from "../patch/json-patch.ts";
import { fromStored, type Served, toStored } from "../registry.ts";
import { DecodeError, decode } from "../schema/decode.ts";
import { ApiError, internalError } from "../status.ts";
import type { AdmissionRequest, AdmissionStep } from "./admission.ts";

interface Webhook {
  name: string;
  clientConfig: { url?: string; service?: { namespace: string; name: string; port: number; path?: string }; caBundle?: string };
  rules?: { operations: string[]; apiGroups: string[]; apiVersions: string[]; resources: string[]; scope?: string }[];
  failurePolicy: "Fail" | "Ignore";
  matchPolicy: "Exact" | "Equivalent";
  namespaceSelector: object;
  objectSelector: object;
  timeoutSeconds: number;
  sideEffects: string;
  admissionReviewVersions: string[];
  matchConditions?: unknown[];
}

/** Where a Service's port can be dialled. */
export type ServiceResolver = (service: {
  namespace: string;
  name: string;
  port: number;
}) => { host: string; port: number } | Promise<{ host: string; port: number }>;

export interface WebhookDeps {
  store: Store<ApiObject>;
  resolveService: ServiceResolver;
  uid: () => string;
}

interface ReviewResponse {
  uid?: string;
  allowed?: boolean;
  status?: { code?: number; message?: string; reason?: string };
  patch?: string;
  patchType?: string;
  warnings?: string[];
}

/** Larger answers are failures of the webhook. */
export const maxResponseBytes = 6 * 1024 * 1024;
const maxWarningLength = 256;

const mutatingBucket = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const validatingBucket = "validatingwebhookconfigurations.admissionregistration.k8s.io";

/** One after the other, by name of configuration; each sees what the ones before made. */
export function mutatingWebhooks(deps: WebhookDeps): AdmissionStep {
  return async (request) => {
    for (const webhook of webhooksOf(deps.store, mutatingBucket)) {
      const invocation = invoke(webhook, request, deps.store);
      if (!invocation) continue;
      const response = await guarded(webhook, invocation, request, deps, "mutating");
      if (!response?.patch || request.object === undefined) continue;
      request.object = patched(webhook, response, invocation, request.served);
    }
  };
}

/** All at once. */
export function validatingWebhooks(deps: WebhookDeps): AdmissionStep {
  return (request) => {
    const calls: Promise<unknown>[] = [];
    for (const webhook of webhooksOf(deps.store, validatingBucket)) {
      const invocation = invoke(webhook, request, deps.store);
      if (invocation) calls.push(guarded(webhook, invocation, request, deps, "validating"));
    }
    if (calls.length === 0) return;
    return Promise.allSettled(calls).then((results) => {
      for (const result of results) if (result.status === "rejected") throw result.reason;
    });
  };
}

function webhooksOf(store: Store<ApiObject>, bucket: string): Webhook[] {
  return store.list(bucket).flatMap((configuration) => (configuration["webhooks"] ?? []) as Webhook[]);
}

/** A request in the version that a webhook's rules name. */
interface Invocation {
  served: Served;
  object: ApiObject | undefined;
  oldObject: ApiObject | undefined;
}

function invoke(webhook: Webhook, request: AdmissionRequest, store: Store<ApiObject>): Invocation | undefined {
  const { served, object, oldObject } = request;
  // Webhooks cannot lock anyone out of configuring webhooks.
  if (served.resource.group === "admissionregistration.k8s.io") return undefined;
  const version = matchedVersion(webhook, request);
  if (!version) return undefined;
  if (!namespaceMatches(webhook, request, store)) return undefined;
  const labels = [object, oldObject].flatMap((one) => (one ? [one.metadata.labels ?? {}] : []));
  if (!(labels.length === 0 ? [{}] : labels).some((one) => selectorMatches(webhook.objectSelector, one))) return undefined;
  if (version === served.version) return { served, object, oldObject };
  const other: Served = { resource: served.resource, version };
  const convert = (one: ApiObject | undefined) => one && fromStored(toStored(one, served), other);
  return { served: other, object: convert(object), oldObject: convert(oldObject) };
}

function matchedVersion(
  { rules = [], matchPolicy }: Webhook,
  { operation, served, subresource }: AdmissionRequest,
): Served["version"] | undefined {
  const { resource, version } = served;
  const matches = (versionName: string) =>
    rules.some(
      ({ operations, apiGroups, apiVersions, resources, scope = "*" }) =>
        (operations.includes("*") || operations.includes(operation)) &&
        (apiGroups.includes("*") || apiGroups.includes(resource.group)) &&
        (apiVersions.includes("*") || apiVersions.includes(versionName)) &&
        (scope === "*" || (scope === "Namespaced") === resource.namespaced) &&
        resources.some((pattern) => resourceMatches(pattern, resource.plural, subresource)),
    );
  if (matches(version.name)) return version;
  if (matchPolicy === "Exact") return undefined;
  return resource.versions.find((one) => one.served && matches(one.name));
}

/** `*`, `pods`, `pods/status`, `pods/*`, `*` + `/status`, `*` + `/*`. */
function resourceMatches(pattern: string, plural: string, subresource: string): boolean {
  const [first, second] = pattern.split("/");
  if (first !== "*" && first !== plural) return false;
  if (second === undefined) return subresource === "";
  return second === "*" || second === subresource;
}

function namespaceMatches(
  { namespaceSelector }: Webhook,
  { served: { resource }, namespace, object, oldObject }: AdmissionRequest,
  store: Store<ApiObject>,
): boolean {
  if (Object.keys(namespaceSelector).length === 0) return true;
  if (resource.group === "" && resource.plural === "namespaces")
    return selectorMatches(namespaceSelector, (object ?? oldObject)?.metadata.labels ?? {});
  if (!resource.namespaced) return true;
  return selectorMatches(namespaceSelector, store.get({ bucket: "namespaces", namespace: "", name: namespace })?.metadata.labels ?? {});
}

/** Calls the webhook; a failure to call is an error or nothing, as failurePolicy says; a denial is an error always. */
async function guarded(
  webhook: Webhook,
  invocation: Invocation,
  request: AdmissionRequest,
  deps: WebhookDeps,
  kind: "mutating" | "validating",
): Promise<ReviewResponse | undefined> {
  if (request.dryRun && webhook.sideEffects !== "None" && webhook.sideEffects !== "NoneOnDryRun") {
    throw new ApiError(400, "BadRequest", `admission webhook ${JSON.stringify(webhook.name)} does not support dry run`);
  }
  let response: ReviewResponse;
  try {
    response = await callWebhook(webhook, invocation, request, deps);
  } catch (error) {
    if (webhook.failurePolicy === "Ignore") return undefined;
    throw internalError(
      `failed calling webhook ${JSON.stringify(webhook.name)}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  for (const warning of response.warnings ?? []) request.warn(warning.slice(0, maxWarningLength));
  if (response.allowed) return response;
  throw denied(webhook.name, response, kind);
}

function denied(name: string, { status }: ReviewResponse, _kind: string): ApiError {
  const code = status?.code && status.code >= 400 && status.code < 600 ? status.code : 403;
  const prefix = `admission webhook ${JSON.stringify(name)} denied the request`;
  const text = status?.message
    ? `${prefix}: ${status.message}`
    : status?.reason
      ? `${prefix}: ${status.reason}`
      : `${prefix} without explanation`;
  return new ApiError(code, status?.reason ?? (code === 403 ? "Forbidden" : ""), text);
}

async function callWebhook(
  webhook: Webhook,
  { served, object, oldObject }: Invocation,
  request: AdmissionRequest,
  { resolveService, uid }: WebhookDeps,
): Promise<ReviewResponse> {
  const { clientConfig, timeoutSeconds } = webhook;
  const version = webhook.admissionReviewVersions.find((one) => one === "v1" || one === "v1beta1") ?? "v1";
  const review = reviewOf({ served, object, oldObject }, request, uid());
  const query = `timeout=${timeoutSeconds}s`;
  let url: string;
  let shown: string;
  const headers: Record<string, string> = { "content-type": "application/json", accept: "application/json" };
  const tls: Record<string, unknown> = {};
  if (clientConfig.service) {
    const { namespace, name, port, path = "" } = clientConfig.service;
    const serverName = `${name}.${namespace}.svc`;
    shown = `https://${serverName}:${port}${path}?${query}`;
    const target = await resolveService({ namespace, name, port });
    url = `https://${target.host}:${target.port}${path === "" ? "/" : path}?${query}`;
    headers["host"] = port === 443 ? serverName : `${serverName}:${port}`;
    tls["serverName"] = serverName;
  } else {
    url = `${clientConfig.url}${clientConfig.url?.includes("?") ? "&" : "?"}${query}`;
    shown = url;
  }
  if (clientConfig.caBundle) tls["ca"] = Buffer.from(clientConfig.caBundle, "base64").toString();
  const fail = (why: string) => new Error(`failed to call webhook: Post ${JSON.stringify(shown)}: ${why}`);
  const signal = AbortSignal.timeout(timeoutSeconds * 1000);
  let text: string;
  try {
    const init = {
      method: "POST",
      headers,
      body: JSON.stringify({ kind: "AdmissionReview", apiVersion: `admission.k8s.io/${version}`, request: review }),
      signal,
      tls,
      keepalive: false,
      redirect: "error",
    };
    const answer = await fetch(url, init as RequestInit);
    text = await answer.text();
    if (answer.status !== 200)
      throw new Error(`the server responded with status ${answer.status}${text ? `: ${text.slice(0, 200).trim()}` : ""}`);
  } catch (error) {
    if (signal.aborted) throw fail("context deadline exceeded");
    throw fail((error as Error).message);
  }
  if (text.length > maxResponseBytes) throw fail("response too large");
  let answer: { apiVersion?: string; kind?: string; response?: ReviewResponse };
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch {
    throw new Error("failed to call webhook: the response is not JSON");
  }
  const { response } = answer;
  if (!response) throw new Error("failed to call webhook: webhook response was absent");
  if (version === "v1" && response.uid !== review["uid"])
    throw new Error(
      `failed to call webhook: expected response.uid=${JSON.stringify(review["uid"])}, got ${JSON.stringify(response.uid ?? "")}`,
    );
  return response;
}

function reviewOf(
  { served, object, oldObject }: Invocation,
  { operation, subresource, namespace, name, options, user, dryRun, served: requested }: AdmissionRequest,
  uid: string,
): Record<string, unknown> {
  const kindOf = ({ resource, version }: Served) => ({ group: resource.group, version: version.name, kind: resource.kind });
  const resourceOf = ({ resource, version }: Served) => ({ group: resource.group, version: version.name, resource: resource.plural });
  return {
    uid,
    kind: kindOf(served),
    resource: resourceOf(served),
    ...(subresource ? { subResource: subresource } : {}),
    requestKind: kindOf(requested),
    requestResource: resourceOf(requested),
    ...(subresource ? { requestSubResource: subresource } : {}),
    ...(name ? { name } : {}),
    ...(namespace ? { namespace } : {}),
    operation,
    userInfo: {
      username: user.name,
      ...(user.uid ? { uid: user.uid } : {}),
      groups: user.groups,
      ...(user.extra ? { extra: user.extra } : {}),
    },
    object: object ?? null,
    oldObject: oldObject ?? null,
    dryRun,
    options,
  };
}

function patched(webhook: Webhook, response: ReviewResponse, { object, served }: Invocation, requested: Served): ApiObject {
  const refuse = (why: string) => internalError(`admission webhook ${JSON.stringify(webhook.name)} returned a bad patch: ${why}`);
  if (response.patchType !== undefined && response.patchType !== "JSONPatch")
    throw refuse(`unknown patchType ${JSON.stringify(response.patchType)}`);
  try {
    const operations: unknown = JSON.parse(Buffer.from(response.patch as string, "base64").toString());
    const result = jsonPatch(object, operations);
    const value = decode(result, served.version.type, served.resource.kind, { lenient: served.resource.custom }).value as ApiObject;
    value.apiVersion = groupVersion(served.resource.group, served.version.name);
    value.kind = served.resource.kind;
    return served.version === requested.version ? value : fromStored(toStored(value, served), requested);
  } catch (error) {
    if (error instanceof PatchError || error instanceof DecodeError || error instanceof SyntaxError) throw refuse(error.message);
    throw error;
  }
}

/** A ready endpoint of the Service where it has Endpoints, else its cluster IP. */
export function storeResolver(store: Store<ApiObject>, random: () => number): ServiceResolver {
  return ({ namespace, name, port }) => {
    const service = store.get({ bucket: "services", namespace, name });
    if (!service) throw new Error(`service ${JSON.stringify(name)} not found`);
    const { spec } = service;
    const found = (spec.ports ?? []).find((one: { port: number }) => one.port === port);
    if (!found) throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`);
    if (spec.type === "ExternalName") return { host: spec.externalName, port };
    const endpoints = store.get({ bucket: "endpoints", namespace, name });
    if (!endpoints) {
      if (!spec.clusterIP || spec.clusterIP === "None") throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
      return { host: spec.clusterIP, port };
    }
    const targets: { host: string; port: number }[] = [];
    for (const { addresses = [], ports = [] } of endpoints["subsets"] ?? []) {
      const target = ports.find((one: { name?: string }) => (one.name ?? "") === (found.name ?? ""));
      if (target) for (const { ip } of addresses) targets.push({ host: ip, port: target.port });
    }
    const target = targets[Math.floor(random() * targets.length)];
    if (!target) throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
    return target;
  };
}
