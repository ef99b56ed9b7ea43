// The joint contract of the proxy's two halves: the data plane (proxy/{transport,tls,inbound,outbound}) consumes these
// interfaces, the control side (proxy/{config,identity,control,admin}, packages/{policy,metrics}) provides them.
// Interfaces only. Everything here is a plain value or a callback: no protobuf objects, no promises on the hot path.
import type { ServerPolicy } from "#policy";
import type { Route, RouteBudget } from "#profiles";

/** Ends a watch, callback or subscription. Calling it twice is harmless. */
export type Unsubscribe = () => void;

// ---------------------------------------------------------------------------------------------------------------- identity

/** The proxy's certificate as the TLS layer takes it. A new object per refresh: object identity is the generation. */
export type Credentials = {
  readonly keyPem: string;
  /** Leaf first, then intermediates. */
  readonly certChainPem: string;
  readonly trustAnchorsPem: string;
  readonly validUntilMs: number;
};

/** This workload's identity (spec proxy §7). `null` in {@link ProxyContext} when identity is disabled. */
export interface Identity {
  /** Own identity name: lower-case DNS name without trailing dot; SNI to terminate on. */
  readonly localName: string;
  /** Trust anchors known from the start, also before the first certificate (for server-authentication-only clients). */
  readonly trustAnchorsPem: string;
  /** The certificate in use, null before the first one. */
  current(): Credentials | null;
  /** Called after each accepted refresh. New connections use the new certificate at once; old ones are left alone. */
  onChange(cb: (credentials: Credentials) => void): Unsubscribe;
  /** Resolves when the first certificate is installed. Never rejects. */
  readonly ready: Promise<void>;
}

// ------------------------------------------------------------------------------------------------------------------ policy

/**
 * A port's policy, live. `current()` must return the SAME object until the policy changes: the data plane memoises
 * verdicts and stacks by object identity.
 */
export interface PolicyHandle {
  current(): ServerPolicy;
  /** Called after the policy was replaced by one that differs. */
  onChange(cb: (policy: ServerPolicy) => void): Unsubscribe;
}

/** Inbound policies by destination port (spec proxy §8.1). */
export interface PolicyStore {
  /** `"deny"`: unknown port under default policy `deny`; the connection is closed at accept. */
  lookup(port: number): PolicyHandle | "deny";
}

// --------------------------------------------------------------------------------------------------------------- discovery

/** An IP and port; `ip` is canonical text (no brackets, no zone, IPv4-mapped folded to IPv4). */
export type SocketAddr = { readonly ip: string; readonly port: number };

/** Metadata of one endpoint (spec proxy §4.6 "Metadata mapping"). */
export type Endpoint = {
  readonly addr: SocketAddr;
  /** Set labels overridden by address labels, sorted by key: `dst_*` metric labels. */
  readonly labels: ReadonlyArray<readonly [key: string, value: string]>;
  /** Mesh identity of the peer: mTLS with this SNI and SAN; null = plain. */
  readonly identity: string | null;
  /** `protocol_hint.h2`: HTTP/1 may ride HTTP/2. */
  readonly h2: boolean;
  /** `opaque_transport.inbound_port`, 0 < p < 65535, else null. */
  readonly opaqueTransportPort: number | null;
  /** Valid `host[:port]`, else null. */
  readonly authorityOverride: string | null;
};

/** A `name:port` with a valid DNS name, lower-case, without trailing dot. */
export type NameAddr = { readonly name: string; readonly port: number };

/** A service profile as the data plane needs it. */
export type Profile = {
  /** Valid `fully_qualified_name`, without port; null when absent. */
  readonly fqn: string | null;
  /** Single endpoint; outranks `fqn`. */
  readonly endpoint: Endpoint | null;
  readonly opaque: boolean;
  /** Traffic split: weight > 0 and parsable only; empty = the logical name itself. */
  readonly targets: ReadonlyArray<{ readonly addr: NameAddr; readonly weight: number }>;
  /** Routes with compiled conditions, in the profile's order; empty when none. */
  readonly routes: readonly Route[];
  /** Null: absent or invalid, and then nothing is retried. */
  readonly retryBudget: RouteBudget | null;
};

/**
 * Endpoint updates in the semantics of spec proxy §4.6: `add` upserts by address, `remove` deletes, `replace` sets the
 * whole set (first add after a reconnect, or an empty set for `no_endpoints`). Identical re-adds may be delivered: the
 * consumer ignores them. `failed` = InvalidArgument/FailedPrecondition: the resolution is over.
 */
export type EndpointUpdate =
  | { readonly kind: "add"; readonly endpoints: readonly Endpoint[] }
  | { readonly kind: "remove"; readonly addrs: readonly SocketAddr[] }
  | { readonly kind: "replace"; readonly endpoints: readonly Endpoint[]; readonly exists: boolean }
  | { readonly kind: "failed"; readonly message: string };

export interface Discovery {
  /** True when `GetProfile` is to be called for this original destination (profile networks, spec proxy §4.2). */
  inProfileNetworks(ip: string): boolean;
  /** True when profile lookups happen for this name (profile suffixes). */
  matchesProfileSuffix(name: string): boolean;
  /**
   * Watches `GetProfile(path)`; `path` is `ip:port` or `name:port`. The callback gets each profile, or null when there is
   * none (InvalidArgument, FailedPrecondition on the first message). Never called synchronously within this call.
   */
  profile(path: string, cb: (profile: Profile | null) => void): Unsubscribe;
  /** Watches `Get(path)`; `path` is `name:port` verbatim. Never called synchronously within this call. */
  endpoints(path: string, cb: (update: EndpointUpdate) => void): Unsubscribe;
}

// ------------------------------------------------------------------------------------------------------------------- admin

/** Served on the admin port by the inbound accept stack (policy applies, TLS terminated). */
export interface AdminHandler {
  handle(request: {
    readonly method: string;
    /** Path without query. */
    readonly path: string;
    readonly headers: { get(name: string): string | undefined; all(name: string): readonly string[] };
    /** At most 64 KiB; larger bodies are refused with 413 before. */
    readonly body: Uint8Array;
    readonly clientIp: string;
    /** Mesh identity of the client, null without mTLS. */
    readonly clientId: string | null;
  }): AdminResponse | Promise<AdminResponse>;
}
export type AdminResponse = {
  readonly status: number;
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  readonly body: Uint8Array | string;
};

// ----------------------------------------------------------------------------------------------------------------- runtime

/** Monotonic milliseconds (`performance.now()` in the product), handed in so that tests own the clock. */
export type Clock = { now(): number };
