// What one can do to a pod beside reading and writing it: bind it to a node, evict it, read its logs, run in it; and a service account's tokens.

import { cloneJson, type Store } from "../store/index.ts";
import type { BoundObject, ServiceAccountTokens } from "./auth/tokens.ts";
import { parseBody, readAs } from "./body.ts";
import { type Call, groupResource, isDryRun } from "./call.ts";
import type { HttpResponse } from "./http/listener.ts";
import { selectorMatches } from "./kinds/names.ts";
import type { ApiObject } from "./kinds/resource.ts";
import type { NodeProxy } from "./node-proxy.ts";
import type { Reader } from "./read.ts";
import type { Registry } from "./registry.ts";
import { isRecord } from "./schema/decode.ts";
import { badRequest, conflict, field, invalid, methodNotAllowed, notFound, tooManyRequests } from "./status.ts";
import { timestamp, type WritePipeline } from "./write.ts";

export interface SubresourceDeps {
  store: Store<ApiObject>;
  writer: WritePipeline;
  reader: Reader;
  registry: Registry;
  tokens: ServiceAccountTokens;
  node: NodeProxy;
  now: () => number;
}

const json = { "content-type": "application/json" };
const success = (code: number): HttpResponse => ({
  status: code,
  headers: json,
  body: JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code }),
});

function readTyped(call: Call, registry: Registry, name: string, kind: string, apiVersion: string): ApiObject {
  const value = parseBody(call.request.body, call.request.headers.get("content-type"));
  if (!isRecord(value)) throw badRequest(`the body is not a ${kind}`);
  return readAs<ApiObject>(value, registry.type(name), kind, apiVersion, { validation: "Ignore", warn: () => {} });
}

/** POST pods/NAME/binding, and POST bindings. */
export async function bind(call: Call, { writer, registry, now }: SubresourceDeps): Promise<HttpResponse> {
  const binding = readTyped(call, registry, "io.k8s.api.core.v1.Binding", "Binding", "v1");
  const name = call.info.name || (binding.metadata?.name ?? "");
  const node: string = binding["target"]?.name ?? "";
  if (node === "") throw invalid({ group: "", kind: "Binding" }, name, [field.required("target.name")]);
  const inner: Call = { ...call, info: { ...call.info, name, subresource: "binding" } };
  await writer.modify(
    inner,
    (live) => {
      const pod = cloneJson(live) as ApiObject;
      if (pod.metadata.deletionTimestamp)
        throw conflict({ group: "", resource: "pods/binding" }, name, `pod ${name} is being deleted, cannot be assigned to a host`);
      if (pod["spec"].nodeName)
        throw conflict({ group: "", resource: "pods/binding" }, name, `pod ${name} is already assigned to node "${pod["spec"].nodeName}"`);
      pod["spec"].nodeName = node;
      pod.metadata.annotations = { ...pod.metadata.annotations, ...binding.metadata?.annotations };
      if (Object.keys(pod.metadata.annotations).length === 0) delete pod.metadata.annotations;
      const conditions: { type: string }[] = (pod["status"] ??= {}).conditions ?? [];
      pod["status"].conditions = [
        ...conditions.filter(({ type }) => type !== "PodScheduled"),
        { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: timestamp(now()) },
      ];
      return pod;
    },
    { dryRun: isDryRun(call.query) },
  );
  return success(201);
}

/** POST pods/NAME/eviction: a delete that a PodDisruptionBudget may refuse. */
export async function evict(call: Call, { writer, store, registry }: SubresourceDeps): Promise<HttpResponse> {
  const eviction = readTyped(call, registry, "io.k8s.api.policy.v1.Eviction", "Eviction", "policy/v1");
  const pod = writer.live(call);
  const { namespace, name } = call.info;
  const counted = pod["status"]?.phase === "Running" || pod["status"]?.phase === "Pending";
  const budgets = store
    .list("poddisruptionbudgets.policy", namespace)
    .filter((budget) => selectorMatches(budget["spec"]?.selector, pod.metadata.labels));
  if (counted && budgets.length > 1)
    throw badRequest("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
  const [budget] = budgets;
  if (counted && budget && pod["spec"]?.nodeName) {
    const { disruptionsAllowed = 0, currentHealthy = 0, desiredHealthy = 0 } = budget["status"] ?? {};
    if (disruptionsAllowed <= 0) {
      throw tooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", [
        {
          reason: "DisruptionBudget",
          message: `The disruption budget ${budget.metadata.name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`,
        },
      ]);
    }
    if (!isDryRun(call.query, eviction["deleteOptions"])) {
      const key = { bucket: "poddisruptionbudgets.policy", namespace, name: budget.metadata.name as string };
      store.update(
        key,
        { ...budget, status: { ...budget["status"], disruptionsAllowed: disruptionsAllowed - 1 } },
        budget.metadata.resourceVersion,
      );
    }
  }
  await writer.delete({ ...call, info: { ...call.info, subresource: "" } }, eviction["deleteOptions"] ?? {}, name);
  return success(201);
}

/** A bound token lives at least so long. */
const minTokenSeconds = 600;
const maxTokenSeconds = 2 ** 32;
const defaultTokenSeconds = 3600;

/** POST serviceaccounts/NAME/token. */
export function requestToken(call: Call, { store, registry, tokens, writer }: SubresourceDeps): HttpResponse {
  const request = readTyped(call, registry, "io.k8s.api.authentication.v1.TokenRequest", "TokenRequest", "authentication.k8s.io/v1");
  const account = writer.live(call);
  const { namespace, name } = call.info;
  const spec = request["spec"] ?? {};
  const audiences: string[] = spec.audiences?.length ? spec.audiences : [tokens.issuer];
  const lifetime: number = spec.expirationSeconds ?? defaultTokenSeconds;
  const kind = { group: "authentication.k8s.io", kind: "TokenRequest" };
  if (lifetime < minTokenSeconds)
    throw invalid(kind, "", [field.invalid("spec.expirationSeconds", lifetime, "may not specify a duration less than 10 minutes")]);
  if (lifetime > maxTokenSeconds)
    throw invalid(kind, "", [field.invalid("spec.expirationSeconds", lifetime, "may not specify a duration larger than 2^32 seconds")]);
  let bound: BoundObject | undefined;
  let node: { name: string; uid: string } | undefined;
  const reference = spec.boundObjectRef;
  if (reference) {
    const bucket = { Pod: "pods", Secret: "secrets", Node: "nodes" }[reference.kind as string];
    if (!bucket) throw badRequest(`cannot bind token for serviceaccount to type ${reference.apiVersion ?? ""}, Kind=${reference.kind}`);
    const object = store.get({ bucket, namespace: bucket === "nodes" ? "" : namespace, name: reference.name ?? "" });
    if (!object) throw notFound({ group: "", resource: bucket }, reference.name ?? "");
    if (reference.uid && reference.uid !== object.metadata.uid) {
      throw conflict(
        groupResource(call),
        name,
        `the UID in the bound object reference (${reference.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    }
    if (bucket === "pods" && object["spec"]?.serviceAccountName !== name)
      throw badRequest(`cannot bind token for serviceaccount ${JSON.stringify(name)} to pod running with different serviceaccount name.`);
    bound = { kind: reference.kind, name: reference.name, uid: object.metadata.uid as string };
    const nodeName: string | undefined = bucket === "pods" ? object["spec"]?.nodeName : undefined;
    const home = nodeName ? store.get({ bucket: "nodes", namespace: "", name: nodeName }) : undefined;
    if (home) node = { name: nodeName as string, uid: home.metadata.uid as string };
  }
  const issued = tokens.issue({
    namespace,
    serviceAccount: { name, uid: account.metadata.uid as string },
    audiences,
    lifetime,
    bound,
    node,
  });
  const answer = {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name, namespace, creationTimestamp: account.metadata.creationTimestamp },
    spec: { audiences, expirationSeconds: lifetime, boundObjectRef: reference ?? null },
    status: { token: issued.token, expirationTimestamp: issued.expiration },
  };
  return { status: 201, headers: json, body: JSON.stringify(answer) };
}

/** The container a request means; pods of one container need no name. */
function containerOf(pod: ApiObject, wanted: string): string {
  const spec = pod["spec"] ?? {};
  const all: string[] = [...(spec.containers ?? []), ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])].map(
    ({ name }: { name: string }) => name,
  );
  if (wanted !== "") {
    if (!all.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${pod.metadata.name}`);
    return wanted;
  }
  const names: string[] = (spec.containers ?? []).map(({ name }: { name: string }) => name);
  const [first] = names;
  if (names.length === 1 && first !== undefined) return first;
  const init: string[] = (spec.initContainers ?? []).map(({ name }: { name: string }) => name);
  throw badRequest(
    `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${names.join(" ")}]${init.length > 0 ? ` or one of the init containers: [${init.join(" ")}]` : ""}`,
  );
}

const segment = encodeURIComponent;
const logOptions = ["follow", "tailLines", "sinceSeconds", "sinceTime", "timestamps", "limitBytes", "previous"];

/** GET pods/NAME/log. */
export function logs(call: Call, { writer, node }: SubresourceDeps): Promise<HttpResponse> {
  const pod = writer.live(call);
  const { query, info, request } = call;
  const container = containerOf(pod, query.get("container") ?? "");
  const errors = [];
  for (const name of ["tailLines", "sinceSeconds", "limitBytes"]) {
    const value = query.get(name);
    if (value && !/^\d+$/.test(value)) errors.push(field.invalid(name, value, "must be greater than or equal to 0"));
  }
  if (query.get("sinceSeconds") && query.get("sinceTime"))
    errors.push(field.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  if (errors.length > 0) throw invalid({ group: "", kind: "PodLogOptions" }, info.name, errors);
  if (!pod["spec"]?.nodeName) return Promise.resolve({ status: 200, headers: { "content-type": "text/plain" }, body: "" });
  const options = new URLSearchParams();
  for (const name of logOptions) {
    const value = query.get(name);
    if (value) options.set(name, value);
  }
  const text = options.toString();
  return node.stream(
    request,
    `/containerLogs/${segment(info.namespace)}/${segment(info.name)}/${segment(container)}${text ? `?${text}` : ""}`,
  );
}

/** exec, attach and portforward: GET with a WebSocket upgrade, POST with SPDY. */
export function connect(call: Call, { writer, node }: SubresourceDeps): Promise<HttpResponse> {
  const pod = writer.live(call);
  const { query, info, request } = call;
  if (request.method !== "GET" && request.method !== "POST") throw methodNotAllowed();
  const { subresource, namespace, name } = info;
  if (!request.upgrade) throw badRequest("Upgrade request required");
  if (!pod["spec"]?.nodeName) throw badRequest(`pod ${name} does not have a host assigned`);
  const where = `${segment(namespace)}/${segment(name)}`;
  if (subresource === "portforward") return node.upgrade(request, `/portForward/${where}${request.query ? `?${request.query}` : ""}`);
  const container = containerOf(pod, query.get("container") ?? "");
  const status = pod["status"]?.phase;
  if (status === "Succeeded" || status === "Failed")
    throw badRequest(`cannot exec into a container in a completed pod; current phase is ${status}`);
  const options = new URLSearchParams(query);
  options.delete("container");
  // The node agent's own names for the same switches.
  for (const [ours, theirs] of [
    ["stdin", "input"],
    ["stdout", "output"],
    ["stderr", "error"],
    ["tty", "tty"],
  ] as const) {
    if (query.get(ours) === "true" || query.get(ours) === "1") options.set(theirs, "1");
  }
  return node.upgrade(request, `/${subresource}/${where}/${segment(container)}?${options}`);
}
