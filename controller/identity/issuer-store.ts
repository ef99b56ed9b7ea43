// The issuer and the trust anchors as they stand in their mounts; a bad change keeps what was good (spec control-plane §2.2).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Issuer, parseTrustAnchors } from "#identity";

export type IssuerFiles = { readonly anchors: string; readonly certificate: string; readonly key: string };

/** Where the files are; only the scheme `linkerd.io/tls` has names of its own. */
export function issuerFiles({ issuerDir, anchorsFile, scheme }: { issuerDir: string; anchorsFile: string; scheme: string }): IssuerFiles {
  const [certificate, key] = scheme === "linkerd.io/tls" ? ["crt.pem", "key.pem"] : ["tls.crt", "tls.key"];
  return { anchors: anchorsFile, certificate: join(issuerDir, certificate as string), key: join(issuerDir, key as string) };
}

export type Reload =
  | { readonly kind: "unchanged" }
  | { readonly kind: "updated"; readonly subject: string }
  | { readonly kind: "skipped"; readonly reason: string };

export class IssuerStore {
  readonly #files: IssuerFiles;
  readonly #expectedName: string;
  readonly #now: () => Date;
  readonly #read: (path: string) => string;
  #current: Issuer | undefined;
  #seen = "";

  constructor({
    files,
    expectedName,
    now,
    read = (path) => readFileSync(path, "utf8"),
  }: { files: IssuerFiles; expectedName: string; now: () => Date; read?: (path: string) => string }) {
    this.#files = files;
    this.#expectedName = expectedName;
    this.#now = now;
    this.#read = read;
  }

  get current(): Issuer | undefined {
    return this.#current;
  }

  /** Reads the files. The first time a failure is thrown; later it is told and the issuer in use stays. */
  async load(): Promise<Reload> {
    let texts: { anchors: string; certificate: string; key: string };
    try {
      texts = {
        anchors: this.#read(this.#files.anchors),
        certificate: this.#read(this.#files.certificate),
        key: this.#read(this.#files.key),
      };
      const seen = JSON.stringify(texts);
      if (seen === this.#seen) return { kind: "unchanged" };
      this.#seen = seen;
      const next = await Issuer.read({
        certPem: texts.certificate,
        keyPem: texts.key,
        anchors: parseTrustAnchors(texts.anchors),
        expectedName: this.#expectedName,
        now: this.#now(),
      });
      this.#current = next;
      return { kind: "updated", subject: next.subject };
    } catch (error) {
      if (!this.#current) throw error;
      return { kind: "skipped", reason: (error as Error).message };
    }
  }
}
