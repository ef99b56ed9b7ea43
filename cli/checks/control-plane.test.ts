// Checks of the control plane, each failing in turn on a real API server (spec cli §4.4).
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Resources } from "#kube";
import { VERSION } from "#version";
import { makeCertificate, type TestCertificateOptions } from "../testing/certificates.ts";
import { CheckBench, inDays, inLinkerd, type Row, unreachableClient } from "../testing/checks.ts";
import { installControlPlane, startWorld } from "../testing/world.ts";
import { categoriesOf, type Selection } from "./categories.ts";
import { contains } from "./existence.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

let bench: CheckBench;
beforeAll(async () => {
  bench = new CheckBench(await startWorld());
  await installControlPlane(bench.world);
});
afterEach(() => bench.restore());
afterAll(() => bench.world.close());

test("all is well after an installation", async () => {
  for (const selection of ["default", "config"] as const)
    expect((await bench.run({ selection, expectedVersion: VERSION })).filter(({ result }) => result !== "success")).toEqual([]);
});

test("the categories of each selection, in the master list's order", () => {
  const of = (selection: Selection) => categoriesOf(selection).map(({ id }) => id);
  const common = ["kubernetes-api", "kubernetes-version"];
  const installed = [
    ...common,
    "linkerd-existence",
    "linkerd-config",
    "linkerd-cni-plugin",
    "linkerd-identity",
    "linkerd-webhooks-and-apisvc-tls",
  ];
  expect(of("pre")).toEqual([...common, "pre-kubernetes-setup", "linkerd-cni-plugin", "linkerd-version"]);
  expect(of("config")).toEqual([...common, "linkerd-config", "linkerd-version"]);
  expect(of("default")).toEqual([
    ...installed,
    "linkerd-version",
    "control-plane-version",
    "linkerd-control-plane-proxy",
    "linkerd-ha-checks",
  ]);
  expect(of("proxy")).toEqual([
    ...installed,
    "linkerd-identity-data-plane",
    "linkerd-version",
    "linkerd-control-plane-proxy",
    "linkerd-data-plane",
    "linkerd-ha-checks",
  ]);
});

const node = { ...Resources.nodes, name: "node" };

async function setAnchors(at: CheckBench, options: TestCertificateOptions): Promise<void> {
  await at.anchors((await makeCertificate(options)).certPem);
}

async function setIssuer(at: CheckBench, options: TestCertificateOptions): Promise<void> {
  const { certPem, keyPem } = await makeCertificate(options);
  await at.secret("linkerd-identity-issuer", { "crt.pem": certPem, "key.pem": keyPem });
}

const rows: Row[] = [
  {
    what: "kubeconfig",
    options: {
      connect: () => {
        throw new Error("kubeconfig x: broken");
      },
    },
    description: "can initialize the client",
    anchor: "k8s-api",
    isFatal: true,
    error: "kubeconfig x: broken",
  },
  {
    what: "no API server",
    options: { connect: unreachableClient },
    description: "can query the Kubernetes API",
    anchor: "k8s-api",
    isFatal: true,
    error: /^http:\/\/127\.0\.0\.1:1: GET \/version: /,
  },
  {
    what: "old kubectl",
    options: { kubectlVersion: async () => "Client Version: v1.16.3" },
    description: "is running the minimum kubectl version",
    anchor: "kubectl-version",
    error: "kubectl is on version [1.16.3], but version [1.17.0] or more recent is required",
  },
  {
    what: "strange kubectl",
    options: { kubectlVersion: async () => "error: x\n" },
    description: "is running the minimum kubectl version",
    anchor: "kubectl-version",
    error: "cannot find a version in what kubectl says: error: x",
  },
  {
    what: "no configuration",
    given: (bench) => bench.change(inLinkerd(Resources.configMaps, "linkerd-config")),
    description: "'linkerd-config' config map exists",
    anchor: "l5d-existence-linkerd-config",
    isFatal: true,
    error: 'configmaps "linkerd-config" not found',
  },
  {
    what: "a configuration that is no YAML",
    given: (bench) => bench.values(() => "a: ["),
    description: "'linkerd-config' config map exists",
    anchor: "l5d-existence-linkerd-config",
    isFatal: true,
    error: /^ConfigMap linkerd\/linkerd-config: data\.values: /,
  },
  {
    what: "an empty configuration",
    given: (bench) => bench.values(() => ""),
    description: "'linkerd-config' config map exists",
    anchor: "l5d-existence-linkerd-config",
    isFatal: true,
    error: "ConfigMap linkerd/linkerd-config: data.values: expected a mapping",
  },
  {
    what: "no heartbeat account",
    given: (bench) => bench.values((text) => text.replace("disableHeartBeat: true", "disableHeartBeat: false")),
    description: "heartbeat ServiceAccount exist",
    anchor: "l5d-existence-sa",
    isFatal: true,
    error: "missing ServiceAccounts: linkerd-heartbeat",
  },
  {
    what: "a ReplicaSet that cannot create pods",
    given: (bench) =>
      bench.setStatus(inLinkerd(Resources.replicaSets, "linkerd-identity-5d8"), {
        replicas: 0,
        conditions: [{ type: "ReplicaFailure", status: "True", message: "quota" }],
      }),
    description: "control plane replica sets are ready",
    anchor: "l5d-existence-replicasets",
    isFatal: true,
    error: "linkerd-identity-5d8: quota",
  },
  {
    what: "an unschedulable pod",
    given: (bench) =>
      bench.setStatus(inLinkerd(Resources.pods, "linkerd-identity-5d8-x2k"), {
        conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/1 nodes" }],
      }),
    result: "warning",
    description: "no unschedulable pods",
    anchor: "l5d-existence-unschedulable-pods",
    error: "linkerd-identity-5d8-x2k: 0/1 nodes",
  },
  {
    what: "a container that is not ready",
    given: (bench) => bench.setPod("linkerd", "linkerd-destination-5d8-x2k", { unready: ["policy"] }),
    description: "control plane pods are ready",
    anchor: "l5d-api-control-ready",
    isFatal: true,
    error: "pod/linkerd-destination-5d8-x2k container policy is not ready",
  },
  {
    what: "a pod that is pending",
    given: (bench) => bench.setPod("linkerd", "linkerd-identity-5d8-x2k", { phase: "Pending" }),
    description: "control plane pods are ready",
    anchor: "l5d-api-control-ready",
    isFatal: true,
    error: 'No running pods for "linkerd-identity"',
  },
  {
    what: "a node without podCIDR",
    given: (bench) => bench.add(Resources.nodes, { apiVersion: "v1", kind: "Node", metadata: { name: "bare" } }),
    result: "warning",
    description: "cluster networks can be verified",
    anchor: "l5d-cluster-networks-verified",
    error: "the following nodes do not expose a podCIDR:\n\t* bare",
  },
  {
    what: "a podCIDR outside",
    given: (bench) =>
      bench.add(Resources.nodes, { apiVersion: "v1", kind: "Node", metadata: { name: "far" }, spec: { podCIDR: "200.0.0.0/16" } }),
    description: "cluster networks contains all node podCIDRs",
    anchor: "l5d-cluster-networks-cidr",
    error:
      'the following nodes have a podCIDR which is not contained in the Linkerd clusterNetworks:\n\t* far 200.0.0.0/16\n\tTry installing linkerd via --set clusterNetworks="10.0.0.0/8\\,100.64.0.0/10\\,172.16.0.0/12\\,192.168.0.0/16\\,200.0.0.0/16"',
  },
  ...(
    [
      ["ClusterRoles", "cr", Resources.clusterRoles, "linkerd-linkerd-identity", undefined],
      ["ClusterRoleBindings", "crb", Resources.clusterRoleBindings, "linkerd-linkerd-proxy-injector", undefined],
      ["ServiceAccounts", "sa", Resources.serviceAccounts, "linkerd-destination", "linkerd"],
      ["CustomResourceDefinitions", "crd", Resources.customResourceDefinitions, "servers.policy.linkerd.io", undefined],
      ["MutatingWebhookConfigurations", "mwc", Resources.mutatingWebhookConfigurations, "linkerd-proxy-injector-webhook-config", undefined],
      [
        "ValidatingWebhookConfigurations",
        "vwc",
        Resources.validatingWebhookConfigurations,
        "linkerd-sp-validator-webhook-config",
        undefined,
      ],
    ] as const
  ).map(
    ([kind, anchor, type, name, namespace]): Row => ({
      what: `no ${kind}`,
      given: (bench) => bench.change({ ...type, name, namespace }),
      description: `control plane ${kind} exist`,
      anchor: `l5d-existence-${anchor}`,
      isFatal: true,
      error: `missing ${kind}: ${name}`,
    }),
  ),
  {
    what: "docker without root",
    given: async (bench) => {
      await bench.values((text) => text.replace("runAsRoot: true", "runAsRoot: false"));
      await bench.setStatus(node, { nodeInfo: { containerRuntimeVersion: "docker://20" } });
    },
    description: "proxy-init container runs as root user if docker container runtime is used",
    anchor: "l5d-proxy-init-run-as-root",
    error: /docker container runtime/,
  },
  {
    what: "the CNI plugin is missing",
    given: (bench) => bench.values((text) => text.replace("cniEnabled: false", "cniEnabled: true")),
    description: "cni plugin ConfigMap exists",
    anchor: "cni-plugin-cm-exists",
    isFatal: true,
    error: "missing ConfigMaps: linkerd-cni-config",
  },
  {
    what: "no issuer",
    given: (bench) => bench.change(inLinkerd(Resources.secrets, "linkerd-identity-issuer")),
    description: "certificate config is valid",
    anchor: "l5d-identity-cert-config-valid",
    isFatal: true,
    error: "Secret linkerd/linkerd-identity-issuer not found",
  },
  {
    what: "an issuer without key",
    given: (bench) => bench.secret("linkerd-identity-issuer", { "crt.pem": "x" }),
    description: "certificate config is valid",
    anchor: "l5d-identity-cert-config-valid",
    isFatal: true,
    error: "Secret linkerd-identity-issuer: data[crt.pem]: no certificate found in PEM",
  },
  {
    what: "an external issuer without its keys",
    given: (bench) => bench.values((text) => text.replace("scheme: linkerd.io/tls", "scheme: kubernetes.io/tls")),
    description: "certificate config is valid",
    anchor: "l5d-identity-cert-config-valid",
    isFatal: true,
    error:
      "key tls.crt containing the issuer's credentials needs to exist in secret linkerd-identity-issuer if --identity-external-issuer=true",
  },
  {
    what: "a key of another certificate",
    given: async (bench) =>
      bench.secret("linkerd-identity-issuer", {
        "crt.pem": (await makeCertificate()).certPem,
        "key.pem": (await makeCertificate()).keyPem,
      }),
    description: "certificate config is valid",
    anchor: "l5d-identity-cert-config-valid",
    isFatal: true,
    error: "Secret linkerd-identity-issuer: data[key.pem]: private key does not match the certificate",
  },
  {
    what: "anchors of a wide curve",
    given: (bench) => setAnchors(bench, { commonName: "wide", curve: "P-384" }),
    description: "trust anchors are using supported crypto algorithm",
    anchor: "l5d-identity-trustAnchors-use-supported-crypto",
    isFatal: true,
    error: /^Invalid trustAnchors:\n\t\* \d+ wide must use P-256 curve for public key, instead secp384r1 was used$/,
  },
  {
    what: "an anchor that has ended",
    given: (bench) => setAnchors(bench, { commonName: "old", from: -9, until: -1 }),
    description: "trust anchors are within their validity period",
    anchor: "l5d-identity-trustAnchors-are-time-valid",
    isFatal: true,
    error: /^Invalid anchors:\n\t\* \d+ old not valid anymore\. Expired on 20.*Z$/,
  },
  {
    what: "an anchor that is to come",
    given: (bench) => setAnchors(bench, { commonName: "new", from: 1 }),
    description: "trust anchors are within their validity period",
    anchor: "l5d-identity-trustAnchors-are-time-valid",
    isFatal: true,
    error: /^Invalid anchors:\n\t\* \d+ new not valid before: 20.*Z$/,
  },
  {
    what: "an anchor that ends soon",
    given: (bench) => setAnchors(bench, { commonName: "short", until: 59 }),
    result: "warning",
    description: "trust anchors are valid for at least 60 days",
    anchor: "l5d-identity-trustAnchors-not-expiring-soon",
    error: /^Anchors expiring soon:\n\t\* \d+ short will expire on 20.*Z$/,
  },
  {
    what: "an issuer of a wide curve",
    given: (bench) => setIssuer(bench, { commonName: "wide", curve: "P-384" }),
    description: "issuer cert is using supported crypto algorithm",
    anchor: "l5d-identity-issuer-cert-uses-supported-crypto",
    isFatal: true,
    error: /^issuer certificate: \d+ wide must use P-256 curve/,
  },
  {
    what: "an issuer that has ended",
    given: (bench) => setIssuer(bench, { until: -1, from: -9 }),
    description: "issuer cert is within its validity period",
    anchor: "l5d-identity-issuer-cert-is-time-valid",
    isFatal: true,
    error: /^issuer certificate is not valid anymore\. Expired on 20.*Z$/,
  },
  {
    what: "an issuer that is to come",
    given: (bench) => setIssuer(bench, { from: 1 }),
    description: "issuer cert is within its validity period",
    anchor: "l5d-identity-issuer-cert-is-time-valid",
    isFatal: true,
    error: /^issuer certificate is not valid before: 20.*Z$/,
  },
  {
    what: "an issuer that ends soon",
    given: (bench) => setIssuer(bench, { until: 10 }),
    result: "warning",
    description: "issuer cert is valid for at least 60 days",
    anchor: "l5d-identity-issuer-cert-not-expiring-soon",
    error: /^issuer certificate will expire on 20.*Z$/,
  },
  {
    what: "an issuer of another anchor",
    given: (bench) => setAnchors(bench, { commonName: "other" }),
    description: "issuer cert is issued by the trust anchor",
    anchor: "l5d-identity-issuer-cert-issued-by-trust-anchor",
    error: "issuer certificate is not issued by a trust anchor",
  },
  ...(["proxy-injector", "sp-validator", "policy-validator"] as const).map(
    (webhook): Row => ({
      what: `${webhook} serves another certificate`,
      given: async (bench) => {
        const other = await makeCertificate({ dnsNames: [`linkerd-${webhook}.linkerd.svc`] });
        await bench.secret(`linkerd-${webhook}-k8s-tls`, { "tls.crt": other.certPem, "tls.key": other.keyPem });
      },
      description: `${webhook} webhook has valid cert`,
      anchor: `l5d-${webhook}-webhook-cert-valid`,
      isFatal: true,
      error: "cert is not issued by the trust anchor",
    }),
  ),
  {
    what: "a webhook's certificate for another name",
    given: async (bench) => {
      const other = await makeCertificate({ dnsNames: ["elsewhere"] });
      await bench.secret("linkerd-sp-validator-k8s-tls", { "tls.crt": other.certPem, "tls.key": other.keyPem });
    },
    description: "sp-validator webhook has valid cert",
    anchor: "l5d-sp-validator-webhook-cert-valid",
    isFatal: true,
    error: "cert is not issued for linkerd-sp-validator.linkerd.svc",
  },
  {
    what: "a webhook without Secret",
    given: (bench) => bench.change(inLinkerd(Resources.secrets, "linkerd-sp-validator-k8s-tls")),
    description: "sp-validator webhook has valid cert",
    anchor: "l5d-sp-validator-webhook-cert-valid",
    isFatal: true,
    error: "Secret linkerd/linkerd-sp-validator-k8s-tls not found",
  },
  {
    what: "a webhook with no caBundle",
    given: (bench) =>
      bench.change({ ...Resources.mutatingWebhookConfigurations, name: "linkerd-proxy-injector-webhook-config" }, (object) => {
        delete (object["webhooks"] as { clientConfig: { caBundle?: string } }[])[0]?.clientConfig.caBundle;
      }),
    description: "proxy-injector webhook has valid cert",
    anchor: "l5d-proxy-injector-webhook-cert-valid",
    isFatal: true,
    error: "linkerd-proxy-injector-webhook-config: webhooks[0].clientConfig.caBundle: no certificate found in PEM",
  },
  {
    what: "webhooks' certificates end soon",
    options: inDays(310),
    result: "warning",
    description: "sp-validator cert is valid for at least 60 days",
    anchor: "l5d-sp-validator-webhook-cert-not-expiring-soon",
    error: /^certificate will expire soon:\n\t\* \d+ linkerd-sp-validator\.linkerd\.svc will expire on/,
  },
  {
    what: "everything has ended",
    options: inDays(400),
    description: "trust anchors are within their validity period",
    anchor: "l5d-identity-trustAnchors-are-time-valid",
    isFatal: true,
    error: /not valid anymore/,
  },
  {
    what: "an expected version that is none",
    options: { expectedVersion: "latest" },
    result: "warning",
    description: "can determine the latest version",
    anchor: "l5d-version-latest",
    error: 'failed to parse version "latest": expected channel-number, such as stable-2.11.5',
  },
  {
    what: "an old CLI",
    options: { expectedVersion: "stable-9.9.9" },
    result: "warning",
    description: "cli is up-to-date",
    anchor: "l5d-version-cli",
    error: `is running version ${VERSION.slice(7)} but the latest stable version is 9.9.9`,
  },
  {
    what: "another channel",
    options: { expectedVersion: "edge-21.1.1" },
    result: "warning",
    description: "cli is up-to-date",
    anchor: "l5d-version-cli",
    error: `unsupported version channel: ${VERSION}`,
  },
  {
    what: "a configuration without version",
    given: (bench) => bench.values((text) => text.replace(/linkerdVersion: .*\n/, "")),
    description: "can retrieve the control plane version",
    anchor: "l5d-version-control",
    isFatal: true,
    error: "ConfigMap linkerd-config: data.values: linkerdVersion is missing",
  },
  {
    what: "an old control plane",
    options: { expectedVersion: "stable-9.9.9" },
    result: "warning",
    description: "control plane is up-to-date",
    anchor: "l5d-version-control",
    error: `is running version ${VERSION.slice(7)} but the latest stable version is 9.9.9`,
  },
  {
    what: "a CLI of another version",
    options: { cliVersion: "stable-2.11.9" },
    result: "warning",
    description: "control plane and cli versions match",
    anchor: "l5d-version-control",
    error: `control plane running ${VERSION} but cli running stable-2.11.9`,
  },
  {
    what: "a control-plane proxy that is not ready",
    given: (bench) => bench.setPod("linkerd", "linkerd-identity-5d8-x2k", { unready: ["linkerd-proxy"] }),
    description: "control plane pods are ready",
    anchor: "l5d-api-control-ready",
    isFatal: true,
    error: /container linkerd-proxy is not ready$/,
  },
  {
    what: "old control-plane proxies",
    options: { expectedVersion: "stable-9.9.9" },
    result: "warning",
    description: "control plane proxies are up-to-date",
    anchor: "l5d-cp-proxy-version",
    error: new RegExp(`^some proxies are not running the current version:\\n\\t\\* linkerd-destination-5d8-x2k \\(${VERSION}\\)\\n`),
  },
  {
    what: "control-plane proxies of another version than the CLI",
    options: { cliVersion: "stable-2.11.9" },
    result: "warning",
    description: "control plane proxies and cli versions match",
    anchor: "l5d-cp-proxy-cli-version",
    error: `linkerd-destination-5d8-x2k running ${VERSION} but cli running stable-2.11.9`,
  },
  {
    what: "a webhook that fails closed, kube-system not exempt",
    given: (bench) =>
      bench.change({ ...Resources.mutatingWebhookConfigurations, name: "linkerd-proxy-injector-webhook-config" }, (object) => {
        Object.assign((object["webhooks"] as object[])[0] as object, { failurePolicy: "Fail" });
      }),
    result: "warning",
    description: "pod injection disabled on kube-system",
    anchor: "l5d-injection-disabled",
    error: /^kube-system namespace needs to have the label/,
  },
  {
    what: "one replica of a highly available control plane",
    given: (bench) => bench.values((text) => text.replace("highAvailability: false", "highAvailability: true")),
    result: "warning",
    description: "multiple replicas of control plane pods",
    anchor: "l5d-control-plane-replicas",
    error: "not enough replicas available for [linkerd-destination linkerd-identity linkerd-proxy-injector]",
  },
];

test.each(rows.map((row) => [row.what, row] as const))("%s", (_, row) => bench.expectFailure("default", row));

test("networks of both families", () => {
  const cases: [outer: string, inner: string, isIn: boolean][] = [
    ["10.0.0.0/8", "10.244.0.0/24", true],
    ["10.0.0.0/8", "10.0.0.0/8", true],
    ["10.0.0.0/8", "10.0.0.0/7", false],
    ["10.0.0.0/8", "11.0.0.0/24", false],
    ["fd00::/8", "fd00:10:244::/64", true],
    ["fd00::/8", "fc00::/64", false],
    ["fd00::/8", "10.0.0.0/8", false],
    ["nonsense", "10.0.0.0/8", false],
    ["", "10.0.0.0/8", false],
  ];
  for (const [outer, inner, isIn] of cases) expect([outer, inner, contains(outer, inner)]).toEqual([outer, inner, isIn]);
});
