// The inbound policies of this workload's ports: watched, or fixed by the environment (spec proxy §8.1).
import { type ServerPolicy, samePolicy } from "#policy";
import type { Backoff } from "#stack";
import type { PolicyConfig } from "../config/index.ts";
import type { PolicyHandle, PolicyStore, Unsubscribe } from "../contracts.ts";
import { methods } from "./api.ts";
import { policyOf } from "./convert.ts";
import type { ServiceClient } from "./service.ts";
import { watch } from "./watch.ts";

export class LivePolicy implements PolicyHandle {
  readonly #watches = new Set<(policy: ServerPolicy) => void>();
  #policy: ServerPolicy;

  constructor(policy: ServerPolicy) {
    this.#policy = policy;
  }

  current(): ServerPolicy {
    return this.#policy;
  }

  onChange(cb: (policy: ServerPolicy) => void): Unsubscribe {
    this.#watches.add(cb);
    return () => void this.#watches.delete(cb);
  }

  /** The same policy said again is no change: stacks and verdicts are kept by it. */
  set(policy: ServerPolicy): void {
    if (samePolicy(policy, this.#policy)) return;
    this.#policy = policy;
    for (const cb of [...this.#watches]) cb(policy);
  }
}

export type PoliciesOptions = {
  readonly config: PolicyConfig;
  /** Null: no controller. */
  readonly service: ServiceClient | null;
  readonly backoff: Backoff;
  readonly random: () => number;
  readonly log: {
    warn(message: string, fields: Record<string, unknown>): void;
    info(message: string, fields: Record<string, unknown>): void;
  };
};

export class Policies implements PolicyStore {
  readonly #ports = new Map<number, LivePolicy>();
  readonly #fallback: LivePolicy | "deny";
  readonly #stops: Unsubscribe[] = [];

  constructor({ config, service, backoff, random, log }: PoliciesOptions) {
    this.#fallback = config.defaultName === "deny" ? "deny" : new LivePolicy(config.default);
    for (const [port, policy] of config.ports) this.#ports.set(port, new LivePolicy(policy));
    if (config.controller === null || service === null) return;
    const { workload, ports } = config.controller;
    for (const port of ports) {
      const handle = new LivePolicy(config.default);
      this.#ports.set(port, handle);
      this.#stops.push(
        watch({
          service,
          method: methods.watchPort,
          request: { workload, port },
          backoff,
          random,
          onMessage(message) {
            // What cannot be understood changes nothing, and the watch goes on.
            try {
              const before = handle.current();
              handle.set(policyOf(message));
              if (handle.current() !== before) log.info("policy changed", { port, server: handle.current().name });
            } catch (error) {
              log.warn("a policy was not understood; the one before stays", { port, error: (error as Error).message });
            }
          },
          onRefused: (status) =>
            log.warn("the policy controller refuses this port; its policy stays as it is", { port, error: status.message }),
        }),
      );
    }
  }

  lookup(port: number): PolicyHandle | "deny" {
    return this.#ports.get(port) ?? this.#fallback;
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }
}
