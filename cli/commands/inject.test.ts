// `inject` and `uninject`: documents in and out, reports, refusals (spec cli §3.4–3.5, cases 37–48).
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { applyPatch, type Operation } from "fast-json-patch";
import { parseAllDocuments } from "yaml";
import { controlPlaneChart, controlPlaneDefaults, fromYaml, overlay } from "#chart";
import { injectPatch, type PodTemplate, podTemplate, uninject, type Workload } from "#inject";
import { type AnyObject, Resources } from "#kube";
import { VERSION } from "#version";
import { maxFolderDepth } from "../io.ts";
import { cli, installControlPlane, type RunOptions, startWorld, type World, writeIn } from "../testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

const testdata = join(import.meta.dir, "..", "testdata");

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await installControlPlane(world);
});
afterAll(() => world.close());

type Annotated = { metadata?: { annotations?: Record<string, string>; labels?: Record<string, string> } };

const inject = (stdin: string, words: readonly string[] = [], options: RunOptions = {}) =>
  cli(["inject", "--ignore-cluster", ...words, "-"], { stdin, ...options });
const documents = (yaml: string) => parseAllDocuments(yaml).flatMap((document) => (document.toJS() as AnyObject | null) ?? []);
const annotationsOf = (yaml: string, i = 0) => {
  const object = documents(yaml)[i] as unknown as Workload;
  return ((podTemplate(object) ?? (object as Annotated)).metadata as Annotated["metadata"])?.annotations ?? {};
};

const deployment = (name: string, { spec = "", container = "", annotations = "" } = {}) => `apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
spec:
  selector:
    matchLabels:
      app: ${name}
  template:
    metadata:
      labels:
        app: ${name}${annotations && `\n      annotations: ${annotations}`}
    spec:${spec && `\n      ${spec}`}
      containers:
      - name: app
        image: app:1${container && `\n        ${container}`}
`;
const udp = "ports: [{containerPort: 53, protocol: UDP}]";
const configMap = "# told as it is\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: a,   labels: {b: 'c'}} # odd\n";

/** The manifest, what is printed, and the report: one golden file for each row. Rewrite with UPDATE_GOLDEN=1. */
describe("golden", () => {
  const rows: [name: string, words: string[]][] = [
    ["inject-kinds", []],
    [
      "inject-flags",
      [
        "--ingress",
        "--opaque-ports",
        "25,5555",
        "--skip-inbound-ports=1-2",
        "--proxy-cpu-limit=1",
        "--enable-debug-sidecar",
        "--close-wait-timeout=5s",
        "--wait-before-exit-seconds=3",
        "--require-identity-on-inbound-ports=80",
        "--registry=reg.example.org/mesh",
      ],
    ],
    ["inject-manual", ["--manual"]],
    ["inject-verbose", ["--verbose"]],
  ];
  test.each(rows)("%s", async (name, words) => {
    const isManual = words.includes("--manual");
    const input = readFileSync(join(testdata, isManual ? "manual.input.yml" : "kinds.input.yml"), "utf8");
    // Only an installation has the anchors that a proxy needs.
    const run = (stdin: string) => (isManual ? world.cli(["inject", ...words, "-"], { stdin }) : inject(stdin, words));
    const { status, stdout, stderr } = await run(input);
    expect(status).toBe(0);
    expectGolden(
      `${name}.golden`,
      stdout.replaceAll(VERSION, "VERSION").replace(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g, "ANCHORS"),
    );
    expectGolden(`${name}.report`, stderr);
    // What was printed can be injected again to the same end, and taken back.
    expect((await run(stdout)).stdout).toBe(stdout);
    const bare = async (yaml: string) => documents((await cli(["uninject", "-"], { stdin: yaml })).stdout).map(withoutEmpty);
    if (!isManual && name !== "inject-flags") expect(await bare(stdout)).toEqual(await bare(input));
  });

  test("uninject", async () => {
    const { status, stdout, stderr } = await cli(["uninject", "-"], {
      stdin: readFileSync(join(testdata, "inject-manual.golden"), "utf8"),
    });
    expect(status).toBe(0);
    expectGolden("uninject.golden", stdout);
    expectGolden("uninject.report", stderr);
  });
});

/** Without mappings that hold nothing: an annotation that came and went leaves its place behind. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).map(([key, inner]) => [key, withoutEmpty(inner)] as const);
  return Object.fromEntries(kept.filter(([, inner]) => inner !== null && JSON.stringify(inner) !== "{}"));
}

function expectGolden(file: string, text: string): void {
  const path = join(testdata, file);
  if (process.env["UPDATE_GOLDEN"]) writeFileSync(path, text);
  const golden = existsSync(path) ? readFileSync(path, "utf8") : "";
  if (text !== golden) console.error(`${file} differs; when the change is meant: UPDATE_GOLDEN=1 bun test cli/commands/inject.test.ts`);
  expect(text).toBe(golden);
}

describe("documents", () => {
  test("a Deployment's template is annotated, the document ends with ---, the report says so", async () => {
    const { status, stdout, stderr } = await inject(deployment("x"));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '\ndeployment "x" injected\n\n' });
    expect(stdout).toEndWith("\n---\n");
    expect(annotationsOf(stdout)).toEqual({ "linkerd.io/inject": "enabled" });
    // Keys sorted, as the reference prints them.
    expect(Object.keys(documents(stdout)[0] as AnyObject)).toEqual(["apiVersion", "kind", "metadata", "spec"]);
  });

  test("what is not touched keeps its bytes: comments, order, quotes, odd separators", async () => {
    const service = "kind: Service\nmetadata:\n  name: s # mine\nspec: {ports: [{port: 80}]}\n";
    const stdin = `# a licence\n---\n${configMap}--- # next\n${service}...\n---\n---\n`;
    const { stdout, stderr } = await inject(stdin);
    expect(stdout).toBe(`# a licence\n---\n${configMap}---\n${service}---\n`);
    expect(stderr).toBe('\n‼ no supported objects found\n\nconfigmap "a" skipped\nservice "s" skipped\n\n');
    expect((await cli(["uninject", "-"], { stdin })).stdout).toBe(stdout);
  });

  test("a document after its mark, directives, CRLF, JSON with tabs, no final newline", async () => {
    expect((await inject("--- {kind: ConfigMap, metadata: {name: a}}\n")).stdout).toBe("{kind: ConfigMap, metadata: {name: a}}\n---\n");
    expect((await inject("%YAML 1.1\n---\nkind: ConfigMap\nmetadata: {name: a}")).stdout).toBe(
      "kind: ConfigMap\nmetadata: {name: a}\n---\n",
    );
    expect((await inject("kind: ConfigMap\r\nmetadata: {name: a}\r\n---\r\nkind: Secret\r\nmetadata: {name: b}\r\n")).stderr).toContain(
      'configmap "a" skipped\nsecret "b" skipped',
    );
    const json = `{\n\t"kind": "Pod",\n\t"metadata": {"name": "p"},\n\t"spec": {"containers": [{"name": "c"}]}\n}`;
    expect(annotationsOf((await inject(json)).stdout)).toEqual({ "linkerd.io/inject": "enabled" });
  });

  test("values keep their type for the YAML that kubectl reads", async () => {
    const spec = "volumes: [{name: v, configMap: {name: c, defaultMode: 0644}}]";
    const container =
      'env: [{name: A, value: "yes"}, {name: B, value: "0x1F"}, {name: C, value: "1e3"}, {name: D, value: "null"}, {name: E, value: "12:30"}]';
    const { stdout } = await inject(deployment("x", { spec, container }));
    // YAML 1.1: 0644 is octal.
    expect(stdout).toContain("defaultMode: 420");
    const env = ((fromYaml(stdout.replace(/---\n$/, "")) as AnyObject)["spec"] as { template: PodTemplate }).template.spec
      .containers?.[0] as unknown as { env: { value: string }[] };
    expect(env.env.map(({ value }) => value)).toEqual(["yes", "0x1F", "1e3", "null", "12:30"]);
    await world.kubectl(["apply", "--dry-run=server", "--validate=strict", "-f", "-"], stdout);
  });

  test("a List stays one List, each item with its line", async () => {
    const list = JSON.stringify({
      apiVersion: "v1",
      kind: "List",
      items: [fromYaml(deployment("a")), { kind: "ConfigMap", metadata: { name: "c" } }, fromYaml(deployment("b"))],
    });
    const { stdout, stderr } = await inject(list);
    expect(stderr).toBe('\ndeployment "a" injected\nconfigmap "c" skipped\ndeployment "b" injected\n\n');
    const [printed, ...more] = documents(stdout);
    expect(more).toEqual([]);
    expect(((printed as AnyObject)["items"] as Workload[]).map((item) => podTemplate(item)?.annotations)).toEqual([
      { "linkerd.io/inject": "enabled" },
      undefined,
      { "linkerd.io/inject": "enabled" },
    ]);
    const untouched = '{"kind": "List",  "items": [{"kind": "ConfigMap"}]}';
    expect((await inject(untouched)).stdout).toBe(`${untouched}\n---\n`);
    expect((await inject('{"kind": "List", "items": null}')).status).toBe(0);
  });

  test("a folder is read to its depths, every file, in order, with one report", async () => {
    const folder = join(world.dir, "folder");
    mkdirSync(join(folder, "sub", "deep"), { recursive: true });
    writeFileSync(join(folder, "b.yml"), deployment("one"));
    writeFileSync(join(folder, "sub", "b.txt"), deployment("two"));
    writeFileSync(join(folder, "sub", "deep", "none"), "");
    const { status, stdout, stderr } = await cli(["inject", "--ignore-cluster", folder]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '\ndeployment "one" injected\ndeployment "two" injected\n\n' });
    expect(documents(stdout).map(({ metadata }) => metadata.name)).toEqual(["one", "two"]);
    writeFileSync(join(folder, "sub", "c.yml"), `${configMap}---\nkind: Pod\nmetadata: [\n`);
    const broken = await cli(["inject", "--ignore-cluster", folder]);
    expect(broken).toMatchObject({ status: 1, stdout: "" });
    expect(broken.stderr).toStartWith(
      `Error transforming resources:\nerror converting YAML to JSON: ${join(folder, "sub", "c.yml")}, document 2: line `,
    );
  });

  test("folders end at their bound", async () => {
    const deep = (levels: number) => join(world.dir, `deep-${levels}`, ...Array.from({ length: levels }, () => "d"));
    for (const levels of [maxFolderDepth - 1, maxFolderDepth]) {
      mkdirSync(deep(levels), { recursive: true });
      writeFileSync(join(deep(levels), "f.yml"), configMap);
    }
    expect((await cli(["inject", "--ignore-cluster", join(world.dir, `deep-${maxFolderDepth - 1}`)])).status).toBe(0);
    const beyond = await cli(["inject", "--ignore-cluster", join(world.dir, `deep-${maxFolderDepth}`)]);
    expect(beyond).toMatchObject({ status: 1, stdout: "" });
    expect(beyond.stderr).toEndWith(`more than ${maxFolderDepth} folders below one another\n`);
  });

  test("a URL is fetched; what cannot be read is named", async () => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => (url.endsWith("/app.yml") ? new Response(deployment("x")) : new Response("", { status: 404 })),
    });
    const url = `http://127.0.0.1:${server.port}`;
    try {
      expect((await cli(["inject", "--ignore-cluster", `${url}/app.yml`, "ignored"])).stderr).toBe('\ndeployment "x" injected\n\n');
      expect(await cli(["inject", "--ignore-cluster", `${url}/none`])).toEqual({
        status: 1,
        stdout: "",
        stderr: `unable to read "${url}/none": server reported 404 Not Found\n`,
      });
    } finally {
      await server.stop(true);
    }
    expect((await cli(["uninject", "/none"])).stderr).toBe('the path "/none" does not exist\n');
    expect((await cli(["uninject", `${url}/app.yml`])).stderr).toStartWith(`unable to read "${url}/app.yml": `);
  });

  test("a document without kind, and a custom resource named as a built-in kind, are left alone", async () => {
    expect(await inject("{}\n")).toEqual({
      status: 0,
      stdout: "{}\n---\n",
      stderr: '\n‼ no supported objects found\n\ndocument missing "kind" field, skipped\n\n',
    });
    const knative = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: k}\nspec: {template: {x: 1}}\n";
    expect((await inject(knative, ["--opaque-ports=5555"])).stdout).toBe(`${knative}---\n`);
  });
});

describe("kinds", () => {
  test("a Namespace and a Service are annotated and still reported as skipped", async () => {
    const namespace = await inject("kind: Namespace\nmetadata: {name: shop}\n", ["--proxy-log-level=debug"]);
    expect(annotationsOf(namespace.stdout)).toEqual({ "config.linkerd.io/proxy-log-level": "debug", "linkerd.io/inject": "enabled" });
    expect(namespace.stderr).toContain('namespace "shop" skipped\n');
    const service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n";
    expect((await inject(service, ["--proxy-log-level=debug"])).stdout).toBe(`${service}---\n`);
    const opaque = await inject(service, ["--opaque-ports", "5555", "--proxy-log-level=debug"]);
    expect(annotationsOf(opaque.stdout)).toEqual({ "config.linkerd.io/opaque-ports": "5555" });
    expect(opaque.stderr).toContain('service "s" skipped\n');
  });

  test("a CronJob whose pod template has no metadata gets some", async () => {
    const cronJob =
      "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a}]}}}}}\n";
    const { stdout, stderr } = await inject(cronJob);
    expect(annotationsOf(stdout)).toEqual({ "linkerd.io/inject": "enabled" });
    expect(stderr).toBe('\ncronjob "c" injected\n\n');
  });

  test("a Pod by generateName", async () => {
    expect((await inject("kind: Pod\nmetadata: {generateName: web-}\nspec: {containers: [{name: a}]}\n")).stderr).toBe(
      '\npod "web-" injected\n\n',
    );
  });
});

describe("flags", () => {
  const rows: [words: string[], annotations: Record<string, string>][] = [
    [["--skip-inbound-ports=4567,4568"], {}],
    [["--skip-inbound-ports=4567"], { "skip-inbound-ports": "4567" }],
    [["--skip-outbound-ports", "80,90-99"], { "skip-outbound-ports": "80,90-99" }],
    [["--inbound-port=4143", "--outbound-port=5140"], { "outbound-port": "5140" }],
    [["--admin-port=1", "--control-port=2", "--inbound-port=3"], { "admin-port": "1", "control-port": "2", "inbound-port": "3" }],
    [["--proxy-uid", "7"], { "proxy-uid": "7" }],
    [["--proxy-cpu-request=1m", "--proxy-cpu-limit=2m"], { "proxy-cpu-request": "1m", "proxy-cpu-limit": "2m" }],
    [["--proxy-memory-request=1Mi", "--proxy-memory-limit=2Mi"], { "proxy-memory-request": "1Mi", "proxy-memory-limit": "2Mi" }],
    [["--enable-external-profiles"], { "enable-external-profiles": "true" }],
    [["--enable-external-profiles=false"], {}],
    [["--proxy-version", VERSION], {}],
    [["--proxy-version", "edge-1", "--init-image-version=v2"], { "proxy-version": "edge-1", "init-image-version": "v2" }],
    [
      ["--proxy-image=r/p", "--init-image=r/i", "--image-pull-policy=Never"],
      { "proxy-image": "r/p", "init-image": "r/i", "image-pull-policy": "Never" },
    ],
    [["--registry=ghcr.io/fairlead"], { "debug-image": "ghcr.io/fairlead/debug" }],
    [["--registry=r"], { "proxy-image": "r/fairlead", "init-image": "r/fairlead", "debug-image": "r/debug" }],
    [["--opaque-ports=25,587,3306,4444,5432,6379,9300,11211"], {}],
    [["--opaque-ports=mysql,1-2"], { "opaque-ports": "mysql,1-2" }],
    [["--close-wait-timeout=0s", "--wait-before-exit-seconds=0"], {}],
    [["--close-wait-timeout=1m"], { "close-wait-timeout": "1m" }],
    [["--enable-debug-sidecar"], { "enable-debug-sidecar": "true" }],
    [["--disable-identity"], { "disable-identity": "true" }],
    [["--require-identity-on-inbound-ports", "80,90"], { "proxy-require-identity-inbound-ports": "80,90" }],
  ];
  test.each(rows)("%j", async (words, annotations) => {
    const { status, stdout } = await inject(deployment("x"), words);
    expect(status).toBe(0);
    expect(annotationsOf(stdout)).toEqual({
      ...Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`config.linkerd.io/${key}`, value])),
      "linkerd.io/inject": "enabled",
    });
  });

  test("--ingress and the alpha annotation", async () => {
    const { stdout } = await inject(`${deployment("x")}---\n${deployment("y")}`, ["--ingress", "--wait-before-exit-seconds=5"]);
    const expected = { "linkerd.io/inject": "ingress", "config.alpha.linkerd.io/proxy-wait-before-exit-seconds": "5" };
    expect([annotationsOf(stdout, 0), annotationsOf(stdout, 1)]).toEqual([expected, expected]);
  });

  test("the environment's registry counts, a flag wins", async () => {
    const env = { LINKERD_DOCKER_REGISTRY: "env" };
    expect(annotationsOf((await inject(deployment("x"), [], { env })).stdout)["config.linkerd.io/proxy-image"]).toBe("env/fairlead");
    expect(annotationsOf((await inject(deployment("x"), ["--registry=flag"], { env })).stdout)["config.linkerd.io/proxy-image"]).toBe(
      "flag/fairlead",
    );
  });

  test.each([
    [
      ["--disable-identity", "--require-identity-on-inbound-ports=80"],
      "Identity must be enabled when --require-identity-on-inbound-ports is specified",
    ],
    [
      ["--require-identity-on-inbound-ports=http"],
      'invalid argument "http" for "--require-identity-on-inbound-ports" flag: "http" is neither a port',
    ],
    [["--wait-before-exit-seconds=-1"], 'invalid argument "-1" for "--wait-before-exit-seconds" flag: '],
    [["--close-wait-timeout=5"], 'invalid argument "5" for "--close-wait-timeout" flag: time: invalid duration "5"'],
    [["--skip-inbound-ports=a"], 'invalid argument "a" for "--skip-inbound-ports" flag: '],
    [["--proxy-log-level=loud=1"], 'invalid argument "loud=1" for "--proxy-log-level" flag: '],
  ])("%j is refused", async (words, message) => {
    const { status, stdout, stderr } = await inject(deployment("x"), words);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toStartWith(`Error: ${message}`);
  });
});

describe("refusals", () => {
  const refused: [what: string, yaml: string, words: string[], message: string][] = [
    ["hostNetwork", deployment("a", { spec: "hostNetwork: true" }), [], "failed to inject deployment/a: hostNetwork is enabled"],
    [
      "another mesh's sidecar",
      deployment("a").replace("name: app\n        image: app:1", "name: istio-proxy\n        image: x"),
      [],
      "failed to inject deployment/a: pod has a sidecar injected already",
    ],
    [
      "no token",
      deployment("a", { spec: "automountServiceAccountToken: false" }),
      [],
      'failed to inject deployment/a: automountServiceAccountToken set to "false"',
    ],
    [
      "several reasons",
      deployment("a", { spec: "hostNetwork: true\n      automountServiceAccountToken: false", container: udp }),
      [],
      'failed to inject deployment/a: hostNetwork is enabled, automountServiceAccountToken set to "false", UDP port(s) configured on pod spec',
    ],
    [
      "disabled, with UDP",
      deployment("a", { annotations: "{linkerd.io/inject: disabled}", container: udp }),
      [],
      'failed to inject deployment/a: pod has the annotation "linkerd.io/inject:disabled", UDP port(s) configured on pod spec',
    ],
    [
      "control plane",
      deployment("a").replace("labels:\n        app: a", "labels: {app: a, linkerd.io/control-plane-component: destination}"),
      [],
      "failed to inject deployment/a: --manual must be set when injecting control plane components",
    ],
    [
      "no anchors",
      deployment("a"),
      ["--manual"],
      "failed to inject deployment/a: fairlead-control-plane/templates/_proxy.tpl:123: .Values.identityTrustAnchorsPEM: Please provide the identity trust anchors (--ignore-cluster does not read the installation's)",
    ],
    [
      "not YAML",
      "kind: Pod\nmetadata: {\n",
      [],
      "error converting YAML to JSON: standard input: line 3: Flow map in block collection must be sufficiently indented and end with a }",
    ],
    ["no object", "- a\n- b\n", [], "error converting YAML to JSON: standard input: expected an object, found a list"],
    ["words", "hello\n", [], "error converting YAML to JSON: standard input: expected an object, found string"],
  ];
  test.each(refused)("%s", async (_, yaml, words, message) => {
    const { status, stdout, stderr } = await inject(yaml, words);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr.trimEnd()).toBe(`Error transforming resources:\n${message}`);
  });

  test("one bad document suppresses the whole output; all bad ones are named", async () => {
    const stdin = [
      deployment("good"),
      deployment("net", { spec: "hostNetwork: true" }),
      "a: [\n",
      deployment("token", { spec: "automountServiceAccountToken: false" }),
    ].join("---\n");
    const { status, stdout, stderr } = await inject(stdin);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(
      /^Error transforming resources:\nfailed to inject deployment\/net: .*\nerror converting YAML to JSON: standard input, document 3: line \d+: .*\nfailed to inject deployment\/token: .*\n$/,
    );
    expect((await cli(["uninject", "-"], { stdin: `${configMap}---\nb: [\n` })).stderr).toStartWith(
      "Error transforming resources:\nerror converting YAML to JSON: standard input, document 2: line ",
    );
  });

  test("what is disabled is left alone with a warning; UDP alone is injected with one", async () => {
    const disabled = deployment("idle", { annotations: "{linkerd.io/inject: disabled}" });
    const { status, stdout, stderr } = await inject(`${disabled}---\n${deployment("dns", { container: udp })}`);
    expect(status).toBe(0);
    expect(stdout).toStartWith(`${disabled}---\n`);
    expect(stderr).toBe(
      '\n‼ "linkerd.io/inject: disabled" annotation set on deployment/idle\n‼ deployment/dns use "protocol: UDP"\n\ndeployment "idle" skipped\ndeployment "dns" injected\n\n',
    );
  });
});

describe("uninject", () => {
  test("takes out linkerd.io, keeps config.linkerd.io and disabled", async () => {
    const annotated = deployment("x", { annotations: "{linkerd.io/inject: enabled, config.linkerd.io/proxy-cpu-request: 1m}" });
    const { stdout, stderr } = await cli(["uninject", "-"], { stdin: annotated });
    expect(annotationsOf(stdout)).toEqual({ "config.linkerd.io/proxy-cpu-request": "1m" });
    expect(stderr).toBe('\ndeployment "x" uninjected\n\n');
    const disabled = deployment("x", { annotations: "{linkerd.io/inject: disabled}" });
    expect(await cli(["uninject", "-"], { stdin: disabled })).toEqual({
      status: 0,
      stdout: `${disabled}---\n`,
      stderr: '\ndeployment "x" skipped\n\n',
    });
    expect((await cli(["uninject", "-"], { stdin: "{}\n" })).stderr).toBe('\ndocument missing "kind" field, skipped\n\n');
  });
});

describe("with a cluster", () => {
  test("the installation's values say what need not be said", async () => {
    const { status, stdout, stderr } = await world.cli(["inject", "--proxy-uid=2102", "--proxy-log-level=debug", "-"], {
      stdin: deployment("x"),
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '\ndeployment "x" injected\n\n' });
    expect(annotationsOf(stdout)).toEqual({ "config.linkerd.io/proxy-log-level": "debug", "linkerd.io/inject": "enabled" });
  });

  test("--manual gives what the webhook's injection gives, with the cluster's anchors", async () => {
    const { status, stdout } = await world.cli(["inject", "--manual", "--opaque-ports=9", "-"], { stdin: deployment("x") });
    expect(status).toBe(0);
    const config = await world.client.get<AnyObject & { data: { values: string } }>({
      ...Resources.configMaps,
      namespace: "linkerd",
      name: "linkerd-config",
    });
    const roots = await world.client.get<AnyObject & { data: Record<string, string> }>({
      ...Resources.configMaps,
      namespace: "linkerd",
      name: "linkerd-identity-trust-roots",
    });
    const object = fromYaml(deployment("x", { annotations: "{config.linkerd.io/opaque-ports: '9'}" })) as Workload;
    const { operations } = injectPatch({
      chart: controlPlaneChart(),
      values: overlay(controlPlaneDefaults(), fromYaml(config.data.values) as Record<string, unknown>),
      trustAnchorsPem: roots.data["ca-bundle.crt"],
      template: podTemplate(object) as PodTemplate,
      namespace: "default",
      namespaceAnnotations: {},
      owner: { kind: "deployment", name: "x" },
      createdBy: `linkerd/cli ${VERSION}`,
    });
    expect(documents(stdout)[0] as unknown).toEqual(applyPatch(object, [...operations] as Operation[]).newDocument);
    expect(stdout).toContain("-----BEGIN CERTIFICATE-----");
    await world.kubectl(["apply", "--dry-run=server", "-f", "-"], stdout);
    expect(uninject(documents(stdout)[0] as unknown as Workload).object).toEqual(uninject(object).object);
  });

  test("a native sidecar goes in and out again", async () => {
    const values = ["--manual", "-"];
    const config = { ...Resources.configMaps, namespace: "linkerd", name: "linkerd-config" };
    const { data } = await world.client.get<AnyObject & { data: { values: string } }>(config);
    await world.client.patch(config, { data: { values: data.values.replace("nativeSidecar: false", "nativeSidecar: true") } });
    try {
      const { stdout } = await world.cli(["inject", ...values], { stdin: deployment("x") });
      const { spec } = podTemplate(documents(stdout)[0] as unknown as Workload) as PodTemplate;
      expect(spec.initContainers?.map(({ name }) => name)).toEqual(["linkerd-init", "linkerd-proxy"]);
      const again = await world.cli(["inject", ...values], { stdin: stdout });
      expect(again.stdout).toBe(stdout);
      expect(documents((await cli(["uninject", "-"], { stdin: stdout })).stdout)).toEqual(documents(deployment("x")));
    } finally {
      await world.client.patch(config, { data });
    }
  });

  test("--manual refuses an annotation that the webhook could only leave out of account", async () => {
    const stdin = deployment("a", { annotations: "{config.linkerd.io/proxy-uid: root}" });
    expect(await world.cli(["inject", "--manual", "-"], { stdin })).toEqual({
      status: 1,
      stdout: "",
      stderr:
        'Error transforming resources:\nfailed to inject deployment/a: annotation config.linkerd.io/proxy-uid: "root" is not a user id\n',
    });
  });

  test("no API server, no installation, no rights: each is told, with what to run next", async () => {
    const stdin = deployment("x");
    const down = writeIn(
      world,
      "down.kubeconfig",
      "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n",
    );
    const hint = "\nValidate the install with: fairlead check\n";
    const rows: [words: string[], message: string][] = [
      [["--kubeconfig", down], "Cannot connect to Kubernetes: http://127.0.0.1:1: GET /version: "],
      [["-L", "other"], 'Cannot find Linkerd: configmaps "linkerd-config" not found'],
      [["--as", "eve"], 'Cannot find Linkerd: configmaps "linkerd-config" is forbidden: User "eve" cannot get resource "configmaps"'],
    ];
    for (const [words, message] of rows) {
      const { status, stdout, stderr } = await world.cli(["inject", ...words, "-"], { stdin });
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toStartWith(message);
      expect(stderr).toEndWith(hint);
    }
  });
});
