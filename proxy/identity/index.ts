// The proxy's identity: a key that stays, a certificate that is renewed long before it ends (spec proxy §7).
import { createPrivateKey, type X509Certificate } from "node:crypto";
import type { CertifyResponse } from "#api/identity_pb";
import type { Plain } from "#grpc";
import type { Logger } from "#log";
import type { Credentials, Identity, Unsubscribe } from "../contracts.ts";
import { parseAnchors, verifyChain } from "./chain.ts";

export { type KeyMaterial, loadKeyMaterial } from "./key.ts";
export { sleepUnlessMoved } from "./sleep.ts";

export type CertifierOptions = {
  readonly localName: string;
  readonly trustAnchorsPem: string;
  readonly keyPem: string;
  /** DER; the same for every renewal. */
  readonly csr: Uint8Array;
  /** Read anew for every attempt. Throws when it cannot be. */
  readonly readToken: () => Promise<Uint8Array>;
  /** One Certify call. */
  readonly certify: (request: {
    identity: string;
    token: Uint8Array;
    certificateSigningRequest: Uint8Array;
  }) => Promise<Plain<CertifyResponse>>;
  readonly minRefreshMs: number;
  readonly maxRefreshMs: number;
  /** Wall clock, ms. */
  readonly now: () => number;
  /** Resolves after `ms`, at once when `signal` is aborted, or soon after a jump of the wall clock: certificates may have ended. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
};

/** Share of the remaining life after which a certificate is renewed. */
const REFRESH_AT = 0.7;
/** Longest timer of the runtime, ms (24.8 days); what is longer would fire at once. */
const MAX_TIMER_MS = 0x7fffffff;

/**
 * ```
 * none ──certified──► installed ──0.7 of its life──► certified again …
 *   └──failed: after the minimum     └──failed: by the same rule from the old expiry
 * ```
 */
export class Certifier implements Identity {
  readonly localName: string;
  readonly trustAnchorsPem: string;
  readonly ready: Promise<void>;
  /** `identity_cert_refresh_count`. */
  refreshes = 0;
  readonly #options: CertifierOptions;
  readonly #anchors;
  readonly #watches = new Set<(credentials: Credentials) => void>();
  readonly #stop = new AbortController();
  #current: Credentials | null = null;
  #becomeReady: () => void = () => {};

  /** @throws {Error} when no trust anchor is usable. */
  constructor(options: CertifierOptions) {
    this.#options = options;
    this.localName = options.localName;
    this.#anchors = parseAnchors(options.trustAnchorsPem, (problem) => options.log.warn(problem));
    if (this.#anchors.length === 0) throw new Error("no usable trust anchor");
    // What the TLS library gets: those alone that could be read.
    this.trustAnchorsPem = this.#anchors.map((anchor) => anchor.toString()).join("");
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
  }

  current(): Credentials | null {
    return this.#current;
  }

  onChange(cb: (credentials: Credentials) => void): Unsubscribe {
    this.#watches.add(cb);
    return () => void this.#watches.delete(cb);
  }

  /** Renews until {@link stop}. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#attempt();
      await this.#options.sleep(this.#delayMs(), signal);
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  #delayMs(): number {
    const { minRefreshMs, maxRefreshMs, now } = this.#options;
    const remaining = this.#current === null ? 0 : this.#current.validUntilMs - now();
    return Math.min(MAX_TIMER_MS, Math.max(minRefreshMs, Math.min(maxRefreshMs, remaining * REFRESH_AT)));
  }

  async #attempt(): Promise<void> {
    const { localName, keyPem, csr, log, now } = this.#options;
    try {
      const token = await this.#options.readToken();
      if (token.length === 0) throw new Error("the token file is empty");
      const response = await this.#options.certify({ identity: localName, token, certificateSigningRequest: csr });
      if (!response.validUntil) throw new Error("the answer has no valid_until");
      const validUntilMs = Number(response.validUntil.seconds) * 1000 + Math.floor(response.validUntil.nanos / 1e6);
      const certificates = verifyChain({
        chain: [response.leafCertificate, ...response.intermediateCertificates],
        anchors: this.#anchors,
        name: localName,
        nowMs: now(),
      });
      if (!(certificates[0] as X509Certificate).checkPrivateKey(createPrivateKey(keyPem)))
        throw new Error("the certificate is not for this proxy's key");
      this.#current = {
        keyPem,
        certChainPem: certificates.map((certificate) => certificate.toString()).join(""),
        trustAnchorsPem: this.trustAnchorsPem,
        validUntilMs,
      };
    } catch (error) {
      if (!this.#stop.signal.aborted) log.error("failed to obtain a certificate", { error: (error as Error).message });
      return;
    }
    this.refreshes++;
    log.info("certified identity", { id: localName });
    for (const cb of [...this.#watches]) cb(this.#current as Credentials);
    this.#becomeReady();
  }
}
