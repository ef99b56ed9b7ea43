// A certificate in words, laid out as `openssl x509 -text` does.
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from "@peculiar/x509";

const usageNames: readonly [KeyUsageFlags, string][] = [
  [KeyUsageFlags.digitalSignature, "Digital Signature"],
  [KeyUsageFlags.nonRepudiation, "Non Repudiation"],
  [KeyUsageFlags.keyEncipherment, "Key Encipherment"],
  [KeyUsageFlags.dataEncipherment, "Data Encipherment"],
  [KeyUsageFlags.keyAgreement, "Key Agreement"],
  [KeyUsageFlags.keyCertSign, "Certificate Sign"],
  [KeyUsageFlags.cRLSign, "CRL Sign"],
];
const extendedNames: Record<string, string> = {
  "1.3.6.1.5.5.7.3.1": "TLS Web Server Authentication",
  "1.3.6.1.5.5.7.3.2": "TLS Web Client Authentication",
};

/** Text of a leaf or intermediate; null for a CA's certificate. */
export function describeCertificate(der: Uint8Array): string | null {
  const certificate = new X509Certificate(der as Uint8Array<ArrayBuffer>);
  if (certificate.getExtension(BasicConstraintsExtension)?.ca) return null;
  const algorithm = certificate.signatureAlgorithm;
  const signature = `${(algorithm.name ?? "").replace("RSASSA-PKCS1-v1_5", "RSA")}-${String((algorithm as { hash?: { name?: string } }).hash?.name ?? "").replace("-", "")}`;
  const key = certificate.publicKey;
  const curve = (key.algorithm as { namedCurve?: string }).namedCurve;
  const lines = [
    "Certificate:",
    "    Data:",
    "        Version: 3 (0x2)",
    `        Serial Number: ${BigInt(`0x${certificate.serialNumber}`)} (0x${certificate.serialNumber.replace(/^0+(?=.)/, "")})`,
    `    Signature Algorithm: ${signature}`,
    `        Issuer: ${certificate.issuer}`,
    "        Validity",
    `            Not Before: ${openSslTime(certificate.notBefore)}`,
    `            Not After : ${openSslTime(certificate.notAfter)}`,
    `        Subject: ${certificate.subject}`,
    "        Subject Public Key Info:",
    `            Public Key Algorithm: ${key.algorithm.name === "ECDSA" ? "ECDSA" : key.algorithm.name}`,
    ...(curve ? [`                Public-Key: (${curve.replace("P-", "")} bit)`, `                Curve: ${curve}`] : []),
    "        X509v3 extensions:",
    ...extensionLines(certificate),
    "",
    `    Signature Algorithm: ${signature}`,
    ...hexLines(new Uint8Array(certificate.signature), 18, 9),
    "",
  ];
  return `${lines.join("\n")}\n`;
}

function extensionLines(certificate: X509Certificate): string[] {
  const lines: string[] = [];
  const add = (name: string, critical: boolean, value: string) =>
    lines.push(`            ${name}:${critical ? " critical" : ""}`, `                ${value}`);
  const usages = certificate.getExtension(KeyUsagesExtension);
  if (usages)
    add(
      "X509v3 Key Usage",
      usages.critical,
      usageNames
        .filter(([flag]) => usages.usages & flag)
        .map(([, name]) => name)
        .join(", "),
    );
  const extended = certificate.getExtension(ExtendedKeyUsageExtension);
  if (extended)
    add(
      "X509v3 Extended Key Usage",
      extended.critical,
      extended.usages.map((usage) => extendedNames[String(usage)] ?? String(usage)).join(", "),
    );
  const basic = certificate.getExtension(BasicConstraintsExtension);
  if (basic) add("X509v3 Basic Constraints", basic.critical, `CA:${basic.ca ? "TRUE" : "FALSE"}`);
  const names = certificate.getExtension(SubjectAlternativeNameExtension);
  if (names)
    add(
      "X509v3 Subject Alternative Name",
      names.critical,
      names.names.items.map((name) => `${name.type === "dns" ? "DNS" : name.type}:${name.value}`).join(", "),
    );
  return lines;
}

/** `Jan  2 15:04:05 2006 UTC`. */
function openSslTime(date: Date): string {
  const month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][date.getUTCMonth()];
  return `${month} ${String(date.getUTCDate()).padStart(2)} ${date.toISOString().slice(11, 19)} ${date.getUTCFullYear()} UTC`;
}

function hexLines(bytes: Uint8Array, perLine: number, indent: number): string[] {
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
  const lines: string[] = [];
  for (let i = 0; i < hex.length; i += perLine)
    lines.push(`${" ".repeat(indent)}${hex.slice(i, i + perLine).join(":")}${i + perLine < hex.length ? ":" : ""}`);
  return lines;
}
