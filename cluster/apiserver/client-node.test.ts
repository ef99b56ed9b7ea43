// @kubernetes/client-node, the library that other TypeScript programs use.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  AppsV1Api,
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  type V1ConfigMap,
  Watch,
} from "@kubernetes/client-node";
import { startTestServer, type TestServer } from "./testing.ts";

let api: TestServer;
let config: KubeConfig;
beforeAll(async () => {
  api = await startTestServer();
  config = new KubeConfig();
  config.loadFromFile(api.kubeconfig("admin"));
});
afterAll(() => api.close());

test("typed create, list, patch, delete", async () => {
  const core = config.makeApiClient(CoreV1Api);
  const made = await core.createNamespacedConfigMap({ namespace: "default", body: { metadata: { name: "typed" }, data: { a: "1" } } });
  expect(made.metadata?.creationTimestamp).toBeInstanceOf(Date);
  const patched = await core.patchNamespacedConfigMap(
    { name: "typed", namespace: "default", body: { data: { b: "2" } } },
    setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
  );
  expect(patched.data).toEqual({ a: "1", b: "2" });
  expect((await core.listNamespacedConfigMap({ namespace: "default" })).items.map(({ metadata }) => metadata?.name)).toEqual(["typed"]);
  await core.deleteNamespacedConfigMap({ name: "typed", namespace: "default" });
  await expect(core.readNamespacedConfigMap({ name: "typed", namespace: "default" })).rejects.toMatchObject({ code: 404 });
  const apps = config.makeApiClient(AppsV1Api);
  expect((await apps.listDeploymentForAllNamespaces()).items).toEqual([]);
});

test("objects of any kind by server-side apply", async () => {
  const objects = KubernetesObjectApi.makeApiClient(config);
  const spec = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "applied", namespace: "default" }, data: { x: "y" } };
  const made = (await objects.patch(spec, undefined, undefined, "tester", true, PatchStrategy.ServerSideApply)) as V1ConfigMap;
  expect(made.metadata?.managedFields?.[0]?.manager).toBe("tester");
});

test("an informer sees what was there and what comes", async () => {
  const core = config.makeApiClient(CoreV1Api);
  const informer = makeInformer(config, "/api/v1/namespaces/default/configmaps", () =>
    core.listNamespacedConfigMap({ namespace: "default" }),
  );
  const seen: string[] = [];
  const done = Promise.withResolvers<void>();
  informer.on("add", (object) => void seen.push(`add ${object.metadata?.name}`));
  informer.on("delete", (object) => {
    seen.push(`delete ${object.metadata?.name}`);
    done.resolve();
  });
  await informer.start();
  await core.createNamespacedConfigMap({ namespace: "default", body: { metadata: { name: "later" } } });
  await core.deleteNamespacedConfigMap({ name: "later", namespace: "default" });
  await done.promise;
  await informer.stop();
  expect(seen).toEqual(["add applied", "add later", "delete later"]);
});

test("a raw watch resumes after a version", async () => {
  const core = config.makeApiClient(CoreV1Api);
  const { metadata } = await core.listNamespacedConfigMap({ namespace: "default" });
  const first = Promise.withResolvers<string>();
  const request = await new Watch(config).watch(
    "/api/v1/configmaps",
    { resourceVersion: metadata?.resourceVersion },
    (type, object: V1ConfigMap) => first.resolve(`${type} ${object.metadata?.name}`),
    () => {},
  );
  await core.createNamespacedConfigMap({ namespace: "default", body: { metadata: { name: "watched" } } });
  expect(await first.promise).toBe("ADDED watched");
  request.abort();
});
