// Questions about certificates that checks ask: algorithm, validity, chain.
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";

export type IssuerCredentials = {
  readonly anchors: readonly X509Certificate[];
  readonly issuer: X509Certificate;
};

const SOON_MS = 60 * 24 * 3600 * 1000;

/** Every certificate of a PEM text. @throws {Error} naming `what` when there is none or one is unreadable. */
export function parsePem(pem: string, what: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error(`${what}: no certificate found in PEM`);
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new Error(`${what}: certificate ${i + 1}: ${(error as Error).message}`);
    }
  });
}

/** @throws {Error} when the private key is not the certificate's. */
export function requireKeyPair(certificate: X509Certificate, keyPem: string, what: string): void {
  let key: ReturnType<typeof createPublicKey>;
  try {
    key = createPublicKey(createPrivateKey(keyPem));
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`);
  }
  if (!key.equals(certificate.publicKey)) throw new Error(`${what}: private key does not match the certificate`);
}

/** `* serial CN reason` of each certificate that is not ECDSA P-256. */
export function unsupportedAlgorithm(certificates: readonly X509Certificate[]): string[] {
  return certificates.flatMap((certificate) => {
    const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
    if (asymmetricKeyType === "ec" && asymmetricKeyDetails?.namedCurve === "prime256v1") return [];
    return [`${label(certificate)} must use P-256 curve for public key, instead ${asymmetricKeyDetails?.namedCurve ?? asymmetricKeyType} was used`];
  });
}

/** `* serial CN reason` of each certificate outside its validity at `nowMs`. */
export function outsideValidity(certificates: readonly X509Certificate[], nowMs: number): string[] {
  return certificates.flatMap((certificate) => {
    if (nowMs < Date.parse(certificate.validFrom)) return [`${label(certificate)} not valid before: ${rfc3339(certificate.validFrom)}`];
    if (nowMs > Date.parse(certificate.validTo)) return [`${label(certificate)} not valid anymore. Expired on ${rfc3339(certificate.validTo)}`];
    return [];
  });
}

/** `* serial CN will expire on …` of each that ends within 60 days. */
export function expiringSoon(certificates: readonly X509Certificate[], nowMs: number): string[] {
  return certificates.flatMap((certificate) =>
    Date.parse(certificate.validTo) - nowMs < SOON_MS ? [`${label(certificate)} will expire on ${rfc3339(certificate.validTo)}`] : [],
  );
}

/** True when `leaf` is one of the anchors or chains to one through `intermediates` (at most so many steps). */
export function chainsTo(leaf: X509Certificate, anchors: readonly X509Certificate[], intermediates: readonly X509Certificate[] = []): boolean {
  const MAX_STEPS = 8;
  let current = leaf;
  for (let step = 0; step < MAX_STEPS; step++) {
    if (anchors.some((anchor) => anchor.fingerprint256 === current.fingerprint256)) return true;
    if (anchors.some((anchor) => current.checkIssued(anchor) && current.verify(anchor.publicKey))) return true;
    const next = intermediates.find((candidate) => candidate !== current && current.checkIssued(candidate) && current.verify(candidate.publicKey));
    if (!next) return false;
    current = next;
  }
  return false;
}

/** `2031-02-01T00:00:00Z`. */
export function rfc3339(date: string): string {
  return new Date(date).toISOString().replace(".000Z", "Z");
}

function label(certificate: X509Certificate): string {
  const name = /CN=([^\n,]+)/.exec(certificate.subject)?.[1] ?? certificate.subject;
  return `${BigInt(`0x${certificate.serialNumber}`)} ${name}`;
}
