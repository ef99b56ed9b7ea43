// The Certify call's order of refusals (spec control-plane §2.3, §13 X1–X8), and issuer reloads.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCsr, ECDSA_P256, generateAuthority, Issuer, parseTrustAnchors } from "#identity";
import { IssuerStore, issuerFiles } from "./issuer-store.ts";
import { type CertifyFailure, type CertifyOptions, certify } from "./service.ts";
import { audiencesOf } from "./token-review.ts";

const name = "web.app.serviceaccount.identity.linkerd.cluster.local";
const keys = (await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"])) as CryptoKeyPair;
const request = { identity: name, token: new TextEncoder().encode("token"), csr: await createCsr({ name, keys }) };

async function options(more: Partial<CertifyOptions> = {}): Promise<CertifyOptions & { told: string[] }> {
  const authority = await generateAuthority({ commonName: "identity.linkerd.cluster.local" });
  const issuer = await Issuer.read({ ...authority, anchors: parseTrustAnchors(authority.certPem), now: new Date() });
  const told: string[] = [];
  return {
    issuer: () => issuer,
    reviewToken: async () => ({ authenticated: true, username: "system:serviceaccount:app:web", reason: "" }),
    controlNamespace: "linkerd",
    trustDomain: "cluster.local",
    lifetimeMs: 86_400_000,
    clockSkewMs: 20_000,
    now: () => new Date(),
    events: {
      issued: ({ identity, serviceAccount, hash }) => told.push(`issued ${identity} ${serviceAccount} ${hash.length}`),
      issuerInvalid: (message) => told.push(message),
    },
    told,
    ...more,
  };
}

describe("certify", () => {
  test("X1: grants, and tells", async () => {
    const given = await options();
    const result = await certify(request, given);
    expect(result.intermediates).toHaveLength(1);
    expect(given.told).toEqual([`issued ${name} web 32`]);
  });
  const rows: [string, Partial<typeof request>, Partial<CertifyOptions>, CertifyFailure["code"], RegExp][] = [
    ["no issuer", {}, { issuer: () => undefined }, "Unavailable", /issuer not ready/],
    ["no identity", { identity: "" }, {}, "InvalidArgument", /missing identity/],
    ["an identity at the bound", { identity: "a".repeat(253) }, {}, "FailedPrecondition", /name does not match/],
    ["an identity too long", { identity: "a".repeat(254) }, {}, "InvalidArgument", /identity: longer than 253/],
    ["no token", { token: new Uint8Array(0) }, {}, "InvalidArgument", /missing token/],
    ["a token too long", { token: new Uint8Array(65_537) }, {}, "InvalidArgument", /token: longer than 65536/],
    ["no CSR", { csr: new Uint8Array(0) }, {}, "InvalidArgument", /missing certificate_signing_request/],
    ["X2 another name in the CSR", { identity: "other" }, {}, "FailedPrecondition", /name does not match/],
    [
      "X3 token of another",
      {},
      { reviewToken: async () => ({ authenticated: true, username: "system:serviceaccount:app:api", reason: "" }) },
      "FailedPrecondition",
      /requested=web\.app\..*; found=api\.app\./,
    ],
    [
      "X4 not authenticated",
      {},
      { reviewToken: async () => ({ authenticated: false, username: "", reason: "expired" }) },
      "FailedPrecondition",
      /could not be authenticated.*: expired/,
    ],
    [
      "X4 malformed username",
      {},
      { reviewToken: async () => ({ authenticated: true, username: "kubernetes-admin", reason: "" }) },
      "InvalidArgument",
      /"kubernetes-admin" is not of the form/,
    ],
    [
      "the API server is away",
      {},
      { reviewToken: () => Promise.reject(new Error("connection refused")) },
      "Internal",
      /connection refused/,
    ],
    ["X7 the issuer has expired", {}, { now: () => new Date(Date.now() + 366 * 86_400_000) }, "Unknown", /expired at/],
  ];
  test.each(rows)("%s", async (_, change, more, code, message) => {
    const failure = (await certify({ ...request, ...change }, await options(more)).catch((error: unknown) => error)) as CertifyFailure;
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(message);
  });
});

describe("the issuer on disk", () => {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-issuer-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  test("X6: a bad change keeps the old issuer; a good one replaces it; anchors too", async () => {
    const files = issuerFiles({ issuerDir: dir, anchorsFile: join(dir, "ca-bundle.crt"), scheme: "linkerd.io/tls" });
    const put = (pair: { certPem: string; keyPem: string }, anchors: string) => {
      writeFileSync(files.certificate, pair.certPem);
      writeFileSync(files.key, pair.keyPem);
      writeFileSync(files.anchors, anchors);
    };
    const [a, b] = [await generateAuthority({ commonName: "a" }), await generateAuthority({ commonName: "b" })];
    const store = new IssuerStore({ files, expectedName: "identity.linkerd.cluster.local", now: () => new Date() });
    await expect(store.load()).rejects.toThrow(/ca-bundle\.crt/);
    put(a, a.certPem);
    expect(await store.load()).toEqual({ kind: "updated", subject: "a" });
    expect(await store.load()).toEqual({ kind: "unchanged" });
    put(b, a.certPem);
    expect((await store.load()).kind).toBe("skipped");
    expect(store.current?.subject).toBe("a");
    put(b, a.certPem + b.certPem);
    expect(await store.load()).toEqual({ kind: "updated", subject: "b" });
  });
  test("file names by scheme", () => {
    expect(issuerFiles({ issuerDir: "/i", anchorsFile: "/a", scheme: "kubernetes.io/tls" })).toEqual({
      anchors: "/a",
      certificate: "/i/tls.crt",
      key: "/i/tls.key",
    });
  });
});

test("a token made for the mesh is reviewed for the mesh", () => {
  const token = (claims: unknown) => `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.y`;
  expect(audiencesOf(token({ aud: ["identity.l5d.io"] }))).toEqual(["identity.l5d.io"]);
  expect(audiencesOf(token({ aud: "https://kubernetes.default.svc" }))).toEqual([]);
  expect(audiencesOf("nonsense")).toEqual([]);
});
