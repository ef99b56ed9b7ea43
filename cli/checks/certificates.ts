// Questions about certificates that checks ask: algorithm, validity, chain.
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";

/** At least one. */
export type Certificates = readonly [X509Certificate, ...X509Certificate[]];

export type IssuerCredentials = {
  readonly anchors: Certificates;
  readonly issuer: X509Certificate;
  /** Certificates between the issuer and its anchor. */
  readonly intermediates: readonly X509Certificate[];
};

const SOON_MS = 60 * 24 * 3600 * 1000;

/** Every certificate of a PEM text. @throws {Error} naming `what` when there is none or one is unreadable. */
export function parsePem(pem: string, what: string): Certificates {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const [first, ...more] = blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new Error(`${what}: certificate ${i + 1}: ${(error as Error).message}`);
    }
  });
  if (!first) throw new Error(`${what}: no certificate found in PEM`);
  return [first, ...more];
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

/** AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758 §3.2), DER. */
const ECDSA_WITH_SHA256 = Buffer.from("300a06082a8648ce3d040302", "hex");

/** `serial CN reason` of each certificate whose key is not ECDSA P-256, or which is not signed with ECDSA and SHA-256. */
export function unsupportedAlgorithm(certificates: readonly X509Certificate[]): string[] {
  return certificates.flatMap((certificate) => {
    const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
    const curve = asymmetricKeyDetails?.namedCurve;
    if (asymmetricKeyType !== "ec")
      return [`${label(certificate)} must use ECDSA for public key algorithm, instead ${asymmetricKeyType?.toUpperCase()} was used`];
    if (curve !== "prime256v1") return [`${label(certificate)} must use P-256 curve for public key, instead ${curve} was used`];
    if (!signatureAlgorithm(certificate.raw).equals(ECDSA_WITH_SHA256))
      return [`${label(certificate)} must be signed by an ECDSA P-256 key with SHA-256`];
    return [];
  });
}

/** The second element of Certificate (RFC 5280 §4.1), DER. */
function signatureAlgorithm(certificate: Buffer): Buffer {
  const element = (at: number) => {
    const first = certificate[at + 1] ?? 0;
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    const length = lengthBytes === 0 ? first : certificate.readUIntBE(at + 2, lengthBytes);
    const body = at + 2 + lengthBytes;
    return { body, end: body + length };
  };
  const start = element(element(0).body).end;
  return certificate.subarray(start, element(start).end);
}

/** `serial CN reason` of each certificate outside its validity at `nowMs`. */
export function outsideValidity(certificates: readonly X509Certificate[], nowMs: number): string[] {
  return certificates.flatMap((certificate) => {
    if (nowMs < Date.parse(certificate.validFrom)) return [`${label(certificate)} not valid before: ${rfc3339(certificate.validFrom)}`];
    if (nowMs > Date.parse(certificate.validTo))
      return [`${label(certificate)} not valid anymore. Expired on ${rfc3339(certificate.validTo)}`];
    return [];
  });
}

/** `serial CN will expire on …` of each that ends within 60 days. */
export function expiringSoon(certificates: readonly X509Certificate[], nowMs: number): string[] {
  return certificates.flatMap((certificate) =>
    Date.parse(certificate.validTo) - nowMs < SOON_MS ? [`${label(certificate)} will expire on ${rfc3339(certificate.validTo)}`] : [],
  );
}

/** True when `leaf` is one of the anchors or chains to one through `intermediates` (at most so many steps). */
export function chainsTo(
  leaf: X509Certificate,
  anchors: readonly X509Certificate[],
  intermediates: readonly X509Certificate[] = [],
): boolean {
  const MAX_STEPS = 8;
  let current = leaf;
  for (let step = 0; step < MAX_STEPS; step++) {
    if (anchors.some((anchor) => anchor.fingerprint256 === current.fingerprint256)) return true;
    if (anchors.some((anchor) => current.checkIssued(anchor) && current.verify(anchor.publicKey))) return true;
    const next = intermediates.find(
      (candidate) => candidate !== current && current.checkIssued(candidate) && current.verify(candidate.publicKey),
    );
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
