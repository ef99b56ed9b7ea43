// Service-account tokens: signed here (TokenRequest), checked here (bearer authentication, TokenReview).
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { Store } from "../../store/index.ts";
import type { ApiObject } from "../kinds/resource.ts";
import { authenticatedGroup, serviceAccountName, type User } from "./user.ts";

export interface BoundObject {
  kind: "Pod" | "Secret" | "Node";
  name: string;
  uid: string;
}

export interface TokenRequest {
  namespace: string;
  serviceAccount: { name: string; uid: string };
  audiences: string[];
  /** Seconds. */
  lifetime: number;
  bound?: BoundObject | undefined;
  node?: { name: string; uid: string } | undefined;
}

interface Claims {
  iss?: string;
  sub?: string;
  aud?: string[];
  exp?: number;
  nbf?: number;
  iat?: number;
  jti?: string;
  "kubernetes.io"?: {
    namespace?: string;
    serviceaccount?: { name?: string; uid?: string };
    pod?: { name?: string; uid?: string };
    secret?: { name?: string; uid?: string };
    node?: { name?: string; uid?: string };
  };
}

/** Why a token is not accepted; for TokenReview's error and the log. */
export class TokenError extends Error {}

/** Verified signatures remembered; what changes (expiry, objects) is checked each time. */
const maxRemembered = 2000;
/** A token in a header; longer ones are refused unread. */
export const maxTokenBytes = 16 * 1024;

export class ServiceAccountTokens {
  readonly issuer: string;
  readonly #private: KeyObject;
  readonly #public: KeyObject;
  readonly #keyId: string;
  readonly #algorithm: "ES256" | "RS256";
  readonly #store: Store<ApiObject>;
  readonly #now: () => number;
  readonly #uid: () => string;
  readonly #verified = new Map<string, Claims>();

  /** `privateKey`, `publicKey`: PEM, P-256 or RSA. */
  constructor({
    issuer,
    privateKey,
    publicKey,
    store,
    now,
    uid,
  }: { issuer: string; privateKey: string; publicKey: string; store: Store<ApiObject>; now: () => number; uid: () => string }) {
    this.issuer = issuer;
    this.#private = createPrivateKey(privateKey);
    this.#public = createPublicKey(publicKey);
    this.#algorithm = this.#private.asymmetricKeyType === "rsa" ? "RS256" : "ES256";
    this.#keyId = createHash("sha256")
      .update(this.#public.export({ type: "spki", format: "der" }))
      .digest("base64url");
    this.#store = store;
    this.#now = now;
    this.#uid = uid;
  }

  issue({ namespace, serviceAccount, audiences, lifetime, bound, node }: TokenRequest): { token: string; expiration: string } {
    const iat = Math.floor(this.#now() / 1000);
    const exp = iat + lifetime;
    const payload: Claims = {
      aud: audiences,
      exp,
      iat,
      iss: this.issuer,
      jti: this.#uid(),
      "kubernetes.io": {
        namespace,
        ...(node ? { node } : {}),
        ...(bound ? { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } } : {}),
        serviceaccount: serviceAccount,
      },
      nbf: iat,
      sub: serviceAccountName(namespace, serviceAccount.name),
    };
    const signed = `${encode({ alg: this.#algorithm, kid: this.#keyId })}.${encode(payload)}`;
    const signature = sign(
      "sha256",
      Buffer.from(signed),
      this.#algorithm === "ES256" ? { key: this.#private, dsaEncoding: "ieee-p1363" } : this.#private,
    );
    return {
      token: `${signed}.${signature.toString("base64url")}`,
      expiration: new Date(exp * 1000).toISOString().replace(/\.\d+Z$/, "Z"),
    };
  }

  /**
   * Whose token it is, and for which of `audiences` (default: the API's own).
   * @throws {TokenError}
   */
  check(token: string, audiences?: string[]): { user: User; audiences: string[] } {
    const claims = this.#claims(token);
    const now = this.#now() / 1000;
    if (claims.iss !== this.issuer) throw new TokenError("token is not from this issuer");
    if (claims.exp === undefined || claims.exp < now) throw new TokenError("service account token has expired");
    if (claims.nbf !== undefined && claims.nbf > now + 10) throw new TokenError("service account token is not valid yet");
    const wanted = audiences?.length ? audiences : [this.issuer];
    const common = wanted.filter((audience) => claims.aud?.includes(audience));
    if (common.length === 0)
      throw new TokenError(
        `token audiences ${JSON.stringify(claims.aud ?? [])} is invalid for the target audiences ${JSON.stringify(wanted)}`,
      );
    const { namespace = "", serviceaccount, pod, secret, node } = claims["kubernetes.io"] ?? {};
    const account = this.#live("serviceaccounts", namespace, serviceaccount, "service account");
    for (const [bucket, bound, what] of [
      ["pods", pod, "pod"],
      ["secrets", secret, "secret"],
    ] as const)
      if (bound) this.#live(bucket, namespace, bound, what);
    const name = account.metadata.name as string;
    return {
      audiences: common,
      user: {
        name: serviceAccountName(namespace, name),
        uid: account.metadata.uid as string,
        groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, authenticatedGroup],
        extra: {
          ...(claims.jti ? { "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`] } : {}),
          ...(pod?.name
            ? { "authentication.kubernetes.io/pod-name": [pod.name], "authentication.kubernetes.io/pod-uid": [pod.uid ?? ""] }
            : {}),
          ...(node?.name
            ? {
                "authentication.kubernetes.io/node-name": [node.name],
                ...(node.uid ? { "authentication.kubernetes.io/node-uid": [node.uid] } : {}),
              }
            : {}),
        },
      },
    };
  }

  /** The public key as a JSON Web Key Set. */
  keySet(): { keys: Record<string, unknown>[] } {
    return { keys: [{ use: "sig", ...this.#public.export({ format: "jwk" }), kid: this.#keyId, alg: this.#algorithm }] };
  }

  get algorithm(): string {
    return this.#algorithm;
  }

  #live(bucket: string, namespace: string, wanted: { name?: string; uid?: string } | undefined, what: string): ApiObject {
    const object = wanted?.name ? this.#store.get({ bucket, namespace, name: wanted.name }) : undefined;
    if (!object) throw new TokenError(`${what} ${namespace}/${wanted?.name ?? ""} has been deleted`);
    if (object.metadata.uid !== wanted?.uid)
      throw new TokenError(`The ${what} UID (${object.metadata.uid}) does not match the UID in the token`);
    return object;
  }

  #claims(token: string): Claims {
    const known = this.#verified.get(token);
    if (known) return known;
    if (token.length > maxTokenBytes) throw new TokenError("token too long");
    const parts = token.split(".");
    const [header = "", payload = "", signature = ""] = parts;
    if (parts.length !== 3) throw new TokenError("invalid bearer token");
    let claims: Claims;
    try {
      if ((decodePart(header) as { alg?: string }).alg !== this.#algorithm) throw new TokenError("token was not signed by this cluster");
      claims = decodePart(payload) as Claims;
    } catch (error) {
      throw error instanceof TokenError ? error : new TokenError("invalid bearer token");
    }
    const key = this.#algorithm === "ES256" ? { key: this.#public, dsaEncoding: "ieee-p1363" as const } : this.#public;
    if (!verify("sha256", Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, "base64url")))
      throw new TokenError("token was not signed by this cluster");
    if (this.#verified.size >= maxRemembered) this.#verified.clear();
    this.#verified.set(token, claims);
    return claims;
  }
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const decodePart = (part: string): unknown => JSON.parse(Buffer.from(part, "base64url").toString());
