// Policies for tests, by what they say.
import type { ServerPolicy } from "#policy";

type Protocol = ServerPolicy["protocol"];
const DETECT: Protocol = { kind: "detect", timeoutMs: 2000 };

/** Everyone, also in clear text. */
export function allowAll(name = "web", protocol: Protocol = DETECT): ServerPolicy {
  return { name, protocol, authorizations: [{ name: "everyone", identities: null }] } as unknown as ServerPolicy;
}

/** These mesh identities only. */
export function allowOnly(identities: readonly string[], name = "web", protocol: Protocol = DETECT): ServerPolicy {
  return { name, protocol, authorizations: [{ name: "friends", identities }] } as unknown as ServerPolicy;
}

/** Nobody. */
export function denyAll(name = "web", protocol: Protocol = DETECT): ServerPolicy {
  return { name, protocol, authorizations: [] } as unknown as ServerPolicy;
}
