// The cluster's keys and certificates: one CA, the server's certificate, one client certificate per component, and the key that signs tokens.
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type * as X509 from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256" } as const;
const signing = { name: "ECDSA", hash: "SHA-256" } as const;

export interface PkiOptions {
  /** Names and addresses in the server's certificate, beside localhost, 127.0.0.1 and `kubernetes[.default[.svc[.cluster.local]]]`. */
  serverNames?: string[];
  /** The node agent's certificate is for `system:node:NAME`; default `local`. */
  nodeName?: string;
  clusterDomain?: string;
  /** Default 10 years: the cluster is remade, not renewed. */
  validityDays?: number;
  now?: () => Date;
}

/** Client certificates made: file name to subject. `proxy` is what this server shows to the node agent. */
export const clientNames = ["admin", "controller-manager", "scheduler", "node", "proxy"] as const;
export type ClientName = (typeof clientNames)[number];

export interface Pki {
  dir: string;
  /** PEM */
  ca: string;
  server: { cert: string; key: string };
  serviceAccount: { privateKey: string; publicKey: string };
  /** Bearer token of the administrator; undefined when there is no admin.token. */
  adminToken: string | undefined;
  client(name: ClientName): { cert: string; key: string };
}

const subjects = (nodeName: string): Record<ClientName, { commonName: string; organization?: string }> => ({
  admin: { commonName: "kubernetes-admin", organization: "system:masters" },
  "controller-manager": { commonName: "system:kube-controller-manager" },
  scheduler: { commonName: "system:kube-scheduler" },
  node: { commonName: `system:node:${nodeName}`, organization: "system:nodes" },
  proxy: { commonName: "kube-apiserver-kubelet-client", organization: "system:masters" },
});

/**
 * Makes what is missing in `dir` (ca, apiserver, sa, one pair per client; `.crt`, `.key`, `.pub`; admin.token; private keys are mode 0600) and returns all of it.
 * Files that are there are kept, so that a restart changes no identity.
 */
export async function createPki(
  dir: string,
  { serverNames = [], nodeName = "local", clusterDomain = "cluster.local", validityDays = 3650, now = () => new Date() }: PkiOptions = {},
): Promise<Pki> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const complete = [
    "ca.crt",
    "apiserver.crt",
    "apiserver.key",
    "sa.key",
    "sa.pub",
    "admin.token",
    ...clientNames.flatMap((name) => [`${name}.crt`, `${name}.key`]),
  ].every((name) => existsSync(join(dir, name)));
  if (!complete) {
    // Loaded here, not above: servers that only read their files start half a second sooner.
    await import("reflect-metadata");
    const x509 = await import("@peculiar/x509");
    const put = (name: string, text: string) => writeFileSync(join(dir, name), text, { mode: name.endsWith(".key") ? 0o600 : 0o644 });
    const begin = new Date(now().getTime() - 60_000);
    const end = new Date(begin.getTime() + validityDays * 86_400_000);
    const caKeys = await generate();
    const ca = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serial(),
      name: "CN=kubernetes",
      notBefore: begin,
      notAfter: end,
      signingAlgorithm: signing,
      keys: caKeys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    });
    put("ca.crt", pem(ca));
    put("ca.key", await privatePem(caKeys.privateKey));
    const issue = async (
      file: string,
      subject: { commonName: string; organization?: string },
      usage: X509.ExtendedKeyUsage,
      names?: X509.JsonGeneralNames,
    ) => {
      const keys = await generate();
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject: [...(subject.organization ? [{ O: [subject.organization] }] : []), { CN: [subject.commonName] }],
        issuer: ca.subject,
        notBefore: begin,
        notAfter: end,
        signingAlgorithm: signing,
        publicKey: keys.publicKey,
        signingKey: caKeys.privateKey,
        extensions: [
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([usage]),
          await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
          ...(names ? [new x509.SubjectAlternativeNameExtension(names)] : []),
        ],
      });
      put(`${file}.crt`, pem(certificate));
      put(`${file}.key`, await privatePem(keys.privateKey));
    };
    const names = [
      "localhost",
      "127.0.0.1",
      "kubernetes",
      "kubernetes.default",
      "kubernetes.default.svc",
      `kubernetes.default.svc.${clusterDomain}`,
      ...serverNames,
    ];
    await issue(
      "apiserver",
      { commonName: "kube-apiserver" },
      x509.ExtendedKeyUsage.serverAuth,
      [...new Set(names)].map((value) => ({ type: /^[\d.]+$|:/.test(value) ? "ip" : "dns", value })),
    );
    for (const [name, subject] of Object.entries(subjects(nodeName))) await issue(name, subject, x509.ExtendedKeyUsage.clientAuth);
    const tokens = await generate();
    put("sa.key", await privatePem(tokens.privateKey));
    writeFileSync(join(dir, "admin.token"), `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
    put("sa.pub", toPem("PUBLIC KEY", await crypto.subtle.exportKey("spki", tokens.publicKey)));
  }
  return readPki(dir);
}

/** @throws {Error} naming the file that cannot be read. */
export function readPki(dir: string): Pki {
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  return {
    dir,
    ca: read("ca.crt"),
    server: { cert: read("apiserver.crt"), key: read("apiserver.key") },
    serviceAccount: { privateKey: read("sa.key"), publicKey: read("sa.pub") },
    adminToken: existsSync(join(dir, "admin.token")) ? read("admin.token").trim() : undefined,
    client: (name) => ({ cert: read(`${name}.crt`), key: read(`${name}.key`) }),
  };
}

const generate = () => crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
const serial = () =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(16)))
    .toString("hex")
    .replace(/^[89a-f]/, "1");
const pem = (certificate: X509.X509Certificate) => `${certificate.toString("pem")}\n`;
const privatePem = async (key: CryptoKey) => toPem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", key));
const toPem = (label: string, bytes: ArrayBuffer) =>
  `-----BEGIN ${label}-----\n${Buffer.from(bytes)
    .toString("base64")
    .replace(/(.{64})/g, "$1\n")
    .trimEnd()}\n-----END ${label}-----\n`;
