import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startTestServer, type TestServer, WatchReader } from "./testing.ts";

let api: TestServer;
beforeAll(async () => {
  api = await startTestServer({ historyLimit: 200 });
});
afterAll(() => api.close());

const configMaps = "/api/v1/namespaces/default/configmaps";
const configMap = (name: string, data: Record<string, string> = { a: "1" }, labels: Record<string, string> = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default", labels },
  data,
});
const deployment = (name: string, spec: object = {}) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, namespace: "default" },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image: "x:1" }] } },
    ...spec,
  },
});
const deployments = "/apis/apps/v1/namespaces/default/deployments";
const causes = (body: { details: { causes: { field: string; message: string }[] } }) =>
  body.details.causes.map(({ field, message }) => `${field}: ${message}`);

describe("create", () => {
  test("fills in the server's metadata and reads back the same", async () => {
    const made = await api.create(configMap("create-1"));
    expect(made.metadata).toMatchObject({
      name: "create-1",
      namespace: "default",
      uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      creationTimestamp: expect.stringMatching(/^\d{4}-.*:\d\dZ$/),
    });
    expect((await api.send("GET", `${configMaps}/create-1`)).body).toEqual(made);
  });
  test("generateName, YAML bodies and YAML answers", async () => {
    const made = await api.send("POST", configMaps, {
      type: "application/yaml",
      accept: "application/yaml",
      body: "metadata: {generateName: gen-}\ndata: {a: b}\n",
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatch(/name: gen-[a-z0-9]{5}\n/);
  });
  test.each([
    ["the same name", configMap("create-1"), 409, 'configmaps "create-1" already exists'],
    [
      "another namespace",
      { ...configMap("x"), metadata: { name: "x", namespace: "other" } },
      400,
      "the namespace of the provided object does not match the namespace sent on the request",
    ],
    [
      "another kind",
      { ...configMap("x"), kind: "Secret" },
      400,
      'Secret in version "v1" cannot be handled as a ConfigMap: converting to ConfigMap is not possible',
    ],
    [
      "a bad name",
      configMap("Bad_Name"),
      422,
      /^ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain/,
    ],
    ["no name", { metadata: {} }, 422, 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'],
    [
      "a wrong type",
      { metadata: { name: "x" }, data: { a: 1 } },
      400,
      /cannot unmarshal number into Go struct field ConfigMap.data.a of type string/,
    ],
    ["no JSON", "{", 400, /unrecognized/],
  ] as const)("refuses %s", async (_, body, status, message) => {
    const reply = await api.send("POST", configMaps, { body });
    expect(reply.body).toMatchObject({ kind: "Status", status: "Failure", code: status });
    if (typeof message === "string") expect(reply.body.message).toBe(message);
    else expect(reply.body.message).toMatch(message);
    expect(reply.status).toBe(status);
  });
  test("a namespace that is not there, a protobuf body that is none, a body past 3 MiB", async () => {
    expect((await api.send("POST", "/api/v1/namespaces/nope/configmaps", { body: { metadata: { name: "x" } } })).body.message).toBe(
      'namespaces "nope" not found',
    );
    expect((await api.send("POST", configMaps, { body: "x", type: "application/vnd.kubernetes.protobuf" })).status).toBe(400);
    expect((await api.send("POST", configMaps, { body: "x", type: "text/plain" })).status).toBe(415);
    expect((await api.send("POST", configMaps, { body: "x".repeat(3 * 1024 * 1024 + 1) })).status).toBe(413);
  });
  test("unknown fields: warned of, refused when strict, dropped always", async () => {
    const body = { ...configMap("unknown"), spec: { x: 1 } };
    const strict = await api.send("POST", `${configMaps}?fieldValidation=Strict`, { body });
    expect(strict.body.message).toBe(
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "spec"',
    );
    const warned = await api.send("POST", configMaps, { body });
    expect(warned.headers.get("warning")).toBe('299 - "unknown field \\"spec\\""');
    expect(warned.body.spec).toBeUndefined();
  });
  test("dryRun stores nothing", async () => {
    expect((await api.send("POST", `${configMaps}?dryRun=All`, { body: configMap("dry") })).status).toBe(201);
    expect((await api.send("GET", `${configMaps}/dry`)).body.message).toBe('configmaps "dry" not found');
  });
});

describe("update", () => {
  test("a stale resourceVersion is a conflict, an unchanged object keeps its version", async () => {
    const made = await api.create(configMap("update"));
    const same = await api.send("PUT", `${configMaps}/update`, { body: made });
    expect(same.body.metadata.resourceVersion).toBe(made.metadata.resourceVersion);
    const changed = await api.send("PUT", `${configMaps}/update`, { body: { ...made, data: { a: "2" } } });
    expect(changed.status).toBe(200);
    const stale = await api.send("PUT", `${configMaps}/update`, { body: { ...made, data: { a: "3" } } });
    expect(stale.body).toMatchObject({
      code: 409,
      reason: "Conflict",
      message:
        'Operation cannot be fulfilled on configmaps "update": the object has been modified; please apply your changes to the latest version and try again',
    });
    const other = await api.send("PUT", `${configMaps}/update`, { body: configMap("another") });
    expect(other.body.message).toBe("the name of the object (another) does not match the name on the URL (update)");
  });
  test("generation grows with the spec alone; status has its own door", async () => {
    const made = await api.create(deployment("gen"));
    expect(made.metadata.generation).toBe(1);
    const status = await api.send("PUT", `${deployments}/gen/status`, {
      body: { ...made, spec: { ...made["spec"], replicas: 7 }, status: { replicas: 1, readyReplicas: 1 } },
    });
    expect(status.body).toMatchObject({ metadata: { generation: 1 }, spec: { replicas: 1 }, status: { replicas: 1, readyReplicas: 1 } });
    const spec = await api.send("PATCH", `${deployments}/gen`, {
      type: "application/merge-patch+json",
      body: { spec: { replicas: 2 }, status: { replicas: 9 } },
    });
    expect(spec.body).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 2 }, status: { replicas: 1 } });
  });
  test("a Deployment's selector cannot change, and all that is wrong is said at once", async () => {
    await api.create(deployment("wrong"));
    const reply = await api.send("PATCH", `${deployments}/wrong`, {
      type: "application/merge-patch+json",
      body: { spec: { selector: { matchLabels: { app: "other" } }, replicas: -1 } },
    });
    expect(reply.status).toBe(422);
    expect(causes(reply.body)).toEqual([
      'spec.template.metadata.labels: Invalid value: {"app":"wrong"}: `selector` does not match template `labels`',
      "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
      'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable',
    ]);
  });
});

describe("patch", () => {
  test("strategic merge knows the keys of lists", async () => {
    await api.create(deployment("strategic"));
    const reply = await api.send("PATCH", `${deployments}/strategic`, {
      type: "application/strategic-merge-patch+json",
      body: {
        spec: {
          template: {
            spec: {
              containers: [
                { name: "c", env: [{ name: "A", value: "1" }] },
                { name: "side", image: "y:1" },
              ],
            },
          },
        },
      },
    });
    const { containers } = reply.body.spec.template.spec;
    expect(containers.map(({ name, image }: { name: string; image: string }) => `${name} ${image}`)).toEqual(["c x:1", "side y:1"]);
    expect(containers[0].env).toEqual([{ name: "A", value: "1" }]);
  });
  test("JSON patch that does not fit, media types there are not", async () => {
    await api.create(configMap("patched"));
    const bad = await api.send("PATCH", `${configMaps}/patched`, {
      type: "application/json-patch+json",
      body: [{ op: "test", path: "/data/a", value: "2" }],
    });
    expect(bad.body).toMatchObject({
      code: 422,
      message: "the server rejected our request due to an error in our request: testing value /data/a failed",
    });
    const good = await api.send("PATCH", `${configMaps}/patched`, {
      type: "application/json-patch+json",
      body: [{ op: "add", path: "/data/b", value: "2" }],
    });
    expect(good.body.data).toEqual({ a: "1", b: "2" });
    expect((await api.send("PATCH", `${configMaps}/patched`, { type: "application/json", body: {} })).status).toBe(415);
    expect((await api.send("PATCH", `${configMaps}/nothing`, { type: "application/merge-patch+json", body: {} })).status).toBe(404);
  });
});

describe("server-side apply", () => {
  const apply = (name: string, body: object, query: string) =>
    api.send("PATCH", `${deployments}/${name}?${query}`, {
      type: "application/apply-patch+yaml",
      body: { apiVersion: "apps/v1", kind: "Deployment", ...body },
    });
  test("creates, owns, conflicts by name and field, gives up, forces", async () => {
    const base = deployment("ssa", { replicas: 3 });
    const made = await apply("ssa", base, "fieldManager=one");
    expect(made.status).toBe(201);
    expect(made.body.metadata.managedFields).toHaveLength(1);
    expect(made.body.metadata.managedFields[0]).toMatchObject({
      manager: "one",
      operation: "Apply",
      apiVersion: "apps/v1",
      fieldsV1: { "f:spec": { "f:replicas": {} } },
    });
    // the same again changes nothing
    expect((await apply("ssa", base, "fieldManager=one")).body.metadata.resourceVersion).toBe(made.body.metadata.resourceVersion);
    const conflict = await apply("ssa", { spec: { replicas: 5 } }, "fieldManager=two");
    expect(conflict.body).toMatchObject({
      code: 409,
      reason: "Conflict",
      message: 'Apply failed with 1 conflict: conflict with "one": .spec.replicas',
      details: { causes: [{ reason: "FieldManagerConflict", message: 'conflict with "one"', field: ".spec.replicas" }] },
    });
    const forced = await apply("ssa", { spec: { replicas: 5 } }, "fieldManager=two&force=true");
    expect(forced.body.spec.replicas).toBe(5);
    // "one" no longer owns it: leaving it out keeps the value of "two"
    const { replicas: _, ...rest } = base.spec as { replicas?: number };
    expect((await apply("ssa", { metadata: base.metadata, spec: rest }, "fieldManager=one")).body.spec.replicas).toBe(5);
    // when "two" gives it up nobody has it: the default returns
    expect((await apply("ssa", {}, "fieldManager=two")).body.spec.replicas).toBe(1);
    expect((await apply("ssa", {}, "")).body.message).toContain("fieldManager: Required value: is required for apply patch");
  });
  test("an item that an applier drops goes, those of others stay", async () => {
    const containers = (...names: string[]) => ({
      ...deployment("items"),
      spec: {
        ...deployment("items").spec,
        template: { metadata: { labels: { app: "items" } }, spec: { containers: names.map((name) => ({ name, image: "x:1" })) } },
      },
    });
    await apply("items", containers("a", "b"), "fieldManager=one");
    await api.send("PATCH", `${deployments}/items?fieldManager=injector`, {
      type: "application/strategic-merge-patch+json",
      body: { spec: { template: { spec: { containers: [{ name: "proxy", image: "p:1" }] } } } },
    });
    const after = await apply("items", containers("a"), "fieldManager=one");
    expect(after.body.spec.template.spec.containers.map(({ name }: { name: string }) => name).sort()).toEqual(["a", "proxy"]);
  });
});

describe("delete", () => {
  test("answers a Status; preconditions; 404 afterwards", async () => {
    const made = await api.create(configMap("gone"));
    const wrong = await api.send("DELETE", `${configMaps}/gone`, { body: { preconditions: { uid: "other" } } });
    expect(wrong.body.message).toBe(
      `Operation cannot be fulfilled on configmaps "gone": Precondition failed: UID in precondition: other, UID in object meta: ${made.metadata.uid}`,
    );
    expect((await api.send("DELETE", `${configMaps}/gone`)).body).toMatchObject({
      kind: "Status",
      status: "Success",
      details: { name: "gone", kind: "configmaps", uid: made.metadata.uid },
    });
    expect((await api.send("DELETE", `${configMaps}/gone`)).status).toBe(404);
  });
  test("finalizers hold an object; propagation policies become finalizers; no new ones afterwards", async () => {
    await api.create({ ...configMap("held"), metadata: { name: "held", namespace: "default", finalizers: ["example.com/hold"] } });
    const marked = await api.send("DELETE", `${configMaps}/held?propagationPolicy=Foreground`);
    expect(marked.body.metadata).toMatchObject({
      deletionTimestamp: expect.any(String),
      finalizers: ["example.com/hold", "foregroundDeletion"],
    });
    const added = await api.send("PATCH", `${configMaps}/held`, {
      type: "application/merge-patch+json",
      body: { metadata: { finalizers: ["example.com/hold", "example.com/new"] } },
    });
    expect(added.body.message).toContain("metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted");
    await api.send("PATCH", `${configMaps}/held`, { type: "application/merge-patch+json", body: { metadata: { finalizers: null } } });
    expect((await api.send("GET", `${configMaps}/held`)).status).toBe(404);
    expect((await api.send("DELETE", `${configMaps}/held?propagationPolicy=Sideways`)).body.message).toContain(
      'propagationPolicy: Unsupported value: "Sideways"',
    );
  });
  test("a collection by selector", async () => {
    for (const name of ["c1", "c2", "c3"]) await api.create(configMap(`many-${name}`, {}, { many: name === "c3" ? "no" : "yes" }));
    expect((await api.send("DELETE", `${configMaps}?labelSelector=many%3Dyes`)).body.items).toHaveLength(2);
    expect(
      (await api.send("GET", `${configMaps}?labelSelector=many`)).body.items.map(
        ({ metadata }: { metadata: { name: string } }) => metadata.name,
      ),
    ).toEqual(["many-c3"]);
  });
  test("namespaces go through Terminating and finalize", async () => {
    await api.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: "leaving" } });
    const marked = await api.send("DELETE", "/api/v1/namespaces/leaving");
    expect(marked.body.status.phase).toBe("Terminating");
    const refused = await api.send("POST", "/api/v1/namespaces/leaving/configmaps", { body: { metadata: { name: "x" } } });
    expect(refused.body.message).toBe(
      'configmaps "x" is forbidden: unable to create new content in namespace leaving because it is being terminated',
    );
    await api.send("PUT", "/api/v1/namespaces/leaving/finalize", { body: { ...marked.body, spec: { finalizers: [] } } });
    expect((await api.send("GET", "/api/v1/namespaces/leaving")).status).toBe(404);
    expect((await api.send("DELETE", "/api/v1/namespaces/default")).body.message).toBe(
      'namespaces "default" is forbidden: this namespace may not be deleted',
    );
  });
});

describe("list", () => {
  beforeAll(async () => {
    await api.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: "lists" } });
    for (let i = 0; i < 5; i++)
      await api.create({
        ...configMap(`item-${i}`, {}, { odd: String(i % 2) }),
        metadata: { name: `item-${i}`, namespace: "lists", labels: { odd: String(i % 2) } },
      });
  });
  const path = "/api/v1/namespaces/lists/configmaps";
  const names = (body: { items: { metadata: { name: string } }[] }) => body.items.map(({ metadata }) => metadata.name);
  test("pages are of one version, whatever happens between them", async () => {
    const first = await api.send("GET", `${path}?limit=2`);
    expect(names(first.body)).toEqual(["item-0", "item-1"]);
    expect(first.body.metadata.remainingItemCount).toBe(3);
    await api.send("DELETE", `${path}/item-3`);
    const second = await api.send("GET", `${path}?limit=2&continue=${first.body.metadata.continue}`);
    expect(names(second.body)).toEqual(["item-2", "item-3"]);
    const third = await api.send("GET", `${path}?limit=2&continue=${second.body.metadata.continue}`);
    expect(names(third.body)).toEqual(["item-4"]);
    expect(third.body.metadata.continue).toBeUndefined();
    expect(third.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion);
    expect((await api.send("GET", `${path}?limit=2&continue=zzz`)).status).toBe(400);
    const lost = Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: 1, start: "lists/item-0" })).toString("base64url");
    expect((await api.send("GET", `${path}?limit=2&continue=${lost}`)).body).toMatchObject({ code: 410, reason: "Expired" });
  });
  test("selectors, and those that are no selectors", async () => {
    expect(names((await api.send("GET", `${path}?labelSelector=odd+in+(1)`)).body)).toEqual(["item-1"]);
    expect(names((await api.send("GET", `${path}?fieldSelector=metadata.name%3Ditem-2`)).body)).toEqual(["item-2"]);
    expect((await api.send("GET", `${path}?fieldSelector=data.a%3D1`)).body.message).toBe("field label not supported: data.a");
    expect((await api.send("GET", `${path}?labelSelector=a+b+c`)).status).toBe(400);
    expect((await api.send("GET", `${path}?resourceVersion=99999999`)).body).toMatchObject({
      code: 504,
      details: { causes: [{ reason: "ResourceVersionTooLarge" }] },
    });
  });
  test("tables and bare metadata", async () => {
    const table = await api.send("GET", `${path}?labelSelector=odd%3D1`, {
      accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    });
    expect(table.body).toMatchObject({
      kind: "Table",
      apiVersion: "meta.k8s.io/v1",
      rows: [{ cells: ["item-1", 0, expect.any(String)], object: { kind: "PartialObjectMetadata" } }],
    });
    expect(table.body.columnDefinitions.map(({ name }: { name: string }) => name)).toEqual(["Name", "Data", "Age"]);
    const bare = await api.send("GET", path, { accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io" });
    expect(bare.body.kind).toBe("PartialObjectMetadataList");
    expect(bare.body.items[0].data).toBeUndefined();
    expect((await api.send("GET", path, { accept: "application/vnd.kubernetes.protobuf" })).status).toBe(406);
  });
});

describe("watch", () => {
  const path = (query: string) => `${configMaps}?watch=true&${query}`;
  const brief = ({ type, object }: { type: string; object: { metadata: { name: string } } }) => `${type} ${object.metadata.name}`;
  test("resumes after a version and shows selectors as comings and goings", async () => {
    const made = await api.create(configMap("w1", {}, { w: "1" }));
    const watch = new WatchReader(api, path(`labelSelector=w%3D1&resourceVersion=${made.metadata.resourceVersion}`));
    await api.create(configMap("w2", {}, { w: "1" }));
    await api.send("PATCH", `${configMaps}/w1`, { type: "application/merge-patch+json", body: { metadata: { labels: { w: "2" } } } });
    await api.send("PATCH", `${configMaps}/w1`, { type: "application/merge-patch+json", body: { metadata: { labels: { w: "1" } } } });
    await api.send("DELETE", `${configMaps}/w2`);
    const events = await watch.until(({ type, object }) => type === "DELETED" && object.metadata.name === "w2");
    expect(events.map(brief)).toEqual(["ADDED w2", "DELETED w1", "ADDED w1", "DELETED w2"]);
    watch.close();
  });
  test("begins with the state, ends at its time with a bookmark", async () => {
    const watch = new WatchReader(
      api,
      path(
        "fieldSelector=metadata.name%3Dw1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
      ),
    );
    await watch.end();
    expect(watch.events.map(({ type }) => type)).toEqual(["ADDED", "BOOKMARK", "BOOKMARK"]);
    expect(watch.events[1].object.metadata.annotations).toEqual({ "k8s.io/initial-events-end": "true" });
  });
  test("too old a version is an ERROR event with 410", async () => {
    for (let i = 0; i < 210; i++)
      await api.send("PATCH", `${configMaps}/w1`, { type: "application/merge-patch+json", body: { data: { i: String(i) } } });
    const watch = new WatchReader(api, path("resourceVersion=1"));
    const [error] = await watch.until(({ type }) => type === "ERROR");
    expect(error.object).toMatchObject({
      code: 410,
      reason: "Expired",
      message: expect.stringMatching(/^too old resource version: 1 \(\d+\)$/),
    });
    await watch.end();
  });
  test("as a table: headers once", async () => {
    const watch = new WatchReader(api, path("fieldSelector=metadata.name%3Dw1"), "application/json;as=Table;v=v1;g=meta.k8s.io");
    await watch.until(() => true);
    await api.send("PATCH", `${configMaps}/w1`, { type: "application/merge-patch+json", body: { data: { z: "1" } } });
    const events = await watch.until(({ type }) => type === "MODIFIED");
    expect(events.map(({ object }) => object.columnDefinitions === null)).toEqual([false, true]);
    watch.close();
  });
});

describe("services", () => {
  const services = "/api/v1/namespaces/default/services";
  const service = (name: string, spec: object) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { ports: [{ port: 80 }], ...spec },
  });
  test("get an address of the range that stays theirs", async () => {
    const made = await api.create(service("s1", {}));
    const { clusterIP } = made["spec"];
    expect(clusterIP).toMatch(/^10\.96\.\d+\.\d+$/);
    expect(made["spec"]).toMatchObject({
      clusterIPs: [clusterIP],
      type: "ClusterIP",
      sessionAffinity: "None",
      ipFamilies: ["IPv4"],
      internalTrafficPolicy: "Cluster",
      ports: [{ port: 80, targetPort: 80, protocol: "TCP" }],
    });
    const without = await api.send("PUT", `${services}/s1`, { body: service("s1", { selector: { a: "b" } }) });
    expect(without.body.spec.clusterIP).toBe(clusterIP);
    const moved = await api.send("PATCH", `${services}/s1`, {
      type: "application/merge-patch+json",
      body: { spec: { clusterIP: "10.96.7.7" } },
    });
    expect(causes(moved.body)).toContain('spec.clusterIPs[0]: Invalid value: ["10.96.7.7"]: may not change once set');
    const taken = await api.send("POST", services, { body: service("s2", { clusterIP }) });
    expect(taken.body.message).toContain(`failed to allocate IP ${clusterIP}: provided IP is already allocated`);
    const outside = await api.send("POST", services, { body: service("s2", { clusterIP: "10.1.1.1" }) });
    expect(outside.body.message).toContain("is not in the valid range. The range of valid IPs is 10.96.0.0/16");
    expect((await api.create(service("headless", { clusterIP: "None" })))["spec"].clusterIPs).toEqual(["None"]);
  });
  test("node ports are given, kept, and refused when taken", async () => {
    const made = await api.create(service("np", { type: "NodePort" }));
    const [{ nodePort }] = made["spec"].ports;
    expect(nodePort).toBeGreaterThanOrEqual(30000);
    expect(
      (await api.send("POST", services, { body: service("np2", { type: "NodePort", ports: [{ port: 1, nodePort }] }) })).body.message,
    ).toContain("provided port is already allocated");
    expect(
      (
        await api.send("POST", services, { body: service("bad", { ports: [{ port: 0 }, { port: 70000, name: "x" }] }) })
      ).body.details.causes.map(({ field }: { field: string }) => field),
    ).toEqual(["spec.ports[0].name", "spec.ports[0].port", "spec.ports[0].targetPort", "spec.ports[1].port", "spec.ports[1].targetPort"]);
  });
});

describe("pods", () => {
  const pods = "/api/v1/namespaces/default/pods";
  const pod = (name: string, spec: object = {}) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: "pod" } },
    spec: { containers: [{ name: "c", image: "x" }], ...spec },
  });
  beforeAll(async () => {
    await api.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: "default" } });
  });
  test("get the token volume, defaults and a status", async () => {
    const made = await api.create(pod("p1"));
    const { spec } = made;
    expect(spec).toMatchObject({
      serviceAccountName: "default",
      restartPolicy: "Always",
      dnsPolicy: "ClusterFirst",
      terminationGracePeriodSeconds: 30,
      enableServiceLinks: true,
      priority: 0,
    });
    expect(spec.containers[0]).toMatchObject({
      imagePullPolicy: "Always",
      volumeMounts: [
        { mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", readOnly: true, name: expect.stringMatching(/^kube-api-access-/) },
      ],
    });
    expect(spec.volumes[0].projected.sources).toHaveLength(3);
    expect(made["status"]).toEqual({ phase: "Pending", qosClass: "BestEffort" });
    const none = await api.send("POST", pods, { body: pod("p2", { serviceAccountName: "nobody" }) });
    expect(none.body.message).toBe(
      'pods "p2" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found',
    );
    expect((await api.create(pod("p3", { automountServiceAccountToken: false })))["spec"].volumes).toBeUndefined();
  });
  test("are bound, deleted gracefully, and gone when the node says so", async () => {
    await api.create(pod("bound"));
    const bound = await api.send("POST", `${pods}/bound/binding`, {
      body: { apiVersion: "v1", kind: "Binding", metadata: { name: "bound" }, target: { kind: "Node", name: "local" } },
    });
    expect(bound.status).toBe(201);
    expect((await api.send("POST", `${pods}/bound/binding`, { body: { target: { name: "other" } } })).body.message).toContain(
      'pod bound is already assigned to node "local"',
    );
    const marked = await api.send("DELETE", `${pods}/bound`);
    expect(marked.body.metadata).toMatchObject({ deletionGracePeriodSeconds: 30, deletionTimestamp: expect.any(String) });
    expect((await api.send("DELETE", `${pods}/bound?gracePeriodSeconds=10`)).body.metadata.deletionGracePeriodSeconds).toBe(10);
    expect(
      (await api.send("DELETE", `${pods}/bound`, { body: { gracePeriodSeconds: 0, preconditions: { uid: marked.body.metadata.uid } } }))
        .status,
    ).toBe(200);
    expect((await api.send("GET", `${pods}/bound`)).status).toBe(404);
  });
  test("spec is frozen but for images", async () => {
    await api.create(pod("frozen"));
    const patch = (body: object) => api.send("PATCH", `${pods}/frozen`, { type: "application/strategic-merge-patch+json", body });
    expect((await patch({ spec: { containers: [{ name: "c", image: "y" }] } })).status).toBe(200);
    expect((await patch({ spec: { hostname: "h" } })).body.message).toContain(
      "spec: Forbidden: pod updates may not change fields other than",
    );
  });
  test("eviction obeys the budget", async () => {
    await api.create(pod("evicted", { nodeName: "local" }));
    await api.create({
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name: "budget", namespace: "default" },
      spec: { minAvailable: 1, selector: { matchLabels: { app: "pod" } } },
    });
    const refused = await api.send("POST", `${pods}/evicted/eviction`, {
      body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "evicted" } },
    });
    expect(refused.body).toMatchObject({
      code: 429,
      message: "Cannot evict pod as it would violate the pod's disruption budget.",
      details: { causes: [{ reason: "DisruptionBudget" }] },
    });
    await api.send("DELETE", "/apis/policy/v1/namespaces/default/poddisruptionbudgets/budget");
    expect((await api.send("POST", `${pods}/evicted/eviction`, { body: {} })).status).toBe(201);
    expect((await api.send("GET", `${pods}/evicted`)).body.metadata.deletionTimestamp).toBeDefined();
  });
});

describe("other doors", () => {
  test("scale", async () => {
    await api.create(deployment("scaled", { replicas: 2 }));
    const scale = `${deployments}/scaled/scale`;
    expect((await api.send("GET", scale)).body).toMatchObject({
      kind: "Scale",
      apiVersion: "autoscaling/v1",
      spec: { replicas: 2 },
      status: { replicas: 0, selector: "app=scaled" },
    });
    expect(
      (await api.send("PATCH", scale, { type: "application/merge-patch+json", body: { spec: { replicas: 4 } } })).body.spec.replicas,
    ).toBe(4);
    expect(
      (
        await api.send("PUT", scale, {
          body: { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "scaled" }, spec: { replicas: -1 } },
        })
      ).body.message,
    ).toContain("spec.replicas: Invalid value: -1");
    expect((await api.send("GET", `${deployments}/scaled`)).body).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 4 } });
  });
  test("two views of events, two versions of autoscalers", async () => {
    await api.create({
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name: "e1", namespace: "default" },
      regarding: { kind: "Pod", name: "p1", namespace: "default" },
      note: "hello",
      reason: "Because",
      type: "Normal",
      action: "Act",
      eventTime: "2026-01-01T00:00:00.000000Z",
      reportingController: "c",
      reportingInstance: "i",
    });
    expect((await api.send("GET", "/api/v1/namespaces/default/events/e1")).body).toMatchObject({
      apiVersion: "v1",
      involvedObject: { name: "p1" },
      message: "hello",
      reportingComponent: "c",
    });
    expect((await api.send("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e1")).body).toMatchObject({
      apiVersion: "events.k8s.io/v1",
      regarding: { name: "p1" },
      note: "hello",
    });
    await api.create({
      apiVersion: "autoscaling/v1",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "h", namespace: "default" },
      spec: {
        maxReplicas: 3,
        targetCPUUtilizationPercentage: 50,
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "x" },
      },
    });
    expect(
      (await api.send("GET", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h")).body.spec.metrics[0].resource.target
        .averageUtilization,
    ).toBe(50);
    expect((await api.send("GET", "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/h")).body.spec).toMatchObject({
      targetCPUUtilizationPercentage: 50,
      minReplicas: 1,
    });
  });
  test("what is not there says so", async () => {
    for (const path of ["/apis/nope/v1", "/api/v1/nope", "/api/v1/namespaces/default/pods/x/nope", "/api/v2", "/nope"]) {
      expect((await api.send("GET", path)).body).toMatchObject({ code: 404, message: "the server could not find the requested resource" });
    }
    expect((await api.send("POST", `${configMaps}/x`, { body: {} })).status).toBe(405);
    expect((await api.send("GET", "/api/v1/namespaces/%zz/pods")).status).toBe(400);
  });
  test("discovery in both forms, OpenAPI, version, health", async () => {
    const old = await api.send("GET", "/apis/apps/v1");
    expect(old.body.resources.find(({ name }: { name: string }) => name === "deployments")).toMatchObject({
      kind: "Deployment",
      shortNames: ["deploy"],
      namespaced: true,
      categories: ["all"],
    });
    const aggregated = await api.send("GET", "/apis", {
      accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
    });
    expect(aggregated.body.kind).toBe("APIGroupDiscoveryList");
    const index = await api.send("GET", "/openapi/v3");
    const document = await api.send("GET", index.body.paths["apis/apps/v1"].serverRelativeURL);
    expect(document.body.components.schemas["io.k8s.api.apps.v1.Deployment"]).toBeDefined();
    expect((await api.send("GET", "/version")).body.gitVersion).toBe("v1.34.4");
    for (const path of ["/readyz", "/livez", "/healthz"]) expect((await api.send("GET", path, { as: "nobody" })).body).toBe("ok");
  });
});
