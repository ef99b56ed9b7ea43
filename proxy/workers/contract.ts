// What the process and its workers say to each other.
import type { Config } from "../config/index.ts";
import type { Credentials } from "../contracts.ts";
import type { Addresses } from "../data-plane.ts";

export type WorkerStart = {
  /** From 0 to `count` − 1. */
  readonly index: number;
  readonly count: number;
  /** When the process started, ms since the epoch: log lines count from there. */
  readonly originMs: number;
};

/** A worker's side. */
export type WorkerMethods = {
  start(init: WorkerStart): void;
  /** Answers with what is bound: port 0 has become one. */
  bind(addresses: Addresses): Addresses;
  certificate(credentials: Credentials): void;
  open(): void;
  /** A filter of the log. */
  filter(text: string): void;
  /** Its page of metrics by groups. */
  page(): string[];
  /** Answered while its event loop turns. */
  ping(): void;
  drainInbound(): Promise<void>;
  drainOutbound(): Promise<void>;
  cut(): void;
  close(): Promise<void>;
  /** Begins an Observe call, given as it came. */
  tap(id: number, request: Uint8Array): void;
  /** Enough requests have been seen. */
  tapFull(id: number): void;
  /** Room for more events of a call. */
  tapRoom(id: number, events: number): void;
  tapEnd(id: number): void;
};

/** The process's side. */
export type ProcessMethods = {
  tapEvents(id: number, events: Uint8Array[]): void;
  /** Nothing more will come of a call. */
  tapDone(id: number): void;
};

/** What of the configuration is each worker's: bounds of the process are shared out. */
export function workerConfig(config: Config, count: number): Config {
  const share = (bound: number): number => (Number.isFinite(bound) ? Math.ceil(bound / count) : bound);
  const side = <S extends Config["inbound"] | Config["outbound"]>(of: S): S => ({
    ...of,
    maxInFlight: share(of.maxInFlight),
    maxIdleConnections: share(of.maxIdleConnections),
  });
  return { ...config, inbound: side(config.inbound), outbound: side(config.outbound) };
}

/** What is the process's own beside workers: the policy of its admin port, no traces. */
export function processConfig(config: Config): Config {
  const { controller } = config.policy;
  return {
    ...config,
    policy: { ...config.policy, controller: controller === null ? null : { ...controller, ports: new Set([config.admin.port]) } },
    trace: null,
  };
}
