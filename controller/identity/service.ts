// The Certify call, step by step (spec control-plane §2.3). The issuer, the review of tokens and the clock are handed in.
import { createHash } from "node:crypto";
import { CertifyError, checkCsr, type Issuer, identityName, parseCsr, parseUsername } from "#identity";

export type CertifyRequest = { readonly identity: string; readonly token: Uint8Array; readonly csr: Uint8Array };
export type CertifyResult = { readonly leaf: Uint8Array; readonly intermediates: readonly Uint8Array[]; readonly validUntil: Date };

/** A refusal with its gRPC status. */
export class CertifyFailure extends Error {
  override readonly name = "CertifyFailure";
  readonly code: "Unavailable" | "InvalidArgument" | "FailedPrecondition" | "Internal" | "Unknown";
  constructor(code: CertifyFailure["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** What a TokenReview says; `error` stands for an API that did not answer. */
export type TokenVerdict = { readonly authenticated: boolean; readonly username: string; readonly reason: string };

export type IdentityEvents = {
  issued(input: {
    readonly identity: string;
    readonly serviceAccount: string;
    readonly namespace: string;
    readonly notAfter: Date;
    readonly hash: string;
  }): void;
  issuerInvalid(message: string): void;
};

export type CertifyOptions = {
  /** The issuer in use; undefined before there is one. */
  readonly issuer: () => Issuer | undefined;
  /** Throws when the API server cannot be asked. */
  readonly reviewToken: (token: string) => Promise<TokenVerdict>;
  readonly controlNamespace: string;
  readonly trustDomain: string;
  readonly lifetimeMs: number;
  readonly clockSkewMs: number;
  readonly now: () => Date;
  readonly events: IdentityEvents;
};

/** Longest token read, in bytes; service-account tokens have about 1 KiB. */
export const maxTokenBytes = 65_536;

/** Longest identity, in characters: a DNS name (RFC 1035 §2.3.4). */
export const maxIdentityLength = 253;

/** @throws {CertifyFailure} */
export async function certify({ identity, token, csr: der }: CertifyRequest, options: CertifyOptions): Promise<CertifyResult> {
  const issuer = options.issuer();
  if (!issuer) throw new CertifyFailure("Unavailable", "cert issuer not ready yet");
  if (identity === "") throw new CertifyFailure("InvalidArgument", "missing identity");
  if (identity.length > maxIdentityLength)
    throw new CertifyFailure("InvalidArgument", `identity: longer than ${maxIdentityLength} characters`);
  if (token.length === 0) throw new CertifyFailure("InvalidArgument", "missing token");
  if (token.length > maxTokenBytes) throw new CertifyFailure("InvalidArgument", `token: longer than ${maxTokenBytes} bytes`);
  const csr = mapErrors(() => parseCsr(der));
  const now = options.now();
  try {
    await issuer.verify(now);
  } catch (error) {
    options.events.issuerInvalid((error as Error).message);
    throw new CertifyFailure("Unknown", (error as Error).message);
  }
  const request = await mapErrors(() => checkCsr(csr, identity));
  let verdict: TokenVerdict;
  try {
    verdict = await options.reviewToken(new TextDecoder().decode(token));
  } catch (error) {
    throw new CertifyFailure("Internal", `error validating token for ${identity}: ${(error as Error).message}`);
  }
  if (!verdict.authenticated)
    throw new CertifyFailure(
      "FailedPrecondition",
      `token could not be authenticated for ${identity}${verdict.reason ? `: ${verdict.reason}` : ""}`,
    );
  const user = parseUsername(verdict.username);
  if (!user)
    throw new CertifyFailure(
      "InvalidArgument",
      `error validating token for ${identity}: the user ${JSON.stringify(verdict.username)} is not of the form system:TYPE:NAMESPACE:SA`,
    );
  const own = identityName({ ...user, controlNamespace: options.controlNamespace, trustDomain: options.trustDomain });
  if (own !== identity)
    throw new CertifyFailure("FailedPrecondition", `requested identity did not match provided token: requested=${identity}; found=${own}`);
  const leaf = await issuer.issue({ request, now, lifetimeMs: options.lifetimeMs, clockSkewMs: options.clockSkewMs });
  options.events.issued({
    identity,
    serviceAccount: user.name,
    namespace: user.namespace,
    notAfter: leaf.notAfter,
    hash: createHash("md5").update(leaf.certificate).digest("hex"),
  });
  return { leaf: leaf.certificate, intermediates: leaf.intermediates, validUntil: leaf.notAfter };
}

function mapErrors<T>(work: () => T): T {
  const convert = (error: unknown): never => {
    throw error instanceof CertifyError ? new CertifyFailure(error.code, error.message) : error;
  };
  try {
    const result = work();
    return result instanceof Promise ? (result.catch(convert) as T) : result;
  } catch (error) {
    return convert(error);
  }
}
