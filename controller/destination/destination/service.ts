// gRPC edge of discovery: io.linkerd.proxy.destination.Destination (spec control-plane §3). One pending update per stream: a slow client gets the newest state, never a backlog.
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Destination, type DestinationProfile, type GetDestination, type Update } from "#api/destination_pb";
import { follow, type Logger, shutdownSignal } from "../../runtime/index.ts";
import type { Discovery } from "./discovery.ts";
import { diff, type Snapshot } from "./endpoints.ts";
import { updateMessage } from "./messages.ts";
import type { DiscoveryMetrics } from "./metrics.ts";
import { maxPathLength, parseContext, parseTarget, type Target, TargetError } from "./names.ts";

export function destinationRoutes({
  discovery,
  metrics,
  log,
}: {
  discovery: Discovery;
  metrics: DiscoveryMetrics;
  log: Logger;
}): (router: ConnectRouter) => void {
  const deltas = new DeltaCache();
  const targetOf = ({ path }: GetDestination, prefix: string): Target => {
    try {
      return parseTarget(path, discovery.config.clusterDomain);
    } catch (error) {
      if (!(error instanceof TargetError)) throw error;
      throw new ConnectError(prefix === "" || path.length > maxPathLength ? error.message : `${prefix}: ${path}`, Code.InvalidArgument);
    }
  };
  return (router) =>
    router.service(Destination, {
      async *get(request, context) {
        const target = targetOf(request, "Invalid authority");
        if (target.kind === "ip") throw new ConnectError(`IP queries not supported by Get API: host=${target.ip}`, Code.InvalidArgument);
        const { name, namespace, hostname, port } = target;
        if (discovery.world.services.get(name, namespace)?.spec?.type === "ExternalName")
          throw new ConnectError(`Invalid authority: ${request.path}: a Service of type ExternalName`, Code.InvalidArgument);
        const { nodeName } = parseContext(request.contextToken, (message) => log.debug(message, { path: request.path }));
        const cell = discovery.endpoints({ name, namespace, port, hostname, nodeName });
        const labels = { namespace, service: name, port: String(port), hostname: hostname ?? "" };
        metrics.endpointsSubscribed(labels, cell.value);
        try {
          let sent: Snapshot | undefined;
          for await (const snapshot of follow(cell, AbortSignal.any([context.signal, context.values.get(shutdownSignal)]))) {
            metrics.endpointsUpdated(labels, snapshot);
            yield* deltas.between(sent, snapshot);
            sent = snapshot;
          }
        } finally {
          metrics.endpointsUnsubscribed(labels);
        }
      },
      async *getProfile(request, context) {
        const target = targetOf(request, "");
        const client = parseContext(request.contextToken, (message) => log.debug(message, { path: request.path }));
        const cell = discovery.profile(target, client);
        const labels =
          target.kind === "ip"
            ? { namespace: "", profile: target.ip }
            : { namespace: client.namespace || target.namespace, profile: target.host };
        metrics.profileSubscribed(labels);
        try {
          let sent: DestinationProfile | undefined;
          for await (const answer of follow(cell, AbortSignal.any([context.signal, context.values.get(shutdownSignal)]))) {
            if (answer.kind === "refused") throw new ConnectError(answer.message, Code[answer.code]);
            if (answer.profile === sent) continue;
            metrics.profileUpdated(labels);
            yield (sent = answer.profile);
          }
        } finally {
          metrics.profileUnsubscribed(labels);
        }
      },
    });
}

/** Messages between two states, made once for all the streams that take the same step. */
class DeltaCache {
  readonly #initial = new WeakMap<Snapshot, Update[]>();
  readonly #steps = new WeakMap<Snapshot, { to: Snapshot; messages: Update[] }>();

  between(from: Snapshot | undefined, to: Snapshot): Update[] {
    if (!from) {
      let messages = this.#initial.get(to);
      if (!messages) this.#initial.set(to, (messages = diff(undefined, to).map((delta) => updateMessage(delta, to.labels))));
      return messages;
    }
    const known = this.#steps.get(from);
    if (known?.to === to) return known.messages;
    const messages = diff(from, to).map((delta) => updateMessage(delta, to.labels));
    this.#steps.set(from, { to, messages });
    return messages;
  }
}
