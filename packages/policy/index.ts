// Who may call a port: a Server's protocol and its authorizations, and the verdict on one client (spec proxy §8). Pure.
import { ANYWHERE, contains, type Network, parseAddress, parseNetwork } from "./networks.ts";

export { type Address, ANYWHERE, contains, type Network, network4, network6, parseAddress, parseNetwork } from "./networks.ts";

/** What a port speaks, as its Server or a default policy says. */
export type Protocol =
  | { readonly kind: "detect"; readonly timeoutMs: number }
  | { readonly kind: "http1" | "http2" | "grpc" | "opaque" | "tls" };

/**
 * - `none`: anyone.
 * - `tls`: a TLS session with this proxy, with or without a certificate.
 * - `identities`: a mesh identity, one of `exact` or ending in one of `suffixes`. A suffix begins with a dot; the empty
 *   suffix is any identity.
 */
export type Authentication =
  | { readonly kind: "none" }
  | { readonly kind: "tls" }
  | { readonly kind: "identities"; readonly exact: ReadonlySet<string>; readonly suffixes: readonly string[] };

export type Authorization = {
  /** `saz_name`. */
  readonly name: string;
  readonly networks: readonly { readonly net: Network; readonly except: readonly Network[] }[];
  readonly authentication: Authentication;
};

export type ServerPolicy = {
  /** `srv_name`. */
  readonly name: string;
  readonly protocol: Protocol;
  /** The first that fits wins. */
  readonly authorizations: readonly Authorization[];
};

/** Who asks. `tls`: the session is terminated by this proxy; `id`: its verified identity, null without certificate. */
export type Client = { readonly ip: string; readonly tls: boolean; readonly id: string | null };

/** The authorization that lets `client` in; null = denied. Cost is linear in authorizations: keep the answer per client. */
export function authorize(policy: ServerPolicy, client: Client): Authorization | null {
  const address = parseAddress(client.ip);
  for (const authorization of policy.authorizations) {
    if (!authenticates(authorization.authentication, client)) continue;
    for (const { net, except } of authorization.networks)
      if (contains(net, address) && !except.some((hole) => contains(hole, address))) return authorization;
  }
  return null;
}

function authenticates(authentication: Authentication, { tls, id }: Client): boolean {
  switch (authentication.kind) {
    case "none":
      return true;
    case "tls":
      return tls;
    case "identities":
      return tls && id !== null && (authentication.exact.has(id) || authentication.suffixes.some((suffix) => id.endsWith(suffix)));
    default:
      return authentication satisfies never;
  }
}

/** True when both say the same, so that an update need not be told. */
export function samePolicy(a: ServerPolicy, b: ServerPolicy): boolean {
  return canonical(a) === canonical(b);
}

function canonical(policy: ServerPolicy): string {
  return JSON.stringify(policy, (_, value: unknown) => (value instanceof Set ? [...value].sort() : value));
}

export const DEFAULT_POLICIES = [
  "deny",
  "all-authenticated",
  "all-unauthenticated",
  "cluster-authenticated",
  "cluster-unauthenticated",
] as const;
export type DefaultPolicyName = (typeof DEFAULT_POLICIES)[number];

const ANY_IDENTITY: Authentication = { kind: "identities", exact: new Set(), suffixes: [""] };
const everywhere = ANYWHERE.map((net) => ({ net, except: [] }));

/**
 * The policy of a port nobody has said anything about (spec proxy §8.2). Server and authorization are both named
 * `default:{name}`. `all-tls-unauthenticated` exists only for ports that the environment names.
 */
export function defaultPolicy(
  name: DefaultPolicyName | "all-tls-unauthenticated",
  { clusterNetworks, detectTimeoutMs }: { clusterNetworks: readonly Network[]; detectTimeoutMs: number },
): ServerPolicy {
  const label = `default:${name}`;
  if (name === "deny") return { name: label, protocol: { kind: "opaque" }, authorizations: [] };
  const authentication: Authentication =
    name === "all-tls-unauthenticated" ? { kind: "tls" } : !name.endsWith("-unauthenticated") ? ANY_IDENTITY : { kind: "none" };
  const networks = name.startsWith("cluster-") ? clusterNetworks.map((net) => ({ net, except: [] })) : everywhere;
  return {
    name: label,
    protocol: { kind: "detect", timeoutMs: detectTimeoutMs },
    authorizations: [{ name: label, networks, authentication }],
  };
}

/** Appended to every policy of the controller: the pod may always talk to itself (spec proxy §8.2). */
export const LOCALHOST: Authorization = {
  name: "default:localhost",
  networks: ["127.0.0.1/32", "::1/128"].map((text) => ({ net: parseNetwork(text) as Network, except: [] })),
  authentication: { kind: "none" },
};
