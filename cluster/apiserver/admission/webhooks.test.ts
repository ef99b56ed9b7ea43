import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { createPki } from "../pki.ts";
import { startTestServer, type TestServer } from "../testing.ts";

interface Review {
  apiVersion: string;
  request: {
    uid: string;
    operation: string;
    object: { metadata: { name: string; labels?: Record<string, string> } };
    oldObject: unknown;
    userInfo: { username: string };
    namespace: string;
    resource: { resource: string };
    subResource?: string;
    dryRun: boolean;
  };
}
type Answer = Record<string, unknown> | "hang" | "garbage";

let api: TestServer;
let webhook: ReturnType<typeof Bun.serve>;
let answer: (review: Review, path: string) => Answer = () => ({ allowed: true });
let seen: Review[] = [];
const serverName = "injector.mesh.svc";

beforeAll(async () => {
  let port = 0;
  api = await startTestServer({ resolveService: () => ({ host: "127.0.0.1", port }) });
  const pki = await createPki(`${api.dir}/webhook`, { serverNames: [serverName] });
  ca = Buffer.from(pki.ca).toString("base64");
  webhook = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: pki.server,
    async fetch(request) {
      const review = (await request.json()) as Review;
      seen.push(review);
      const response = answer(review, new URL(request.url).pathname);
      if (response === "hang") return new Promise<Response>(() => {});
      if (response === "garbage") return new Response("no json");
      return Response.json({ apiVersion: review.apiVersion, kind: "AdmissionReview", response: { uid: review.request.uid, ...response } });
    },
  });
  port = webhook.port as number;
});
let ca = "";
afterAll(async () => {
  await webhook.stop(true);
  api.close();
});
const group = "/apis/admissionregistration.k8s.io/v1";
afterEach(async () => {
  for (const kind of ["mutating", "validating"]) await api.send("DELETE", `${group}/${kind}webhookconfigurations`);
  answer = () => ({ allowed: true });
  seen = [];
});

const configure = (kind: "Mutating" | "Validating", rest: object = {}, caBundle = ca) =>
  api.create({
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: `${kind}WebhookConfiguration`,
    metadata: { name: "hooks" },
    webhooks: [
      {
        name: "hook.mesh.io",
        clientConfig: { service: { namespace: "mesh", name: "injector", path: "/hook" }, caBundle },
        rules: [{ operations: ["CREATE", "UPDATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] }],
        admissionReviewVersions: ["v1", "v1beta1"],
        sideEffects: "None",
        ...rest,
      },
    ],
  });
const configMaps = "/api/v1/namespaces/default/configmaps";
const post = (name: string, labels: Record<string, string> = {}, query = "") =>
  api.send("POST", `${configMaps}${query}`, { body: { metadata: { name, labels } } });
const patch = (...operations: object[]) => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});

test("a mutating webhook sees the review of the real server and patches", async () => {
  answer = () => ({ ...patch({ op: "add", path: "/metadata/annotations", value: { injected: "yes" } }), warnings: ["mind the gap"] });
  const made = await configure("Mutating");
  expect(made["webhooks"][0]).toMatchObject({
    failurePolicy: "Fail",
    matchPolicy: "Equivalent",
    timeoutSeconds: 10,
    reinvocationPolicy: "Never",
    namespaceSelector: {},
    objectSelector: {},
    clientConfig: { service: { port: 443 } },
    rules: [{ scope: "*" }],
  });
  const reply = await post("m1", {}, "?dryRun=All");
  expect(reply.body.metadata.annotations).toEqual({ injected: "yes" });
  expect(reply.headers.get("warning")).toBe('299 - "mind the gap"');
  expect(seen).toHaveLength(1);
  expect(seen[0]).toMatchObject({
    apiVersion: "admission.k8s.io/v1",
    request: {
      operation: "CREATE",
      namespace: "default",
      resource: { resource: "configmaps" },
      object: { kind: "ConfigMap", metadata: { name: "m1" } },
      oldObject: null,
      userInfo: { username: "kubernetes-admin" },
      dryRun: true,
      options: { kind: "CreateOptions" },
    },
  } as never);
});

test("a validating webhook refuses in the real server's words", async () => {
  await configure("Validating");
  for (const [response, status, message] of [
    [{ allowed: false, status: { message: "not today" } }, 403, 'admission webhook "hook.mesh.io" denied the request: not today'],
    [{ allowed: false, status: { code: 409, reason: "Conflict" } }, 409, 'admission webhook "hook.mesh.io" denied the request: Conflict'],
    [{ allowed: false }, 403, 'admission webhook "hook.mesh.io" denied the request without explanation'],
  ] as const) {
    answer = () => response;
    expect((await post("v1")).body).toMatchObject({ code: status, message });
  }
  answer = () => ({ allowed: true });
  expect((await post("v1")).status).toBe(201);
  const update = await api.send("PATCH", `${configMaps}/v1`, { type: "application/merge-patch+json", body: { data: { a: "b" } } });
  expect(update.status).toBe(200);
  expect(seen.at(-1)?.request.oldObject).toMatchObject({ metadata: { name: "v1" } });
});

test("objectSelector, namespaceSelector, rules and subresources decide whom it concerns", async () => {
  answer = () => ({ allowed: false });
  await configure("Validating", { objectSelector: { matchLabels: { inject: "true" } } });
  expect((await post("s1")).status).toBe(201);
  expect((await post("s2", { inject: "true" })).status).toBe(403);
  await api.send("DELETE", `${group}/validatingwebhookconfigurations/hooks`);
  await configure("Validating", {
    namespaceSelector: { matchExpressions: [{ key: "kubernetes.io/metadata.name", operator: "NotIn", values: ["default"] }] },
  });
  expect((await post("s3")).status).toBe(201);
  await api.send("DELETE", `${group}/validatingwebhookconfigurations/hooks`);
  await configure("Validating", { rules: [{ operations: ["DELETE"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*"] }] });
  expect((await post("s4")).status).toBe(201);
  expect((await api.send("DELETE", `${configMaps}/s4`)).status).toBe(403);
});

test("a webhook that fails: Fail refuses, Ignore goes on, each after its timeout at the latest", async () => {
  answer = () => "garbage";
  await configure("Validating");
  expect((await post("f1")).body).toMatchObject({
    code: 500,
    reason: "InternalError",
    message: expect.stringContaining('Internal error occurred: failed calling webhook "hook.mesh.io"'),
  });
  await api.send("DELETE", `${group}/validatingwebhookconfigurations/hooks`);
  answer = () => "hang";
  await configure("Validating", { timeoutSeconds: 1, failurePolicy: "Ignore" });
  expect((await post("f2")).status).toBe(201);
  await api.send("DELETE", `${group}/validatingwebhookconfigurations/hooks`);
  // a certificate of another authority
  await configure("Mutating", {}, Buffer.from(api.pki.ca).toString("base64"));
  expect((await post("f3")).body.message).toMatch(
    /failed calling webhook "hook.mesh.io": failed to call webhook: Post "https:\/\/injector.mesh.svc:443\/hook\?timeout=10s": /,
  );
});

test("a patch that does not fit, and configurations that are malformed", async () => {
  answer = () => patch({ op: "remove", path: "/data/none" });
  await configure("Mutating");
  expect((await post("p1")).body.message).toContain('admission webhook "hook.mesh.io" returned a bad patch');
  await api.send("DELETE", `${group}/mutatingwebhookconfigurations/hooks`);
  const bad = await api.send("POST", `${group}/mutatingwebhookconfigurations`, {
    body: { metadata: { name: "bad" }, webhooks: [{ name: "x", clientConfig: {}, sideEffects: "Some", timeoutSeconds: 60 }] },
  });
  expect(bad.body.details.causes.map(({ field }: { field: string }) => field)).toEqual([
    "webhooks[0].name",
    "webhooks[0].admissionReviewVersions",
    "webhooks[0].sideEffects",
    "webhooks[0].timeoutSeconds",
    "webhooks[0].clientConfig",
  ]);
});
