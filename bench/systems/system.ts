// What the harness knows of a proxy under test: how a chain of two is started, and which processes to charge.
import type { Authority } from "../certificates.ts";
import type { Lab, Pair, Pod } from "../lab.ts";

export type Chain = {
  readonly client: Pod;
  readonly server: Pod;
  /** What the client asks at port 80; redirected to proxy A. */
  readonly service: string;
  /** Processes of proxy A and proxy B. */
  readonly a: number;
  readonly b: number;
  /** Of proxy A, where it has one: SIGUSR2 begins and ends churn of endpoints. */
  readonly controlPlane?: number;
  /** Logs to show when the chain does not work. */
  readonly logs: readonly string[];
};

/** What the chain carries: plain HTTP/1 in and out, HTTP/2 in and out, or bytes. Between the proxies it is mutual TLS. */
export type Kind = "http1" | "http2" | "tcp";

export type System = {
  readonly name: string;
  readonly kinds: readonly Kind[];
  /** Shown beside the results. */
  version(): string;
  /** Whether requests really take the way that is measured; the reason when they do not. */
  check?(lab: Lab, chain: Chain, kind: Kind): string | null;
  /** Starts both proxies between the pods; they may not be ready yet. */
  start(lab: Lab, authority: Authority, pods: Pair, kind: Kind): Promise<Chain>;
};

/** Identities of the two proxies. */
export const CLIENT_ID = "client.bench.serviceaccount.identity.linkerd.cluster.local";
export const SERVER_ID = "web.bench.serviceaccount.identity.linkerd.cluster.local";

/** The one cipher of all systems: what BoringSSL and OpenSSL agree on where the CPU has AES. */
export const CIPHER = "TLS_AES_128_GCM_SHA256";
