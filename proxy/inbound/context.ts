// What every part of the inbound side is given: configuration and mechanisms.

import type { SocketAddr } from "#addr";
import type { Backoff } from "#stack";
import type { Discovery, PolicyStore } from "../contracts.ts";
import type { DrainRegistry } from "../drain.ts";
import type { HttpEngines } from "../http/engines.ts";
import type { Observers } from "../http/observe.ts";
import type { ResponsePlans } from "../http/plans.ts";
import type { Runtime } from "../runtime.ts";
import type { DialContext } from "../tcp/dial.ts";
import type { InboundTelemetry } from "../telemetry.ts";
import type { TlsStore } from "../tls/index.ts";

/** From the environment (spec proxy §1.4). */
export type InboundSettings = {
  /** Port of the inbound listener: connections bound for it are direct. */
  readonly port: number;
  /** Permitted original destinations; null = any. */
  readonly allowedIps: ReadonlySet<string> | null;
  readonly detectTimeoutMs: number;
  readonly dispatchTimeoutMs: number;
  readonly queueCapacity: number;
  readonly maxInFlight: number;
  /** Idle age of per-target stacks. */
  readonly cacheIdleMs: number;
  /** Idle time of HTTP/1 connections to the application. */
  readonly poolIdleMs: number;
  readonly maxIdleConnections: number;
  /** How long requests wait for the profile of their name, ms. */
  readonly profileTimeoutMs: number;
  readonly backoff: Backoff;
};

export type InboundContext = {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  readonly settings: InboundSettings;
  /** Null: identity is disabled. */
  readonly tls: TlsStore | null;
  readonly policies: PolicyStore;
  readonly discovery: Discovery;
  readonly dial: DialContext;
  readonly telemetry: InboundTelemetry;
  readonly observers: Observers;
  readonly drains: DrainRegistry;
  readonly plans: ResponsePlans;
  readonly gateway: Gateway;
  readonly log: (level: "info" | "warn", message: string, fields: Record<string, unknown>) => void;
};

/** Takes connections and requests that name their target (spec proxy §3.10); see proxy/gateway. */
export interface Gateway {
  /** Opaque bytes for a named target. */
  connect(
    client: GatewayClient,
    target: { readonly name: string; readonly port: number },
    onConnect: (connection: import("../transport/index.ts").Connection) => void,
    onError: (error: import("../transport/index.ts").ConnectError) => void,
  ): () => void;
  /** A request; `target` null: taken from its authority. */
  serve(
    client: GatewayClient,
    target: { readonly name: string; readonly port: number } | null,
    exchange: import("../http/exchange.ts").Exchange,
  ): void;
}

export type GatewayClient = { readonly clientId: string; readonly clientIp: string; readonly dst: SocketAddr };
