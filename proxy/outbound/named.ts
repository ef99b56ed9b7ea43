// Logical services by name instead of by original destination: ingress mode and gateways (spec proxy §4.10, §3.10).
import { formatNameAddr, parseNameAddr } from "#addr";
import { FailFast, IdleCache } from "#stack";
import type { NameAddr, Profile, Unsubscribe } from "../contracts.ts";
import { SingleEndpoint } from "../http/single.ts";
import { dial, targetOf } from "../tcp/dial.ts";
import type { ConnectError, Connection } from "../transport/index.ts";
import type { OutboundContext } from "./context.ts";
import { httpEndpointOptions } from "./http-endpoint.ts";
import { Logical } from "./logical.ts";

/** What a name stands for; null: nothing that can be routed to. */
export type Found = { readonly kind: "logical"; readonly logical: Logical } | Bare | null;

/** A profile with a single endpoint. */
type Bare = {
  readonly kind: "endpoint";
  readonly endpoint: SingleEndpoint;
  readonly connect: (onConnect: (connection: Connection) => void, onError: (error: ConnectError) => void) => () => void;
};

/** One name: its profile, once for everyone. */
class Entry {
  readonly #context: OutboundContext;
  readonly #addr: NameAddr;
  readonly #unsubscribe: Unsubscribe;
  readonly #waiting = new Set<(found: Found | "failfast") => void>();
  readonly #failFast: FailFast;
  #found: Found | undefined;

  constructor(context: OutboundContext, path: string) {
    this.#context = context;
    this.#addr = parseNameAddr(path, null) as NameAddr;
    this.#failFast = new FailFast({
      wheel: context.runtime.wheel,
      timeoutMs: context.settings.dispatchTimeoutMs,
      onChange: (failing) => {
        if (failing) this.#release("failfast");
      },
    });
    this.#unsubscribe = context.discovery.profile(path, (profile) => this.#discovered(profile));
  }

  /** Calls back once, at once or later. Returns a function that gives up. */
  find(callback: (found: Found | "failfast") => void): () => void {
    if (this.#found !== undefined) callback(this.#found);
    else if (this.#failFast.failing || this.#waiting.size >= this.#context.settings.queueCapacity) callback("failfast");
    else {
      this.#waiting.add(callback);
      this.#failFast.unready();
    }
    return () => void this.#waiting.delete(callback);
  }

  close(): void {
    this.#unsubscribe();
    this.#failFast.close();
    if (this.#found?.kind === "logical") this.#found.logical.close();
    else if (this.#found?.kind === "endpoint") this.#found.endpoint.close();
  }

  #discovered(profile: Profile | null): void {
    if (this.#found !== undefined) {
      if (this.#found?.kind === "logical" && profile !== null) this.#found.logical.update(profile);
      return;
    }
    this.#found = this.#decide(profile);
    this.#failFast.ready();
    this.#release(this.#found);
  }

  #decide(profile: Profile | null): Found {
    if (profile === null) return null;
    const { settings, runtime } = this.#context;
    if (profile.endpoint !== null) {
      const { endpoint } = profile;
      const { dial: dialing, telemetry } = this.#context;
      const target = targetOf(endpoint, { local: settings.localIps.has(endpoint.addr.ip), identityEnabled: dialing.tls !== null });
      const scope = telemetry.connect({ authority: null, target: endpoint.addr, tls: target.tls, labels: endpoint.labels });
      return {
        kind: "endpoint",
        connect: (onConnect, onError) => dial(dialing, target, null, scope, onConnect, onError),
        endpoint: new SingleEndpoint({
          ...httpEndpointOptions(this.#context, endpoint, { authority: null }),
          runtime,
          layer: "HTTP Server",
          failFastMs: settings.dispatchTimeoutMs,
          queueCapacity: settings.queueCapacity,
        }),
      };
    }
    if (profile.fqn === null) return null;
    return { kind: "logical", logical: new Logical(this.#context, { name: profile.fqn, port: this.#addr.port }, profile) };
  }

  #release(found: Found | "failfast"): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const callback of waiting) callback(found);
  }
}

export class Named {
  readonly #context: OutboundContext;
  readonly #entries: IdleCache<Entry>;

  constructor(context: OutboundContext) {
    this.#context = context;
    this.#entries = new IdleCache({
      wheel: context.runtime.wheel,
      idleMs: context.settings.cacheIdleMs,
      now: () => context.runtime.clock.now(),
      create: (path) => new Entry(context, path),
      dispose: (entry) => entry.close(),
    });
  }

  /**
   * What a name stands for; `callback` is called once, at once or later, with `"failfast"` when discovery does not answer in
   * time. The entry stays for the idle age. Returns a function that gives up.
   */
  find(addr: NameAddr, callback: (found: Found | "failfast") => void): () => void {
    const held = this.#entries.get(formatNameAddr(addr));
    held.touch(this.#context.runtime.clock.now());
    return held.value.find(callback);
  }

  close(): void {
    this.#entries.clear();
  }
}
