// Discovery as live values: the world, and cells of endpoints and profiles over it.
import { equals } from "@bufbuild/protobuf";
import { DestinationProfileSchema } from "#api/destination_pb";
import { type Cell, LiveIndex, type Logger } from "../../runtime/index.ts";
import type { DiscoveryConfig } from "./address.ts";
import { computeEndpoints, type EndpointsQuery, type Snapshot, sameSnapshot } from "./endpoints.ts";
import type { Context, Target } from "./names.ts";
import { computeProfile, type ProfileAnswer } from "./profile.ts";
import { World, type WorldChange } from "./world.ts";

export class Discovery {
  readonly world = new World();
  readonly config: DiscoveryConfig;
  readonly #live: LiveIndex;
  readonly #log: Logger;

  constructor({ config, log, schedule }: { config: DiscoveryConfig; log: Logger; schedule: (flush: () => void) => void }) {
    this.config = config;
    this.#log = log;
    this.#live = new LiveIndex({
      schedule,
      onError: (error, key) => log.error("cannot compute an answer", { key, error: (error as Error).message }),
    });
  }

  /** Values in use. */
  get size(): number {
    return this.#live.size;
  }

  apply(change: WorldChange): void {
    for (const dependency of this.world.apply(change)) this.#live.touch(dependency);
  }

  /** The endpoints of a service's port, live. Release it. */
  endpoints(query: EndpointsQuery): Cell<Snapshot> {
    const { name, namespace, port, hostname } = query;
    // The client's node matters only where a service orders its endpoints by topology.
    const nodeName =
      this.config.enableEndpointSlices && this.world.services.get(name, namespace)?.spec?.topologyKeys?.length ? query.nodeName : "";
    return this.#live.watch<Snapshot>({
      key: `endpoints ${hostname ?? ""} ${name} ${namespace} ${port} ${nodeName}`,
      compute: (track, previous) =>
        computeEndpoints({
          query: { ...query, nodeName },
          world: this.world,
          config: this.config,
          track,
          previous,
          onDropped: (reason, address) => this.#log.debug("an endpoint was left out", { service: `${namespace}/${name}`, reason, address }),
        }),
      equals: sameSnapshot,
    });
  }

  /** The profile of a destination, live. Release it. */
  profile(target: Target, context: Context): Cell<ProfileAnswer> {
    const what = target.kind === "ip" ? target.ip : target.host;
    return this.#live.watch<ProfileAnswer>({
      key: `profile ${what} ${target.port} ${context.namespace}`,
      compute: (track, previous) =>
        computeProfile({
          target,
          context,
          world: this.world,
          config: this.config,
          track,
          previous,
          onMistake: (object, mistake) => this.#log.error("an object cannot be served", { object, mistake }),
        }),
      equals: sameAnswer,
    });
  }
}

function sameAnswer(a: ProfileAnswer, b: ProfileAnswer): boolean {
  if (a.kind === "profile") return b.kind === "profile" && a.podUid === b.podUid && equals(DestinationProfileSchema, a.profile, b.profile);
  return b.kind === "refused" && a.code === b.code && a.message === b.message;
}
