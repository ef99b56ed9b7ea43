// Certificates for tests: a root, and leaves with one DNS name. Real X.509 by @peculiar/x509 on WebCrypto.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { Credentials } from "../contracts.ts";

const HOUR_MS = 3_600_000;
const ROOT_MS = 10 * 24 * HOUR_MS;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export type TestCa = {
  readonly pem: string;
  /** For {@link createCa} in another process. */
  readonly saved: SavedCa;
  issue(name: string, sans?: readonly string[]): Promise<Credentials>;
  /** A leaf (DER) for the key and name of a PKCS#10 request. Default life: an hour. */
  sign(csr: Uint8Array, lifetimeMs?: number): Promise<{ leaf: Uint8Array; validUntilMs: number }>;
};

export type SavedCa = { readonly pem: string; readonly privateKey: JsonWebKey; readonly publicKey: JsonWebKey };

export async function createCa(name = "root.test", saved: SavedCa | null = null): Promise<TestCa> {
  const load = (key: JsonWebKey, usage: "sign" | "verify") => crypto.subtle.importKey("jwk", key, ALGORITHM, true, [usage]);
  const keys =
    saved === null
      ? await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
      : { privateKey: await load(saved.privateKey, "sign"), publicKey: await load(saved.publicKey, "verify") };
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + HOUR_MS);
  const root =
    saved !== null
      ? new x509.X509Certificate(saved.pem)
      : await x509.X509CertificateGenerator.createSelfSigned({
          serialNumber: "01",
          name: `CN=${name}`,
          // Clocks are moved by more than a day in some tests.
          notBefore: new Date(Date.now() - ROOT_MS),
          notAfter: new Date(Date.now() + ROOT_MS),
          signingAlgorithm: ALGORITHM,
          keys,
          extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
        });
  let serial = Math.floor(Math.random() * 0x7fff0000) + 1;
  const privateKey = await crypto.subtle.exportKey("jwk", keys.privateKey);
  const publicKey = await crypto.subtle.exportKey("jwk", keys.publicKey);
  return {
    pem: root.toString("pem"),
    saved: { pem: root.toString("pem"), privateKey, publicKey },
    async sign(csr, lifetimeMs = HOUR_MS) {
      // X.509 tells whole seconds.
      const until = new Date(Math.floor(Math.min(Date.now() + lifetimeMs, root.notAfter.getTime()) / 1000) * 1000);
      const request = new x509.Pkcs10CertificateRequest(csr as Uint8Array<ArrayBuffer>);
      const name = request.subjectName.getField("CN")[0] ?? "";
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: (++serial).toString(16).padStart(8, "0"),
        subject: `CN=${name}`,
        issuer: root.subject,
        notBefore: new Date(Date.now() - 60_000),
        notAfter: until,
        signingAlgorithm: ALGORITHM,
        publicKey: await request.publicKey.export(),
        signingKey: keys.privateKey,
        extensions: [
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          new x509.SubjectAlternativeNameExtension([{ type: "dns" as const, value: name }]),
        ],
      });
      return { leaf: new Uint8Array(leaf.rawData), validUntilMs: until.getTime() };
    },
    async issue(subject, sans = [subject]) {
      const leafKeys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: (++serial).toString(16).padStart(8, "0"),
        subject: `CN=${subject}`,
        issuer: root.subject,
        notBefore,
        notAfter,
        signingAlgorithm: ALGORITHM,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          ...(sans.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(sans.map((value) => ({ type: "dns" as const, value })))]),
        ],
      });
      const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", leafKeys.privateKey)).toString("base64");
      return {
        keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`,
        certChainPem: leaf.toString("pem"),
        trustAnchorsPem: root.toString("pem"),
        validUntilMs: notAfter.getTime(),
      };
    },
  };
}
