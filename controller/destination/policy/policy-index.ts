// What a port of a pod is served by: its Server with authorizations, or the default policy (spec control-plane §5.3, §5.4).
// Objects in, one value per (pod, port) out; everything is scoped to a namespace.

import { identityName } from "#identity";
import {
  containerPortNames,
  controlPlaneNsLabel,
  type DefaultPolicy,
  defaultInboundPolicyAnnotation,
  isDefaultPolicy,
  opaquePortsAnnotation,
  parsePortList,
  requireIdentityAnnotation,
} from "#inject";
import { type Change, type KubeObject, matchesSelector, type Pod, Store } from "#kube";
import { type Cell, type Fields, LiveIndex, type Logger, type Track } from "../../runtime/index.ts";
import {
  type NetworkMatch,
  type Protocol,
  parseServer,
  parseServerAuthorization,
  type Server,
  type ServerAuthorization,
} from "./resources.ts";

export type Authentication =
  | { readonly kind: "unauthenticated" }
  | { readonly kind: "tls" }
  | { readonly kind: "identities"; readonly names: readonly string[]; readonly suffixes: readonly (readonly string[])[] };

export type Authorization = { readonly name: string; readonly networks: readonly NetworkMatch[]; readonly authentication: Authentication };

/** The policy of one port, as it goes on the wire. */
export type InboundServer = { readonly name: string; readonly protocol: Protocol; readonly authorizations: readonly Authorization[] };

export type PolicyConfig = {
  readonly controlNamespace: string;
  readonly identityDomain: string;
  readonly defaultPolicy: DefaultPolicy;
  /** CIDRs. */
  readonly clusterNetworks: readonly string[];
};

const everywhere: readonly NetworkMatch[] = [
  { net: "0.0.0.0/0", except: [] },
  { net: "::/0", except: [] },
];
const anyIdentity: Authentication = { kind: "identities", names: [], suffixes: [[]] };

/** Warnings remembered so that they are told once; then all are forgotten. */
const maxTold = 1000;

export class PolicyIndex {
  readonly #config: PolicyConfig;
  readonly #log: Logger;
  readonly #live: LiveIndex;
  readonly #pods = new Store<Pod>();
  readonly #servers = new Map<string, Map<string, Server>>();
  readonly #authorizations = new Map<string, Map<string, ServerAuthorization>>();
  readonly #clusterNetworks: readonly NetworkMatch[];
  readonly #told = new Set<string>();

  constructor({ config, log, schedule }: { config: PolicyConfig; log: Logger; schedule: (flush: () => void) => void }) {
    this.#config = config;
    this.#log = log;
    this.#live = new LiveIndex({
      schedule,
      onError: (error, key) => log.error("cannot compute a policy", { key, error: (error as Error).message }),
    });
    this.#clusterNetworks = config.clusterNetworks.map((net) => ({ net, except: [] }));
  }

  /** Values in use. */
  get size(): number {
    return this.#live.size;
  }

  podChanged(change: Change<Pod>): void {
    const { name = "", namespace = "" } = change.object.metadata;
    if (change.type === "deleted") this.#pods.delete(name, namespace);
    else {
      const before = this.#pods.set(change.object);
      for (const message of podMistakes(change.object))
        if (!before || !podMistakes(before).includes(message))
          this.#log.warning("ignored an annotation of a pod", { pod: `${namespace}/${name}`, mistake: message });
    }
    this.#live.touch(`pod/${namespace}/${name}`);
  }

  serverChanged(change: Change<KubeObject>): void {
    this.#apply(change, "Server", this.#servers, parseServer);
    this.#live.touch(`servers/${change.object.metadata.namespace ?? ""}`);
  }

  authorizationChanged(change: Change<KubeObject>): void {
    this.#apply(change, "ServerAuthorization", this.#authorizations, parseServerAuthorization);
    this.#live.touch(`authorizations/${change.object.metadata.namespace ?? ""}`);
  }

  /** One object into its table. What cannot be read counts as absent, also when an earlier version was good (quirk Q21), and harms no other. */
  #apply<T>(
    change: Change<KubeObject>,
    kind: string,
    table: Map<string, Map<string, T>>,
    parse: (object: KubeObject) => { value?: T | undefined; mistakes?: readonly string[] | undefined },
  ): void {
    const { name = "", namespace = "" } = change.object.metadata;
    let inNamespace = table.get(namespace);
    if (!inNamespace) table.set(namespace, (inNamespace = new Map()));
    const parsed = change.type === "deleted" ? {} : parse(change.object);
    if (parsed.value === undefined) inNamespace.delete(name);
    else inNamespace.set(name, parsed.value);
    if (inNamespace.size === 0) table.delete(namespace);
    for (const mistake of parsed.mistakes ?? []) this.#log.error(`ignored a ${kind}`, { object: `${namespace}/${name}`, mistake });
  }

  /** The policy of a port, live; its value is undefined while the pod is not known. Release it. */
  watch({ namespace, pod, port }: { namespace: string; pod: string; port: number }): Cell<InboundServer | undefined> {
    return this.#live.watch({
      key: `${namespace}/${pod}:${port}`,
      compute: (track) => this.#compute(namespace, pod, port, track),
      equals: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    });
  }

  #compute(namespace: string, podName: string, port: number, track: Track): InboundServer | undefined {
    track(`pod/${namespace}/${podName}`);
    const pod = this.#pods.get(podName, namespace);
    // A pod outside the mesh has no proxy that could ask.
    if (!pod || pod.metadata.labels?.[controlPlaneNsLabel] === undefined) return undefined;
    track(`servers/${namespace}`);
    const server = this.#serverOf(pod, namespace, port);
    if (!server) return this.#defaultServer(pod, port);
    track(`authorizations/${namespace}`);
    const authorizations = [...(this.#authorizations.get(namespace)?.values() ?? [])]
      .filter(({ server: selected }) =>
        "name" in selected ? selected.name === server.name : matchesSelector(selected.selector, server.labels),
      )
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((authorization) => this.#authorization(authorization));
    return { name: server.name, protocol: server.protocol, authorizations };
  }

  /** Of several that select the port the oldest counts, then the first by name. */
  #serverOf(pod: Pod, namespace: string, port: number): Server | undefined {
    const names = containerPortNames(tcpContainers(pod));
    const found = [...(this.#servers.get(namespace)?.values() ?? [])].filter(
      (server) =>
        (typeof server.port === "number" ? server.port === port : names(server.port).includes(port)) &&
        matchesSelector(server.podSelector, pod.metadata.labels ?? {}),
    );
    if (found.length > 1) {
      found.sort((a, b) => (a.createdAt !== b.createdAt ? (a.createdAt < b.createdAt ? -1 : 1) : a.name < b.name ? -1 : 1));
      this.#warnOnce("several Servers select one port; the oldest counts", {
        pod: `${namespace}/${pod.metadata.name}`,
        port,
        servers: found.map((server) => server.name).join(","),
      });
    }
    return found[0];
  }

  /** Told once per set of fields: the policy of a port is computed again and again. */
  #warnOnce(message: string, fields: Fields): void {
    const key = JSON.stringify(fields);
    if (this.#told.has(key)) return;
    if (this.#told.size >= maxTold) this.#told.clear();
    this.#told.add(key);
    this.#log.warning(message, fields);
  }

  #defaultServer(pod: Pod, port: number): InboundServer {
    const annotations = pod.metadata.annotations ?? {};
    const names = containerPortNames(tcpContainers(pod));
    const asked = annotations[defaultInboundPolicyAnnotation];
    let policy: DefaultPolicy = asked !== undefined && isDefaultPolicy(asked) ? asked : this.#config.defaultPolicy;
    const requires = annotations[requireIdentityAnnotation];
    if (requires !== undefined && parsePortList(requires, names).ports.has(port)) {
      if (policy === "all-unauthenticated") policy = "all-authenticated";
      if (policy === "cluster-unauthenticated") policy = "cluster-authenticated";
    }
    const opaque = annotations[opaquePortsAnnotation];
    const protocol = opaque !== undefined && parsePortList(opaque, names).ports.has(port) ? "opaque" : "unknown";
    const name = `default:${policy}`;
    if (policy === "deny") return { name, protocol, authorizations: [] };
    const networks = policy.startsWith("all-") ? everywhere : this.#clusterNetworks;
    return {
      name,
      protocol,
      authorizations: [{ name, networks, authentication: policy.endsWith("-authenticated") ? anyIdentity : { kind: "unauthenticated" } }],
    };
  }

  #authorization({ name, networks, clients }: ServerAuthorization): Authorization {
    return { name, networks: networks ?? this.#clusterNetworks, authentication: this.#authentication(clients) };
  }

  #authentication(clients: ServerAuthorization["clients"]): Authentication {
    if (clients.kind !== "identities") return clients;
    const names: string[] = [];
    const suffixes: string[][] = [];
    for (const identity of clients.identities) {
      if (identity === "*") suffixes.push([]);
      else if (identity.startsWith("*.")) suffixes.push(identity.slice(2).split("."));
      else names.push(identity);
    }
    for (const account of clients.serviceAccounts)
      names.push(identityName({ ...account, controlNamespace: this.#config.controlNamespace, trustDomain: this.#config.identityDomain }));
    return { kind: "identities", names, suffixes };
  }
}

function tcpContainers(pod: Pod): { ports?: { name?: string; containerPort: number }[] }[] {
  return (pod.spec?.containers ?? []).map(({ ports = [] }) => ({
    ports: ports.filter(({ protocol }) => protocol === undefined || protocol === "TCP"),
  }));
}

/** Annotations of a pod that say nothing valid. */
function podMistakes(pod: Pod): string[] {
  const annotations = pod.metadata.annotations ?? {};
  const names = containerPortNames(tcpContainers(pod));
  const mistakes: string[] = [];
  const policy = annotations[defaultInboundPolicyAnnotation];
  if (policy !== undefined && !isDefaultPolicy(policy))
    mistakes.push(`${defaultInboundPolicyAnnotation}: ${JSON.stringify(policy)} is not a default policy`);
  for (const key of [opaquePortsAnnotation, requireIdentityAnnotation]) {
    const { invalid } = annotations[key] === undefined ? { invalid: [] } : parsePortList(annotations[key], names);
    if (invalid.length > 0) mistakes.push(`${key}: ${invalid.map((item) => JSON.stringify(item)).join(", ")} is not a port`);
  }
  return mistakes;
}
