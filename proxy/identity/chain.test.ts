import "reflect-metadata";
import { beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { MAX_CHAIN, parseAnchors, verifyChain } from "./chain.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const NAME = "web.ns.serviceaccount.identity.linkerd.cluster.local";
const HOUR_MS = 3_600_000;
const NOW_MS = Date.UTC(2030, 0, 1);

type Issued = { readonly certificate: x509.X509Certificate; readonly keys: CryptoKeyPair };
type Kind = {
  readonly ca?: boolean;
  readonly sans?: readonly string[];
  readonly usage?: string;
  readonly fromMs?: number;
  readonly toMs?: number;
};

let serial = 1;
async function issue(
  subject: string,
  issuer: Issued | null,
  { ca = false, sans = [], usage, fromMs = NOW_MS - HOUR_MS, toMs = NOW_MS + HOUR_MS }: Kind,
): Promise<Issued> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (++serial).toString(16).padStart(4, "0"),
    subject: `CN=${subject}`,
    issuer: issuer?.certificate.subject ?? `CN=${subject}`,
    notBefore: new Date(fromMs),
    notAfter: new Date(toMs),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(ca, undefined, true),
      ...(usage === undefined ? [] : [new x509.ExtendedKeyUsageExtension([usage])]),
      ...(sans.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(sans.map((value) => ({ type: "dns" as const, value })))]),
    ],
  });
  return { certificate, keys };
}

const der = ({ certificate }: Issued): Uint8Array => new Uint8Array(certificate.rawData);
const anchor = ({ certificate }: Issued): X509Certificate => new X509Certificate(certificate.toString("pem"));
const leafKind: Kind = { sans: [NAME], usage: x509.ExtendedKeyUsage.serverAuth };

let root: Issued;
let middle: Issued;
let leaf: Issued;
beforeAll(async () => {
  root = await issue("root", null, { ca: true });
  middle = await issue("middle", root, { ca: true });
  leaf = await issue(NAME, middle, leafKind);
});

const verify = (chain: readonly Issued[], anchors: readonly Issued[] = [root], nowMs = NOW_MS) =>
  verifyChain({ chain: chain.map(der), anchors: anchors.map(anchor), name: NAME, nowMs }).length;

describe("is good", () => {
  test("by an intermediate", () => {
    expect(verify([leaf, middle])).toBe(2);
  });

  test("straight from the anchor", async () => {
    expect(verify([await issue(NAME, root, leafKind)])).toBe(1);
  });

  test("under one of several anchors, an intermediate too", async () => {
    const other = await issue("other root", null, { ca: true });
    expect(verify([leaf, middle], [other, root])).toBe(2);
    expect(verify([leaf], [middle])).toBe(1);
  });

  test("with any of several names, and with no usage said", async () => {
    expect(verify([await issue("x", root, { sans: ["other.example", NAME] })])).toBe(1);
  });
});

describe("is refused", () => {
  test.each<[string, () => Promise<readonly Issued[]>, string]>([
    ["nothing", async () => [], "no certificate"],
    ["a missing intermediate", async () => [leaf], "does not end at a trust anchor"],
    [
      "another authority",
      async () => [await issue(NAME, await issue("root", null, { ca: true }), leafKind)],
      "does not end at a trust anchor",
    ],
    [
      "an intermediate that is no CA",
      async () => {
        const fake = await issue("fake", root, {});
        return [await issue(NAME, fake, leafKind), fake];
      },
      "certificate 2 has not issued certificate 1",
    ],
    [
      "an intermediate that is another's",
      async () => [leaf, await issue("middle", root, { ca: true })],
      "certificate 2 has not issued certificate 1",
    ],
    ["another name", async () => [await issue("x", root, { sans: ["other.example"] })], `not for ${NAME}`],
    ["a name in the subject alone", async () => [await issue(NAME, root, {})], `not for ${NAME}`],
    ["a wildcard", async () => [await issue("x", root, { sans: [NAME.replace(/^web/, "*")] })], `not for ${NAME}`],
    ["a CA as leaf", async () => [await issue(NAME, root, { ...leafKind, ca: true })], "CA's certificate"],
    [
      "a client's certificate",
      async () => [await issue(NAME, root, { sans: [NAME], usage: x509.ExtendedKeyUsage.clientAuth })],
      "not for servers",
    ],
    ["an expired leaf", async () => [await issue(NAME, root, { ...leafKind, toMs: NOW_MS - 1000 })], "certificate 1 is valid from"],
    ["a leaf of tomorrow", async () => [await issue(NAME, root, { ...leafKind, fromMs: NOW_MS + 1000 })], "certificate 1 is valid from"],
    [
      "an expired intermediate",
      async () => {
        const old = await issue("old", root, { ca: true, toMs: NOW_MS - 1000 });
        return [await issue(NAME, old, leafKind), old];
      },
      "certificate 2 is valid from",
    ],
  ])("%s", async (_, chain, problem) => {
    const built = await chain();
    expect(() => verify(built)).toThrow(problem);
  });

  test("an expired anchor", async () => {
    const old = await issue("old root", null, { ca: true, toMs: NOW_MS - 1000 });
    const under = await issue(NAME, old, leafKind);
    expect(() => verify([under], [old])).toThrow("does not end at a trust anchor");
  });

  test("bytes that are no certificate", () => {
    expect(() => verifyChain({ chain: [der(leaf), Uint8Array.of(1, 2)], anchors: [anchor(root)], name: NAME, nowMs: NOW_MS })).toThrow(
      "certificate 2: ",
    );
  });

  test("a chain longer than the bound; one at the bound is judged", async () => {
    const padded = (length: number) => [leaf, middle, ...Array.from({ length: length - 2 }, () => root)];
    expect(verify(padded(MAX_CHAIN))).toBe(MAX_CHAIN);
    expect(() => verify(padded(MAX_CHAIN + 1))).toThrow(`${MAX_CHAIN + 1} certificates in a chain; at most ${MAX_CHAIN}`);
  });
});

test("anchors that are no certificates are passed over and told", () => {
  const problems: string[] = [];
  const pem = `noise\n${root.certificate.toString("pem")}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${middle.certificate.toString("pem")}`;
  expect(parseAnchors(pem, (problem) => problems.push(problem))).toHaveLength(2);
  expect(problems).toEqual([expect.stringMatching(/^trust anchor 2: /)]);
});
