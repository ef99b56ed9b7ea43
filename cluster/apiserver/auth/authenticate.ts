// From a request to a user: client certificate, bearer token, or anonymous; then impersonation.
import { createHash, timingSafeEqual } from "node:crypto";
import type { HttpRequest } from "../http/listener.ts";
import { unauthorized } from "../status.ts";
import { type ServiceAccountTokens, TokenError } from "./tokens.ts";
import { anonymous, authenticatedGroup, type User } from "./user.ts";

export interface StaticToken {
  token: string;
  user: User;
}

const digest = (text: string) => createHash("sha256").update(text).digest();

export class Authenticator {
  readonly #tokens: ServiceAccountTokens;
  readonly #static: { digest: Buffer; user: User }[];

  constructor({ tokens, staticTokens }: { tokens: ServiceAccountTokens; staticTokens: StaticToken[] }) {
    this.#tokens = tokens;
    this.#static = staticTokens.map(({ token, user }) => ({ digest: digest(token), user: withAuthenticated(user) }));
  }

  /** @throws {ApiError} 401 for a token that is not good; no credentials at all are anonymous. */
  authenticate(request: HttpRequest): User {
    if (request.peer) return withAuthenticated({ name: request.peer.commonName, groups: request.peer.organizations });
    const authorization = request.headers.get("authorization");
    if (authorization === undefined) {
      // Browsers' WebSockets cannot set headers: the token comes as a subprotocol.
      const protocol = /(?:^|,)\s*base64url\.bearer\.authorization\.k8s\.io\.([A-Za-z0-9_-]+)/.exec(
        request.headers.get("sec-websocket-protocol") ?? "",
      );
      return protocol ? this.token(Buffer.from(protocol[1] as string, "base64url").toString()).user : anonymous;
    }
    const match = /^bearer\s+(\S+)$/i.exec(authorization);
    if (!match) throw unauthorized();
    return this.token(match[1] as string).user;
  }

  /** @throws {ApiError} 401; {@link review} tells why. */
  token(token: string, audiences?: string[]): { user: User; audiences: string[] } {
    try {
      return this.review(token, audiences);
    } catch (error) {
      if (error instanceof TokenError) throw unauthorized();
      throw error;
    }
  }

  /** @throws {TokenError} saying what is wrong. */
  review(token: string, audiences?: string[]): { user: User; audiences: string[] } {
    const hash = digest(token);
    for (const known of this.#static)
      if (timingSafeEqual(hash, known.digest)) return { user: known.user, audiences: audiences ?? [this.#tokens.issuer] };
    return this.#tokens.check(token, audiences);
  }
}

function withAuthenticated(user: User): User {
  return user.groups.includes(authenticatedGroup) ? user : { ...user, groups: [...user.groups, authenticatedGroup] };
}

/** What an impersonating request asks to be, in the order to be authorised; undefined when it does not. */
export function impersonation(
  headers: HttpRequest["headers"],
): { user: User; asks: { resource: string; name: string; namespace?: string; subresource?: string }[] } | undefined {
  const name = headers.get("impersonate-user");
  const groupHeader = headers.get("impersonate-group");
  if (name === undefined) return undefined;
  const groups = groupHeader?.split(", ") ?? [];
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  const asks: { resource: string; name: string; namespace?: string; subresource?: string }[] = account
    ? [{ resource: "serviceaccounts", namespace: account[1] as string, name: account[2] as string }]
    : [{ resource: "users", name }];
  for (const group of groups) asks.push({ resource: "groups", name: group });
  const extra: Record<string, string[]> = {};
  for (const [header, value] of headers) {
    if (!header.startsWith("impersonate-extra-")) continue;
    const key = decodeURIComponent(header.slice("impersonate-extra-".length));
    extra[key] = value.split(", ");
    for (const one of extra[key]) asks.push({ resource: "userextras", subresource: key, name: one });
  }
  const uid = headers.get("impersonate-uid");
  if (uid) asks.push({ resource: "uids", name: uid });
  const implied = account ? ["system:serviceaccounts", `system:serviceaccounts:${account[1]}`] : [];
  const all = groups.length > 0 ? groups : implied;
  const user =
    name === anonymous.name
      ? anonymous
      : withAuthenticated({ name, ...(uid ? { uid } : {}), groups: all, ...(Object.keys(extra).length > 0 ? { extra } : {}) });
  return { user, asks };
}
