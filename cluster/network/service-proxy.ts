// Keeps the node's service rules in step with Services and EndpointSlices: changes are gathered for a moment, then applied in one transaction.
import type { EndpointSlice, Service } from "#kube";
import { CommandError, run, tryRun } from "./command.ts";
import type { NodeNetwork } from "./node-network.ts";
import { type InstalledRules, lostUdpTargets, parseInstalled, renderRules, resolveServices, type ServicePortState } from "./rules.ts";
import { hasTool } from "./tools.ts";

export interface ServiceProxyOptions {
  network: NodeNetwork;
  /** The present objects. */
  read: () => { services: Service[]; slices: EndpointSlice[] };
  /** Called for failures; the proxy tries again after `retryMs`. */
  onError: (error: unknown) => void;
  /** Called after rules were applied. */
  onApplied?: () => void;
  /** How long changes are gathered; default 10 ms. */
  gatherMs?: number;
  retryMs?: number;
}

const defaultGatherMs = 10;
const defaultRetryMs = 1_000;

/** `changed()` after each change of the objects; `close()` when done. The rules stay when it closes. */
export class ServiceProxy {
  readonly #options: ServiceProxyOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #applying: Promise<void> | undefined;
  #isDirty = false;
  #isClosed = false;
  #text = "";
  /** Undefined: look first. */
  #installed: InstalledRules | undefined;
  #states: ServicePortState[] = [];

  constructor(options: ServiceProxyOptions) {
    this.#options = options;
  }

  changed(): void {
    this.#isDirty = true;
    this.#schedule(this.#options.gatherMs ?? defaultGatherMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#applying;
  }

  #schedule(afterMs: number): void {
    if (this.#isClosed || this.#timer !== undefined || this.#applying) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#isDirty = false;
      let wait = this.#options.gatherMs ?? defaultGatherMs;
      this.#applying = this.#apply()
        .catch((error) => {
          this.#isDirty = true;
          wait = this.#options.retryMs ?? defaultRetryMs;
          this.#text = "";
          this.#installed = undefined;
          if (!this.#isClosed) this.#options.onError(error);
        })
        .finally(() => {
          this.#applying = undefined;
          if (this.#isDirty) this.#schedule(wait);
        });
    }, afterMs);
  }

  async #apply(): Promise<void> {
    const { network } = this.#options;
    const { services, slices } = this.#options.read();
    const input = { services, slices, serviceCidr: network.serviceCidr, nodeAddress: network.nodeAddress };
    const wanted = renderRules(input).text;
    if (wanted !== this.#text) {
      this.#installed ??= await readInstalled(network.nodeNamespacePath);
      const { text, chains } = renderRules(input, this.#installed);
      await applyRules(network.nodeNamespacePath, text);
      this.#text = wanted;
      this.#installed = { chains, hasJumps: true };
      const states = resolveServices(services, slices);
      const lost = lostUdpTargets(this.#states, states);
      this.#states = states;
      if (lost.length > 0 && hasTool("conntrack")) {
        for (const { clusterIP, port, target } of lost) {
          // Exit 1 means that there was no such flow.
          await tryRun([
            "nsenter",
            `--net=${network.nodeNamespacePath}`,
            "conntrack",
            "-D",
            "-p",
            "udp",
            "--orig-dst",
            clusterIP,
            "--dport",
            String(port),
            "--dst-nat",
            target.ip,
          ]);
        }
      }
    }
    this.#options.onApplied?.();
  }
}

/** What the namespace has. */
export async function readInstalled(namespacePath: string): Promise<InstalledRules> {
  return parseInstalled(await run(["nsenter", `--net=${namespacePath}`, "iptables-save"]));
}

/**
 * Changes our chains; each table in one kernel transaction, so that no packet sees half of it.
 * @throws {CommandError} with the line at fault.
 */
export async function applyRules(namespacePath: string, text: string): Promise<void> {
  try {
    await run(["nsenter", `--net=${namespacePath}`, "iptables-restore", "-w", "5", "--noflush"], { input: text });
  } catch (error) {
    const line = error instanceof CommandError ? /line:? (\d+)/.exec(error.stderr)?.[1] : undefined;
    if (error instanceof CommandError && line)
      throw new CommandError(error.command, error.code, `${error.stderr.trim()} (${text.split("\n")[Number(line) - 1]})`);
    throw error;
  }
}
