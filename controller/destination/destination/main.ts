// Role `destination`: discovery for proxies on gRPC 8086, admin 9996 (spec control-plane §3).
import { Gauge } from "prom-client";
import { parsePortList } from "#inject";
import {
  type Change,
  type EndpointSlice,
  type Endpoints,
  Informer,
  type KubeObject,
  type Pod,
  Resources,
  type ResourceType,
  type Service,
} from "#kube";
import { commonFlags, createMetrics, type Env, parseAddress, runRole, serveAdmin, serveGrpc, waitForSync } from "../../runtime/index.ts";
import { Discovery } from "./discovery.ts";
import { createDiscoveryMetrics } from "./metrics.ts";
import { destinationRoutes } from "./service.ts";
import type { ServiceProfile, TrafficSplit, WorldChange } from "./world.ts";

const flags = {
  addr: { default: ":8086", help: "address of the gRPC server" },
  "metrics-addr": { default: ":9996", help: "address of the admin server" },
  "controller-namespace": { default: "linkerd", help: "namespace of the control plane" },
  "enable-h2-upgrade": { default: "true", help: "hint that meshed endpoints take HTTP/2", bool: true },
  "enable-endpoint-slices": { default: "false", help: "read EndpointSlices in place of Endpoints", bool: true },
  "cluster-domain": { default: "", help: "DNS domain of the cluster" },
  "identity-trust-domain": { default: "", help: "trust domain" },
  "disable-identity": { default: "false", help: "tell no identities", bool: true },
  "default-opaque-ports": { default: "", help: "ports without protocol detection" },
  "trace-collector": { default: "", help: "accepted for compatibility" },
  ...commonFlags,
} as const;

/** Each change reaches streams after the turn of the event loop that brought it. */
const schedule = (flush: () => void) => void setImmediate(flush);

export function main(args: string[], env: Env): Promise<number> {
  return runRole(
    {
      name: "destination",
      flags,
      async start({ flags, client, log }) {
        for (const name of ["cluster-domain", "identity-trust-domain"] as const)
          if (flags[name] === "") log.warning(`expected -${name}, using the default`, { default: "cluster.local" });
        const { ports, invalid } = parsePortList(flags["default-opaque-ports"]);
        if (invalid.length > 0)
          throw new Error(`-default-opaque-ports: ${invalid.map((item) => JSON.stringify(item)).join(", ")} is not a port`);
        const discovery = new Discovery({
          log,
          schedule,
          config: {
            controlNamespace: flags["controller-namespace"],
            clusterDomain: flags["cluster-domain"] || "cluster.local",
            trustDomain: flags["disable-identity"] === "true" ? null : flags["identity-trust-domain"] || "cluster.local",
            enableH2Upgrade: flags["enable-h2-upgrade"] === "true",
            enableEndpointSlices: flags["enable-endpoint-slices"] === "true",
            defaultOpaquePorts: ports,
          },
        });
        const metrics = createMetrics();
        const informers: Informer<KubeObject>[] = [];
        const follow = <T extends KubeObject>(
          resource: ResourceType,
          cache: string,
          change: (change: Change<T>) => WorldChange,
          more: { transform?: (object: T) => T; optional?: boolean } = {},
        ) => {
          const informer = new Informer<T>({
            client,
            resource,
            ...more,
            onError: (error, retryInMs) =>
              log.warning("a watch was interrupted", {
                resource: resource.resource,
                error: (error as Error).message,
                retryInMs: Math.round(retryInMs),
              }),
          });
          informer.onChange((one) => discovery.apply(change(one)));
          new Gauge({
            name: `${cache}_cache_size`,
            help: `Number of items in the client-go ${cache} cache`,
            registers: [metrics.registry],
            collect() {
              this.set(informer.store.size);
            },
          });
          informers.push(informer as unknown as Informer<KubeObject>);
        };
        follow<Service>(Resources.services, "service", (change) => ({ kind: "service", change }));
        if (discovery.config.enableEndpointSlices)
          follow<EndpointSlice>(Resources.endpointSlices, "endpoint_slice", (change) => ({ kind: "slice", change }));
        else follow<Endpoints>(Resources.endpoints, "endpoint", (change) => ({ kind: "endpoints", change }));
        follow<Pod>(Resources.pods, "pod", (change) => ({ kind: "pod", change }), { transform: keepPod });
        follow(Resources.replicaSets, "replica_set", (change) => ({ kind: "replicaset", change }), { transform: keepMetadata });
        follow(Resources.jobs, "job", (change) => ({ kind: "job", change }), { transform: keepMetadata });
        follow(Resources.nodes, "node", (change) => ({ kind: "node", change }), { transform: keepMetadata });
        follow(Resources.servers, "server", (change) => ({ kind: "server", change }));
        follow<ServiceProfile>(Resources.serviceProfiles, "service_profile", (change) => ({ kind: "profile", change }));
        follow<TrafficSplit>(Resources.trafficSplits, "traffic_split", (change) => ({ kind: "split", change }), { optional: true });
        await waitForSync(informers);
        const grpc = await serveGrpc({
          ...parseAddress("addr", flags.addr),
          metrics,
          routes: destinationRoutes({ discovery, metrics: createDiscoveryMetrics(metrics.registry), log }),
        });
        const admin = serveAdmin({ ...parseAddress("metrics-addr", flags["metrics-addr"]), metrics: metrics.registry });
        log.info("destination serves", { grpc: grpc.port, admin: admin.port });
        return async () => {
          await grpc.close();
          await Promise.all([...informers.map((informer) => informer.stop()), admin.close()]);
        };
      },
    },
    args,
    env,
  );
}

/** What discovery looks at; the rest of a pod is not kept. */
function keepPod(pod: Pod): Pod {
  const { metadata, spec, status } = pod;
  const containers = (list: NonNullable<Pod["spec"]>["containers"]) =>
    (list ?? []).map(({ name, ports, env }) => ({
      name,
      ...(ports ? { ports } : {}),
      ...(name === "linkerd-proxy" && env ? { env } : {}),
    }));
  const initContainers = containers(spec?.initContainers).filter(({ name }) => name === "linkerd-proxy");
  return {
    metadata: dropBulk(metadata),
    spec: {
      ...(spec?.hostNetwork ? { hostNetwork: true } : {}),
      ...(spec?.serviceAccountName ? { serviceAccountName: spec.serviceAccountName } : {}),
      containers: containers(spec?.containers),
      ...(initContainers.length > 0 ? { initContainers } : {}),
    },
    status: {
      ...(status?.phase ? { phase: status.phase } : {}),
      ...(status?.podIP ? { podIP: status.podIP } : {}),
      ...(status?.hostIP ? { hostIP: status.hostIP } : {}),
    },
  };
}

function keepMetadata(object: KubeObject): KubeObject {
  return { metadata: dropBulk(object.metadata) };
}

function dropBulk(metadata: KubeObject["metadata"]): KubeObject["metadata"] {
  const { managedFields: _, ...kept } = metadata;
  return kept;
}
