// Where names and addresses lead: GetProfile and Get of the destination controller (spec proxy §4.2, §4.6).
import { contains, type Network, parseAddress } from "#policy";
import type { RegexEngine } from "#profiles";
import type { Backoff } from "#stack";
import { matchesSuffix } from "../config/index.ts";
import type { Discovery, EndpointUpdate, Profile, Unsubscribe } from "../contracts.ts";
import { methods } from "./api.ts";
import { endpointOf, profileOf, socketAddr, type Warn } from "./convert.ts";
import type { ServiceClient } from "./service.ts";
import { watch } from "./watch.ts";

export type DiscoveryOptions = {
  readonly service: ServiceClient;
  readonly contextToken: string;
  readonly profileNetworks: readonly Network[];
  readonly profileSuffixes: readonly string[];
  readonly backoff: Backoff;
  readonly random: () => number;
  readonly regex: () => Promise<RegexEngine>;
  readonly warn: (problem: string, path: string) => void;
};

export class ControlDiscovery implements Discovery {
  readonly #options: DiscoveryOptions;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  inProfileNetworks(ip: string): boolean {
    const address = parseAddress(ip);
    return this.#options.profileNetworks.some((network) => contains(network, address));
  }

  matchesProfileSuffix(name: string): boolean {
    return matchesSuffix(this.#options.profileSuffixes, name);
  }

  profile(path: string, cb: (profile: Profile | null) => void): Unsubscribe {
    const { service, contextToken, backoff, random, regex } = this.#options;
    const warn: Warn = (problem) => this.#options.warn(problem, path);
    let known = false;
    let over = false;
    // Messages are converted one after the other: compiling routes may have to load the engine first.
    let last = Promise.resolve();
    const stop = watch({
      service,
      method: methods.getProfile,
      request: { path, contextToken },
      backoff,
      random,
      onMessage(message) {
        last = last
          .then(() => profileOf(message, regex, warn))
          .then(
            (profile) => {
              known = true;
              if (!over) cb(profile);
            },
            (error: Error) => warn(error.message),
          );
      },
      onRefused() {
        // A refusal of what was known before keeps it.
        void last.then(() => {
          if (!known && !over) cb(null);
        });
      },
    });
    return () => {
      over = true;
      stop();
    };
  }

  endpoints(path: string, cb: (update: EndpointUpdate) => void): Unsubscribe {
    const { service, contextToken, backoff, random } = this.#options;
    const warn: Warn = (problem) => this.#options.warn(problem, path);
    /** The set of a new stream stands in place of the old one's with its first `add`. */
    let fresh = true;
    return watch({
      service,
      method: methods.get,
      request: { path, contextToken },
      backoff,
      random,
      onMessage({ update }, first) {
        if (first) fresh = true;
        switch (update.case) {
          case "add": {
            const { addrs, metricLabels } = update.value;
            const endpoints = addrs.map((addr) => endpointOf(addr, metricLabels, warn)).filter((endpoint) => endpoint !== null);
            if (endpoints.length === 0) return;
            cb(fresh ? { kind: "replace", endpoints, exists: true } : { kind: "add", endpoints });
            fresh = false;
            return;
          }
          case "remove": {
            // As the first word of a stream it means nothing.
            if (fresh) return;
            const gone = update.value.addrs.map((addr) => socketAddr(addr)).filter((addr) => addr !== null);
            cb({ kind: "remove", addrs: gone });
            return;
          }
          case "noEndpoints":
            fresh = false;
            cb({ kind: "replace", endpoints: [], exists: (update.value as { exists: boolean }).exists });
            return;
          default:
            warn("an update of no kind");
        }
      },
      onRefused: (status) => cb({ kind: "failed", message: status.message }),
    });
  }
}
