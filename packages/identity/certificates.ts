// Makes the certificates of an installation: trust anchor with issuer, and webhook servers (spec control-plane §2.4, §8.3). ECDSA P-256 on WebCrypto.
import "reflect-metadata";
import { createPrivateKey, createPublicKey } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { formatPem, parsePem } from "./pem.ts";

export const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
/** Lifetime of what the CLI and the chart generate. */
export const generatedValidityDays = 365;

const dayMs = 86_400_000;

/** A certificate with its key, both PEM; the key is PKCS#8. */
export type KeyPair = { readonly certPem: string; readonly keyPem: string };

/** The self-signed certificate that serves as trust anchor and issuer: a CA without path length, keyCertSign and cRLSign. */
export async function generateAuthority({
  commonName,
  validityDays = generatedValidityDays,
  now = new Date(),
}: {
  commonName: string;
  validityDays?: number;
  now?: Date;
}): Promise<KeyPair> {
  const keys = await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: `CN=${commonName}`,
    notBefore: now,
    notAfter: new Date(now.getTime() + validityDays * dayMs),
    signingAlgorithm: ECDSA_P256,
    keys,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.BasicConstraintsExtension(true, undefined, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPem: pem(certificate), keyPem: await exportKey(keys.privateKey) };
}

/**
 * A self-signed server certificate for a webhook, which is its own CA bundle.
 * @param keyPem an EC P-256 key to use; a new one when absent.
 */
export async function generateWebhookCertificate({
  commonName,
  dnsNames,
  validityDays = generatedValidityDays,
  keyPem,
  now = new Date(),
}: {
  commonName: string;
  dnsNames: readonly string[];
  validityDays?: number;
  keyPem?: string | undefined;
  now?: Date;
}): Promise<KeyPair> {
  const keys =
    keyPem === undefined
      ? ((await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"])) as CryptoKeyPair)
      : await importPair(keyPem);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: `CN=${commonName}`,
    notBefore: now,
    notAfter: new Date(now.getTime() + validityDays * dayMs),
    signingAlgorithm: ECDSA_P256,
    keys,
    extensions: [
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment | x509.KeyUsageFlags.keyCertSign,
        true,
      ),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: "dns" as const, value }))),
    ],
  });
  return { certPem: pem(certificate), keyPem: keyPem ?? (await exportKey(keys.privateKey)) };
}

/** A CSR with one DNS name and, as the proxy makes it, the same common name. */
export async function createCsr({ name, keys }: { name: string; keys: CryptoKeyPair }): Promise<Uint8Array> {
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ECDSA_P256,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }])],
  });
  return new Uint8Array(request.rawData);
}

export function pem(certificate: x509.X509Certificate): string {
  return formatPem("CERTIFICATE", new Uint8Array(certificate.rawData));
}

async function exportKey(key: CryptoKey): Promise<string> {
  return formatPem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", key)));
}

async function importPair(keyPem: string): Promise<CryptoKeyPair> {
  const privateKey = createPrivateKey(keyPem);
  const pkcs8 = new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" }));
  const spki = new Uint8Array(createPublicKey(privateKey).export({ type: "spki", format: "der" }));
  return {
    privateKey: await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, true, ["sign"]),
    publicKey: await crypto.subtle.importKey("spki", spki, ECDSA_P256, true, ["verify"]),
  };
}

function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  // Positive and of full length (RFC 5280 §4.1.2.2).
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

export { parsePem };
