// Certificates that claim a name in ways some verifier has believed (spec hardening §3, rows 23 and 24). Real X.509 by @peculiar/x509.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { Credentials } from "../contracts.ts";
import type { TestCa } from "../testing/certificates.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const HOUR_MS = 3_600_000;
const SAN = "2.5.29.17";
/** Tags of GeneralName (RFC 5280 §4.2.1.6). */
const Tag = { otherName: 0xa0, email: 0x81, dns: 0x82, uri: 0x86 } as const;

type Issuer = { readonly certificate: x509.X509Certificate; readonly key: CryptoKey };
type Keys = { readonly publicKey: CryptoKey; readonly privateKey: CryptoKey };

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}

/** A subjectAltName of these entries, written byte by byte. */
function san(...entries: (readonly [tag: number, value: string | Uint8Array])[]): x509.Extension {
  const names = entries.map(([tag, value]) => der(tag, typeof value === "string" ? Buffer.from(value, "latin1") : value));
  return new x509.Extension(SAN, false, new Uint8Array(der(0x30, ...names)));
}

/** `otherName` of a user principal with a UTF8String (what some verifiers took for a DNS name). */
function otherName(value: string): Buffer {
  const oid = Buffer.of(0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x14, 0x02, 0x03);
  return Buffer.concat([oid, der(0xa0, der(0x0c, Buffer.from(value)))]);
}

export type Claim = {
  readonly name: string;
  /** What the peer may be taken for: nobody at all, somebody else, or the one it is. */
  readonly credentials: Credentials;
};

export class Forger {
  readonly #root: Issuer;
  readonly #victim: string;

  private constructor(root: Issuer, victim: string) {
    this.#root = root;
    this.#victim = victim;
  }

  /** @param victim the identity that is claimed */
  static async create(ca: TestCa, victim: string): Promise<Forger> {
    const key = await crypto.subtle.importKey("jwk", ca.saved.privateKey, ALGORITHM, true, ["sign"]);
    return new Forger({ certificate: new x509.X509Certificate(ca.pem), key }, victim);
  }

  /** None of these is the victim. */
  async claims(): Promise<Claim[]> {
    const victim = this.#victim;
    const other = "other.ns.serviceaccount.identity.linkerd.cluster.local";
    const [first = "", ...rest] = victim.split(".");
    const leaf = (name: string, extensions: x509.Extension[], more: Partial<Leaf> = {}): Promise<Claim> =>
      this.#leaf({ extensions, ...more }).then((credentials) => ({ name, credentials }));
    const good = san([Tag.dns, victim]);
    return Promise.all([
      leaf("CVE-2025-66220 (Envoy) NUL in a DNS name", [san([Tag.dns, `${victim}\0.evil.test`])]),
      leaf("CVE-2025-66220 (Envoy) NUL before the name", [san([Tag.dns, `\0${victim}`])]),
      leaf("CVE-2026-47778 (Envoy) otherName in place of a DNS name", [san([Tag.otherName, otherName(victim)])]),
      leaf("CVE-2026-47778 (Envoy) URI in place of a DNS name", [san([Tag.uri, victim])]),
      leaf("CVE-2026-47778 (Envoy) two URIs", [san([Tag.uri, `spiffe://cluster.local/${victim}`], [Tag.uri, victim])]),
      leaf("CVE-2026-47778 (Envoy) e-mail address in place of a DNS name", [san([Tag.email, victim])]),
      leaf("common name only", []),
      leaf("common name beside another DNS name", [san([Tag.dns, other])]),
      leaf("a wildcard", [san([Tag.dns, `*.${rest.join(".")}`])]),
      leaf("a wildcard within a label", [san([Tag.dns, `${first[0]}*.${rest.join(".")}`])]),
      leaf("a letter of another alphabet", [san([Tag.dns, Buffer.from(victim.replace("a", "а"), "utf8")])]),
      leaf("a longer name that ends so", [san([Tag.dns, `x${victim}`])]),
      leaf("a longer name that begins so", [san([Tag.dns, `${victim}.evil.test`])]),
      leaf("a name with a dot more", [san([Tag.dns, `.${victim}`])]),
      leaf("CVE-2022-21657 (Envoy) another extended key usage", [good], { usages: [x509.ExtendedKeyUsage.codeSigning] }),
      leaf("an end that is past", [good], { notBefore: -2 * HOUR_MS, notAfter: -HOUR_MS }),
      leaf("a beginning to come", [good], { notBefore: HOUR_MS, notAfter: 2 * HOUR_MS }),
      leaf("another root", [good], { issuer: await this.#strangeRoot() }),
      leaf("RUSTSEC-2026-0098 (webpki) name constraints that permit other names", [good], {
        chain: [await this.#intermediate({ constraint: { permitted: "elsewhere.test" } })],
      }),
      leaf("RUSTSEC-2026-0099 (webpki) name constraints that exclude the name", [good], {
        chain: [await this.#intermediate({ constraint: { excluded: "cluster.local" } })],
      }),
      leaf("an issuer that is no authority", [good], { chain: [await this.#intermediate({ authority: false })] }),
      leaf("a path longer than allowed", [good], {
        chain: await this.#chain(2, 0),
      }),
    ]);
  }

  /** The victim itself: what must be believed. */
  async victim(): Promise<Credentials> {
    return this.#leaf({ extensions: [san([Tag.dns, this.#victim])] });
  }

  /** The victim, behind `n` intermediates that all have the same name and may have issued each other. */
  async crossSigned(n: number): Promise<Credentials> {
    const { publicKey, privateKey } = await keys();
    const chain: Issuer[] = [];
    for (let i = 0; i < n; i++) {
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: (1000 + i).toString(16),
        subject: "CN=cross",
        issuer: "CN=cross",
        notBefore: new Date(Date.now() - HOUR_MS),
        notAfter: new Date(Date.now() + HOUR_MS),
        signingAlgorithm: ALGORITHM,
        publicKey,
        signingKey: privateKey,
        extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
      });
      chain.push({ certificate, key: privateKey });
    }
    return this.#leaf({ extensions: [san([Tag.dns, this.#victim])], chain });
  }

  async #strangeRoot(): Promise<Issuer> {
    const pair = await keys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: this.#root.certificate.subject,
      notBefore: new Date(Date.now() - HOUR_MS),
      notAfter: new Date(Date.now() + HOUR_MS),
      signingAlgorithm: ALGORITHM,
      keys: pair,
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    });
    return { certificate, key: pair.privateKey };
  }

  async #intermediate(options: {
    issuer?: Issuer;
    authority?: boolean;
    pathLength?: number;
    constraint?: { permitted: string } | { excluded: string };
  }): Promise<Issuer> {
    const { issuer = this.#root, authority = true, constraint } = options;
    const pair = await keys();
    const extensions: x509.Extension[] = [new x509.BasicConstraintsExtension(authority, options.pathLength, true)];
    if (constraint !== undefined) {
      // NameConstraints (RFC 5280 §4.2.1.10): [0] permitted, [1] excluded; a subtree is a GeneralName.
      const [tag, name] = "permitted" in constraint ? [0xa0, constraint.permitted] : [0xa1, constraint.excluded];
      const subtrees = der(tag, der(0x30, der(Tag.dns, Buffer.from(name))));
      extensions.push(new x509.Extension("2.5.29.30", true, new Uint8Array(der(0x30, subtrees))));
    }
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: Math.floor(Math.random() * 0x7fffffff)
        .toString(16)
        .padStart(8, "0"),
      subject: `CN=intermediate ${Math.random()}`,
      issuer: issuer.certificate.subject,
      notBefore: new Date(Date.now() - HOUR_MS),
      notAfter: new Date(Date.now() + HOUR_MS),
      signingAlgorithm: ALGORITHM,
      publicKey: pair.publicKey,
      signingKey: issuer.key,
      extensions,
    });
    return { certificate, key: pair.privateKey };
  }

  /** `n` intermediates, the first of which allows `pathLength` below it; the last is the leaf's issuer and stands first. */
  async #chain(n: number, pathLength: number): Promise<Issuer[]> {
    const chain: Issuer[] = [];
    for (let i = 0; i < n; i++)
      chain.unshift(await this.#intermediate({ ...(chain[0] ? { issuer: chain[0] } : {}), ...(i === 0 ? { pathLength } : {}) }));
    return chain;
  }

  async #leaf(leaf: Leaf): Promise<Credentials> {
    const { chain = [], usages = [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth] } = leaf;
    const issuer = leaf.issuer ?? chain[0] ?? this.#root;
    const pair = await keys();
    const notAfter = new Date(Date.now() + (leaf.notAfter ?? HOUR_MS));
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: Math.floor(Math.random() * 0x7fffffff)
        .toString(16)
        .padStart(8, "0"),
      subject: `CN=${this.#victim.slice(0, 64)}`,
      issuer: issuer.certificate.subject,
      notBefore: new Date(Date.now() + (leaf.notBefore ?? -HOUR_MS)),
      notAfter,
      signingAlgorithm: ALGORITHM,
      publicKey: pair.publicKey,
      signingKey: issuer.key,
      extensions: [new x509.ExtendedKeyUsageExtension(usages), ...leaf.extensions],
    });
    const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", pair.privateKey)).toString("base64");
    return {
      keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`,
      certChainPem: [certificate, ...chain.map((link) => link.certificate)].map((each) => `${each.toString("pem")}\n`).join(""),
      trustAnchorsPem: this.#root.certificate.toString("pem"),
      validUntilMs: notAfter.getTime(),
    };
  }
}

type Leaf = {
  readonly extensions: x509.Extension[];
  readonly usages?: x509.ExtendedKeyUsageType[];
  /** From now, ms. */
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly issuer?: Issuer;
  /** Intermediates, the leaf's issuer first. */
  readonly chain?: readonly Issuer[];
};

function keys(): Promise<Keys & CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]) as Promise<Keys & CryptoKeyPair>;
}
