// `authz`, `version` and `uninstall` against a real API server (spec cli §3.1, §3.11, §3.12, cases 8, 55, 56, 71).
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseAllDocuments } from "yaml";
import { type AnyObject, type Pod, Resources } from "#kube";
import { VERSION } from "#version";
import { proxyVersion } from "../pods.ts";
import { CheckBench } from "../testing/checks.ts";
import { installControlPlane, runDeployment, startWorld, type World, writeIn } from "../testing/world.ts";
import { authorizationRows } from "./authz.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

let world: World;
let bench: CheckBench;

const app = `apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec: {containers: [{name: web, image: "web:1", ports: [{name: http, containerPort: 8080}, {containerPort: 9090}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: quiet, namespace: shop}
spec:
  selector: {matchLabels: {app: quiet}}
  template: {metadata: {labels: {app: quiet, tier: front}}, spec: {containers: [{name: a, image: "a:1"}]}}
`;
const server = (name: string, spec: string, labels = "{}") => `---
apiVersion: policy.linkerd.io/v1beta1
kind: Server
metadata: {name: ${name}, namespace: shop, labels: ${labels}}
spec: ${spec}
`;
const authorization = (name: string, of: string) => `---
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: {name: ${name}, namespace: shop}
spec: {server: ${of}, client: {unauthenticated: true}}
`;

beforeAll(async () => {
  world = await startWorld();
  bench = new CheckBench(world);
  await installControlPlane(world);
  await world.kubectl(["apply", "-f", "-"], app);
  await runDeployment(world, "shop", "web");
  await runDeployment(world, "shop", "quiet");
  await world.kubectl(
    ["apply", "-f", "-"],
    [
      server("web-http", "{podSelector: {matchLabels: {app: web}}, port: http}", "{kind: edge}"),
      server("web-admin", "{podSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}, port: 9090}"),
      server("all-8080", "{podSelector: {}, port: 8080}", "{kind: edge}"),
      authorization("by-name", "{name: web-http}"),
      authorization("by-label", "{selector: {matchLabels: {kind: edge}}}"),
      authorization("by-expression", "{selector: {matchExpressions: [{key: kind, operator: DoesNotExist}]}}"),
      authorization("for-all", "{selector: {}}"),
    ].join(""),
  );
});
afterEach(() => bench.restore());
afterAll(() => world.close());

describe("authz", () => {
  const table = `     SERVER  AUTHORIZATION  
  web-admin  by-expression  
   all-8080       by-label  
   web-http       by-label  
   web-http        by-name  
   all-8080        for-all  
  web-admin        for-all  
   web-http        for-all  
`;
  const width = (text: string) => text.replaceAll(/^ {2}/gm, "");

  test("a row for each Server that takes a pod and each of its authorizations, by every form of the target", async () => {
    for (const words of [["deploy/web"], ["deploy", "web"], ["deployment/web"], ["po/web-5d8-x2k"], ["rs/web-5d8"], ["po"], ["deploy/"]])
      expect(await world.cli(["authz", "-n", "shop", ...words])).toEqual({ status: 0, stdout: width(table), stderr: "" });
  });

  test("header only: a pod without declared ports; another namespace", async () => {
    const header = "SERVER  AUTHORIZATION  \n";
    expect(await world.cli(["authz", "-n", "shop", "deploy/quiet"])).toEqual({ status: 0, stdout: header, stderr: "" });
    expect(await world.cli(["authz", "deploy"])).toEqual({ status: 0, stdout: header, stderr: "" });
  });

  test("a dangling name is told, and everything else is shown", async () => {
    const ref = { ...Resources.serverAuthorizations, namespace: "shop" };
    await bench.add(ref, {
      apiVersion: "policy.linkerd.io/v1beta1",
      kind: "ServerAuthorization",
      metadata: { name: "dangling", namespace: "shop" },
      spec: { server: { name: "nowhere" }, client: {} },
    } as AnyObject);
    const { status, stdout, stderr } = await world.cli(["authz", "-n", "shop", "deploy/web"]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: width(table) });
    expect(stderr).toBe('serverauthorization shop/dangling: spec.server.name: server "nowhere" does not exist\n');
  });

  test("objects that mean nothing are told by field and harm no other", () => {
    const metadata = (name: string) => ({ name, namespace: "shop" });
    const pod: Pod = {
      metadata: { name: "p", labels: { app: "web" } },
      spec: { containers: [{ name: "c", ports: [{ containerPort: 80 }] }] },
    };
    const good = { metadata: metadata("good"), spec: { podSelector: {}, port: 80 } };
    const bad = { metadata: metadata("bad"), spec: { podSelector: { matchExpressions: [{ key: "app", operator: "Near" }] }, port: 80 } };
    expect(
      authorizationRows(
        [
          { metadata: metadata("a"), spec: { server: { name: "good" } } },
          { metadata: metadata("b"), spec: { server: { name: "bad" } } },
          { metadata: metadata("c") },
        ],
        [good, bad],
        [pod],
      ),
    ).toEqual({
      rows: [["good", "a"]],
      mistakes: [
        'server shop/bad: spec.podSelector.matchExpressions[0].operator: "Near" is not one of In, NotIn, Exists, DoesNotExist',
        "serverauthorization shop/c: spec.server: neither name nor selector is given",
      ],
    });
  });

  test.each([
    [["svc/web"], "unsupported resource type [service]\n"],
    [["Deployment/web"], "cannot find Kubernetes canonical name from friendly name [Deployment]\n"],
    [["deploy/a/b"], "Invalid resource string: deploy/a/b\n"],
    [["deploy/a", "b"], "Invalid resource string: deploy/a b\n"],
    [["deploy/none", "-n", "shop"], 'failed to get pods: deployments.apps "none" not found\n'],
    [
      ["deploy/web", "--as=eve"],
      'failed to get pods: deployments.apps "web" is forbidden: User "eve" cannot get resource "deployments" in API group "apps" in the namespace "default"\n',
    ],
  ])("%j is refused", async (words, stderr) => {
    expect(await world.cli(["authz", ...words])).toEqual({ status: 1, stdout: "", stderr });
  });

  test("who may read pods but not policies", async () => {
    await world.kubectl(["create", "clusterrole", "pods", "--verb=get,list", "--resource=pods"]);
    await world.kubectl(["create", "clusterrolebinding", "pods", "--clusterrole=pods", "--user=adam"]);
    expect((await world.cli(["authz", "po", "--as=adam"])).stderr).toStartWith(
      'Failed to get serverauthorization resources: serverauthorizations.policy.linkerd.io is forbidden: User "adam"',
    );
  });
});

describe("version", () => {
  test("client and server; bare; the client's alone", async () => {
    expect(await world.cli(["version"])).toEqual({
      status: 0,
      stdout: `Client version: ${VERSION}\nServer version: ${VERSION}\n`,
      stderr: "",
    });
    expect((await world.cli(["version", "--short"])).stdout).toBe(`${VERSION}\n${VERSION}\n`);
    expect((await world.cli(["version", "--client"], { env: { KUBECONFIG: "/none" } })).stdout).toBe(`Client version: ${VERSION}\n`);
  });

  test("an installation that cannot be read is unavailable, exit status 0", async () => {
    const unavailable = { status: 0, stdout: `Client version: ${VERSION}\nServer version: unavailable\n`, stderr: "" };
    const down = writeIn(
      world,
      "down.kubeconfig",
      "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n",
    );
    for (const words of [
      ["-L", "other"],
      ["--as", "eve"],
      ["--kubeconfig", down],
    ])
      expect(await world.cli(["version", ...words])).toEqual(unavailable);
    expect((await world.cli(["version", "--proxy", "--as=eve"])).stdout).toEndWith(
      "Server version: unavailable\nProxy versions: unavailable\n",
    );
  });

  test("LINKERD_NAMESPACE names the installation while -L is at its default", async () => {
    const server = async (words: string[]) =>
      (await world.cli(["version", "--short", ...words], { env: { LINKERD_NAMESPACE: "lab" } })).stdout.split("\n")[1];
    await world.kubectl(["create", "namespace", "lab"]);
    await world.kubectl(["create", "configmap", "linkerd-config", "-n", "lab", "--from-literal=values=linkerdVersion: stable-lab"]);
    expect([await server([]), await server(["-L", "linkerd"]), await server(["-L", "other"])]).toEqual([
      "stable-lab",
      "stable-lab",
      "unavailable",
    ]);
  });

  test("proxies are counted by version", async () => {
    const pod = (name: string, image: string) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "shop", labels: { "linkerd.io/control-plane-ns": "linkerd" } },
      spec: { containers: [{ name: "linkerd-proxy", image }] },
    });
    await bench.add({ ...Resources.pods, namespace: "shop" }, pod("old-1", "p:stable-0.0.1"));
    await bench.add({ ...Resources.pods, namespace: "shop" }, pod("old-2", "p:stable-0.0.1"));
    expect((await world.cli(["version", "--proxy"])).stdout).toEndWith(`Proxy versions:\n\tstable-0.0.1 (2 pods)\n\t${VERSION} (3 pods)\n`);
    expect((await world.cli(["version", "--proxy", "-n", "shop"])).stdout).toEndWith("Proxy versions:\n\tstable-0.0.1 (2 pods)\n");
  });

  test("tags of images", () => {
    const of = (image: string) => proxyVersion({ metadata: {}, spec: { initContainers: [{ name: "linkerd-proxy", image }] } });
    expect(["p", "r:5000/a/p", "r:5000/a/p:v1", "p:v1@sha256:00", "p@sha256:00"].map(of)).toEqual([
      "latest",
      "latest",
      "v1",
      "v1",
      "latest",
    ]);
    expect(proxyVersion({ metadata: {}, spec: { containers: [{ name: "app", image: "a:1" }] } })).toBeUndefined();
  });
});

describe("uninstall", () => {
  test("what still uses the control plane holds it back; --force does not ask", async () => {
    await bench.mark({ ...Resources.namespaces, name: "default" }, "labels", { "linkerd.io/extension": "viz" });
    await bench.mark({ ...Resources.pods, namespace: "shop", name: "web-5d8-x2k" }, "labels", { "linkerd.io/control-plane-ns": "linkerd" });
    expect(await world.cli(["uninstall"])).toEqual({
      status: 1,
      stdout: "",
      stderr:
        "Please uninstall the following extensions before uninstalling the control-plane:\n\t* viz\n\nPlease uninject the following resources before uninstalling the control-plane:\n\t* web-5d8-x2k\n\nUse --force to uninstall anyway.\n",
    });
    expect((await world.cli(["uninstall", "-f"])).status).toBe(0);
  });

  test("who may not list is told; nothing is printed", async () => {
    expect(await world.cli(["uninstall", "--as=eve"])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringContaining('User "eve" cannot list resource "namespaces"'),
    });
    expect(await world.cli(["uninstall", "--force", "--as=eve"])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringContaining('cannot list resource "clusterroles"'),
    });
  });

  // The last one: it takes the installation away.
  test("minimal objects, what others need last; kubectl deletes them; then there is nothing to find", async () => {
    const { status, stdout, stderr } = await world.cli(["uninstall"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const objects = parseAllDocuments(stdout).flatMap((document) => (document.toJS() as AnyObject | null) ?? []);
    const order = [
      "ClusterRole",
      "ClusterRoleBinding",
      "CustomResourceDefinition",
      "MutatingWebhookConfiguration",
      "ValidatingWebhookConfiguration",
      "Namespace",
    ];
    expect([...new Set(objects.map(({ kind }) => kind))]).toEqual(order);
    expect(objects.at(-1)).toEqual({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { creationTimestamp: null, name: "linkerd" },
    } as unknown as AnyObject);
    expect(stdout).toStartWith(
      "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  creationTimestamp: null\n  name: ",
    );
    expect(stdout).toEndWith("  name: linkerd\n---\n");
    await world.kubectl(["delete", "--wait=false", "-f", "-"], stdout.replace(/apiVersion: v1\nkind: Namespace[\s\S]*/, ""));
    const left = await world.cli(["uninstall"]);
    expect(left.stdout).toBe(stdout.slice(stdout.indexOf("apiVersion: v1\nkind: Namespace")));
    await world.client.patch(
      { ...Resources.namespaces, name: "linkerd" },
      { metadata: { labels: { "linkerd.io/control-plane-ns": null } } },
    );
    expect(await world.cli(["uninstall", "--force"])).toEqual({ status: 0, stdout: "", stderr: "No resources found to uninstall\n" });
  });
});
