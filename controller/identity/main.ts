// Role `identity`: certifies workloads by their service-account tokens (spec control-plane §2). gRPC 8080, admin 9990.
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { CertifyResponseSchema, Identity } from "#api/identity_pb";
import { parseGoDuration } from "#inject";
import { type AnyObject, isDnsLabel, isDnsSubdomain, type KubeClient, Resources } from "#kube";
import {
  commonFlags,
  createEventRecorder,
  createMetrics,
  type Env,
  type EventObject,
  parseAddress,
  runRole,
  serveAdmin,
  serveGrpc,
  watchMount,
} from "../runtime/index.ts";
import { IssuerStore, issuerFiles } from "./issuer-store.ts";
import { CertifyFailure, certify } from "./service.ts";
import { reviewToken } from "./token-review.ts";

const flags = {
  addr: { default: ":8080", help: "address of the gRPC server" },
  "admin-addr": { default: ":9990", help: "address of the admin server" },
  issuer: { default: "/var/run/linkerd/identity/issuer", help: "folder of the issuer's certificate and key" },
  "trust-anchors": { default: "/var/run/linkerd/identity/trust-roots/ca-bundle.crt", help: "file of the trust anchors" },
  "controller-namespace": { default: "", help: "namespace of the control plane" },
  "identity-scheme": { default: "linkerd.io/tls", help: "scheme of the issuer's secret" },
  "identity-trust-domain": { default: "", help: "trust domain" },
  "identity-issuance-lifetime": { default: "24h0m0s", help: "lifetime of certificates" },
  "identity-clock-skew-allowance": { default: "20s", help: "allowance for clocks that differ" },
  ...commonFlags,
} as const;

export function main(args: string[], env: Env): Promise<number> {
  return runRole(
    {
      name: "identity",
      flags,
      async start({ flags, client, log }) {
        const controlNamespace = flags["controller-namespace"];
        const trustDomain = flags["identity-trust-domain"];
        if (!isDnsLabel(controlNamespace)) throw new Error(`-controller-namespace: ${JSON.stringify(controlNamespace)} is not a namespace`);
        if (!isDnsSubdomain(trustDomain)) throw new Error(`-identity-trust-domain: ${JSON.stringify(trustDomain)} is not a domain`);
        const lifetimeMs = durationFlag("identity-issuance-lifetime", flags["identity-issuance-lifetime"]);
        const clockSkewMs = durationFlag("identity-clock-skew-allowance", flags["identity-clock-skew-allowance"]);
        const now = () => new Date();
        await checkAccess(client);
        const deployment = await ownDeployment(client, controlNamespace);
        const record = createEventRecorder({ client, component: "linkerd-identity", log });
        const files = issuerFiles({ issuerDir: flags.issuer, anchorsFile: flags["trust-anchors"], scheme: flags["identity-scheme"] });
        const store = new IssuerStore({ files, expectedName: `identity.${controlNamespace}.${trustDomain}`, now });
        await store.load();
        const stopWatching = watchMount(Object.values(files), () => {
          void store.load().then((reload) => {
            if (reload.kind === "unchanged") return;
            if (reload.kind === "updated") {
              log.info("updated identity issuer", { subject: reload.subject });
              record({ type: "Normal", reason: "IssuerUpdated", message: "Updated identity issuer", object: deployment });
            } else {
              log.warning("skipping issuer update", { error: reload.reason });
              record({
                type: "Warning",
                reason: "IssuerUpdateSkipped",
                message: `Skipping issuer update as certs could not be read from disk: ${reload.reason}`,
                object: deployment,
              });
            }
          });
        });
        const metrics = createMetrics();
        const grpcAddress = parseAddress("addr", flags.addr);
        const adminAddress = parseAddress("admin-addr", flags["admin-addr"]);
        const options = {
          issuer: () => store.current,
          reviewToken: (token: string) => reviewToken(client, token),
          controlNamespace,
          trustDomain,
          lifetimeMs,
          clockSkewMs,
          now,
          events: {
            issued({
              identity,
              serviceAccount,
              namespace,
              notAfter,
              hash,
            }: {
              identity: string;
              serviceAccount: string;
              namespace: string;
              notAfter: Date;
              hash: string;
            }) {
              const message = `issued certificate for ${identity} until ${notAfter.toISOString()}: ${hash}`;
              log.info(message);
              record({
                type: "Normal",
                reason: "IssuedLeafCertificate",
                message,
                object: { apiVersion: "v1", kind: "ServiceAccount", namespace, name: serviceAccount },
              });
            },
            issuerInvalid(message: string) {
              log.error("the issuer is not valid", { error: message });
              record({ type: "Warning", reason: "IssuerValidationFailed", message, object: deployment });
            },
          },
        };
        const grpc = await serveGrpc({
          ...grpcAddress,
          metrics,
          routes: (router) =>
            router.service(Identity, {
              async certify(request) {
                try {
                  const { leaf, intermediates, validUntil } = await certify(
                    { identity: request.identity, token: request.token, csr: request.certificateSigningRequest },
                    options,
                  );
                  return create(CertifyResponseSchema, {
                    leafCertificate: Uint8Array.from(leaf),
                    intermediateCertificates: intermediates.map((one) => Uint8Array.from(one)),
                    validUntil: timestampFromDate(validUntil),
                  });
                } catch (error) {
                  if (!(error instanceof CertifyFailure)) throw error;
                  log.warning("refused to certify", { identity: request.identity, code: error.code, reason: error.message });
                  throw new ConnectError(error.message, Code[error.code]);
                }
              },
            }),
        });
        const admin = serveAdmin({ ...adminAddress, metrics: metrics.registry });
        log.info("identity serves", { grpc: grpc.port, admin: admin.port, issuer: store.current?.subject });
        return async () => {
          stopWatching();
          await grpc.close();
          await admin.close();
        };
      },
    },
    args,
    env,
  );
}

function durationFlag(name: string, text: string): number {
  const ms = parseGoDuration(text);
  if (ms === undefined || ms < 0) throw new Error(`-${name}: ${JSON.stringify(text)} is not a duration`);
  return ms;
}

/** @throws when this service account may not create TokenReviews. */
async function checkAccess(client: KubeClient): Promise<void> {
  const review = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { resourceAttributes: { group: "authentication.k8s.io", version: "v1", resource: "tokenreviews", verb: "create" } },
  };
  const { status } = await client.create<AnyObject & { status?: { allowed?: boolean; reason?: string } }>(
    Resources.selfSubjectAccessReviews,
    review,
  );
  if (status?.allowed !== true)
    throw new Error(`not allowed to create tokenreviews.authentication.k8s.io${status?.reason ? `: ${status.reason}` : ""}`);
}

/** The parent of this controller's events. @throws when it cannot be read. */
async function ownDeployment(client: KubeClient, namespace: string): Promise<EventObject> {
  const deployment = await client.get({ ...Resources.deployments, namespace, name: "linkerd-identity" });
  return { apiVersion: "apps/v1", kind: "Deployment", namespace, name: "linkerd-identity", uid: deployment.metadata.uid };
}
