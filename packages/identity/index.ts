// Identities and certificates of the mesh: names, the authority an installation begins with, webhook certificates, issuing leaves.
// Contract of #identity. Everything is a value in and a value out; time is handed in.
export {
  createCsr,
  ECDSA_P256,
  generateAuthority,
  generatedValidityDays,
  generateWebhookCertificate,
  type KeyPair,
} from "./certificates.ts";
export {
  type CertificateRequest,
  CertifyError,
  checkCsr,
  Issuer,
  IssuerError,
  type Leaf,
  maxCsrBytes,
  parseCsr,
  parseTrustAnchors,
  type TrustAnchors,
} from "./issuer.ts";
export { type IdentityParts, identityName, parseUsername } from "./names.ts";
export { formatPem, maxPemBlocks, type PemBlock, PemError, parsePem } from "./pem.ts";
