// Policies for tests, by what they say.
import { ANYWHERE, type Authentication, type ServerPolicy } from "#policy";

type Protocol = ServerPolicy["protocol"];
const DETECT: Protocol = { kind: "detect", timeoutMs: 2000 };
const EVERYWHERE = ANYWHERE.map((net) => ({ net, except: [] }));

function policy(name: string, protocol: Protocol, authorization: string, authentication: Authentication | null): ServerPolicy {
  const authorizations = authentication === null ? [] : [{ name: authorization, networks: EVERYWHERE, authentication }];
  return { name, protocol, authorizations };
}

/** Everyone, also in clear text: authorization `everyone`. */
export function allowAll(name = "web", protocol = DETECT): ServerPolicy {
  return policy(name, protocol, "everyone", { kind: "none" });
}

/** These mesh identities only: authorization `friends`. */
export function allowOnly(identities: readonly string[], name = "web", protocol = DETECT): ServerPolicy {
  return policy(name, protocol, "friends", { kind: "identities", exact: new Set(identities), suffixes: [] });
}

/** Nobody. */
export function denyAll(name = "web", protocol = DETECT): ServerPolicy {
  return policy(name, protocol, "", null);
}
