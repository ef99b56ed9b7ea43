// Issuing and its rules (spec control-plane §2, §13 X1–X8, X12).
import "reflect-metadata";
import { describe, expect, test } from "bun:test";
import * as x509 from "@peculiar/x509";
import {
  type CertifyError,
  checkCsr,
  createCsr,
  ECDSA_P256,
  formatPem,
  generateAuthority,
  generateWebhookCertificate,
  Issuer,
  IssuerError,
  identityName,
  maxCsrBytes,
  parseCsr,
  parsePem,
  parseTrustAnchors,
  parseUsername,
} from "./index.ts";

const name = "web.app.serviceaccount.identity.linkerd.cluster.local";
const newKeys = async () => (await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"])) as CryptoKeyPair;
const hour = 3_600_000;

async function world({ validityDays }: { validityDays?: number } = {}) {
  const now = new Date();
  const authority = await generateAuthority({
    commonName: "identity.linkerd.cluster.local",
    now,
    ...(validityDays === undefined ? {} : { validityDays }),
  });
  const anchors = parseTrustAnchors(authority.certPem);
  const issuer = await Issuer.read({ certPem: authority.certPem, keyPem: authority.keyPem, anchors, now: new Date(now.getTime() + 1000) });
  return { now, authority, anchors, issuer };
}

async function csr({
  cn = name,
  sans,
  keys,
  algorithm = ECDSA_P256,
}: {
  cn?: string | null;
  sans?: x509.JsonGeneralNames;
  keys?: CryptoKeyPair;
  algorithm?: EcdsaParams | { name: string; hash: string };
} = {}) {
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    ...(cn === null ? {} : { name: `CN=${cn}` }),
    keys: keys ?? (await newKeys()),
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension(sans ?? [{ type: "dns", value: name }])],
  });
  return new Uint8Array(request.rawData);
}

describe("issuing", () => {
  test("X1: a leaf for a day, with the request's name, signed by the issuer", async () => {
    const { issuer, now, authority } = await world();
    const request = await checkCsr(parseCsr(await createCsr({ name, keys: await newKeys() })), name);
    const leaf = await issuer.issue({ request, now, lifetimeMs: 24 * hour, clockSkewMs: 20_000 });
    const certificate = new x509.X509Certificate(Uint8Array.from(leaf.certificate));
    expect(certificate.serialNumber).toBe("01");
    expect(certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items.map((one) => one.value)).toEqual([name]);
    expect(certificate.getExtension(x509.BasicConstraintsExtension)?.ca ?? false).toBe(false);
    expect([...(certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [])] as string[]).toEqual([
      x509.ExtendedKeyUsage.serverAuth,
      x509.ExtendedKeyUsage.clientAuth,
    ]);
    expect(Math.round((certificate.notAfter.getTime() - now.getTime()) / 1000)).toBeCloseTo(24 * 3600 + 20, -1);
    expect(Math.round((now.getTime() - certificate.notBefore.getTime()) / 1000)).toBeCloseTo(20, -1);
    expect(await certificate.verify({ publicKey: new x509.X509Certificate(authority.certPem).publicKey })).toBe(true);
    expect(leaf.intermediates).toHaveLength(1);
    const second = await issuer.issue({ request, now, lifetimeMs: 24 * hour, clockSkewMs: 20_000 });
    expect(new x509.X509Certificate(Uint8Array.from(second.certificate)).serialNumber).toBe("02");
  });
  test("X5: never longer than the issuer", async () => {
    const { issuer, now } = await world({ validityDays: 1 / 24 });
    const request = await checkCsr(parseCsr(await csr()), name);
    const leaf = await issuer.issue({ request, now, lifetimeMs: 24 * hour, clockSkewMs: 20_000 });
    expect(leaf.notAfter.getTime()).toBe(issuer.notAfter.getTime());
  });
  test("X7: an issuer that has expired is refused at the call", async () => {
    const { issuer, now } = await world({ validityDays: 1 });
    await expect(issuer.verify(new Date(now.getTime() + 25 * hour))).rejects.toThrow(
      /certificate "identity\.linkerd\.cluster\.local": expired at/,
    );
  });
});

describe("requests", () => {
  const refused = async (der: Uint8Array) =>
    (await Promise.resolve()
      .then(() => checkCsr(parseCsr(der), name))
      .catch((error: unknown) => error)) as CertifyError;
  test("X2: another name, several names, names of other kinds", async () => {
    const rows: [Uint8Array, string][] = [
      [
        await csr({
          sans: [
            { type: "dns", value: name },
            { type: "dns", value: "b" },
          ],
        }),
        "exactly one DNSName, found 2",
      ],
      [
        await csr({
          sans: [
            { type: "dns", value: name },
            { type: "url", value: "spiffe://a/b" },
          ],
        }),
        "unexpected names in subjectAltName: url spiffe://a/b",
      ],
      [await csr({ sans: [{ type: "dns", value: "other" }] }), "name does not match requested identity"],
      [await csr({ cn: "other" }), "invalid CN: csr=other"],
    ];
    for (const [der, message] of rows) {
      const error = await refused(der);
      expect(error.code).toBe("FailedPrecondition");
      expect(error.message).toContain(message);
    }
  });
  test("no common name is fine", async () => {
    expect((await checkCsr(parseCsr(await csr({ cn: null })), name)).dnsName).toBe(name);
  });
  test("X8: an RSA key", async () => {
    const keys = (await crypto.subtle.generateKey(
      { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
      true,
      ["sign", "verify"],
    )) as CryptoKeyPair;
    expect((await refused(await csr({ keys, algorithm: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } }))).code).toBe("Internal");
  });
  test("Q26: a signature that is not the key's own", async () => {
    const der = await csr();
    der[der.length - 1] = (der[der.length - 1] as number) ^ 1;
    expect((await refused(der)).message).toContain("signature does not match");
  });
  test("what is no request, nothing, too much", async () => {
    for (const der of [new Uint8Array([1, 2, 3]), new Uint8Array(0), new Uint8Array(maxCsrBytes + 1)])
      expect((await refused(der)).code).toBe("InvalidArgument");
    expect((await refused(new Uint8Array(maxCsrBytes))).message).toContain("not a PKCS#10 request");
    // The extensions end within one.
    const der = await csr();
    const at = Buffer.from(der).indexOf(Buffer.from("551d11", "hex"));
    der[at - 3] = 0x7f;
    expect((await refused(der)).code).toBe("InvalidArgument");
  });
});

describe("issuers", () => {
  const read = async (certPem: string, keyPem: string, anchorsPem: string, now = new Date()) =>
    Issuer.read({ certPem, keyPem, anchors: parseTrustAnchors(anchorsPem), now, expectedName: "identity.linkerd.cluster.local" });
  test("X6: an unrelated CA is refused, and told what was expected", async () => {
    const [a, b] = [await generateAuthority({ commonName: "a" }), await generateAuthority({ commonName: "b" })];
    await expect(read(b.certPem, b.keyPem, a.certPem)).rejects.toThrow(
      /issuer certificate "b": signed by none of the trust anchors \("a"\).*expected an issuer named identity/,
    );
    await expect(read(a.certPem, b.keyPem, a.certPem)).rejects.toThrow("issuer key: does not match");
    expect((await read(a.certPem, a.keyPem, `${b.certPem}\n${a.certPem}`)).subject).toBe("a");
  });
  test("X12: P-384 is refused by name", async () => {
    const algorithm = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-256" };
    const keys = (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: "CN=big",
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(),
      notAfter: new Date(Date.now() + hour),
      extensions: [new x509.BasicConstraintsExtension(true)],
    });
    const keyPem = formatPem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey)));
    await expect(read(certificate.toString("pem"), keyPem, certificate.toString("pem"))).rejects.toThrow(
      'issuer certificate "big": must use the curve P-256 for its public key, found P-384',
    );
  });
  test("a leaf is no issuer; nothing is no issuer", async () => {
    const { issuer, authority, now } = await world();
    const keys = await newKeys();
    const leaf = await issuer.issue({
      request: await checkCsr(parseCsr(await csr({ keys })), name),
      now,
      lifetimeMs: hour,
      clockSkewMs: 0,
    });
    const keyPem = formatPem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey)));
    await expect(read(formatPem("CERTIFICATE", leaf.certificate), keyPem, authority.certPem)).rejects.toThrow("is not a CA");
    await expect(read("", keyPem, authority.certPem)).rejects.toThrow("issuer certificate: no certificate found");
    await expect(read(authority.certPem, "x", authority.certPem)).rejects.toThrow("issuer key: no private key found");
    expect(() => parseTrustAnchors("-----BEGIN CERTIFICATE-----\nYQ")).toThrow(IssuerError);
  });
  test("an intermediate below an anchor", async () => {
    const { issuer: _, authority, now } = await world();
    const keys = await newKeys();
    const root = new x509.X509Certificate(authority.certPem);
    const rootKey = await crypto.subtle.importKey(
      "pkcs8",
      (parsePem(authority.keyPem)[0] as { der: Uint8Array<ArrayBuffer> }).der,
      ECDSA_P256,
      false,
      ["sign"],
    );
    const middle = await x509.X509CertificateGenerator.create({
      serialNumber: "02",
      subject: "CN=middle",
      issuer: root.subject,
      publicKey: keys.publicKey,
      signingKey: rootKey,
      signingAlgorithm: ECDSA_P256,
      notBefore: now,
      notAfter: new Date(now.getTime() + hour),
      extensions: [new x509.BasicConstraintsExtension(true)],
    });
    const keyPem = formatPem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey)));
    const issuer = await read(middle.toString("pem"), keyPem, authority.certPem, new Date(now.getTime() + 1000));
    expect(issuer.subject).toBe("middle");
    expect(issuer.notAfter.getTime()).toBe(middle.notAfter.getTime());
  });
});

test("webhook certificates carry their service's name for a year", async () => {
  const { certPem, keyPem } = await generateWebhookCertificate({ commonName: "hook.linkerd.svc", dnsNames: ["hook.linkerd.svc"] });
  const certificate = new x509.X509Certificate(certPem);
  expect(certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items.map((one) => one.value)).toEqual(["hook.linkerd.svc"]);
  expect(Math.round((certificate.notAfter.getTime() - certificate.notBefore.getTime()) / 86_400_000)).toBe(365);
  expect(keyPem).toContain("BEGIN PRIVATE KEY");
});

test("names of identities and users", () => {
  expect(identityName({ name: "web", namespace: "app", controlNamespace: "linkerd", trustDomain: "cluster.local" })).toBe(name);
  expect(parseUsername("system:serviceaccount:app:web")).toEqual({ type: "serviceaccount", namespace: "app", name: "web" });
  for (const username of [
    "system:serviceaccount:app",
    "system:serviceaccount:app:web:x",
    "user:serviceaccount:app:web",
    "system:serviceaccount:app:we.b",
    "kubernetes-admin",
    "",
  ])
    expect(parseUsername(username)).toBeUndefined();
});
