// The answer to GetProfile, from the world as it is (spec control-plane §3.3).
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type DestinationProfile, DestinationProfileSchema } from "#api/destination_pb";
import { opaquePortsAnnotation, parsePortList } from "#inject";
import type { Pod, Service } from "#kube";
import type { Track } from "../../runtime/index.ts";
import { type DiscoveryConfig, isOpaquePort, podAddress } from "./address.ts";
import { endpointSources } from "./endpoints.ts";
import { weightedAddr } from "./messages.ts";
import type { Context, Target } from "./names.ts";
import { decimillis, defaultRetryBudget, overrideMessages, ProfileError, translateProfile } from "./routes.ts";
import { isLive, type World } from "./world.ts";

/** A profile, or why there is none. */
export type ProfileAnswer =
  | {
      readonly kind: "profile";
      readonly profile: DestinationProfile /** Uid of the pod behind an endpoint profile. */;
      readonly podUid?: string | undefined;
    }
  | { readonly kind: "refused"; readonly code: "InvalidArgument" | "FailedPrecondition" | "NotFound"; readonly message: string };

export type ProfileInput = {
  readonly target: Target;
  readonly context: Context;
  readonly world: World;
  readonly config: DiscoveryConfig;
  readonly track: Track;
  readonly previous: ProfileAnswer | undefined;
  /** A ServiceProfile or TrafficSplit that cannot be served. */
  readonly onMistake: (object: string, mistake: string) => void;
};

export function computeProfile(input: ProfileInput): ProfileAnswer {
  const { target } = input;
  if (target.kind === "ip") return profileByIp(input, target);
  return target.hostname === null
    ? serviceProfile(input, { name: target.name, namespace: target.namespace, host: target.host, port: target.port })
    : profileByHostname(input, { ...target, hostname: target.hostname });
}

function profileByIp(input: ProfileInput, { ip, port }: { ip: string; port: number }): ProfileAnswer {
  const { world, config, track, previous } = input;
  track(`clusterIP/${ip}`);
  const services = world.services.byIndex("clusterIP", ip);
  if (services.length > 1)
    return refused("FailedPrecondition", `found conflicting Services with the cluster IP ${ip}: ${services.map(nameOf).sort().join(", ")}`);
  const [service] = services;
  if (service) {
    const { name = "", namespace = "" } = service.metadata;
    return serviceProfile(input, { name, namespace, host: `${name}.${namespace}.svc.${config.clusterDomain}`, port });
  }
  track(`hostPort/${ip}:${port}`);
  track(`podIP/${ip}`);
  for (const pods of [world.pods.byIndex("hostPort", `${ip}:${port}`), world.pods.byIndex("ip", ip)]) {
    const live = pods.filter(isLive);
    if (live.length > 1)
      return refused("FailedPrecondition", `found conflicting pods at ${ip}:${port}: ${live.map(nameOf).sort().join(", ")}`);
    if (live[0]) return endpointProfile(input, live[0], live[0].status?.podIP ?? ip, port);
    // A pod on its way out is still reached by those who reach it now, with its identity.
    const leaving =
      previous?.kind === "profile" && previous.podUid !== undefined ? pods.find((pod) => pod.metadata.uid === previous.podUid) : undefined;
    if (leaving) return endpointProfile(input, leaving, leaving.status?.podIP ?? ip, port);
  }
  return {
    kind: "profile",
    profile: create(DestinationProfileSchema, { retryBudget: defaultRetryBudget, opaqueProtocol: config.defaultOpaquePorts.has(port) }),
  };
}

function profileByHostname(
  input: ProfileInput,
  { name, namespace, hostname, port }: { name: string; namespace: string; hostname: string; port: number },
): ProfileAnswer {
  const { world, config, track, previous } = input;
  track(`endpoints/${namespace}/${name}`);
  const sources = endpointSources({ name, namespace, world, config });
  const address = sources.flatMap((source) => source.addresses).find((one) => one.hostname === hostname);
  if (!address) {
    // Away for a moment, as during a restart: what was said stands.
    if (previous?.kind === "profile") return previous;
    return refused(
      "NotFound",
      sources.length === 0
        ? `no endpoints of ${namespace}/${name}`
        : `no pod with hostname ${JSON.stringify(hostname)} in the endpoints of ${namespace}/${name}`,
    );
  }
  const { targetRef, ip } = address;
  if (targetRef?.kind === "Pod") {
    const podNamespace = targetRef.namespace || namespace;
    track(`pod/${podNamespace}/${targetRef.name}`);
    const pod = world.pods.get(targetRef.name ?? "", podNamespace);
    if (pod) return endpointProfile(input, pod, ip, port);
  }
  const endpoint = weightedAddr({ ip, port, labels: {}, identity: null, hint: null, authorityOverride: null });
  return {
    kind: "profile",
    profile: create(DestinationProfileSchema, {
      retryBudget: defaultRetryBudget,
      endpoint,
      opaqueProtocol: config.defaultOpaquePorts.has(port),
    }),
  };
}

function endpointProfile({ world, config, track }: ProfileInput, pod: Pod, ip: string, port: number): ProfileAnswer {
  const address = podAddress({ pod, ip, port, world, config, track });
  const endpoint = weightedAddr({ ...address, labels: { ...address.labels, namespace: pod.metadata.namespace ?? "" } });
  return {
    kind: "profile",
    podUid: pod.metadata.uid,
    profile: create(DestinationProfileSchema, {
      retryBudget: defaultRetryBudget,
      endpoint,
      opaqueProtocol: isOpaquePort({ pod, port, world, config, track }),
    }),
  };
}

function serviceProfile(
  input: ProfileInput,
  { name, namespace, host, port }: { name: string; namespace: string; host: string; port: number },
): ProfileAnswer {
  const { world, config, track, context, previous, onMistake } = input;
  track(`service/${namespace}/${name}`);
  const service = world.services.get(name, namespace);
  if (service?.spec?.type === "ExternalName") return refused("InvalidArgument", `${host} is a Service of type ExternalName`);
  const fqn = `${name}.${namespace}.svc.${config.clusterDomain}`;
  const places = [...new Set([context.namespace, namespace])].filter((one) => one !== "");
  let spec = translateProfile(undefined);
  for (const place of places) {
    track(`profile/${place}/${fqn}`);
    const found = world.profiles.get(fqn, place);
    if (!found) continue;
    try {
      spec = translateProfile(found.spec);
    } catch (error) {
      if (!(error instanceof ProfileError)) throw error;
      onMistake(`ServiceProfile ${place}/${fqn}`, error.message);
      // What was served before stands; without that, the service is served as if it had no profile.
      if (previous?.kind === "profile" && previous.profile.fullyQualifiedName === host) return previous;
    }
    break;
  }
  const overrides = spec.dstOverrides.length > 0 ? spec.dstOverrides : splitOverrides(input, name, namespace);
  const message: MessageInitShape<typeof DestinationProfileSchema> = {
    fullyQualifiedName: host,
    opaqueProtocol: isOpaqueServicePort(service, port, config),
    routes: spec.routes,
    retryBudget: spec.retryBudget,
    dstOverrides: overrideMessages(overrides.length > 0 ? overrides : [{ authority: `${fqn}.`, weight: 10_000 }], port),
  };
  return { kind: "profile", profile: create(DestinationProfileSchema, message) };
}

function isOpaqueServicePort(service: Service | undefined, port: number, config: DiscoveryConfig): boolean {
  const annotation = service?.metadata.annotations?.[opaquePortsAnnotation];
  if (annotation === undefined) return config.defaultOpaquePorts.has(port);
  const names = (name: string) => (service?.spec?.ports ?? []).filter((one) => one.name === name).map((one) => one.port);
  return parsePortList(annotation, names).ports.has(port);
}

/** The leaves of the TrafficSplit whose apex is the service; of several the oldest, then the first by name. */
function splitOverrides(
  { world, config, track, onMistake }: ProfileInput,
  name: string,
  namespace: string,
): { authority: string; weight: number }[] {
  track(`splits/${namespace}/${name}`);
  const [split] = world.splits.byIndex("service", `${namespace}/${name}`).sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
  if (!split) return [];
  try {
    return (split.spec?.backends ?? []).map(({ service, weight }, i) => {
      if (!service) throw new ProfileError(`spec.backends[${i}].service: required`);
      return {
        authority: `${service}.${namespace}.svc.${config.clusterDomain}.`,
        weight: decimillis(weight, `spec.backends[${i}].weight`),
      };
    });
  } catch (error) {
    if (!(error instanceof ProfileError)) throw error;
    onMistake(`TrafficSplit ${namespace}/${split.metadata.name}`, error.message);
    return [];
  }
}

const sortKey = ({ metadata }: { metadata: { creationTimestamp?: string; name?: string } }) =>
  `${metadata.creationTimestamp ?? ""} ${metadata.name ?? ""}`;
const nameOf = ({ metadata }: { metadata: { namespace?: string; name?: string } }) => `${metadata.namespace}/${metadata.name}`;
const refused = (code: "InvalidArgument" | "FailedPrecondition" | "NotFound", message: string): ProfileAnswer => ({
  kind: "refused",
  code,
  message,
});
