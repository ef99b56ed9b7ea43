// `identity`: certificates of meshed pods, asked over a port-forward of a real API server (spec cli §3.3, case 74).
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createServer, type Server } from "node:tls";
import { Resources } from "#kube";
import { describeCertificate } from "../certificate-text.ts";
import { makeCertificate, type TestCertificate } from "../testing/certificates.ts";
import { setPodStatus, startWorld, type World } from "../testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

const name = "default.default.serviceaccount.identity.linkerd.cluster.local";
let world: World;
let proxy: Server;
let leaf: TestCertificate;
let issuer: TestCertificate;
const askedFor: string[] = [];

const meshed = (pod: string, { container = "linkerd-proxy", native = false, env = {} as Record<string, string> } = {}) => {
  const containers = [{ name: "app", image: "app:1" }];
  const sidecar = {
    name: container,
    image: "p:1",
    ports: [{ name: "linkerd-admin", containerPort: 4191 }],
    env: Object.entries({ _l5d_ns: "linkerd", _l5d_trustdomain: "cluster.local", ...env }).map(([key, value]) => ({ name: key, value })),
    ...(native ? { restartPolicy: "Always" } : {}),
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: pod, namespace: "default", labels: { pod } },
    spec: {
      nodeName: "node",
      containers: native ? containers : [...containers, sidecar],
      ...(native ? { initContainers: [sidecar] } : {}),
    },
  };
};

beforeAll(async () => {
  world = await startWorld();
  issuer = await makeCertificate({ commonName: "identity.linkerd.cluster.local" });
  leaf = await makeCertificate({ commonName: name, dnsNames: [name], isCa: false, issuer, until: 1 });
  proxy = createServer({
    cert: leaf.certPem + issuer.certPem,
    key: leaf.keyPem,
    SNICallback(asked, done) {
      askedFor.push(asked);
      done(null);
    },
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { port } = proxy.address() as { port: number };
  const pods = { ...Resources.pods, namespace: "default" };
  for (const pod of [
    meshed("web"),
    meshed("native", { native: true }),
    meshed("plain", { container: "other" }),
    meshed("odd", { env: { _l5d_trustdomain: "" } }),
    meshed("pending"),
    meshed("deaf"),
    meshed("gone"),
  ]) {
    await world.client.create(pods, pod);
    await setPodStatus(world, "default", pod.metadata.name, { phase: pod.metadata.name === "pending" ? "Pending" : "Running" });
    if (!["deaf", "gone"].includes(pod.metadata.name)) world.node.ports.set(`default/${pod.metadata.name}:4191`, port);
  }
  world.node.ports.set("default/deaf:1", port);
});
afterAll(async () => {
  proxy.close();
  await world.close();
});

test("the leaf in words, under the pod's name; the proxy is asked for the pod's own identity", async () => {
  for (const pod of ["web", "native"]) {
    const { status, stdout, stderr } = await world.cli(["identity", pod]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toStartWith(`\nPOD ${pod} (1 of 1)\n\nCertificate:\n    Data:\n        Version: 3 (0x2)\n        Serial Number: `);
    expect(stdout).toContain(`        Subject: CN=${name}\n`);
    expect(stdout).toContain("        Issuer: CN=identity.linkerd.cluster.local\n");
    expect(stdout).toContain(`            X509v3 Subject Alternative Name:\n                DNS:${name}\n`);
    // The issuer is a CA: it is left out.
    expect(stdout.match(/^Certificate:/gm)).toHaveLength(1);
  }
  expect(new Set(askedFor)).toEqual(new Set([name]));
});

test("several pods by name and by selector; names win", async () => {
  const both = await world.cli(["identity", "web", "native", "-l", "pod=none"]);
  expect(both.stdout).toContain("POD web (1 of 2)\n");
  expect(both.stdout).toContain("POD native (2 of 2)\n");
  expect((await world.cli(["identity", "-l", "pod in (web,native)"])).stdout.match(/^POD (native|web) \(\d of 2\)$/gm)).toHaveLength(2);
});

test("a pod that cannot be asked says why and ends the listing, exit status 0", async () => {
  const rows: [pod: string, said: string][] = [
    [
      "plain",
      "Could not fetch Certificate. Ensure that the pod(s) are meshed by running `fairlead inject`: default/plain has no container linkerd-proxy with a port linkerd-admin\n",
    ],
    ["pending", "pod not running: pending\n"],
    ["odd", "default/odd: container linkerd-proxy has no _l5d_trustdomain in its environment: the pod's identity is not known\n"],
    ["deaf", "failed to connect to localhost:4191 inside namespace: connection refused\n"],
  ];
  for (const [pod, said] of rows) expect(await world.cli(["identity", pod, "web"])).toEqual({ status: 0, stdout: said, stderr: "" });
  expect((await world.cli(["identity", "gone"])).stdout).not.toBe("");
});

test("nothing found; pods that do not exist; a user without rights", async () => {
  const none = await world.cli(["identity", "-l", "app=none"]);
  expect(none).toEqual({
    status: 0,
    stdout: "Could not fetch Certificate. Ensure that the pod(s) are meshed by running `fairlead inject`\n",
    stderr: "",
  });
  expect(await world.cli(["identity", "nobody"])).toEqual({ status: 1, stdout: "", stderr: 'pods "nobody" not found\n' });
  expect((await world.cli(["identity", "web", "-n", "other"])).stderr).toBe('pods "web" not found\n');
  expect((await world.cli(["identity", "web", "--as", "eve"])).stderr).toStartWith(
    'pods "web" is forbidden: User "eve" cannot get resource "pods"',
  );
  await world.kubectl(["create", "clusterrole", "reader", "--verb=get,list", "--resource=pods"]);
  await world.kubectl(["create", "clusterrolebinding", "reader", "--clusterrole=reader", "--user=eve"]);
  expect((await world.cli(["identity", "web", "--as", "eve"])).stdout).toBe(
    'pods "web" is forbidden: User "eve" cannot get resource "pods/portforward" in API group "" in the namespace "default"\n',
  );
});

test("an end entity has words, an authority has none", () => {
  const der = (pem: string) => Buffer.from(pem.replace(/-----.*-----|\n/g, ""), "base64");
  const text = describeCertificate(der(leaf.certPem));
  expect(text).toMatch(/ {8}Validity\n {12}Not Before: \w{3} [ \d]\d \d\d:\d\d:\d\d 20\d\d UTC\n {12}Not After : /);
  expect(text).toContain("            Public Key Algorithm: ECDSA\n                Public-Key: (256 bit)\n");
  expect(text).toMatch(/\n {4}Signature Algorithm: ECDSA-SHA256\n( {9}([0-9a-f]{2}:){18}\n)+ {9}[0-9a-f:]+\n\n$/);
  expect(describeCertificate(der(issuer.certPem))).toBeNull();
});
