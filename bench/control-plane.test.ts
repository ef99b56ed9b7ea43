// What the control plane of the benchmarks answers; its messages are the mesh's own.
import "reflect-metadata";
import { beforeAll, expect, test } from "bun:test";
import { createClient, createRouterTransport, type Transport } from "@connectrpc/connect";
import * as x509 from "@peculiar/x509";
import { Destination } from "#api/destination_pb";
import { Identity } from "#api/identity_pb";
import { InboundServerPolicies } from "#api/inbound_pb";
import { Authority } from "./certificates.ts";
import { type ControlPlaneConfig, routes } from "./control-plane.ts";

const config: ControlPlaneConfig = {
  rootPem: "",
  rootKey: "",
  service: "web.bench.svc.cluster.local",
  serviceAddress: "10.213.1.100",
  endpointIp: "10.213.1.2",
  endpointPort: 8080,
  endpointIdentity: "web.id",
  clientIdentity: "client.id",
  protocol: "detect",
  churnIp: "10.213.1.3",
};
let authority: Authority;
let transport: Transport;

beforeAll(async () => {
  const made = await Authority.create();
  authority = await Authority.import(made.pem, await made.exportKey());
  transport = createRouterTransport(routes(config, authority));
});

/** The first message of a watch, which is then cancelled. */
async function first<T>(watch: (signal: AbortSignal) => AsyncIterable<T>): Promise<T> {
  const abort = new AbortController();
  const { value, done } = await watch(abort.signal)[Symbol.asyncIterator]().next();
  abort.abort();
  if (done === true) throw new Error("no message");
  return value;
}

test("identity: a leaf for the request's key, signed by the root", async () => {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({ name: "CN=client.id", keys, signingAlgorithm: algorithm });
  const answer = await createClient(Identity, transport).certify({
    identity: "client.id",
    token: new Uint8Array(1),
    certificateSigningRequest: new Uint8Array(csr.rawData),
  });
  const leaf = new x509.X509Certificate(new Uint8Array(answer.leafCertificate));
  expect(await leaf.verify({ publicKey: await new x509.X509Certificate(authority.pem).publicKey.export(), signatureOnly: true })).toBe(
    true,
  );
  expect(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON()).toEqual([{ type: "dns", value: "client.id" }]);
  expect(answer.validUntil).toBeDefined();
});

test("discovery", async () => {
  const client = createClient(Destination, transport);
  expect((await first((signal) => client.getProfile({ path: "10.213.1.100:80" }, { signal }))).fullyQualifiedName).toBe(config.service);
  await expect(first((signal) => client.getProfile({ path: "10.9.9.9:80" }, { signal }))).rejects.toThrow("no service");
  const { update } = await first((signal) => client.get({ path: `${config.service}:80` }, { signal }));
  expect(update.case === "add" && update.value.addrs[0]?.addr).toMatchObject({
    ip: { ip: { case: "ipv4", value: 0x0ad50102 } },
    port: 8080,
  });
});

test("policy", async () => {
  const client = createClient(InboundServerPolicies, transport);
  expect((await first((signal) => client.watchPort({ workload: "bench:web-0", port: 8080 }, { signal }))).labels).toEqual({ name: "web" });
  expect((await first((signal) => client.watchPort({ workload: "bench:web-0", port: 4191 }, { signal }))).labels).toEqual({
    name: "admin",
  });
});
