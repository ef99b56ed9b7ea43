import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startTestServer, type TestServer } from "../testing.ts";

let api: TestServer;
let clock = Date.parse("2026-01-01T00:00:00Z");
beforeAll(async () => {
  api = await startTestServer({
    now: () => clock,
    staticTokens: [{ token: "admin-token", user: { name: "root", groups: ["system:masters"] } }],
  });
  await api.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "web", namespace: "default" } });
});
afterAll(() => api.close());

const account = "/api/v1/namespaces/default/serviceaccounts/web";
const issue = async (spec: object = {}) =>
  (await api.send("POST", `${account}/token`, { body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec } })).body;
const whoami = async (options: Parameters<TestServer["send"]>[2]) =>
  (await api.send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", { ...options, body: {} })).body;
const review = async (token: string, audiences?: string[]) =>
  (
    await api.send("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
      body: { spec: { token, ...(audiences ? { audiences } : {}) } },
    })
  ).body.status;

describe("who asks", () => {
  test("certificates, tokens, nobody", async () => {
    expect((await whoami({})).status.userInfo).toEqual({
      username: "kubernetes-admin",
      groups: ["system:masters", "system:authenticated"],
    });
    expect((await whoami({ token: "admin-token" })).status.userInfo.username).toBe("root");
    expect((await api.send("GET", "/api/v1/nodes", { as: "node" })).status).toBe(200);
    expect((await api.send("GET", "/version", { as: "nobody" })).status).toBe(200);
    expect((await api.send("GET", "/api/v1/pods", { as: "nobody" })).body).toMatchObject({
      code: 403,
      message: 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope',
    });
    expect((await api.send("GET", "/metrics", { as: "nobody" })).body.message).toBe(
      'forbidden: User "system:anonymous" cannot get path "/metrics"',
    );
    expect((await api.send("GET", "/version", { token: "wrong" })).body).toMatchObject({
      code: 401,
      reason: "Unauthorized",
      message: "Unauthorized",
    });
  });
  test("service-account tokens: audience, expiry, bound pod", async () => {
    const made = await issue();
    expect(made).toMatchObject({
      spec: { audiences: ["https://kubernetes.default.svc.cluster.local"], expirationSeconds: 3600 },
      status: { expirationTimestamp: "2026-01-01T01:00:00Z" },
    });
    expect((await whoami({ token: made.status.token })).status.userInfo).toMatchObject({
      username: "system:serviceaccount:default:web",
      groups: ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
    });
    const other = (await issue({ audiences: ["identity.l5d.io"] })).status.token;
    expect(await review(other, ["identity.l5d.io"])).toMatchObject({
      authenticated: true,
      audiences: ["identity.l5d.io"],
      user: { username: "system:serviceaccount:default:web" },
    });
    expect((await review(other)).error).toContain("is invalid for the target audiences");
    expect((await api.send("GET", "/version", { token: other })).status).toBe(401);
    const { metadata } = await api.create({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: { serviceAccountName: "web", containers: [{ name: "c", image: "x" }] },
    });
    const bound = (await issue({ boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "p", uid: metadata.uid } })).status.token;
    expect((await review(bound)).user.extra).toMatchObject({
      "authentication.kubernetes.io/pod-name": ["p"],
      "authentication.kubernetes.io/pod-uid": [metadata.uid],
    });
    await api.send("DELETE", "/api/v1/namespaces/default/pods/p");
    expect(await review(bound)).toEqual({ user: {}, error: "[invalid bearer token, pod default/p has been deleted]" });
    clock += 3_601_000;
    expect((await review(made.status.token)).error).toContain("service account token has expired");
    expect((await review(`${made.status.token.slice(0, -4)}AAAA`)).error).toContain("token was not signed by this cluster");
    expect((await issue({ expirationSeconds: 10 })).message).toContain(
      "spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes",
    );
    expect((await issue({ boundObjectRef: { kind: "Pod", name: "none" } })).message).toBe('pods "none" not found');
  });
});

describe("what they may", () => {
  const role = (name: string, rules: object[], rest: object = {}) =>
    api.create({ apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name }, rules, ...rest });
  const bind = (name: string, roleName: string, subject: object, namespace?: string) =>
    api.create({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: namespace ? "RoleBinding" : "ClusterRoleBinding",
      metadata: { name, ...(namespace ? { namespace } : {}) },
      roleRef: { kind: "ClusterRole", name: roleName },
      subjects: [subject],
    });
  const can = async (user: string, verb: string, resource: string, rest: object = {}) =>
    (
      await api.send("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
        body: { spec: { user, groups: ["system:authenticated"], resourceAttributes: { verb, resource, ...rest } } },
      })
    ).body.status.allowed;
  test("by namespace, by name, by subresource", async () => {
    await role("reader", [
      { apiGroups: [""], resources: ["pods", "pods/log"], verbs: ["get"] },
      { apiGroups: [""], resources: ["configmaps"], resourceNames: ["one"], verbs: ["*"] },
    ]);
    await bind("b1", "reader", { kind: "User", name: "ann" }, "default");
    const asks: [string, string, object, boolean][] = [
      ["get", "pods", { namespace: "default" }, true],
      ["get", "pods", { namespace: "kube-system" }, false],
      ["get", "pods", {}, false],
      ["list", "pods", { namespace: "default" }, false],
      ["get", "pods", { namespace: "default", subresource: "log" }, true],
      ["get", "pods", { namespace: "default", subresource: "exec" }, false],
      ["update", "configmaps", { namespace: "default", name: "one" }, true],
      ["update", "configmaps", { namespace: "default", name: "two" }, false],
    ];
    for (const [verb, resource, rest, allowed] of asks)
      expect([verb, resource, rest, await can("ann", verb, resource, rest)]).toEqual([verb, resource, rest, allowed]);
  });
  test("aggregated roles gather rules, also later ones", async () => {
    const view = async () => JSON.stringify((await api.send("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/view")).body.rules);
    expect(await view()).toContain('"pods/log"');
    await role("more", [{ apiGroups: ["policy.linkerd.io"], resources: ["servers"], verbs: ["get"] }]);
    expect(await view()).not.toContain("servers");
    await api.send("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/more", {
      type: "application/merge-patch+json",
      body: { metadata: { labels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" } } },
    });
    expect(await view()).toContain("servers");
    await bind("b2", "edit", { kind: "ServiceAccount", name: "web", namespace: "default" });
    expect(await can("system:serviceaccount:default:web", "get", "servers", { group: "policy.linkerd.io" })).toBe(true);
  });
  test("an apply that creates needs the right to create", async () => {
    await role("patcher", [{ apiGroups: [""], resources: ["configmaps"], verbs: ["patch", "get"] }]);
    await bind("b3", "patcher", { kind: "User", name: "pat" }, "default");
    const apply = () =>
      api.send("PATCH", "/api/v1/namespaces/default/configmaps/new?fieldManager=x", {
        type: "application/apply-patch+yaml",
        body: { apiVersion: "v1", kind: "ConfigMap" },
        headers: { "impersonate-user": "pat" },
      });
    expect((await apply()).body.message).toBe(
      'configmaps "new" is forbidden: User "pat" cannot create resource "configmaps" in API group "" in the namespace "default"',
    );
    await api.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "new", namespace: "default" } });
    expect((await apply()).status).toBe(200);
  });
  test("impersonation is a right of its own", async () => {
    const as = (user: string, options: object = {}) =>
      api.send("GET", "/api/v1/namespaces/default/pods/x", { headers: { "impersonate-user": user }, ...options });
    expect((await as("ann")).status).toBe(404);
    expect((await as("eve")).body.message).toBe(
      'pods "x" is forbidden: User "eve" cannot get resource "pods" in API group "" in the namespace "default"',
    );
    expect((await as("ann", { as: "node" })).body.message).toBe(
      'users "ann" is forbidden: User "system:node:local" cannot impersonate resource "users" in API group "" at the cluster scope',
    );
  });
  test("reviews that ask nothing", async () => {
    expect((await api.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", { body: { spec: {} } })).status).toBe(422);
    const rules = await api.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
      body: { spec: { namespace: "default" } },
    });
    expect(rules.body.status.resourceRules).toEqual([{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }]);
  });
});
