// The control plane against a real API server: installed by kubectl from the chart, each role as a process, judged over gRPC and by kubectl.
import { afterAll, beforeAll, expect, test } from "bun:test";
import "reflect-metadata";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import * as x509 from "@peculiar/x509";
import { Destination, type Update } from "#api/destination_pb";
import { Identity } from "#api/identity_pb";
import { InboundServerPolicies, type Server } from "#api/inbound_pb";
import { renderControlPlane } from "#chart";
import { createCsr, ECDSA_P256, generateAuthority, type KeyPair } from "#identity";
import { type AnyObject, Resources } from "#kube";
import { type RunningRole, startTestCluster, type TestCluster } from "./testing/cluster.ts";

let cluster: TestCluster;
let authority: KeyPair;
let identity: RunningRole;
let destination: RunningRole;
let policy: RunningRole;
let validator: RunningRole;
let injector: RunningRole;

const transport = (port: number) => createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` });

/** Answers of a stream, one at a time. */
class Stream<T> {
  readonly #iterator: AsyncIterator<T>;
  readonly #abort: AbortController;
  constructor(open: (signal: AbortSignal) => AsyncIterable<T>) {
    this.#abort = new AbortController();
    this.#iterator = open(this.#abort.signal)[Symbol.asyncIterator]();
  }
  async next(): Promise<T> {
    const { value, done } = await this.#iterator.next();
    if (done) throw new Error("the stream has ended");
    return value;
  }
  async until(wanted: (value: T) => boolean): Promise<T> {
    for (;;) {
      const value = await this.next();
      if (wanted(value)) return value;
    }
  }
  close(): void {
    this.#abort.abort();
  }
}

const apply = (yaml: string) => cluster.kubectl(["apply", "-f", "-"], yaml);

beforeAll(async () => {
  cluster = await startTestCluster();
  authority = await generateAuthority({ commonName: "identity.linkerd.cluster.local" });
  const { yaml } = await renderControlPlane({
    identity: { trustAnchorsPem: authority.certPem, issuerCertPem: authority.certPem, issuerKeyPem: authority.keyPem },
  });
  const applied = await apply(yaml);
  expect(applied.stderr).toBe("");
  expect(applied.status).toBe(0);
  const mount = (name: string, files: Record<string, string>) => {
    const dir = join(cluster.dir, name);
    mkdirSync(dir);
    for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, file), text);
    return dir;
  };
  const secret = async (name: string) => {
    const { data } = await cluster.client.get<AnyObject & { data: Record<string, string> }>({
      ...Resources.secrets,
      namespace: "linkerd",
      name,
    });
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]));
  };
  const map = async (name: string) =>
    (await cluster.client.get<AnyObject & { data: Record<string, string> }>({ ...Resources.configMaps, namespace: "linkerd", name })).data;
  const issuer = mount("issuer", await secret("linkerd-identity-issuer"));
  const roots = mount("roots", await map("linkerd-identity-trust-roots"));
  const config = mount("config", await map("linkerd-config"));
  const tls = async (name: string) => mount(name, await secret(`${name}-k8s-tls`));
  const [injectorTls, validatorTls, policyTls] = [
    await tls("linkerd-proxy-injector"),
    await tls("linkerd-sp-validator"),
    await tls("linkerd-policy-validator"),
  ];
  [identity, destination, policy, validator, injector] = await Promise.all([
    cluster.role("identity", "linkerd-identity", [
      "-addr=127.0.0.1:0",
      "-admin-addr=127.0.0.1:0",
      `-issuer=${issuer}`,
      `-trust-anchors=${join(roots, "ca-bundle.crt")}`,
      "-controller-namespace=linkerd",
      "-identity-trust-domain=cluster.local",
    ]),
    cluster.role("destination", "linkerd-destination", [
      "-addr=127.0.0.1:0",
      "-metrics-addr=127.0.0.1:0",
      "-cluster-domain=cluster.local",
      "-identity-trust-domain=cluster.local",
      "-default-opaque-ports=25,3306",
    ]),
    cluster.role("policy", "linkerd-destination", [
      "--grpc-addr=127.0.0.1:0",
      "--admin-addr=127.0.0.1:0",
      "--server-addr=127.0.0.1:0",
      `--server-tls-key=${policyTls}/tls.key`,
      `--server-tls-certs=${policyTls}/tls.crt`,
    ]),
    cluster.role("sp-validator", "linkerd-destination", [
      "-addr=127.0.0.1:0",
      "-metrics-addr=127.0.0.1:0",
      `-tls-cert=${validatorTls}/tls.crt`,
      `-tls-key=${validatorTls}/tls.key`,
    ]),
    cluster.role("proxy-injector", "linkerd-proxy-injector", [
      "-addr=127.0.0.1:0",
      "-metrics-addr=127.0.0.1:0",
      `-tls-cert=${injectorTls}/tls.crt`,
      `-tls-key=${injectorTls}/tls.key`,
      `-config=${config}/values`,
      `-trust-anchors=${roots}/ca-bundle.crt`,
    ]),
  ]);
  cluster.webhookPorts.set("linkerd-policy-validator", policy.ports["webhook"] as number);
  cluster.webhookPorts.set("linkerd-sp-validator", validator.ports["webhook"] as number);
  cluster.webhookPorts.set("linkerd-proxy-injector", injector.ports["webhook"] as number);
  await apply("{apiVersion: v1, kind: Namespace, metadata: {name: app, annotations: {linkerd.io/inject: enabled}}}");
}, 60_000);

afterAll(async () => {
  await cluster?.close();
});

const pod = (name: string, more: { labels?: Record<string, string>; annotations?: Record<string, string> } = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "app", labels: { app: "web", ...more.labels }, annotations: more.annotations ?? {} },
  spec: { serviceAccountName: "default", containers: [{ name: "app", image: "app:1", ports: [{ name: "http", containerPort: 8080 }] }] },
});

test("a pod of an enabled namespace is injected, and the webhook's answer is a valid pod", async () => {
  await apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: app}}");
  const made = await cluster.kubectl(["create", "-f", "-", "-o", "json"], JSON.stringify(pod("web-1")));
  expect(made.stderr).toBe("");
  const { spec, metadata } = JSON.parse(made.stdout) as {
    spec: { containers: { name: string }[]; initContainers: { name: string }[] };
    metadata: { labels: Record<string, string> };
  };
  expect(spec.containers.map((one) => one.name)).toEqual(["linkerd-proxy", "app"]);
  expect(spec.initContainers.map((one) => one.name)).toEqual(["linkerd-init"]);
  expect(metadata.labels["linkerd.io/control-plane-ns"]).toBe("linkerd");
});

test("a malformed annotation is told to the user, and the pod is injected all the same", async () => {
  const made = await cluster.kubectl(
    ["create", "-f", "-"],
    JSON.stringify(pod("web-bad", { annotations: { "config.linkerd.io/proxy-cpu-limit": "much" } })),
  );
  expect(made.status).toBe(0);
  expect(made.stderr).toContain('Warning: Pod app/web-bad: annotation config.linkerd.io/proxy-cpu-limit: "much" is not a quantity');
});

test("identity certifies a service account by its token, and refuses another name", async () => {
  const { status } = await cluster.client.create<AnyObject & { status: { token: string } }>(
    { ...Resources.serviceAccounts, namespace: "app", name: "default", subresource: "token" },
    { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} },
  );
  const client = createClient(Identity, transport(identity.ports["grpc"] as number));
  const keys = (await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"])) as CryptoKeyPair;
  const name = "default.app.serviceaccount.identity.linkerd.cluster.local";
  const answer = await client.certify({
    identity: name,
    token: Uint8Array.from(Buffer.from(status.token)),
    certificateSigningRequest: Uint8Array.from(await createCsr({ name, keys })),
  });
  const leaf = new x509.X509Certificate(Uint8Array.from(answer.leafCertificate));
  const root = new x509.X509Certificate(authority.certPem);
  expect(leaf.subjectName.getField("CN")).toEqual([name]);
  expect(await leaf.verify({ publicKey: root.publicKey })).toBe(true);
  expect(Buffer.from(answer.intermediateCertificates[0] as Uint8Array).equals(Buffer.from(root.rawData))).toBe(true);
  const other = "web.app.serviceaccount.identity.linkerd.cluster.local";
  const refusal = await client
    .certify({
      identity: other,
      token: Uint8Array.from(Buffer.from(status.token)),
      certificateSigningRequest: Uint8Array.from(await createCsr({ name: other, keys })),
    })
    .catch((error: unknown) => ConnectError.from(error));
  expect((refusal as ConnectError).code).toBe(Code.FailedPrecondition);
  expect((refusal as ConnectError).rawMessage).toBe(`requested identity did not match provided token: requested=${other}; found=${name}`);
  await expect(
    client.certify({
      identity: name,
      token: Uint8Array.from(Buffer.from("no.such.token")),
      certificateSigningRequest: Uint8Array.from(await createCsr({ name, keys })),
    }),
  ).rejects.toThrow(/could not be authenticated/);
});

const ready = async (name: string, ip: string) => {
  await cluster.client.patch(
    { ...Resources.pods, namespace: "app", name, subresource: "status" },
    { status: { phase: "Running", podIP: ip, podIPs: [{ ip }] } },
  );
};

test("discovery follows Services, Endpoints, Servers and profiles", async () => {
  await ready("web-1", "10.244.0.11");
  await apply(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: app}
spec: {ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: app}
subsets: [{addresses: [{ip: 10.244.0.11, targetRef: {kind: Pod, name: web-1, namespace: app}}], ports: [{name: http, port: 8080}]}]
`);
  const client = createClient(Destination, transport(destination.ports["grpc"] as number));
  const stream = new Stream<Update>((signal) => client.get({ scheme: "k8s", path: "web.app.svc.cluster.local:80" }, { signal }));
  const added = await stream.until(({ update }) => update.case === "add");
  const { addrs, metricLabels } = added.update.value as Extract<Update["update"], { case: "add" }>["value"];
  expect(metricLabels).toEqual({ service: "web", namespace: "app" });
  expect(addrs).toHaveLength(1);
  expect(addrs[0]?.addr?.port).toBe(8080);
  expect(addrs[0]?.weight).toBe(10000);
  expect(addrs[0]?.protocolHint?.protocol.case).toBe("h2");
  expect(addrs[0]?.tlsIdentity?.strategy.value?.name).toBe("default.app.serviceaccount.identity.linkerd.cluster.local");

  expect(
    (
      await apply(
        "{apiVersion: policy.linkerd.io/v1beta1, kind: Server, metadata: {name: web, namespace: app}, spec: {podSelector: {matchLabels: {app: web}}, port: http, proxyProtocol: opaque}}",
      )
    ).stderr,
  ).toBe("");
  const opaque = await stream.next();
  expect(
    (opaque.update.value as { addrs: { protocolHint?: { opaqueTransport?: { inboundPort: number } } }[] }).addrs[0]?.protocolHint
      ?.opaqueTransport?.inboundPort,
  ).toBe(4143);
  await cluster.kubectl(["delete", "server", "-n", "app", "web"]);
  const plain = await stream.next();
  expect(
    (plain.update.value as { addrs: { protocolHint?: { opaqueTransport?: unknown } }[] }).addrs[0]?.protocolHint?.opaqueTransport,
  ).toBeUndefined();
  stream.close();

  const { spec } = await cluster.client.get<AnyObject & { spec: { clusterIP: string } }>({
    ...Resources.services,
    namespace: "app",
    name: "web",
  });
  const profiles = new Stream((signal) => client.getProfile({ path: `${spec.clusterIP}:80` }, { signal }));
  const first = await profiles.next();
  expect(first.fullyQualifiedName).toBe("web.app.svc.cluster.local");
  expect(first.dstOverrides.map(({ authority: name, weight }) => [name, weight])).toEqual([["web.app.svc.cluster.local.:80", 10000]]);
  const made = await apply(`
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: web.app.svc.cluster.local, namespace: app}
spec: {routes: [{name: GET /, condition: {method: GET, pathRegex: /}, timeout: 300ms, isRetryable: true}]}
`);
  expect(made.stderr).toBe("");
  const routed = await profiles.until((profile) => profile.routes.length === 1);
  expect(routed.routes[0]).toMatchObject({
    isRetryable: true,
    metricsLabels: { route: "GET /" },
    timeout: { seconds: 0n, nanos: 300_000_000 },
  });
  profiles.close();
});

test("policy follows Servers and authorizations; bad ones are refused by field", async () => {
  const client = createClient(InboundServerPolicies, transport(policy.ports["grpc"] as number));
  const unknown = await client.getPort({ workload: "app:nobody", port: 8080 }).catch((error: unknown) => ConnectError.from(error));
  expect((unknown as ConnectError).code).toBe(Code.NotFound);
  const stream = new Stream<Server>((signal) => client.watchPort({ workload: "app:web-1", port: 8080 }, { signal }));
  expect((await stream.next()).labels["name"]).toBe("default:all-unauthenticated");
  await apply(
    "{apiVersion: policy.linkerd.io/v1beta1, kind: Server, metadata: {name: web, namespace: app, labels: {app: web}}, spec: {podSelector: {matchLabels: {app: web}}, port: http, proxyProtocol: HTTP/1}}",
  );
  const closed = await stream.next();
  expect(closed.labels["name"]).toBe("web");
  expect(closed.authorizations).toEqual([]);
  await apply(
    "{apiVersion: policy.linkerd.io/v1beta1, kind: ServerAuthorization, metadata: {name: web, namespace: app}, spec: {server: {name: web}, client: {meshTLS: {serviceAccounts: [{name: caller}]}}}}",
  );
  const open = await stream.next();
  const { permit } = open.authorizations[0]?.authentication ?? {};
  expect(
    permit?.case === "meshTLS" && permit.value.clients.case === "identities"
      ? permit.value.clients.value.identities.map((one) => one.name)
      : [],
  ).toEqual(["caller.app.serviceaccount.identity.linkerd.cluster.local"]);

  const twin = await apply(
    "{apiVersion: policy.linkerd.io/v1beta1, kind: Server, metadata: {name: twin, namespace: app}, spec: {podSelector: {}, port: http}}",
  );
  expect(twin.status).not.toBe(0);
  expect(twin.stderr).toContain(
    "identical server spec already exists: Server app/twin: spec.port and spec.podSelector overlap with those of Server app/web",
  );
  const nobody = await apply(
    "{apiVersion: policy.linkerd.io/v1beta1, kind: ServerAuthorization, metadata: {name: nobody, namespace: app}, spec: {server: {name: web}, client: {}}}",
  );
  expect(nobody.stderr).toContain("ServerAuthorization app/nobody: spec.client: names no client");
  const profile = await apply(
    "{apiVersion: linkerd.io/v1alpha2, kind: ServiceProfile, metadata: {name: bad.app.svc.cluster.local, namespace: app}, spec: {routes: [{name: a, condition: {method: GET}, timeout: soon}]}}",
  );
  expect(profile.stderr).toContain(
    'ServiceProfile "bad.app.svc.cluster.local" is invalid: spec.routes[0].timeout: "soon" is not a duration',
  );

  await cluster.kubectl(["delete", "server", "-n", "app", "web"]);
  expect((await stream.next()).labels["name"]).toBe("default:all-unauthenticated");
  stream.close();
});

test("every role tells how it is, and ends in good order", async () => {
  for (const role of [identity, destination, validator, injector]) {
    const at = `http://127.0.0.1:${role.ports["admin"]}`;
    expect(await (await fetch(`${at}/ping`)).text()).toBe("pong\n");
    expect(await (await fetch(`${at}/ready`)).text()).toBe("ok\n");
    expect(await (await fetch(`${at}/metrics`)).text()).toContain("process_resident_memory_bytes");
  }
  expect((await fetch(`http://127.0.0.1:${policy.ports["admin"]}/ready`)).status).toBe(200);
  expect(await (await fetch(`http://127.0.0.1:${injector.ports["admin"]}/metrics`)).text()).toContain(
    'proxy_inject_admission_responses_total{owner_kind="pod",namespace="app",annotation_at="namespace"',
  );
  expect(await Promise.all([identity, destination, policy, validator, injector].map((role) => role.stop()))).toEqual([0, 0, 0, 0, 0]);
});
