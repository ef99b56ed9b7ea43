// The proxy's key and certificate request, read from its folder, made there when absent (spec proxy §1.1, §7.1).
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { certificateRequest } from "./der.ts";

export type KeyMaterial = { readonly keyPem: string; readonly csr: Uint8Array };

/**
 * Without a name nothing is made, and there is none unless both files are there.
 * @throws {Error} naming the file that cannot be read, written or understood.
 */
export function loadKeyMaterial(options: { dir: string; name: string }): KeyMaterial;
export function loadKeyMaterial(options: { dir: string; name: string | null }): KeyMaterial | null;
export function loadKeyMaterial({ dir, name }: { dir: string; name: string | null }): KeyMaterial | null {
  const keyFile = join(dir, "key.p8");
  const csrFile = join(dir, "csr.der");
  let key: KeyObject;
  if (existsSync(keyFile)) {
    const bytes = readFileSync(keyFile);
    try {
      key = createPrivateKey({ key: bytes, format: "der", type: "pkcs8" });
    } catch (error) {
      throw new Error(`${keyFile}: not a PKCS#8 private key`, { cause: error });
    }
    if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1")
      throw new Error(`${keyFile}: not an ECDSA P-256 key`);
  } else {
    if (name === null) return null;
    key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    mkdirSync(dir, { recursive: true });
    write(keyFile, key.export({ format: "der", type: "pkcs8" }));
  }
  let csr: Uint8Array;
  if (existsSync(csrFile)) {
    csr = readFileSync(csrFile);
    if (csr.length === 0) throw new Error(`${csrFile}: empty`);
  } else {
    if (name === null) return null;
    const publicKey = createPublicKey(key).export({ format: "der", type: "spki" });
    csr = certificateRequest({ name, publicKey, sign: (data) => sign("sha256", data, key) });
    write(csrFile, csr);
  }
  return { keyPem: key.export({ format: "pem", type: "pkcs8" }) as string, csr };
}

/** Whole or not at all, readable by the owner only. */
function write(file: string, bytes: Uint8Array): void {
  writeFileSync(`${file}.new`, bytes, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
