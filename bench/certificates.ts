// One root for all systems of a run, and a leaf of its own for each proxy: real X.509 on P-256, as the mesh has it.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;

export type Leaf = { readonly certificate: string; readonly key: string };

export class Authority {
  readonly pem: string;
  readonly #root: x509.X509Certificate;
  readonly #keys: CryptoKeyPair;
  readonly #notBefore = new Date(Date.now() - 60_000);
  readonly #notAfter = new Date(Date.now() + DAY_MS);

  private constructor(root: x509.X509Certificate, keys: CryptoKeyPair) {
    this.#root = root;
    this.#keys = keys;
    this.pem = root.toString("pem");
  }

  static async create(): Promise<Authority> {
    const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const root = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: "CN=root.bench.cluster.local",
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + DAY_MS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new Authority(root, keys);
  }

  get notAfter(): Date {
    return this.#notAfter;
  }

  async issue(name: string): Promise<Leaf> {
    const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const leaf = await this.#certify(name, keys.publicKey);
    const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
    return {
      certificate: leaf.toString("pem"),
      key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`,
    };
  }

  /** The leaf for a certificate signing request in DER, itself in DER; valid as long as the root unless it is said. */
  async sign(name: string, csr: Uint8Array, notAfter: Date = this.#notAfter): Promise<Uint8Array> {
    const request = new x509.Pkcs10CertificateRequest(new Uint8Array(csr));
    return new Uint8Array((await this.#certify(name, request.publicKey, notAfter)).rawData);
  }

  #certify(name: string, publicKey: x509.PublicKeyType, notAfter: Date = this.#notAfter): Promise<x509.X509Certificate> {
    return x509.X509CertificateGenerator.create({
      serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
        .toString("hex")
        .replace(/^[89a-f]/, "1"),
      subject: `CN=${name}`,
      issuer: this.#root.subject,
      notBefore: this.#notBefore,
      notAfter,
      signingAlgorithm: ALGORITHM,
      publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }]),
      ],
    });
  }

  /** The root's private key (PKCS #8, DER, base64), for a control plane in another process. */
  async exportKey(): Promise<string> {
    return Buffer.from(await crypto.subtle.exportKey("pkcs8", this.#keys.privateKey)).toString("base64");
  }

  static async import(pem: string, key: string): Promise<Authority> {
    const root = new x509.X509Certificate(pem);
    const privateKey = await crypto.subtle.importKey("pkcs8", Buffer.from(key, "base64"), ALGORITHM, true, ["sign"]);
    return new Authority(root, { privateKey, publicKey: await root.publicKey.export() });
  }
}
