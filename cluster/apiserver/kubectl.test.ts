// The judges: real kubectl and helm against a server in this process.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ServerWebSocket } from "bun";
import { clusterTools, type Tools } from "../tools.ts";
import { startTestServer, type TestServer } from "./testing.ts";

let api: TestServer;
let tools: Tools;
let agent: ReturnType<typeof Bun.serve>;
let env: Record<string, string>;

beforeAll(async () => {
  tools = clusterTools();
  agent = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, server) {
      const url = new URL(request.url);
      if (url.pathname.startsWith("/containerLogs/")) return new Response("a log line\n");
      if (
        url.pathname.startsWith("/exec/") &&
        server.upgrade(request, {
          data: url.searchParams.getAll("command").join(" "),
          headers: { "sec-websocket-protocol": "v5.channel.k8s.io" },
        } as never)
      )
        return undefined;
      return new Response("not found", { status: 404 });
    },
    websocket: {
      open(socket: ServerWebSocket<unknown>) {
        const channel = (number: number, text: string) => socket.send(Buffer.concat([Buffer.of(number), Buffer.from(text)]));
        channel(1, `ran ${socket.data}\n`);
        channel(3, JSON.stringify({ metadata: {}, status: "Success" }));
        socket.close(1000);
      },
      message() {},
    },
  });
  api = await startTestServer({ nodeAgent: `127.0.0.1:${agent.port}` });
  env = { HOME: api.dir, PATH: "/usr/bin:/bin", KUBECONFIG: api.kubeconfig("admin") };
  await api.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: "default" } });
}, 60_000);
afterAll(async () => {
  await agent.stop(true);
  api.close();
});

interface Ran {
  code: number;
  out: string;
  err: string;
}
async function run(program: string, args: string[], input = ""): Promise<Ran> {
  const child = Bun.spawn([program, ...args], { env, stdin: Buffer.from(input), stdout: "pipe", stderr: "pipe", cwd: api.dir });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, out, err };
}
async function ok(program: string, args: string[], input = ""): Promise<string> {
  const { code, out, err } = await run(program, args, input);
  if (code !== 0) throw new Error(`${args.join(" ")}: exit ${code}: ${err}${out}`);
  return out;
}
const kubectl = (...args: string[]) => ok(tools.kubectl, args);
const applied = (text: string, ...args: string[]) => ok(tools.kubectl, ["apply", "-f", "-", ...args], text);

const manifest = (replicas: number, image = "web:1") => `
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers: [{name: web, image: "${image}", ports: [{containerPort: 8080, name: http}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
`;

test("apply is made once, unchanged twice, configured by a change; diff and server-side apply agree", async () => {
  expect(await applied(manifest(2))).toBe("serviceaccount/web created\ndeployment.apps/web created\nservice/web created\n");
  expect(await applied(manifest(2))).toBe("serviceaccount/web unchanged\ndeployment.apps/web unchanged\nservice/web unchanged\n");
  const diff = await run(tools.kubectl, ["diff", "-f", "-"], manifest(3));
  expect(diff.code).toBe(1);
  expect(diff.out).toContain("-  replicas: 2\n+  replicas: 3");
  expect(await applied(manifest(3))).toContain("deployment.apps/web configured");
  expect(await applied(manifest(3), "--server-side")).toContain("deployment.apps/web serverside-applied");
  const conflict = await run(tools.kubectl, ["apply", "--server-side", "--field-manager=other", "-f", "-"], manifest(4));
  expect(conflict.err).toMatch(/Apply failed with 1 conflict: conflict with "kubectl": \.spec\.replicas/);
}, 30_000);

test("a list of objects, which kubectl validates by itself: applied as printed, refused where a field is wrong", async () => {
  const item = (data: unknown) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "of-a-list" }, ...(data as object) });
  const list = (...items: unknown[]) => JSON.stringify({ apiVersion: "v1", kind: "List", items });
  expect(await applied(list(item({ data: { a: "b" } })))).toBe("configmap/of-a-list created\n");
  expect(await applied(await kubectl("get", "configmap/of-a-list", "deploy/web", "-o", "yaml"))).toContain("configmap/of-a-list");
  const refused = await run(tools.kubectl, ["apply", "-f", "-"], list(item({ date: {} })));
  expect(refused.err).toContain('ValidationError(ConfigMap): unknown field "date" in io.k8s.api.core.v1.ConfigMap');
  const mistyped = await run(tools.kubectl, ["apply", "-f", "-"], list(item({ data: ["a"] })));
  expect(mistyped.err).toContain(
    'ValidationError(ConfigMap.data): invalid type for io.k8s.api.core.v1.ConfigMap.data: got "array", expected "map"',
  );
}, 30_000);

test("get shows the columns of the real server", async () => {
  const lines = (text: string) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/));
  expect(lines(await kubectl("get", "deploy,svc,sa"))).toEqual([
    ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"],
    ["deployment.apps/web", "0/3", "0", "0", expect.any(String)],
    [""],
    ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
    ["service/kubernetes", "ClusterIP", "10.96.0.1", "<none>", "443/TCP", expect.any(String)],
    ["service/web", "ClusterIP", expect.stringMatching(/^10\.96\./), "<none>", "80/TCP", expect.any(String)],
    [""],
    ["NAME", "SECRETS", "AGE"],
    ["serviceaccount/default", "0", expect.any(String)],
    ["serviceaccount/web", "0", expect.any(String)],
  ]);
  expect((await kubectl("get", "deploy", "web", "-o", "wide")).split("\n")[0]).toMatch(
    /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR$/,
  );
  expect(await kubectl("get", "all", "-A")).toContain("deployment.apps/web");
  expect(await kubectl("describe", "svc", "web")).toContain("Selector:                 app=web");
}, 30_000);

test("scale, set image, rollout restart, label, annotate, patch, wait", async () => {
  await kubectl("scale", "deploy/web", "--replicas=1");
  await kubectl("set", "image", "deploy/web", "web=web:2");
  await kubectl("rollout", "restart", "deploy/web");
  await kubectl("label", "deploy/web", "tier=front");
  await kubectl("annotate", "deploy/web", "note=hello");
  await kubectl("patch", "deploy", "web", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:1"}]}}}}');
  const { metadata, spec } = JSON.parse(await kubectl("get", "deploy", "web", "-o", "json"));
  expect(metadata).toMatchObject({ labels: { tier: "front" }, annotations: { note: "hello" }, generation: 6 });
  expect(spec.replicas).toBe(1);
  expect(spec.template.spec.containers.map(({ image }: { image: string }) => image).sort()).toEqual(["side:1", "web:2"]);
  expect(spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"]).toBeDefined();
  expect(await kubectl("wait", "--for=jsonpath={.spec.replicas}=1", "deploy/web")).toContain("condition met");
}, 30_000);

test("create, dry run, explain, auth, tokens, api-resources: what typed clients send is read", async () => {
  expect(await kubectl("create", "configmap", "cm", "--from-literal=a=b", "--dry-run=server", "-o", "name")).toBe("configmap/cm\n");
  await kubectl("create", "secret", "generic", "s", "--from-literal=key=value");
  expect(JSON.parse(await kubectl("get", "secret", "s", "-o", "json")).data).toEqual({ key: Buffer.from("value").toString("base64") });
  await kubectl("create", "deployment", "none", "--image=x", "--replicas=0");
  expect(JSON.parse(await kubectl("get", "deploy", "none", "-o", "json")).spec.replicas).toBe(0);
  await kubectl("create", "job", "j", "--image=x", "--", "true");
  expect(await kubectl("explain", "deployment.spec.replicas")).toContain("FIELD: replicas <integer>");
  expect(await kubectl("auth", "can-i", "create", "pods")).toBe("yes\n");
  expect((await run(tools.kubectl, ["auth", "can-i", "create", "pods", "--as", "bob"])).out).toStartWith("no");
  expect(await kubectl("create", "token", "web", "--audience", "x")).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
  expect(await kubectl("api-resources", "--api-group=policy", "-o", "name")).toBe("poddisruptionbudgets.policy\n");
}, 30_000);

test("mistakes are named", async () => {
  const bad = await run(tools.kubectl, ["apply", "-f", "-"], manifest(-1).replace("image:", "imag:"));
  expect(bad.err).toContain('strict decoding error: unknown field "spec.template.spec.containers[0].imag"');
  const invalid = await run(tools.kubectl, ["apply", "-f", "-"], manifest(-1));
  expect(invalid.err).toContain('The Deployment "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0');
  expect((await run(tools.kubectl, ["get", "nonsense"])).err).toContain(`the server doesn't have a resource type "nonsense"`);
  expect((await run(tools.kubectl, ["get", "pod", "none"])).err).toBe('Error from server (NotFound): pods "none" not found\n');
}, 30_000);

test("logs and exec go to the node agent", async () => {
  await api.create({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "shell", namespace: "default" },
    spec: { nodeName: "local", containers: [{ name: "c", image: "x" }] },
  });
  expect(await kubectl("logs", "shell")).toBe("a log line\n");
  expect(await kubectl("exec", "shell", "--", "ls", "-l")).toBe("ran ls -l\n");
}, 30_000);

test("get --watch follows, delete waits for the end", async () => {
  const child = Bun.spawn([tools.kubectl, "get", "cm", "--watch-only", "-o", "name"], { env, stdout: "pipe", stderr: "inherit" });
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const first = lines.read();
  // The watch may begin before or after: make changes until one is seen.
  let seen = false;
  void first.then(() => {
    seen = true;
  });
  for (let i = 0; !seen && i < 200; i++) {
    await api.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { generateName: "watched-", namespace: "default" } });
    await Promise.race([first, Bun.sleep(50)]);
  }
  expect((await first).value).toStartWith("configmap/watched-");
  child.kill();
  await child.exited;
  expect(await kubectl("delete", "cm", "--all")).toContain("deleted");
  expect(await kubectl("delete", "deploy,svc", "-l", "!none", "--ignore-not-found")).toContain('deployment.apps "web" deleted');
}, 30_000);

test("helm installs, upgrades, rolls back, lists and uninstalls a chart with a CRD", async () => {
  const chart = join(api.dir, "chart");
  for (const folder of ["templates", "crds"]) mkdirSync(join(chart, folder), { recursive: true });
  writeFileSync(join(chart, "Chart.yaml"), "apiVersion: v2\nname: chart\nversion: 0.1.0\n");
  writeFileSync(join(chart, "values.yaml"), "image: x:1\n");
  writeFileSync(
    join(chart, "crds", "widgets.yaml"),
    `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}]
`,
  );
  writeFileSync(
    join(chart, "templates", "all.yaml"),
    `apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  replicas: 0
  selector: {matchLabels: {app: x}}
  template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: {{ .Values.image | quote }}}]}}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: "{{ .Release.Name }}"}
spec: {size: 3}
`,
  );
  const helm = (...args: string[]) => ok(tools.helm, args);
  const image = async () => JSON.parse(await kubectl("get", "deploy", "demo", "-o", "json")).spec.template.spec.containers[0].image;
  expect(await helm("install", "demo", chart)).toContain("STATUS: deployed");
  expect(await kubectl("get", "widget", "demo", "-o", "jsonpath={.spec.size}")).toBe("3");
  await helm("upgrade", "demo", chart, "--set", "image=x:2");
  expect(await image()).toBe("x:2");
  await helm("rollback", "demo", "1");
  expect(await image()).toBe("x:1");
  expect(JSON.parse(await helm("list", "-o", "json"))).toMatchObject([{ name: "demo", revision: "3", status: "deployed" }]);
  await helm("uninstall", "demo");
  expect((await run(tools.kubectl, ["get", "deploy,widget,secret", "-l", "owner=helm", "-o", "name"])).out).toBe("");
  expect((await run(tools.kubectl, ["get", "deploy", "demo"])).code).toBe(1);
}, 60_000);
