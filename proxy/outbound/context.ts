// What every part of the outbound side is given: configuration, mechanisms, and the table of resolutions.
import type { Backoff, IdleCache } from "#stack";
import type { Discovery } from "../contracts.ts";
import type { DrainRegistry } from "../drain.ts";
import type { HttpEngines } from "../http/engines.ts";
import type { Observers } from "../http/observe.ts";
import type { ResponsePlans } from "../http/plans.ts";
import type { Runtime } from "../runtime.ts";
import type { DialContext } from "../tcp/dial.ts";
import type { OutboundTelemetry } from "../telemetry.ts";
import type { Resolution } from "./resolution.ts";

/** From the environment (spec proxy §1.4). */
export type OutboundSettings = {
  readonly detectTimeoutMs: number;
  readonly dispatchTimeoutMs: number;
  readonly queueCapacity: number;
  readonly maxInFlight: number;
  /** Idle age of caches and of pooled HTTP/1 connections. */
  readonly cacheIdleMs: number;
  readonly maxIdleConnections: number;
  readonly backoff: Backoff;
  readonly informational: boolean;
  readonly ingress: boolean;
  /** IPs of this pod: endpoints there are reached in plain. */
  readonly localIps: ReadonlySet<string>;
};

export type OutboundContext = {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  readonly settings: OutboundSettings;
  readonly discovery: Discovery;
  readonly dial: DialContext;
  readonly telemetry: OutboundTelemetry;
  readonly observers: Observers;
  readonly drains: DrainRegistry;
  readonly resolutions: IdleCache<Resolution>;
  /** Responses of mesh peers and of others. */
  readonly plans: { readonly meshed: ResponsePlans; readonly plain: ResponsePlans };
  readonly log: (level: "info" | "warn", message: string, fields: Record<string, unknown>) => void;
};
