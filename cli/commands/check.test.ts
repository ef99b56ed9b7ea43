// `check` as its user sees it: the three outputs, exit statuses, waiting, extensions (spec cli §4, cases 14–29).
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Resources } from "#kube";
import { VERSION } from "#version";
import { readResults } from "../checks/extensions.ts";
import { makeCertificate } from "../testing/certificates.ts";
import { CheckBench } from "../testing/checks.ts";
import { installControlPlane, startWorld, type World, writeIn } from "../testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

let world: World;
let bench: CheckBench;
beforeAll(async () => {
  world = await startWorld();
  bench = new CheckBench(world);
  await installControlPlane(world);
});
afterEach(() => bench.restore());
afterAll(() => world.close());

const hint = (anchor: string) => `    see https://linkerd.io/2.11/checks/#${anchor} for hints\n`;
const GOOD = "Status check results are √\n";
const BAD = "Status check results are ×\n";

/** One `‼`, none else: the issuer ends in ten days. */
async function warn(): Promise<void> {
  const anchor = await makeCertificate({ commonName: "anchor" });
  const issuer = await makeCertificate({ commonName: "issuer", issuer: anchor, until: 10 });
  await bench.secret("linkerd-identity-issuer", { "crt.pem": issuer.certPem, "key.pem": issuer.keyPem });
  await bench.anchors(anchor.certPem);
}

describe("outputs", () => {
  test("table: every category with its rule, the status line last", async () => {
    const { status, stdout, stderr } = await world.cli(["check"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toBe(`Linkerd core checks
===================

kubernetes-api
--------------
√ can initialize the client
√ can query the Kubernetes API

kubernetes-version
------------------
√ is running the minimum Kubernetes API version
√ is running the minimum kubectl version

linkerd-existence
-----------------
√ 'linkerd-config' config map exists
√ control plane replica sets are ready
√ no unschedulable pods
√ control plane pods are ready
√ cluster networks can be verified
√ cluster networks contains all node podCIDRs

linkerd-config
--------------
√ control plane Namespace exists
√ control plane ClusterRoles exist
√ control plane ClusterRoleBindings exist
√ control plane ServiceAccounts exist
√ control plane CustomResourceDefinitions exist
√ control plane MutatingWebhookConfigurations exist
√ control plane ValidatingWebhookConfigurations exist
√ proxy-init container runs as root user if docker container runtime is used

linkerd-identity
----------------
√ certificate config is valid
√ trust anchors are using supported crypto algorithm
√ trust anchors are within their validity period
√ trust anchors are valid for at least 60 days
√ issuer cert is using supported crypto algorithm
√ issuer cert is within its validity period
√ issuer cert is valid for at least 60 days
√ issuer cert is issued by the trust anchor

linkerd-webhooks-and-apisvc-tls
-------------------------------
√ proxy-injector webhook has valid cert
√ proxy-injector cert is valid for at least 60 days
√ sp-validator webhook has valid cert
√ sp-validator cert is valid for at least 60 days
√ policy-validator webhook has valid cert
√ policy-validator cert is valid for at least 60 days

control-plane-version
---------------------
√ can retrieve the control plane version
√ control plane and cli versions match

linkerd-control-plane-proxy
---------------------------
√ control plane proxies are healthy
√ control plane proxies and cli versions match

${GOOD}`);
  });

  test("short: one line when all is well; else only what is not", async () => {
    expect(await world.cli(["check", "-o", "short"])).toEqual({ status: 0, stdout: GOOD, stderr: "" });
    await warn();
    const { status, stdout } = await world.cli(["check", "--output=short"]);
    expect(status).toBe(0);
    expect(stdout.replace(/20\S+Z/, "THEN")).toBe(
      `Linkerd core checks\n===================\n\nlinkerd-identity\n----------------\n‼ issuer cert is valid for at least 60 days\n    issuer certificate will expire on THEN\n${hint("l5d-identity-issuer-cert-not-expiring-soon")}\n${GOOD}`,
    );
  });

  test("json: hint and error where something is wrong, no header, no status line", async () => {
    await bench.setPod("linkerd", "linkerd-identity-5d8-x2k", { phase: "Pending" });
    const { status, stdout, stderr } = await world.cli(["check", "-o", "json", "--wait=0s"]);
    expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
    const report = JSON.parse(stdout) as { success: boolean; categories: { categoryName: string; checks: object[] }[] };
    expect(stdout).toBe(`${JSON.stringify(report, null, 2)}\n`);
    expect(report.success).toBe(false);
    expect(report.categories.map(({ categoryName }) => categoryName)).toEqual([
      "kubernetes-api",
      "kubernetes-version",
      "linkerd-existence",
    ]);
    expect(report.categories[0]?.checks[0]).toEqual({ description: "can initialize the client", result: "success" });
    expect(report.categories[2]?.checks.at(-1)).toEqual({
      description: "control plane pods are ready",
      hint: "https://linkerd.io/2.11/checks/#l5d-api-control-ready",
      error: 'No running pods for "linkerd-identity"',
      result: "error",
    });
  });

  test("a fatal failure ends the table; colour and spinner are a terminal's", async () => {
    const { status, stdout } = await world.cli(["check", "-L", "none"], { isTty: true });
    expect(status).toBe(1);
    expect(stdout).toEndWith(
      `linkerd-existence\n-----------------\n\x1b[31;1m×\x1b[0m 'linkerd-config' config map exists\n    configmaps "linkerd-config" not found\n${hint("l5d-existence-linkerd-config")}\nStatus check results are \x1b[31;1m×\x1b[0m\n`,
    );
  });

  test("config: what the first stage left; --pre; --proxy", async () => {
    const config = await world.cli(["check", "config", "-o", "json"]);
    expect(config.status).toBe(0);
    expect(JSON.parse(config.stdout).categories.map(({ categoryName }: { categoryName: string }) => categoryName)).toEqual([
      "kubernetes-api",
      "kubernetes-version",
      "linkerd-config",
    ]);
    expect(config.stdout).not.toContain("docker");
    const pre = await world.cli(["check", "--pre", "-L", "other"]);
    expect(pre.stdout).toContain(
      "pre-kubernetes-setup\n--------------------\n√ control plane namespace does not already exist\n√ can create non-namespaced resources\n√ can create ServiceAccounts\n",
    );
    const proxy = await world.cli(["check", "--proxy", "-n", "linkerd", "--wait=0s"]);
    expect(proxy.stdout).toContain(
      "linkerd-data-plane\n------------------\n√ data plane namespace exists\n√ data plane proxies are ready\n",
    );
    expect(proxy.status).toBe(0);
  });

  test("hints are of the release whose version the CLI has", async () => {
    const { stdout } = await world.cli(["check", "-L", "none", "--cli-version-override", "stable-2.12.3", "-o", "short"]);
    expect(stdout).toContain("see https://linkerd.io/2.12/checks/#l5d-existence-linkerd-config for hints");
  });

  test("an expected version is compared without asking anybody", async () => {
    const { status, stdout } = await world.cli(["check", "--expected-version", VERSION]);
    expect(status).toBe(0);
    expect(stdout).toContain("linkerd-version\n---------------\n√ can determine the latest version\n√ cli is up-to-date\n\n");
    expect(stdout).toContain("√ control plane is up-to-date\n");
  });
});

test.each([
  [["--pre", "--proxy"], "--pre and --proxy flags are mutually exclusive"],
  [["--linkerd-cni-enabled"], "--linkerd-cni-enabled can only be used with --pre"],
  [["-o", "basic"], "Invalid output type 'basic'. Supported output types are: json, table, short"],
  [["config", "-o", "basic"], "Invalid output type 'basic'. Supported output types are: json, table, short"],
])("check %j is a usage error", async (words, message) => {
  const { status, stdout, stderr } = await world.cli(["check", ...words]);
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toStartWith(`Error: Validation error when executing check command: ${message}\nUsage:\n`);
});

describe("a cluster that does not answer as it should", () => {
  test("down: the core's table, then why extensions cannot be asked, no status line", async () => {
    const down = writeIn(
      world,
      "down.kubeconfig",
      "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n",
    );
    const { status, stdout, stderr } = await world.cli(["check", "--kubeconfig", down]);
    expect(status).toBe(1);
    expect(stdout).toStartWith(
      "Linkerd core checks\n===================\n\nkubernetes-api\n--------------\n√ can initialize the client\n× can query the Kubernetes API\n    http://127.0.0.1:1: GET /version: ",
    );
    expect(stdout).toEndWith(`${hint("k8s-api")}\n`);
    expect(stderr).toStartWith("failed to run extensions checks: http://127.0.0.1:1: GET /api/v1/namespaces: ");
    const json = await world.cli(["check", "--kubeconfig", down, "-o", "json"]);
    expect(JSON.parse(json.stdout).success).toBe(false);
    expect(json.status).toBe(1);
  });

  test("a broken kubeconfig is told in the first check", async () => {
    const broken = writeIn(world, "broken.kubeconfig", "current-context: nowhere\n");
    const { status, stdout, stderr } = await world.cli(["check", "--kubeconfig", broken]);
    const why = `error configuring Kubernetes API client: kubeconfig ${broken}: context "nowhere" does not exist (it has none)`;
    expect(status).toBe(1);
    expect(stdout).toContain(`× can initialize the client\n    ${why}\n`);
    expect(stderr).toBe(`failed to run extensions checks: ${why}\n`);
  });

  test("a user without rights", async () => {
    const { status, stdout, stderr } = await world.cli(["check", "--as", "eve", "-o", "short"]);
    expect(status).toBe(1);
    expect(stdout).toContain(
      'configmaps "linkerd-config" is forbidden: User "eve" cannot get resource "configmaps" in API group "" in the namespace "linkerd"',
    );
    expect(stderr).toStartWith('failed to run extensions checks: namespaces is forbidden: User "eve" cannot list resource "namespaces"');
  });

  test("no kubectl", async () => {
    const { status, stdout } = await world.cli(["check", "-o", "short"], { env: { PATH: "/none" } });
    expect(status).toBe(1);
    expect(stdout).toContain('× is running the minimum kubectl version\n    exec: "kubectl": executable file not found in $PATH\n');
  });
});

describe("extensions", () => {
  const bin = () => join(world.dir, "bin");
  const extension = (name: string) =>
    bench.change({ ...Resources.namespaces, name: "default" }, ({ metadata }) => {
      metadata.labels = { ...metadata.labels, "linkerd.io/extension": name };
    });
  const binary = (name: string, script: string) => {
    mkdirSync(bin(), { recursive: true });
    writeIn(world, `bin/${name}`, `#!/bin/sh\n${script}\n`, 0o755);
    return { env: { PATH: `${bin()}:${world.path}` } };
  };
  const report = (result: string, more = "") =>
    `echo '{"success":true,"categories":[{"categoryName":"linkerd-foo","checks":[{"description":"foo runs"${more},"result":"${result}"}]}]}'`;
  const heading = "Linkerd extensions checks\n=========================\n\n";
  afterEach(() => rmSync(bin(), { recursive: true, force: true }));

  test("one without a binary is a warning", async () => {
    await extension("foo");
    const { status, stdout } = await world.cli(["check"]);
    expect(status).toBe(0);
    expect(stdout).toEndWith(
      `${heading}linkerd-foo\n-----------\n‼ Linkerd extension command linkerd-foo exists\n    no executable linkerd-foo or fairlead-foo found in $PATH\n${hint("extensions")}\n${GOOD}`,
    );
    expect((await world.cli(["check", "-o", "short"])).stdout).toStartWith(heading);
  });

  test("its answer decides, not its exit status; short and JSON as the core's", async () => {
    await extension("foo");
    const options = binary("linkerd-foo", `${report("success")}; exit 3`);
    const { status, stdout } = await world.cli(["check"], options);
    expect(stdout).toEndWith(`${heading}linkerd-foo\n-----------\n√ Linkerd extension command linkerd-foo exists\n√ foo runs\n\n${GOOD}`);
    expect(status).toBe(0);
    expect((await world.cli(["check", "-o", "short"], options)).stdout).toBe(GOOD);
    const json = (await world.cli(["check", "-o", "json"], options)).stdout.split(/(?<=^\}\n)/m);
    expect(json.map((document) => JSON.parse(document).categories.at(-1).categoryName)).toEqual([
      "linkerd-control-plane-proxy",
      "linkerd-foo",
    ]);
  });

  test("its failure is the whole's", async () => {
    await extension("foo");
    const options = binary("linkerd-foo", report("error", ',"error":"foo is down","hint":"https://foo/#down"'));
    const { status, stdout } = await world.cli(["check", "-o", "short"], options);
    expect(status).toBe(1);
    expect(stdout).toBe(`${heading}linkerd-foo\n-----------\n× foo runs\n    foo is down\n    see https://foo/#down for hints\n\n${BAD}`);
  });

  test("an answer that is no report is a failing line", async () => {
    await extension("foo");
    const talk = await world.cli(["check", "-o", "short"], binary("linkerd-foo", "echo all good"));
    expect(talk.status).toBe(1);
    expect(talk.stdout).toContain(`× Running: ${bin()}/linkerd-foo check --linkerd-namespace=linkerd `);
    expect(talk.stdout).toContain("\n    invalid extension check output (JSON object expected):\nall good\n");
    const grief = await world.cli(["check", "-o", "short"], binary("linkerd-foo", "echo broken >&2; exit 1"));
    expect(grief.stdout).toContain("\n    broken\n");
  });

  test("it is handed the flags that say something", async () => {
    await extension("foo");
    const options = binary("fairlead-foo", `echo "$@" > ${bin()}/args; ${report("success")}`);
    await world.cli(
      [
        "check",
        "--context=test",
        "--as=admin",
        "--as-group=system:masters",
        "--as-group",
        "b",
        "-n",
        "app",
        "--wait=1s",
        "--expected-version",
        VERSION,
      ],
      { ...options, env: { ...options.env, LINKERD_NAMESPACE: "lab" } },
    );
    expect(await Bun.file(join(bin(), "args")).text()).toBe(
      `check --context=test --as=admin --linkerd-namespace=lab --verbose=false --namespace=app --proxy=false --wait=1s --expected-version=${VERSION} --as-group=system:masters --as-group=b --output=json\n`,
    );
  });

  test("reports of every shape", () => {
    expect(readResults('{"success":true,"categories":null}')).toEqual([]);
    expect(readResults('{"categories":[{"categoryName":"a","checks":null}]}')).toEqual([]);
    for (const bad of [
      "",
      "[]",
      "null",
      "1",
      '{"categories":1}',
      '{"categories":[1]}',
      '{"categories":[{"checks":[{"result":"fine"}]}]}',
      '{"success":true,"categories":[]}{}',
    ])
      expect([bad, readResults(bad)]).toEqual([bad, undefined]);
  });
});
