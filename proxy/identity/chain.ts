// Is a certificate chain good for serving under a name? (spec proxy §7.2, §7.3)
import { X509Certificate } from "node:crypto";

/** Certificates of one chain, the leaf included. */
export const MAX_CHAIN = 10;

const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** The usable certificates of a PEM text; how many were not goes to `onBad`. */
export function parseAnchors(pem: string, onBad: (problem: string) => void): X509Certificate[] {
  const anchors: X509Certificate[] = [];
  for (const [i, block] of (pem.match(PEM) ?? []).entries()) {
    try {
      anchors.push(new X509Certificate(block));
    } catch (error) {
      onBad(`trust anchor ${i + 1}: ${(error as Error).message}`);
    }
  }
  return anchors;
}

/**
 * Verifies leaf and intermediates, DER, leaf first, against the anchors at `nowMs`.
 * @throws {Error} saying which certificate is wrong and how.
 */
export function verifyChain({
  chain,
  anchors,
  name,
  nowMs,
}: {
  chain: readonly Uint8Array[];
  anchors: readonly X509Certificate[];
  name: string;
  nowMs: number;
}): X509Certificate[] {
  if (chain.length > MAX_CHAIN) throw new Error(`${chain.length} certificates in a chain; at most ${MAX_CHAIN}`);
  const certificates = chain.map((der, i) => {
    try {
      return new X509Certificate(der);
    } catch (error) {
      throw new Error(`certificate ${i + 1}: ${(error as Error).message}`);
    }
  });
  const [leaf] = certificates;
  if (!leaf) throw new Error("no certificate");
  if (leaf.ca) throw new Error("the leaf is a CA's certificate");
  if (leaf.checkHost(name, { subject: "never", wildcards: false }) === undefined) throw new Error(`the certificate is not for ${name}`);
  const { keyUsage } = leaf;
  if (keyUsage && keyUsage.length > 0 && !keyUsage.includes("1.3.6.1.5.5.7.3.1")) throw new Error("the certificate is not for servers");
  for (const [i, certificate] of certificates.entries()) {
    requireValid(certificate, i, nowMs);
    const anchored = anchors.some((anchor) => valid(anchor, nowMs) && issued(certificate, anchor));
    if (anchored) return certificates;
    const next = certificates[i + 1];
    if (next && !(next.ca && issued(certificate, next))) throw new Error(`certificate ${i + 2} has not issued certificate ${i + 1}`);
  }
  throw new Error("the chain does not end at a trust anchor");
}

function issued(certificate: X509Certificate, issuer: X509Certificate): boolean {
  if (certificate.fingerprint256 === issuer.fingerprint256) return true;
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

const valid = (certificate: X509Certificate, nowMs: number): boolean =>
  nowMs >= Date.parse(certificate.validFrom) && nowMs <= Date.parse(certificate.validTo);

function requireValid(certificate: X509Certificate, index: number, nowMs: number): void {
  if (!valid(certificate, nowMs))
    throw new Error(`certificate ${index + 1} is valid from ${certificate.validFrom} to ${certificate.validTo}`);
}
