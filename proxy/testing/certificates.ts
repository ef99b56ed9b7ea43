// Certificates for tests: a root, and leaves with one DNS name. Real X.509 by @peculiar/x509 on WebCrypto.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { Credentials } from "../contracts.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export type TestCa = { readonly pem: string; issue(name: string, sans?: readonly string[]): Promise<Credentials> };

export async function createCa(name = "root.test"): Promise<TestCa> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + 3_600_000);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: `CN=${name}`,
    notBefore,
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  let serial = 1;
  return {
    pem: root.toString("pem"),
    async issue(subject, sans = [subject]) {
      const leafKeys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: (++serial).toString(16).padStart(2, "0"),
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
