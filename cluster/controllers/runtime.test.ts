// The controllers against the real API server, in one process and without a node: what only shows when both run.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KubeClient, type KubeObject, parseKubeconfig, type ResourceRef, Resources } from "#kube";
import { type ApiServer, createPki, startApiServer } from "../apiserver/index.ts";
import { renderKubeconfig } from "../supervisor/kubeconfig.ts";
import { Controllers } from "./runtime.ts";
import { workload } from "./testing/simulation.ts";
import type { ConfigMap, Deployment, Namespace, Pod, ReplicaSet, Secret } from "./types.ts";

let dir = "";
let server: ApiServer;
let client: KubeClient;
let controllers: Controllers;
let rootCa = "";
const problems: string[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "fl-controllers-"));
  const pki = await createPki(join(dir, "pki"));
  rootCa = pki.ca;
  server = await startApiServer({ securePort: 0, pki });
  const clientOf = (name: "admin" | "controller-manager") => {
    const text = renderKubeconfig({ name: "test", server: server.url, ca: pki.ca, ...pki.client(name) });
    return new KubeClient({ config: parseKubeconfig({ text, file: "test", env: {} }) });
  };
  client = clientOf("admin");
  controllers = new Controllers({
    client: clientOf("controller-manager"),
    rootCa,
    log: (level, message, fields) => void (level === "error" && problems.push(`${message} ${JSON.stringify(fields)}`)),
  });
  await controllers.start();
}, 30_000);

afterAll(async () => {
  await controllers?.stop();
  server?.close();
  rmSync(dir, { recursive: true, force: true });
  expect(problems).toEqual([]);
});

/** Polls until the check passes: `undefined` and false mean not yet. */
async function eventually<T>(check: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== false) return value;
    await Bun.sleep(5);
  }
}
const gone = (ref: ResourceRef) => eventually(async () => (await client.find(ref)) === undefined);
async function namespace(name: string): Promise<string> {
  await client.create(Resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  // Pods are refused until the account is there.
  await eventually(() => client.find({ ...Resources.serviceAccounts, namespace: name, name: "default" }));
  return name;
}
async function deploy(ns: string, replicas = 2): Promise<void> {
  const object = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" }, spec: { replicas, ...workload("web") } };
  await client.create({ ...Resources.deployments, namespace: ns }, object);
  await eventually(async () => (await pods(ns)).length === replicas);
}
const pods = async (ns: string) => (await client.list<Pod>({ ...Resources.pods, namespace: ns })).items;
const sets = async (ns: string) => (await client.list<ReplicaSet>({ ...Resources.replicaSets, namespace: ns })).items;
/** The node's part. */
async function runPods(ns: string): Promise<void> {
  for (const [index, pod] of (await pods(ns)).entries()) {
    const status = {
      phase: "Running",
      podIP: `10.0.0.${index + 1}`,
      podIPs: [{ ip: `10.0.0.${index + 1}` }],
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" }],
    };
    await client.patch(
      { ...Resources.pods, namespace: ns, name: pod.metadata.name, subresource: "status" },
      { status },
      { type: "strategic" },
    );
  }
}

test("a namespace gets its account and the root certificate, and gets them back", async () => {
  const ns = await namespace("basics");
  const ref = { ...Resources.configMaps, namespace: ns, name: "kube-root-ca.crt" };
  const map = await eventually(() => client.find<ConfigMap & KubeObject>(ref));
  expect(map.data).toEqual({ "ca.crt": rootCa });
  await client.delete(ref);
  await client.delete({ ...Resources.serviceAccounts, namespace: ns, name: "default" });
  await eventually(() => client.find(ref));
  await eventually(() => client.find({ ...Resources.serviceAccounts, namespace: ns, name: "default" }));
});

test("a deployment makes exactly its pods, becomes available, and its service gets endpoints", async () => {
  const ns = await namespace("deploying");
  await client.create(
    { ...Resources.services, namespace: ns },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
    },
  );
  await deploy(ns, 3);
  await runPods(ns);
  const ref = { ...Resources.deployments, namespace: ns, name: "web" };
  const done = await eventually(async () => {
    const deployment = await client.get<Deployment>(ref);
    return deployment.status?.availableReplicas === 3 && deployment;
  });
  expect(done.status?.conditions?.find(({ type }) => type === "Available")?.status).toBe("True");
  expect(await pods(ns)).toHaveLength(3);
  await eventually(async () =>
    (await client.list({ ...Resources.endpointSlices, namespace: ns })).items.some(
      (slice) => (slice["endpoints"] as unknown[] | undefined)?.length === 3,
    ),
  );
  const endpoints = await client.get({ ...Resources.endpoints, namespace: ns, name: "web" });
  expect((endpoints["subsets"] as { addresses: unknown[] }[])[0]?.addresses).toHaveLength(3);
}, 20_000);

test("deleting an owner: background takes its dependents, orphan leaves them, foreground outlives them", async () => {
  const ns = await namespace("collecting");
  await deploy(ns);
  const ref = { ...Resources.deployments, namespace: ns, name: "web" };
  await client.delete(ref, { propagationPolicy: "Orphan" });
  await gone(ref);
  const [set] = await sets(ns);
  await eventually(async () => ((await sets(ns))[0]?.metadata.ownerReferences ?? []).length === 0);
  expect(await pods(ns)).toHaveLength(2);

  // The same template again: the orphaned set is adopted, no pod is made anew.
  await client.create(
    { ...Resources.deployments, namespace: ns },
    { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" }, spec: { replicas: 2, ...workload("web") } },
  );
  await eventually(async () => (await sets(ns))[0]?.metadata.ownerReferences?.[0]?.kind === "Deployment");
  expect((await sets(ns)).map(({ metadata }) => metadata.uid)).toEqual([set?.metadata.uid]);

  const held = (await pods(ns))[0] as Pod;
  const heldRef = { ...Resources.pods, namespace: ns, name: held.metadata.name };
  await client.patch(heldRef, { metadata: { finalizers: ["test/hold"] } });
  await client.delete(ref, { propagationPolicy: "Foreground" });
  await eventually(async () => (await client.get(heldRef)).metadata.deletionTimestamp !== undefined);
  expect((await client.get(ref)).metadata.finalizers).toEqual(["foregroundDeletion"]);
  await client.patch(heldRef, { metadata: { finalizers: null } });
  await gone(ref);
  expect(await pods(ns)).toEqual([]);

  await deploy(ns);
  await client.delete(ref, { propagationPolicy: "Background" });
  await eventually(async () => (await sets(ns)).length === 0 && (await pods(ns)).length === 0);
}, 30_000);

test("an object whose owner never was goes; custom resources own and are owned like all others", async () => {
  const ns = await namespace("custom");
  const owner = (uid: string) => [{ apiVersion: "example.com/v1", kind: "Widget", name: "w", uid }];
  const map = (name: string, uid: string) =>
    client.create(
      { ...Resources.configMaps, namespace: ns },
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ownerReferences: owner(uid) } },
    );
  const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } };
  await client.create(Resources.customResourceDefinitions, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "widgets.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "widgets", singular: "widget", kind: "Widget" },
      versions: [version],
    },
  });
  const widgets = { group: "example.com", version: "v1", resource: "widgets", namespace: ns };
  const widget = await eventually(() =>
    client.create(widgets, { apiVersion: "example.com/v1", kind: "Widget", metadata: { name: "w" } }).catch(() => undefined),
  );
  await map("dangling", "11111111-1111-1111-1111-111111111111");
  await map("owned", widget.metadata.uid as string);
  await gone({ ...Resources.configMaps, namespace: ns, name: "dangling" });
  expect(await client.find({ ...Resources.configMaps, namespace: ns, name: "owned" })).toBeDefined();
  await client.delete({ ...widgets, name: "w" });
  await gone({ ...Resources.configMaps, namespace: ns, name: "owned" });
}, 30_000);

test("a namespace goes with all it holds, and tells what holds it up", async () => {
  const ns = await namespace("leaving");
  await deploy(ns);
  await client.create(
    { ...Resources.configMaps, namespace: ns },
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "held", finalizers: ["test/hold"] } },
  );
  const ref = { ...Resources.namespaces, name: ns };
  await client.delete(ref);
  const told = await eventually(async () => {
    const { status } = await client.get<Namespace>(ref);
    return status?.conditions?.find((one) => one.type === "NamespaceFinalizersRemaining" && one.status === "True");
  });
  expect(told.message).toBe("Some content in the namespace has finalizers remaining: test/hold in 1 resource instances");
  expect(await pods(ns)).toEqual([]);
  await client.patch({ ...Resources.configMaps, namespace: ns, name: "held" }, { metadata: { finalizers: null } });
  await gone(ref);
}, 30_000);

test("a token secret is filled with a token that the API takes", async () => {
  const ns = await namespace("tokens");
  const ref = { ...Resources.secrets, namespace: ns, name: "t" };
  await client.create(
    { ...Resources.secrets, namespace: ns },
    {
      apiVersion: "v1",
      kind: "Secret",
      type: "kubernetes.io/service-account-token",
      metadata: { name: "t", annotations: { "kubernetes.io/service-account.name": "default" } },
    },
  );
  const token = await eventually(async () => (await client.get<Secret>(ref)).data?.["token"]);
  const review = await client.create(Resources.tokenReviews, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    spec: { token: atob(token) },
  });
  expect(review["status"]).toMatchObject({ authenticated: true, user: { username: `system:serviceaccount:${ns}:default` } });
}, 20_000);
