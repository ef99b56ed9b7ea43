import "reflect-metadata";
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Pkcs10CertificateRequest, type SubjectAlternativeNameExtension } from "@peculiar/x509";
import { CertifyResponseSchema } from "#api/identity_pb";
import { Log } from "#log";
import { createCa } from "../testing/certificates.ts";
import { Certifier, type CertifierOptions, loadKeyMaterial } from "./index.ts";

const NAME = "web.ns.serviceaccount.identity.linkerd.cluster.local";
const dir = mkdtempSync(join(tmpdir(), "fairlead-identity-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("key material", () => {
  test("is made once, for the owner only, and read again after", async () => {
    const at = join(dir, "made");
    const first = loadKeyMaterial({ dir: at, name: NAME });
    expect(statSync(join(at, "key.p8")).mode & 0o777).toBe(0o600);
    expect(statSync(join(at, "csr.der")).mode & 0o777).toBe(0o600);
    const request = new Pkcs10CertificateRequest(new Uint8Array(readFileSync(join(at, "csr.der"))));
    expect(await request.verify()).toBe(true);
    expect(request.subject).toBe(`CN=${NAME}`);
    const names = request.extensions.find((extension) => extension.type === "2.5.29.17");
    expect((names as SubjectAlternativeNameExtension).names.items.map(({ value }) => value)).toEqual([NAME]);
    const second = loadKeyMaterial({ dir: at, name: NAME });
    expect(second.keyPem).toBe(first.keyPem);
    expect(Buffer.compare(second.csr, first.csr)).toBe(0);
  });

  test("a file that is no key is named", () => {
    writeFileSync(join(dir, "key.p8"), "no key");
    expect(() => loadKeyMaterial({ dir, name: NAME })).toThrow(join(dir, "key.p8"));
  });
});

/** A certifier whose authority answers what the test says, one answer an attempt. */
async function certifier(
  answers: ((ca: Awaited<ReturnType<typeof createCa>>) => Promise<unknown>)[],
  options: Partial<CertifierOptions> = {},
) {
  const ca = await createCa();
  const { keyPem, csr } = loopKey();
  const sleeps: number[] = [];
  const lines: string[] = [];
  const log = new Log({ filter: "info", format: "plain", write: (line) => void lines.push(line), uptimeMs: () => 0 }).logger("identity");
  let attempts = 0;
  const loop = new Certifier({
    localName: NAME,
    trustAnchorsPem: (await ca.issue(NAME)).trustAnchorsPem,
    keyPem,
    csr,
    readToken: async () => new Uint8Array([1]),
    certify: async () => (await answers[attempts++]?.(ca)) as never,
    minRefreshMs: 10_000,
    maxRefreshMs: 86_400_000,
    now: () => Date.now(),
    sleep: async (ms) => {
      sleeps.push(Math.round(ms / 1000));
      if (attempts >= answers.length) loop.stop();
    },
    log,
    ...options,
  });
  return { ca, loop, sleeps, lines };
}

const inSeconds = (seconds: number) => ({ seconds: BigInt(Math.floor(Date.now() / 1000) + seconds), nanos: 0 });
const pemToDer = (pem: string): Uint8Array => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
type Ca = Awaited<ReturnType<typeof createCa>>;
const loopKey = () => loadKeyMaterial({ dir: join(dir, "loop"), name: NAME });
const leaf = (seconds: number) => async (ca: Ca) =>
  create(CertifyResponseSchema, { leafCertificate: (await ca.sign(loopKey().csr)).leaf, validUntil: inSeconds(seconds) });
/** For a key of somebody else. */
const strange = (name: string) => async (ca: Ca) =>
  create(CertifyResponseSchema, { leafCertificate: pemToDer((await ca.issue(name)).certChainPem), validUntil: inSeconds(1000) });

describe("certify loop", () => {
  test("renews at 0.7 of the remaining life", async () => {
    const { loop, sleeps } = await certifier([leaf(1000), leaf(100)]);
    let changes = 0;
    loop.onChange(() => changes++);
    await loop.run();
    await loop.ready;
    expect(sleeps.map((seconds) => Math.round(seconds / 10) * 10)).toEqual([700, 70]);
    expect([loop.refreshes, changes]).toEqual([2, 2]);
  });

  test.each([
    [5, {}, 10],
    [100, {}, 70],
    [200_000, {}, 86_400],
    // More than a timer of the runtime can hold.
    [100_000_000, { maxRefreshMs: 40 * 86_400_000 }, 2_147_484],
  ])("a life of %d s with %p: again in %d s", async (life, options, expected) => {
    const { loop, sleeps } = await certifier([leaf(life)], options);
    await loop.run();
    expect(Math.abs((sleeps[0] as number) - expected)).toBeLessThanOrEqual(1);
  });

  test.each([
    ["another name", strange("other.ns.serviceaccount.identity.linkerd.cluster.local"), "is not for web.ns"],
    ["another key", strange(NAME), "is not for this proxy's key"],
    ["no expiry", async () => create(CertifyResponseSchema, { leafCertificate: new Uint8Array([1]) }), "valid_until"],
    [
      "no certificate",
      async () => create(CertifyResponseSchema, { leafCertificate: new Uint8Array([1]), validUntil: inSeconds(10) }),
      "certificate 1",
    ],
    [
      "another authority",
      async () =>
        create(CertifyResponseSchema, {
          leafCertificate: pemToDer((await (await createCa()).issue(NAME)).certChainPem),
          validUntil: inSeconds(10),
        }),
      "trust anchor",
    ],
    [
      "a failed call",
      async () => {
        throw new Error("unavailable");
      },
      "unavailable",
    ],
  ] as const)("refuses %s, keeps what it has, and tries again after the minimum", async (_, answer, message) => {
    const { loop, sleeps, lines } = await certifier([answer as never]);
    await loop.run();
    expect(loop.current()).toBeNull();
    expect(sleeps).toEqual([10]);
    expect(lines.join("")).toContain(message);
  });

  test("a failure after a success waits by the old expiry", async () => {
    const { loop, sleeps } = await certifier([
      leaf(1000),
      async () => {
        throw new Error("away");
      },
    ]);
    await loop.run();
    expect(loop.current()).not.toBeNull();
    expect(sleeps.map((seconds) => Math.round(seconds / 10) * 10)).toEqual([700, 700]);
  });

  test("an empty token fails the attempt; no usable anchor fails at once", async () => {
    const { loop, lines } = await certifier([leaf(1000)], {
      readToken: async () => {
        loop.stop();
        return new Uint8Array();
      },
    });
    await loop.run();
    expect(lines).toEqual([]);
    expect(loop.current()).toBeNull();
    expect(certifier([], { trustAnchorsPem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" })).rejects.toThrow(
      "no usable trust anchor",
    );
  });
});
