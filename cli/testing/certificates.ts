// Certificates for tests that the product itself would never make.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

export type TestCertificate = { readonly certPem: string; readonly keyPem: string; readonly keys: CryptoKeyPair; readonly name: string };

export type TestCertificateOptions = {
  readonly commonName?: string;
  readonly curve?: "P-256" | "P-384";
  readonly hash?: "SHA-256" | "SHA-384";
  readonly isCa?: boolean;
  readonly dnsNames?: readonly string[];
  /** Self-signed when absent. */
  readonly issuer?: TestCertificate;
  /** Days from now. */
  readonly from?: number;
  readonly until?: number;
};

const DAY_MS = 86_400_000;

export async function makeCertificate({
  commonName = "test",
  curve = "P-256",
  hash = "SHA-256",
  isCa = true,
  dnsNames = [],
  issuer,
  from = 0,
  until = 365,
}: TestCertificateOptions = {}): Promise<TestCertificate> {
  const algorithm = { name: "ECDSA", namedCurve: curve, hash };
  const keys = (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
  const name = `CN=${commonName}`;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: name,
    issuer: issuer?.name ?? name,
    notBefore: new Date(Date.now() + from * DAY_MS),
    notAfter: new Date(Date.now() + until * DAY_MS),
    signingAlgorithm: { ...algorithm, hash },
    publicKey: keys.publicKey,
    signingKey: (issuer ?? { keys }).keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(isCa, undefined, true),
      ...(dnsNames.length > 0
        ? [new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: "dns" as const, value })))]
        : []),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}(?=.)/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;
  return { certPem: `${certificate.toString("pem")}\n`, keyPem, keys, name };
}
