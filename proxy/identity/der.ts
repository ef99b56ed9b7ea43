// The few pieces of DER that a certificate request needs (X.690). The key never leaves the runtime's crypto.

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OID = 0x06;
const UTF8_STRING = 0x0c;

export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  const out = new Uint8Array(head.length + length);
  out.set(head);
  let at = head.length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

const oids = {
  commonName: bytes(0x55, 0x04, 0x03),
  subjectAltName: bytes(0x55, 0x1d, 0x11),
  // 1.2.840.113549.1.9.14
  extensionRequest: bytes(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e),
  // 1.2.840.10045.4.3.2
  ecdsaWithSha256: bytes(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02),
};

/**
 * A PKCS#10 request (RFC 2986) for `name`: subject CN and one DNS subject alternative name. `publicKey` is the
 * SubjectPublicKeyInfo; `sign` gives a DER ECDSA signature with SHA-256.
 */
export function certificateRequest({
  name,
  publicKey,
  sign,
}: {
  name: string;
  publicKey: Uint8Array;
  sign: (data: Uint8Array) => Uint8Array;
}): Uint8Array {
  const subject = der(SEQUENCE, der(SET, der(SEQUENCE, der(OID, oids.commonName), der(UTF8_STRING, ascii(name)))));
  const names = der(SEQUENCE, der(0x82, ascii(name)));
  const extensions = der(SEQUENCE, der(SEQUENCE, der(OID, oids.subjectAltName), der(OCTET_STRING, names)));
  const attributes = der(0xa0, der(SEQUENCE, der(OID, oids.extensionRequest), der(SET, extensions)));
  const info = der(SEQUENCE, der(INTEGER, bytes(0)), subject, publicKey, attributes);
  const algorithm = der(SEQUENCE, der(OID, oids.ecdsaWithSha256));
  return der(SEQUENCE, info, algorithm, der(BIT_STRING, bytes(0), sign(info)));
}
