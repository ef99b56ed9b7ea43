// The outbound side: connections of the local application to the world (spec proxy §4). Read top to bottom: accept, find the
// original destination, discover it once, and serve by what was found. Ingress mode decides per request instead.
import { formatSocketAddr, parseSocketAddr, type SocketAddr } from "#addr";
import { IdleCache } from "#stack";
import type { Discovery } from "../contracts.ts";
import type { DrainRegistry } from "../drain.ts";
import type { HttpEngines } from "../http/engines.ts";
import type { Observers } from "../http/observe.ts";
import { responsePlans } from "../http/plans.ts";
import type { Runtime } from "../runtime.ts";
import type { DialContext } from "../tcp/dial.ts";
import type { OutboundTelemetry } from "../telemetry.ts";
import type { Connection } from "../transport/index.ts";
import type { OutboundContext, OutboundSettings } from "./context.ts";
import { OutboundHttpService } from "./http-service.ts";
import { IngressTarget } from "./ingress.ts";
import { Named } from "./named.ts";
import { Resolution } from "./resolution.ts";
import { OutboundTarget } from "./target.ts";

export type { OutboundSettings } from "./context.ts";

export type OutboundOptions = {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  readonly settings: OutboundSettings;
  readonly discovery: Discovery;
  readonly dial: DialContext;
  readonly telemetry: OutboundTelemetry;
  readonly observers: Observers;
  readonly drains: DrainRegistry;
  /** Where a connection was bound for; null: not redirected. */
  readonly originalDst: (connection: Connection) => SocketAddr | null;
  readonly log: OutboundContext["log"];
};

export class Outbound {
  /** Logical services by name: for ingress mode and gateways. */
  readonly named: Named;
  readonly context: OutboundContext;
  readonly #originalDst: OutboundOptions["originalDst"];
  readonly #http: OutboundHttpService;
  readonly #targets: IdleCache<OutboundTarget | IngressTarget>;

  constructor(options: OutboundOptions) {
    const { runtime, settings, discovery } = options;
    const idle = { wheel: runtime.wheel, idleMs: settings.cacheIdleMs, now: () => runtime.clock.now() };
    const stripProxyError = !settings.informational;
    this.#originalDst = options.originalDst;
    this.context = {
      ...options,
      resolutions: new IdleCache({
        ...idle,
        create: (path) => new Resolution(discovery, path),
        dispose: (resolution) => resolution.close(),
      }),
      plans: {
        meshed: responsePlans({ peerClose: "obey", stripProxyError }),
        plain: responsePlans({ peerClose: "strip", stripProxyError }),
      },
    };
    this.named = new Named(this.context);
    this.#http = new OutboundHttpService(this.context);
    const service = this.#http;
    this.#targets = new IdleCache({
      ...idle,
      create: (key) => {
        const dst = parseSocketAddr(key) as SocketAddr;
        return settings.ingress
          ? new IngressTarget(this.context, service, this.named, dst)
          : new OutboundTarget(this.context, service, dst);
      },
      dispose: (target) => target.close(),
    });
  }

  /** Requests without a response head yet. */
  get inFlight(): number {
    return this.#http.inFlight;
  }

  accept(connection: Connection): void {
    const dst = this.#originalDst(connection);
    if (dst === null) {
      this.context.log("warn", "no original destination; dropping the connection", {});
      connection.abort();
      return;
    }
    this.context.drains.accept(connection, this.context.runtime.wheel);
    connection.counters = this.context.telemetry.accept(dst).open();
    const held = this.#targets.get(formatSocketAddr(dst));
    held.hold();
    held.value.serve(connection, () => held.release());
  }

  /** Forgets everything at once; connections in use are left to their owners. */
  close(): void {
    this.#targets.clear();
    this.named.close();
    this.context.resolutions.clear();
  }
}
