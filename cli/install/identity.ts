// Trust anchors and issuer of a new installation: read, made, or kept by somebody else (spec cli §3.6, "Identity material").
import { readFileSync } from "node:fs";
import type { Values } from "#chart";
import { generateAuthority } from "#identity";
import { type AnyObject, type KubeClient, Resources } from "#kube";
import { chainsTo, outsideValidity, parsePem, requireKeyPair, unsupportedAlgorithm } from "../checks/certificates.ts";
import { messageOf } from "../context.ts";
import { CliError } from "../io.ts";
import { type Given, valueAt } from "../proxy-flags.ts";

export type IdentityMaterial = { readonly trustAnchorsPem: string; readonly issuerCertPem: string; readonly issuerKeyPem: string };

const CERTIFICATE = "--identity-issuer-certificate-file";
const KEY = "--identity-issuer-key-file";
const ANCHORS = "--identity-trust-anchors-file";
const ISSUER_SECRET = "linkerd-identity-issuer";

type Question = {
  readonly given: Given;
  readonly namespace: string;
  /** Effective values. */
  readonly values: Values;
  /** Undefined with `--ignore-cluster`. */
  readonly client: KubeClient | undefined;
  readonly now: number;
};

/**
 * The material to render with; parts are empty where the installation does not keep them itself.
 * @throws {CliError} naming the flag or Secret
 */
export async function identityMaterial({ given, namespace, values, client, now }: Question): Promise<IdentityMaterial | undefined> {
  const certificateFile = given["identityIssuerCertificateFile"] as string | undefined;
  const keyFile = given["identityIssuerKeyFile"] as string | undefined;
  const anchorsFile = given["identityTrustAnchorsFile"] as string | undefined;
  const textAt = (path: string) => String(valueAt(values, path) ?? "");

  if (textAt("identity.issuer.scheme") === "kubernetes.io/tls") {
    for (const [flag, file] of [
      [CERTIFICATE, certificateFile],
      [KEY, keyFile],
    ] as const)
      if (file !== undefined) throw new CliError(`${flag} must not be specified if --identity-external-issuer=true`);
    const trustAnchorsPem =
      anchorsFile !== undefined
        ? readPem(ANCHORS, anchorsFile)
        : textAt("identityTrustAnchorsPEM") || (await externalAnchors(client, namespace));
    requireAnchors(trustAnchorsPem, anchorsFile === undefined ? `Secret ${namespace}/${ISSUER_SECRET}: data[ca.crt]` : ANCHORS);
    return { trustAnchorsPem, issuerCertPem: "", issuerKeyPem: "" };
  }

  const files: [flag: string, file: string | undefined][] = [
    [ANCHORS, anchorsFile],
    [CERTIFICATE, certificateFile],
    [KEY, keyFile],
  ];
  const missing = files.filter(([, file]) => file === undefined).map(([flag]) => flag);
  if (missing.length === 0) {
    const [trustAnchorsPem, issuerCertPem, issuerKeyPem] = files.map(([flag, file]) => readPem(flag, file as string)) as [
      string,
      string,
      string,
    ];
    const material = { trustAnchorsPem, issuerCertPem, issuerKeyPem };
    requireWorking(material, { anchors: ANCHORS, certificate: CERTIFICATE, key: KEY }, now);
    return material;
  }
  if (missing.length < files.length) throw new CliError(`${missing.join(" and ")} must be specified if other credentials are provided`);

  const [trustAnchorsPem, issuerCertPem, issuerKeyPem] = [
    "identityTrustAnchorsPEM",
    "identity.issuer.tls.crtPEM",
    "identity.issuer.tls.keyPEM",
  ].map(textAt) as [string, string, string];
  if (trustAnchorsPem === "" && issuerCertPem === "" && issuerKeyPem === "") {
    const domain = textAt("identityTrustDomain") || textAt("clusterDomain");
    const { certPem, keyPem } = await generateAuthority({ commonName: `identity.${namespace}.${domain}`, now: new Date(now) });
    return { trustAnchorsPem: certPem, issuerCertPem: certPem, issuerKeyPem: keyPem };
  }
  requireWorking(
    { trustAnchorsPem, issuerCertPem, issuerKeyPem },
    { anchors: "identityTrustAnchorsPEM", certificate: "identity.issuer.tls.crtPEM", key: "identity.issuer.tls.keyPEM" },
    now,
  );
  // They stand in the values already.
  return undefined;
}

function readPem(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CliError(`${flag}: ${messageOf(error)}`);
  }
}

function requireAnchors(pem: string, what: string): void {
  try {
    parsePem(pem, what);
  } catch (error) {
    throw new CliError(messageOf(error));
  }
}

/** An external issuer's Secret carries the anchors. */
async function externalAnchors(client: KubeClient | undefined, namespace: string): Promise<string> {
  if (!client)
    throw new CliError(
      `${ANCHORS} must be specified with --identity-external-issuer and --ignore-cluster: Secret ${ISSUER_SECRET} cannot be read without the cluster`,
    );
  const secret = await client.find<AnyObject & { data?: Record<string, string> }>({ ...Resources.secrets, namespace, name: ISSUER_SECRET });
  if (!secret)
    throw new CliError(
      `Secret ${namespace}/${ISSUER_SECRET} does not exist: --identity-external-issuer reads the trust anchors from its key ca.crt`,
    );
  return Buffer.from(secret.data?.["ca.crt"] ?? "", "base64").toString("utf8");
}

type Names = { readonly anchors: string; readonly certificate: string; readonly key: string };

/** @throws {CliError} naming what is wrong, by `names` */
function requireWorking(material: IdentityMaterial, names: Names, now: number): void {
  try {
    const anchors = parsePem(material.trustAnchorsPem, names.anchors);
    const [issuer, ...intermediates] = parsePem(material.issuerCertPem, names.certificate);
    if (!issuer) throw new Error(`${names.certificate}: no certificate found in PEM`);
    requireKeyPair(issuer, material.issuerKeyPem, names.key);
    const mistakes = [...unsupportedAlgorithm([issuer]), ...outsideValidity([issuer], now)];
    if (mistakes.length > 0) throw new Error(`${names.certificate}: ${mistakes.join("; ")}`);
    if (!issuer.ca) throw new Error(`${names.certificate}: the certificate is not a CA's`);
    if (!chainsTo(issuer, anchors, intermediates))
      throw new Error(`${names.certificate}: the certificate is not issued by a trust anchor of ${names.anchors}`);
  } catch (error) {
    throw new CliError(messageOf(error));
  }
}
