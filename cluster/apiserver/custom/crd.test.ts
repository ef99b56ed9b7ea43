import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startTestServer, type TestServer, WatchReader } from "../testing.ts";

let api: TestServer;
beforeAll(async () => {
  api = await startTestServer();
});
afterAll(() => api.close());

const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const widgets = "/apis/example.com/v1/namespaces/default/widgets";
const schema = {
  type: "object",
  required: ["spec"],
  properties: {
    spec: {
      type: "object",
      required: ["port"],
      properties: {
        port: { type: "integer", minimum: 1, maximum: 65535 },
        target: { "x-kubernetes-int-or-string": true },
        mode: { type: "string", enum: ["a", "b"], default: "a" },
        name: { type: "string", pattern: "^[a-z]+$", maxLength: 5 },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        labels: { type: "object", additionalProperties: { type: "string" } },
        nothing: { type: "string", nullable: true },
        items: {
          type: "array",
          maxItems: 2,
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: { type: "object", required: ["name"], properties: { name: { type: "string" }, value: { type: "integer", default: 7 } } },
        },
        template: {
          type: "object",
          "x-kubernetes-embedded-resource": true,
          properties: { spec: { type: "object", properties: { a: { type: "string" } } } },
        },
        selector: {
          type: "object",
          oneOf: [{ required: ["x"] }, { required: ["y"] }],
          properties: { x: { type: "string" }, y: { type: "string" } },
        },
      },
    },
    status: { type: "object", properties: { ready: { type: "boolean" }, replicas: { type: "integer" } } },
  },
};
const version = (name: string, rest: object = {}) => ({ name, served: true, storage: false, schema: { openAPIV3Schema: schema }, ...rest });
const crd = (rest: object = {}) => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.example.com" },
  spec: {
    group: "example.com",
    scope: "Namespaced",
    names: { plural: "widgets", kind: "Widget", shortNames: ["wd"] },
    versions: [
      version("v1", {
        storage: true,
        subresources: { status: {}, scale: { specReplicasPath: ".spec.port", statusReplicasPath: ".status.replicas" } },
        additionalPrinterColumns: [
          { name: "Port", type: "integer", jsonPath: ".spec.port" },
          { name: "First", type: "string", jsonPath: ".spec.items[0].name", priority: 1 },
        ],
      }),
      version("v1beta1", { deprecated: true }),
    ],
    ...rest,
  },
});
const widget = (name: string, spec: object = { port: 80 }) => ({
  apiVersion: "example.com/v1",
  kind: "Widget",
  metadata: { name, namespace: "default" },
  spec,
});

test("is established at once, served, and described", async () => {
  const made = await api.create(crd());
  expect(made["spec"].names).toMatchObject({ singular: "widget", listKind: "WidgetList" });
  const { body } = await api.send("GET", `${crds}/widgets.example.com`);
  expect(body.status).toMatchObject({ acceptedNames: { kind: "Widget" }, storedVersions: ["v1"] });
  expect(body.status.conditions.map(({ type, status }: { type: string; status: string }) => `${type}=${status}`)).toEqual([
    "NamesAccepted=True",
    "Established=True",
  ]);
  expect((await api.send("GET", "/apis/example.com/v1")).body.resources.map(({ name }: { name: string }) => name)).toEqual([
    "widgets",
    "widgets/scale",
    "widgets/status",
  ]);
  const document = await api.send("GET", "/openapi/v3/apis/example.com/v1");
  expect(document.body.components.schemas["com.example.v1.Widget"]["x-kubernetes-group-version-kind"]).toEqual([
    { group: "example.com", version: "v1", kind: "Widget" },
  ]);
});

test("defaults, prunes, keeps what it is told to keep", async () => {
  const made = await api.create(
    widget("w1", {
      port: 80,
      target: "http",
      unknown: 1,
      free: { any: { thing: 1 } },
      labels: { a: "b" },
      nothing: null,
      items: [{ name: "x", other: 1 }],
      template: { apiVersion: "v1", kind: "Pod", metadata: { labels: { a: "b" } }, spec: { a: "1", b: "2" }, gone: 1 },
    }),
    "widgets",
  );
  expect(made["spec"]).toEqual({
    port: 80,
    target: "http",
    mode: "a",
    free: { any: { thing: 1 } },
    labels: { a: "b" },
    nothing: null,
    items: [{ name: "x", value: 7 }],
    template: { apiVersion: "v1", kind: "Pod", metadata: { labels: { a: "b" } }, spec: { a: "1" } },
  });
});

test.each([
  [{}, ["spec.port: Required value"]],
  [{ port: "80" }, ['spec.port: Invalid value: "string": spec.port in body must be of type integer: "string"']],
  [{ port: 0 }, ["spec.port: Invalid value: 0: spec.port in body should be greater than or equal to 1"]],
  [{ port: 1, mode: "c" }, ['spec.mode: Unsupported value: "c": supported values: "a", "b"']],
  [{ port: 1, name: "A" }, ["spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"]],
  [{ port: 1, name: "abcdef" }, ["spec.name: Too long: may not be more than 5 bytes"]],
  [{ port: 1, target: {} }, ['spec.target: Invalid value: "object": spec.target in body must be of type integer,string: "object"']],
  [{ port: 1, labels: { a: 1 } }, ['spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"']],
  [{ port: 1, items: [{ name: "a" }, { name: "a" }] }, ['spec.items[1]: Duplicate value: {"name":"a"}']],
  [{ port: 1, items: [{ name: "a" }, { name: "b" }, { name: "c" }] }, ["spec.items: Too many: 3: must have at most 2 items"]],
  [
    { port: 1, selector: { x: "1", y: "2" } },
    ['spec.selector: Invalid value: "": "spec.selector" must validate one and only one schema (oneOf). Found 2 valid'],
  ],
])("refuses %j naming the field", async (spec, messages) => {
  const reply = await api.send("POST", widgets, { body: widget("bad", spec) });
  expect(reply.status).toBe(422);
  expect(reply.body.details.causes.map(({ field, message }: { field: string; message: string }) => `${field}: ${message}`)).toEqual(
    messages,
  );
});

test("status and scale stand apart; other versions convert and warn", async () => {
  const made = await api.create({ ...widget("w2"), status: { ready: true } }, "widgets");
  expect(made["status"]).toBeUndefined();
  const status = await api.send("PATCH", `${widgets}/w2/status`, {
    type: "application/merge-patch+json",
    body: { spec: { port: 1 }, status: { ready: true, replicas: 3 } },
  });
  expect(status.body).toMatchObject({ metadata: { generation: 1 }, spec: { port: 80 }, status: { ready: true } });
  expect((await api.send("GET", `${widgets}/w2/scale`)).body).toMatchObject({ spec: { replicas: 80 }, status: { replicas: 3 } });
  const old = await api.send("GET", "/apis/example.com/v1beta1/namespaces/default/widgets/w2");
  expect(old.body.apiVersion).toBe("example.com/v1beta1");
  expect(old.headers.get("warning")).toBe('299 - "example.com/v1beta1 Widget is deprecated"');
  const table = await api.send("GET", `${widgets}/w1`, { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
  expect(table.body.columnDefinitions.map(({ name, priority }: { name: string; priority: number }) => `${name} ${priority}`)).toEqual([
    "Name 0",
    "Port 0",
    "First 1",
  ]);
  expect(table.body.rows[0].cells).toEqual(["w1", 80, "x"]);
});

test("server-side apply merges the schema's keyed lists", async () => {
  const apply = (manager: string, items: object[]) =>
    api.send("PATCH", `${widgets}/ssa?fieldManager=${manager}`, {
      type: "application/apply-patch+yaml",
      body: { apiVersion: "example.com/v1", kind: "Widget", spec: { port: 1, items } },
    });
  await apply("one", [{ name: "a", value: 1 }]);
  const both = await apply("two", [{ name: "b", value: 2 }]);
  expect(both.body.spec.items).toEqual([
    { name: "a", value: 1 },
    { name: "b", value: 2 },
  ]);
  expect((await apply("two", [{ name: "a", value: 9 }])).body.message).toBe(
    'Apply failed with 1 conflict: conflict with "one": .spec.items[name="a"].value',
  );
});

describe("a definition itself", () => {
  const bad = (change: (body: ReturnType<typeof crd> & { spec: { versions: { schema: unknown; storage: boolean }[] } }) => void) => {
    const body = JSON.parse(
      JSON.stringify(crd()).replaceAll("widget", "gadget").replaceAll("Widget", "Gadget").replaceAll('"wd"', '"gd"'),
    ) as Parameters<typeof change>[0];
    change(body);
    return api.send("POST", crds, { body });
  };
  test.each([
    [
      "without a type at the root",
      (body) => void ((body.spec.versions[0] as { schema: unknown }).schema = { openAPIV3Schema: {} }),
      'spec.versions[0].schema.openAPIV3Schema.type: Invalid value: "": must be "object" at the root',
    ],
    [
      "with a wrong name",
      (body) => void (body.metadata.name = "x.example.com"),
      'metadata.name: Invalid value: "x.example.com": must be spec.names.plural+"."+spec.group',
    ],
    [
      "with two storage versions",
      (body) => void ((body.spec.versions[1] as { storage: boolean }).storage = true),
      "must have exactly one version marked as storage version",
    ],
    [
      "with a broken pattern",
      (body) =>
        void ((body.spec.versions[0] as { schema: unknown }).schema = {
          openAPIV3Schema: { type: "object", properties: { a: { type: "string", pattern: "(" } } },
        }),
      "spec.versions[0].schema.openAPIV3Schema.properties[a].pattern: Invalid value",
    ],
    [
      "with a default that is wrong",
      (body) =>
        void ((body.spec.versions[0] as { schema: unknown }).schema = {
          openAPIV3Schema: { type: "object", properties: { a: { type: "string", default: 1 } } },
        }),
      "properties[a].default: Invalid value",
    ],
  ] as [string, Parameters<typeof bad>[0], string][])("%s is refused", async (_, change, message) => {
    const reply = await bad(change);
    expect(reply.status).toBe(422);
    expect(reply.body.message).toContain(message);
  });
  test("with names in use is stored but not served", async () => {
    const reply = await bad((body) => void ((body.spec.names as { shortNames: string[] }).shortNames = ["wd"]));
    expect(reply.status).toBe(201);
    const { body } = await api.send("GET", `${crds}/gadgets.example.com`);
    expect(body.status.conditions.find(({ type }: { type: string }) => type === "NamesAccepted")).toMatchObject({
      status: "False",
      message: '"wd" is already in use',
    });
    expect((await api.send("GET", "/apis/example.com/v1/gadgets")).status).toBe(404);
  });
});

test("deleting it deletes its objects, and waits for those that are held", async () => {
  await api.create({ ...widget("held"), metadata: { name: "held", namespace: "default", finalizers: ["example.com/hold"] } }, "widgets");
  const watch = new WatchReader(api, `${crds}?watch=true&fieldSelector=metadata.name%3Dwidgets.example.com`);
  await api.send("DELETE", `${crds}/widgets.example.com`);
  const left = await api.send("GET", widgets);
  expect(left.body.items.map(({ metadata }: { metadata: { name: string } }) => metadata.name)).toEqual(["held"]);
  await api.send("PATCH", `${widgets}/held`, { type: "application/merge-patch+json", body: { metadata: { finalizers: null } } });
  await watch.until(({ type }) => type === "DELETED");
  watch.close();
  expect((await api.send("GET", widgets)).status).toBe(404);
});
