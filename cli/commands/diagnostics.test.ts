// `diagnostics`: metrics of pods and what discovery knows, over port-forwards of a real API server (spec cli §3.2, cases 72–73).
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Server } from "bun";
import { type AnyObject, Resources } from "#kube";
import { installControlPlane, runDeployment, setPodStatus, startWorld, type World, writeIn } from "../testing/world.ts";
import { endpointTables } from "./diagnostics.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

let world: World;
let admin: Server<undefined>;
let destination: Awaited<ReturnType<typeof startDestination>>;
const big = `# HELP big of more than a socket's buffer\n${Array.from({ length: 40_000 }, (_, i) => `big{i="${i}"} ${i}\n`).join("")}`;

beforeAll(async () => {
  world = await startWorld();
  admin = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => (url.endsWith("/metrics") ? new Response(big) : new Response("", { status: 404 })),
  });
  await installControlPlane(world);
  await world.kubectl(["apply", "-f", "-"], app);
  await runDeployment(world, "default", "web");
  for (const pod of [
    "default/web-5d8-x2k:4191",
    "default/shy:9",
    "linkerd/linkerd-destination-5d8-x2k:9996",
    "linkerd/linkerd-identity-5d8-x2k:9990",
  ])
    world.node.ports.set(pod, admin.port as number);
  destination = await startDestination();
  world.node.ports.set("linkerd/linkerd-destination-5d8-x2k:8086", destination.port);
});
afterAll(async () => {
  await destination?.stop();
  await admin?.stop(true);
  await world.close();
});

const app = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "web:1", ports: [{containerPort: 8080}]}]
      initContainers: [{name: linkerd-proxy, image: "p:1", restartPolicy: Always, ports: [{name: linkerd-admin, containerPort: 4191}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: empty, namespace: default}
spec:
  selector: {matchLabels: {app: empty}}
  template: {metadata: {labels: {app: empty}}, spec: {containers: [{name: a, image: "a:1"}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: default}
spec: {selector: {app: empty}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: default}
spec: {type: ExternalName, externalName: example.org}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: default}
subsets:
- addresses:
  - {ip: 10.244.0.7, targetRef: {kind: Pod, name: web-5d8-x2k, namespace: default}}
  ports: [{port: 8080}]
`;

/** The real role, as a process, against the test's API server. */
async function startDestination() {
  const { status } = await world.client.create<AnyObject & { status: { token: string } }>(
    { ...Resources.serviceAccounts, namespace: "linkerd", name: "linkerd-destination", subresource: "token" },
    { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} },
  );
  const { server, tls } = world.client.config;
  const kubeconfig = writeIn(
    world,
    "destination.kubeconfig",
    JSON.stringify({
      "current-context": "a",
      contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
      clusters: [{ name: "a", cluster: { server, "certificate-authority-data": Buffer.from(tls.ca ?? "").toString("base64") } }],
      users: [{ name: "a", user: { token: status.token } }],
    }),
  );
  const child = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, "../../main.ts"),
      "destination",
      `-kubeconfig=${kubeconfig}`,
      "-addr=127.0.0.1:0",
      "-metrics-addr=127.0.0.1:0",
      "-cluster-domain=cluster.local",
      "-identity-trust-domain=cluster.local",
    ],
    { stdout: "pipe", stderr: "inherit" },
  );
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    const found = /msg="destination serves" .*?grpc=(\d+)/.exec(text);
    if (found)
      return {
        port: Number(found[1]),
        async stop() {
          child.kill("SIGTERM");
          await child.exited;
        },
      };
  }
  throw new Error(`the destination ended: ${text}`);
}

describe("proxy-metrics", () => {
  test("the whole page of each pod under its header", async () => {
    for (const target of ["deploy/web", "po/web-5d8-x2k", "rs/web-5d8"])
      expect(await world.cli(["diagnostics", "proxy-metrics", target])).toEqual({
        status: 0,
        stdout: `#\n# POD web-5d8-x2k (1 of 1)\n#\n${big}`,
        stderr: "",
      });
  });

  test("a pod that cannot be asked has its error in the page's place", async () => {
    const pods = { ...Resources.pods, namespace: "default" };
    const pod = (name: string, ports: object[]) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: { nodeName: "node", containers: [{ name: "linkerd-proxy", image: "p:1", ports }] },
    });
    await world.client.create(pods, pod("shy", [{ name: "linkerd-admin", containerPort: 4191 }]));
    await world.client.create(pods, pod("bare", []));
    await setPodStatus(world, "default", "shy");
    await setPodStatus(world, "default", "bare");
    const run = (name: string) => world.cli(["dg", "proxy-metrics", `po/${name}`]);
    expect(await run("shy")).toEqual({
      status: 0,
      stdout: "#\n# POD shy (1 of 1)\n#\n# ERROR failed to connect to localhost:4191 inside namespace: connection refused\n",
      stderr: "",
    });
    expect((await run("bare")).stdout).toEndWith("#\n# ERROR no port linkerd-admin in pod bare: it has no proxy\n");
    await setPodStatus(world, "default", "shy", { phase: "Pending" });
    expect((await run("shy")).stdout).toEndWith("#\n# ERROR pod not running: shy\n");
  });

  test.each([
    [["deploy"], 1, "no resource name provided\n"],
    [["svc/web"], 1, "unsupported resource type [service]\n"],
    [["frob/web"], 1, "cannot find Kubernetes canonical name from friendly name [frob]\n"],
    [["deploy/web/a"], 1, "Invalid resource string: deploy/web/a\n"],
    [["deploy/none"], 1, 'deployments.apps "none" not found\n'],
    [["deploy/empty"], 0, "No pods found for deploy/empty in namespace default.\n"],
    [
      ["deploy/web", "--as=eve"],
      1,
      'deployments.apps "web" is forbidden: User "eve" cannot get resource "deployments" in API group "apps" in the namespace "default"\n',
    ],
  ])("%j", async (words, status, stderr) => {
    expect(await world.cli(["diagnostics", "proxy-metrics", ...words])).toEqual({ status, stdout: "", stderr });
  });
});

test("controller-metrics: every container with a port admin-http, by pod and container", async () => {
  const { status, stdout, stderr } = await world.cli(["diagnostics", "cp-metrics", "-w", "5s"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const headers = stdout.split("\n").filter((line) => line.startsWith("#") && !line.startsWith("# HELP"));
  expect(headers.slice(0, 4)).toEqual(["#", "# POD linkerd-destination-5d8-x2k (1 of 4)", "# CONTAINER destination ", "#"]);
  expect(headers).toContain("# POD linkerd-identity-5d8-x2k (3 of 4)");
  expect(stdout).toContain("# POD linkerd-proxy-injector-5d8-x2k (4 of 4)\n# ERROR ");
});

describe("endpoints", () => {
  const endpoints = (...words: string[]) => world.cli(["diagnostics", "endpoints", ...words]);

  test("a table; the same as JSON", async () => {
    expect(await endpoints("web.default.svc.cluster.local:80")).toEqual({
      status: 0,
      stderr: "",
      stdout: "NAMESPACE   IP           PORT   POD           SERVICE\ndefault     10.244.0.7   8080   web-5d8-x2k   web.default\n",
    });
    const { stdout } = await endpoints("-o", "json", "web.default.svc.cluster.local:80", "empty.default.svc.cluster.local:80");
    expect(JSON.parse(stdout)).toEqual([
      { namespace: "default", ip: "10.244.0.7", port: 8080, pod: "web-5d8-x2k", service: "web.default" },
    ]);
    expect(stdout).toStartWith('[\n  {\n    "namespace": "default",\n');
  });

  test("nothing to show is a note", async () => {
    for (const authority of ["empty.default.svc.cluster.local:80", "none.default.svc.cluster.local:80"]) {
      expect(await endpoints(authority)).toEqual({ status: 0, stdout: "", stderr: "No endpoints found.\n" });
      expect((await endpoints("-o=json", authority)).stdout).toBe("[]\n");
    }
  });

  test("what is no name of a Service is told in the server's words", async () => {
    const rows = [
      ["foo", "Invalid authority"],
      ["elsewhere.default.svc.cluster.local:80", "Invalid authority"],
      ["10.0.0.1:80", "IP queries not supported by Get API: host=10.0.0.1"],
    ] as const;
    for (const [authority, message] of rows) {
      const { status, stdout, stderr } = await endpoints("web.default.svc.cluster.local:80", authority);
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toStartWith(`Destination API error: ${message}`);
    }
  });

  test("no control plane; no rights", async () => {
    expect(await world.cli(["diagnostics", "endpoints", "a:1", "-L", "none"])).toEqual({
      status: 1,
      stdout: "",
      stderr: "no running pods found for linkerd-destination\n",
    });
    expect((await endpoints("a:1", "--as=eve")).stderr).toContain('is forbidden: User "eve" cannot list resource');
  });

  test("a table for each namespace", () => {
    const row = (namespace: string, pod: string) => ({ namespace, ip: "10.0.0.1", port: 1, pod, service: `s.${namespace}` });
    expect(endpointTables([row("b", "x"), row("a", "long-name"), row("b", "y")])).toBe(
      "NAMESPACE   IP         PORT   POD         SERVICE\na           10.0.0.1   1      long-name   s.a\n\nNAMESPACE   IP         PORT   POD   SERVICE\nb           10.0.0.1   1      x     s.b\nb           10.0.0.1   1      y     s.b\n",
    );
  });
});
