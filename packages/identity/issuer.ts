// The issuer: checks its certificate against the trust anchors, checks requests, signs leaves (spec control-plane §2.1–2.4).
import "reflect-metadata";
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { ECDSA_P256 } from "./certificates.ts";
import { type PemError, parsePem } from "./pem.ts";

/** An issuer or a set of anchors that cannot be used; the message says why and names the certificate. */
export class IssuerError extends Error {
  override readonly name = "IssuerError";
}

/** A request that cannot be granted. `code` is the gRPC status spec control-plane §2.3 gives it. */
export class CertifyError extends Error {
  override readonly name = "CertifyError";
  readonly code: "InvalidArgument" | "FailedPrecondition" | "Internal";
  constructor(code: CertifyError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** A trust anchor or issuer certificate with what checks of it need. */
type Certificate = { readonly x509: x509.X509Certificate; readonly subject: string };

export type TrustAnchors = { readonly certificates: readonly Certificate[]; readonly pem: string };

/**
 * Reads a bundle.
 * @throws {IssuerError} naming the block at fault; an empty bundle is an error.
 */
export function parseTrustAnchors(text: string): TrustAnchors {
  const certificates = readCertificates(text, "trust anchors");
  return { certificates, pem: text };
}

export interface Leaf {
  /** DER. */
  readonly certificate: Uint8Array;
  /** DER, from the issuer up to, not including, the root. */
  readonly intermediates: readonly Uint8Array[];
  readonly notAfter: Date;
}

/** An issuer certificate with its key and chain, verified when it was read. */
export class Issuer {
  readonly #chain: readonly Certificate[];
  readonly #key: CryptoKey;
  readonly #anchors: TrustAnchors;
  #serial = 0n;

  private constructor({ chain, key, anchors }: { chain: readonly Certificate[]; key: CryptoKey; anchors: TrustAnchors }) {
    this.#chain = chain;
    this.#key = key;
    this.#anchors = anchors;
  }

  /**
   * @param expectedName only for messages: `identity.<ns>.<trust domain>`.
   * @throws {IssuerError} unless certificate and key match, are ECDSA P-256, and chain to the anchors now.
   */
  static async read({
    certPem,
    keyPem,
    anchors,
    expectedName,
    now,
  }: {
    certPem: string;
    keyPem: string;
    anchors: TrustAnchors;
    expectedName?: string;
    now: Date;
  }): Promise<Issuer> {
    const chain = readCertificates(certPem, "issuer certificate");
    const issuer = chain[0] as Certificate;
    checkAlgorithm(issuer, `issuer certificate "${issuer.subject}"`);
    const key = readKey(keyPem);
    const { type, asymmetricKeyDetails } = { type: key.asymmetricKeyType, asymmetricKeyDetails: key.asymmetricKeyDetails };
    if (type !== "ec" || asymmetricKeyDetails?.namedCurve !== "prime256v1")
      throw new IssuerError(
        `issuer key: must be an ECDSA key on curve P-256, found ${type ?? "unknown"}${asymmetricKeyDetails?.namedCurve ? ` on ${asymmetricKeyDetails.namedCurve}` : ""}`,
      );
    const own = Buffer.from(createPublicKey(key).export({ type: "spki", format: "der" }));
    if (!own.equals(Buffer.from(issuer.x509.publicKey.rawData)))
      throw new IssuerError(`issuer key: does not match the certificate "${issuer.subject}"`);
    const imported = await crypto.subtle.importKey(
      "pkcs8",
      new Uint8Array(key.export({ type: "pkcs8", format: "der" })),
      ECDSA_P256,
      false,
      ["sign"],
    );
    const made = new Issuer({ chain, key: imported, anchors });
    try {
      await made.verify(now);
    } catch (error) {
      throw expectedName && error instanceof IssuerError
        ? new IssuerError(`${error.message} (expected an issuer named ${expectedName})`)
        : error;
    }
    return made;
  }

  /** When the issuer, or a certificate above it in its chain, expires first. */
  get notAfter(): Date {
    return new Date(Math.min(...this.#chain.map((one) => one.x509.notAfter.getTime())));
  }

  get subject(): string {
    return (this.#chain[0] as Certificate).subject;
  }

  /**
   * Checks once more that the issuer may sign now.
   * @throws {IssuerError}
   */
  async verify(now: Date): Promise<void> {
    for (const one of this.#chain) {
      checkValidity(one, now);
      checkCa(one);
    }
    for (let i = 0; i + 1 < this.#chain.length; i++) {
      if (!(await isSignedBy(this.#chain[i] as Certificate, this.#chain[i + 1] as Certificate)))
        throw new IssuerError(
          `issuer certificate: "${(this.#chain[i] as Certificate).subject}" is not signed by the next in its chain, "${(this.#chain[i + 1] as Certificate).subject}"`,
        );
    }
    // The chain may end with an anchor itself, or with a certificate that an anchor signed; any link of it may be anchored.
    const reasons: string[] = [];
    for (const one of this.#chain) {
      for (const anchor of this.#anchors.certificates) {
        const same = Buffer.from(anchor.x509.rawData).equals(Buffer.from(one.x509.rawData));
        if (!same && !(await isSignedBy(one, anchor))) continue;
        try {
          checkValidity(anchor, now);
          return;
        } catch (error) {
          reasons.push((error as Error).message);
        }
      }
    }
    throw new IssuerError(
      reasons[0] ??
        `issuer certificate "${this.subject}": signed by none of the trust anchors (${this.#anchors.certificates.map((one) => `"${one.subject}"`).join(", ")})`,
    );
  }

  /** Signs a leaf for the request: valid from `now − skew` to `now + lifetime + skew`, no longer than the issuer itself. */
  async issue({
    request,
    now,
    lifetimeMs,
    clockSkewMs,
  }: {
    request: CertificateRequest;
    now: Date;
    lifetimeMs: number;
    clockSkewMs: number;
  }): Promise<Leaf> {
    const issuer = this.#chain[0] as Certificate;
    const notAfter = new Date(Math.min(now.getTime() + lifetimeMs + clockSkewMs, this.notAfter.getTime()));
    const serial = (++this.#serial).toString(16);
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: serial.length % 2 === 1 ? `0${serial}` : serial,
      subject: request.subject,
      issuer: issuer.x509.subjectName,
      notBefore: new Date(now.getTime() - clockSkewMs),
      notAfter,
      signingAlgorithm: ECDSA_P256,
      publicKey: request.publicKey,
      signingKey: this.#key,
      // Only what a workload needs: nothing else of the request's extensions is copied.
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.SubjectAlternativeNameExtension([{ type: "dns", value: request.dnsName }]),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.x509),
      ],
    });
    return {
      certificate: new Uint8Array(leaf.rawData),
      intermediates: this.#chain.map((one) => new Uint8Array(one.x509.rawData)),
      notAfter: leaf.notAfter,
    };
  }
}

/** What a checked request asks for. */
export type CertificateRequest = { readonly subject: x509.Name; readonly dnsName: string; readonly publicKey: x509.PublicKey };

/** Longest request read, in bytes; a P-256 request with one name has about 300. */
export const maxCsrBytes = 16_384;

/**
 * Reads PKCS#10 DER.
 * @throws {CertifyError} InvalidArgument
 */
export function parseCsr(der: Uint8Array): x509.Pkcs10CertificateRequest {
  if (der.length === 0) throw new CertifyError("InvalidArgument", "missing certificate_signing_request");
  if (der.length > maxCsrBytes) throw new CertifyError("InvalidArgument", `certificate_signing_request: longer than ${maxCsrBytes} bytes`);
  try {
    const csr = new x509.Pkcs10CertificateRequest(Uint8Array.from(der));
    // The library reads these when asked for them: what is wrong in them is told here, as what it is.
    void csr.extensions;
    void csr.publicKey.algorithm;
    return csr;
  } catch (error) {
    throw new CertifyError("InvalidArgument", `certificate_signing_request: not a PKCS#10 request: ${(error as Error).message}`);
  }
}

/**
 * Checks the rules of spec control-plane §2.3: the one name of the request is the wanted identity, its own signature is right, its key is ECDSA.
 * @throws {CertifyError} FailedPrecondition, or Internal for a key of another kind.
 */
export async function checkCsr(csr: x509.Pkcs10CertificateRequest, identity: string): Promise<CertificateRequest> {
  const fail = (message: string): never => {
    throw new CertifyError("FailedPrecondition", message);
  };
  const names: { dns: string[]; other: string[] } = { dns: [], other: [] };
  for (const extension of csr.extensions) {
    if (!(extension instanceof x509.SubjectAlternativeNameExtension)) continue;
    for (const name of extension.names.items)
      (name.type === "dns" ? names.dns : names.other).push(name.type === "dns" ? name.value : `${name.type} ${name.value}`);
  }
  if (names.other.length > 0) fail(`cannot validate CSR: unexpected names in subjectAltName: ${names.other.join(", ")}`);
  if (names.dns.length !== 1) fail(`cannot validate CSR: must have exactly one DNSName, found ${names.dns.length}`);
  if (names.dns[0] !== identity) fail(`cannot validate CSR: name does not match requested identity: csr=${names.dns[0]}; req=${identity}`);
  const commonNames = csr.subjectName.getField("CN");
  for (const commonName of commonNames)
    if (commonName !== "" && commonName !== identity) fail(`cannot validate CSR: invalid CN: csr=${commonName}; req=${identity}`);
  if (csr.publicKey.algorithm.name !== "ECDSA")
    throw new CertifyError("Internal", `certificate_signing_request: the public key must be ECDSA, found ${csr.publicKey.algorithm.name}`);
  let valid: boolean;
  try {
    valid = await csr.verify();
  } catch {
    valid = false;
  }
  if (!valid) fail("cannot validate CSR: its signature does not match its public key");
  return { subject: csr.subjectName, dnsName: identity, publicKey: csr.publicKey };
}

/**
 * The rules of an installation for issuer and anchors (spec control-plane §8.3): P-256, signed ECDSA-SHA256.
 * @throws {IssuerError} naming the certificate and the algorithm.
 */
export function checkAlgorithm({ x509: certificate, subject }: Certificate, what = `certificate "${subject}"`): void {
  const key = certificate.publicKey.algorithm as { name: string; namedCurve?: string };
  if (key.name !== "ECDSA") throw new IssuerError(`${what}: must use ECDSA for its public key, found ${key.name}`);
  if (key.namedCurve !== "P-256") throw new IssuerError(`${what}: must use the curve P-256 for its public key, found ${key.namedCurve}`);
  const signature = certificate.signatureAlgorithm as { name: string; hash?: { name: string } };
  if (signature.name !== "ECDSA" || signature.hash?.name !== "SHA-256")
    throw new IssuerError(
      `${what}: must be signed with ECDSA-SHA256, found ${signature.name}${signature.hash ? `-${signature.hash.name}` : ""}`,
    );
}

function readCertificates(text: string, what: string): Certificate[] {
  let blocks: ReturnType<typeof parsePem>;
  try {
    blocks = parsePem(text);
  } catch (error) {
    throw new IssuerError(`${what}: ${(error as PemError).message}`);
  }
  const found = blocks.filter((block) => block.label === "CERTIFICATE");
  if (found.length === 0) throw new IssuerError(`${what}: no certificate found (expected PEM)`);
  return found.map((block, index) => {
    try {
      const parsed = new x509.X509Certificate(block.der);
      return { x509: parsed, subject: parsed.subjectName.getField("CN")[0] ?? parsed.subject };
    } catch (error) {
      throw new IssuerError(`${what}: certificate ${index + 1}: ${(error as Error).message}`);
    }
  });
}

function readKey(text: string): KeyObject {
  if (!/-----BEGIN (EC |RSA )?PRIVATE KEY-----/.test(text))
    throw new IssuerError("issuer key: no private key found (expected a PEM block EC PRIVATE KEY, RSA PRIVATE KEY or PRIVATE KEY)");
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw new IssuerError(`issuer key: ${(error as Error).message}`);
  }
}

function checkValidity({ x509: { notBefore, notAfter }, subject }: Certificate, now: Date): void {
  if (now < notBefore) throw new IssuerError(`certificate "${subject}": not valid before ${notBefore.toISOString()}`);
  if (now > notAfter) throw new IssuerError(`certificate "${subject}": expired at ${notAfter.toISOString()}`);
}

function checkCa({ x509: certificate, subject }: Certificate): void {
  const constraints = certificate.getExtension(x509.BasicConstraintsExtension);
  if (!constraints?.ca) throw new IssuerError(`certificate "${subject}": is not a CA`);
}

async function isSignedBy(one: Certificate, by: Certificate): Promise<boolean> {
  if (one.x509.issuer !== by.x509.subject) return false;
  try {
    return await one.x509.verify({ publicKey: by.x509.publicKey, signatureOnly: true });
  } catch {
    return false;
  }
}
