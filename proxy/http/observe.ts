// Where taps and traces look at requests. While nobody does, the request path pays one comparison with null for it.
import type { RequestHead, ServerStream } from "#http";
import type { SocketAddr } from "../contracts.ts";
import type { ClientTls, Labels, ServerTls } from "../telemetry.ts";
import type { Attempt, AttemptEndpoint } from "./attempt.ts";
import type { Exchange } from "./exchange.ts";
import type { ResponseScope } from "./meter.ts";
import type { ResponsePlan } from "./response.ts";

/** One per process; every stack holds it. */
export type Observers = {
  /** Null while nobody taps or traces. */
  attempts: AttemptObserver | null;
  /** Server spans of each side; null without a collector. */
  readonly tracers: { readonly inbound: RequestTracer; readonly outbound: RequestTracer } | null;
};

/** An endpoint as taps and traces show it. */
export type ObservedEndpoint = {
  readonly observers: Observers;
  readonly direction: "inbound" | "outbound";
  readonly addr: SocketAddr;
  /** Outbound: the endpoint's metadata; inbound: `srv_name`, `saz_name`. */
  readonly labels: Labels;
  readonly authorityOverride: string | null;
  /** To the endpoint. */
  readonly tls: ClientTls;
  /** Of the client's connection. */
  readonly clientTls: ServerTls;
};

/** Makes attempts in the place of the endpoint. */
export interface AttemptObserver {
  attempt(exchange: Exchange, endpoint: AttemptEndpoint, scope: ResponseScope, plan: ResponsePlan, observed: ObservedEndpoint): Attempt;
}

/** Makes server spans of requests that carry a trace context. */
export interface RequestTracer {
  /** What to serve and where to answer instead; null: nothing to trace. */
  begin(stream: ServerStream, head: RequestHead): { readonly stream: ServerStream; readonly head: RequestHead } | null;
}

/** Nobody looks. */
export function noObservers(): Observers {
  return { attempts: null, tracers: null };
}
