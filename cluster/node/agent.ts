// The node agent: follows the API and keeps pods, service rules, DNS and the node's own object in step with it.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { type EndpointSlice, Informer, type KubeClient, KubeError, type KubeObject, Resources, type Service } from "#kube";
import { type DnsServer, startDnsServer, Zone } from "../dns/index.ts";
import { ensureNodeNetwork, Ipam, type NetworkPlan, type NodeNetwork, ServiceProxy } from "../network/index.ts";
import { EventRecorder } from "./events.ts";
import type { ImageTable } from "./images.ts";
import { LogIndex } from "./logs.ts";
import { keepNode, nodeLabels } from "./node-object.ts";
import { type BackOffLimits, defaultBackOff } from "./plan.ts";
import { PodSandbox, type SandboxDependencies } from "./pod-sandbox.ts";
import { PodWorker } from "./pod-worker.ts";
import { bindPod, isUnscheduled, reportUnschedulable, unschedulableReason } from "./scheduler.ts";
import { StatusPublisher } from "./status-publisher.ts";
import { type ConfigMapObject, type NodePod, podKey, type SecretObject } from "./types.ts";

export interface NodeAgentOptions {
  client: KubeClient;
  nodeName: string;
  stateDir: string;
  network: NetworkPlan;
  images: () => ImageTable;
  /** Address of the DNS service inside the service network; default 10.96.0.10. */
  clusterDns?: string;
  /** Default `cluster.local`. */
  clusterDomain?: string;
  backOff?: BackOffLimits;
  /** Bind pods that have no node; default true. */
  schedules?: boolean;
  log: (level: "info" | "warn" | "error", message: string) => void;
  now?: () => number;
}

/** How often the length of logs is noted. */
const logTickMs = 250;
/** Pause before a failed binding or service object is tried again. */
const retryMs = 500;
const dnsNamespace = "kube-system";
const dnsServiceName = "kube-dns";

export class NodeAgent {
  readonly nodeName: string;
  readonly workers = new Map<string, PodWorker>();
  readonly #options: NodeAgentOptions;
  readonly #client: KubeClient;
  readonly #now: () => number;
  readonly #events: EventRecorder;
  readonly #statuses: StatusPublisher;
  readonly #stop = new AbortController();
  readonly #logs = new Map<string, LogIndex>();
  /** Pods whose work is over but whose object is still there (finalizers). */
  readonly #over = new Set<string>();
  readonly #binding = new Set<string>();
  #network: NodeNetwork | undefined;
  #pods: Informer<KubeObject> | undefined;
  #informers: Informer[] = [];
  #services: Informer<Service> | undefined;
  #slices: Informer<EndpointSlice> | undefined;
  #namespaces: Informer | undefined;
  #zone: Zone | undefined;
  #dns: DnsServer | undefined;
  #proxy: ServiceProxy | undefined;
  #sandboxDeps: SandboxDependencies | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #labels: Record<string, string>;
  #isUnschedulable = false;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    this.nodeName = options.nodeName;
    this.#client = options.client;
    this.#now = options.now ?? Date.now;
    this.#labels = nodeLabels(options.nodeName);
    this.#events = new EventRecorder({ client: options.client, host: options.nodeName, now: this.#now });
    this.#statuses = new StatusPublisher({
      client: options.client,
      onError: (error, pod) => this.#warn(`status of pod ${podKey(pod)}`, error),
    });
  }

  get network(): NodeNetwork {
    if (!this.#network) throw new Error("the node agent has not started");
    return this.#network;
  }

  /** Resolves when network, DNS and rules stand and pods are being taken care of. @throws when the network cannot be made. */
  async start(): Promise<void> {
    const { stateDir, clusterDns = "10.96.0.10", clusterDomain = "cluster.local", log } = this.#options;
    const network = await ensureNodeNetwork(this.#options.network);
    this.#network = network;
    const synced = Promise.withResolvers<void>();
    this.#dns = await this.#startDns(network.hostAddress, clusterDomain, synced.promise);
    log("info", `DNS on ${network.hostAddress}:${this.#dns.port}, served as ${clusterDns}:53`);
    const follow = <T extends KubeObject>(resource: (typeof Resources)[keyof typeof Resources]) => {
      const informer = new Informer<T>({
        client: this.#client,
        resource,
        onError: (error) => this.#warn(`watch of ${resource.resource}`, error),
      });
      this.#informers.push(informer as unknown as Informer);
      return informer;
    };
    const services = follow<Service>(Resources.services);
    const slices = follow<EndpointSlice>(Resources.endpointSlices);
    const configMaps = follow<ConfigMapObject & KubeObject>(Resources.configMaps);
    const secrets = follow<SecretObject & KubeObject>(Resources.secrets);
    const namespaces = follow(Resources.namespaces);
    const nodes = follow<KubeObject & { spec?: { unschedulable?: boolean } }>(Resources.nodes);
    const pods = follow<KubeObject>(Resources.pods);
    this.#services = services;
    this.#slices = slices;
    this.#namespaces = namespaces as unknown as Informer;
    this.#pods = pods;
    this.#proxy = new ServiceProxy({
      network,
      read: () => ({ services: services.store.list(), slices: slices.store.list() }),
      onError: (error) => this.#warn("service rules", error),
    });
    for (const informer of [services, slices]) {
      informer.onChange(() => {
        this.#zone = undefined;
        if (services.isSynced && slices.isSynced) this.#proxy?.changed();
      });
    }
    namespaces.onChange(() => {
      this.#zone = undefined;
    });
    this.#sandboxDeps = {
      stateDir,
      network,
      ipam: new Ipam({ cidr: network.podCidr, file: join(stateDir, "ipam.json") }),
      nodeName: this.nodeName,
      sources: {
        configMap: (namespace, name) => configMaps.store.get(name, namespace),
        secret: (namespace, name) => secrets.store.get(name, namespace),
        services: () => services.store.list(),
      },
      capacity: { cpu: availableParallelism(), memory: totalmem() },
      dns: { address: clusterDns, domain: clusterDomain },
      requestToken: (pod, audience, seconds) => this.#requestToken(pod, audience, seconds),
      now: this.#now,
    };
    await Promise.all([services.synced, slices.synced, configMaps.synced, secrets.synced, namespaces.synced, pods.synced]);
    synced.resolve();
    this.#proxy.changed();
    void keepNode({
      client: this.#client,
      nodeName: this.nodeName,
      network,
      now: this.#now,
      onError: (error) => this.#warn("node object", error),
      onRegistered: (uid) => {
        this.#events.record({
          object: { metadata: { name: this.nodeName, uid } },
          kind: "Node",
          type: "Normal",
          reason: "Starting",
          message: "Starting kubelet.",
        });
        log("info", `node ${this.nodeName} is ready`);
      },
      signal: this.#stop.signal,
    });
    void this.#keepDnsService(clusterDns, this.#dns.port);
    nodes.onChange(({ object, type }) => {
      if (object.metadata.name !== this.nodeName || type === "deleted") return;
      this.#labels = { ...nodeLabels(this.nodeName), ...object.metadata.labels };
      this.#isUnschedulable = object.spec?.unschedulable === true;
      for (const pod of pods.store.list() as unknown as NodePod[]) this.#schedule(pod);
    });
    for (const informer of [configMaps, secrets]) {
      informer.onChange(({ object }) => {
        const kind = informer === (configMaps as unknown) ? "configMap" : "secret";
        for (const worker of this.workers.values()) {
          if (worker.pod.metadata.namespace === object.metadata.namespace && refersTo(worker.pod, kind, object.metadata.name ?? ""))
            worker.sourcesChanged();
        }
      });
    }
    pods.onChange(({ object, type }) => {
      const pod = object as unknown as NodePod;
      if (type === "deleted") this.#podDeleted(pod);
      else this.#podChanged(pod);
    });
    this.#removeOrphans(stateDir);
    this.#timer = setInterval(() => this.#noteLogs(), logTickMs);
  }

  /** Ends the agent; containers, network and rules stay for the next one. */
  async stop(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#timer);
    for (const worker of this.workers.values()) worker.stop();
    this.#events.close();
    this.#statuses.close();
    await Promise.all([...this.#informers.map((informer) => informer.stop()), this.#proxy?.close(), this.#dns?.close()]);
  }

  /** The pod of this node with that name; `undefined` when there is none. */
  pod(namespace: string, name: string): PodWorker | undefined {
    return [...this.workers.values()].find(({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name);
  }

  #podChanged(pod: NodePod): void {
    if (pod.spec.nodeName !== this.nodeName) {
      this.#schedule(pod);
      return;
    }
    const uid = pod.metadata.uid ?? "";
    if (this.#over.has(uid)) return;
    const worker = this.workers.get(uid);
    if (worker) worker.update(pod);
    else this.#startWorker(pod);
  }

  #startWorker(pod: NodePod): PodWorker {
    const uid = pod.metadata.uid ?? "";
    const worker = new PodWorker(pod, {
      sandbox: new PodSandbox(pod, this.#sandboxDeps!),
      images: this.#options.images,
      hostIP: this.network.nodeAddress,
      backOff: this.#options.backOff ?? defaultBackOff,
      now: this.#now,
      publish: (one, status) => this.#statuses.publish(one, status),
      flush: (one) => this.#statuses.flush(one),
      deletePod: (one) => this.#deletePod(one),
      event: (one, type, reason, message, container) =>
        this.#events.record({
          object: one,
          kind: "Pod",
          type,
          reason,
          message,
          fieldPath: container && `spec.${container.isInit ? "initContainers" : "containers"}{${container.name}}`,
        }),
    });
    this.workers.set(uid, worker);
    worker.gone
      .catch((error) => this.#warn(`pod ${podKey(pod)}`, error))
      .finally(() => {
        if (this.#stop.signal.aborted) return;
        this.workers.delete(uid);
        this.#statuses.forget(pod);
        if (this.#pods?.store.list().some((one) => one.metadata.uid === uid)) this.#over.add(uid);
      });
    return worker;
  }

  #podDeleted(pod: NodePod): void {
    const uid = pod.metadata.uid ?? "";
    this.#over.delete(uid);
    this.workers.get(uid)?.removed();
    for (const one of (this.#pods?.store.list() ?? []) as unknown as NodePod[]) this.#schedule(one);
  }

  /** Pods that left the API while no agent ran: their processes and networks are removed. */
  #removeOrphans(stateDir: string): void {
    let uids: string[] = [];
    try {
      uids = readdirSync(join(stateDir, "pods"));
    } catch {
      // The first start.
    }
    const known = new Set(this.#pods!.store.list().map((pod) => pod.metadata.uid));
    for (const uid of uids) {
      if (known.has(uid)) continue;
      try {
        const pod = JSON.parse(readFileSync(join(stateDir, "pods", uid, "pod.json"), "utf8")) as NodePod;
        this.#startWorker(pod).removed();
      } catch (error) {
        this.#warn(`what is left of pod ${uid}`, error);
      }
    }
    const { ipam } = this.#sandboxDeps!;
    for (const uid of Object.keys(ipam.leases)) if (!known.has(uid) && !uids.includes(uid)) ipam.release(uid);
  }

  #schedule(pod: NodePod): void {
    if (this.#options.schedules === false || !isUnscheduled(pod)) return;
    const uid = pod.metadata.uid ?? "";
    if (this.#binding.has(uid)) return;
    this.#binding.add(uid);
    void this.#bind(pod).finally(() => this.#binding.delete(uid));
  }

  async #bind(pod: NodePod): Promise<void> {
    const uid = pod.metadata.uid ?? "";
    const podCount = [...this.workers.values()].filter(
      ({ pod: one }) => one.status?.phase !== "Succeeded" && one.status?.phase !== "Failed",
    ).length;
    const reason = unschedulableReason(pod, { labels: this.#labels, podCount, isUnschedulable: this.#isUnschedulable });
    try {
      if (reason) {
        this.#events.record({
          object: pod,
          kind: "Pod",
          type: "Warning",
          reason: "FailedScheduling",
          message: reason,
          component: defaultScheduler,
        });
        await reportUnschedulable(this.#client, pod, reason, this.#now());
        return;
      }
      await bindPod(this.#client, pod, this.nodeName);
      this.#events.record({
        object: pod,
        kind: "Pod",
        type: "Normal",
        reason: "Scheduled",
        message: `Successfully assigned ${podKey(pod)} to ${this.nodeName}`,
        component: defaultScheduler,
      });
    } catch (error) {
      if (KubeError.isNotFound(error) || KubeError.isConflict(error) || this.#stop.signal.aborted) return;
      this.#warn(`binding of pod ${podKey(pod)}`, error);
      setTimeout(() => {
        const now = this.#pods?.store.list().find((one) => one.metadata.uid === uid) as unknown as NodePod | undefined;
        if (now && !this.#stop.signal.aborted) this.#schedule(now);
      }, retryMs);
    }
  }

  async #deletePod(pod: NodePod): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#client.delete({ ...Resources.pods, namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid: uid ?? "" } });
        return;
      } catch (error) {
        if (KubeError.isNotFound(error) || KubeError.isConflict(error)) return;
        this.#warn(`deletion of pod ${podKey(pod)}`, error);
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  async #requestToken(
    pod: NodePod,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<{ token: string; expiresAt: number }> {
    const { name, namespace, uid } = pod.metadata;
    const account = pod.spec.serviceAccountName || "default";
    const answer = await this.#client.create<KubeObject & { status?: { token?: string; expirationTimestamp?: string } }>(
      { ...Resources.serviceAccounts, namespace, name: account, subresource: "token" },
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: { audiences: audience ? [audience] : [], expirationSeconds, boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid } },
      },
    );
    const { token, expirationTimestamp } = answer.status ?? {};
    if (!token) throw new Error(`the API server gave no token for service account ${namespace}/${account}`);
    return { token, expiresAt: expirationTimestamp ? Date.parse(expirationTimestamp) : this.#now() + expirationSeconds * 1000 };
  }

  /** On the port it had before, so that neither rules nor flows change when the agent is restarted. */
  async #startDns(host: string, domain: string, ready: Promise<void>): Promise<DnsServer> {
    const { stateDir } = this.#options;
    const file = join(stateDir, "dns-port");
    const resolve = (name: string, type: string) => this.#currentZone(domain).resolve(name, type);
    let server: DnsServer | undefined;
    try {
      server = await startDnsServer({ host, port: Number(readFileSync(file, "utf8")), resolve, ready });
    } catch {
      // The first start, or somebody else has that port now.
    }
    server ??= await startDnsServer({ host, resolve, ready });
    mkdirSync(stateDir, { recursive: true });
    writeFileSync(file, String(server.port));
    return server;
  }

  /** The DNS server's service, so that it is found and reached as in any cluster. */
  async #keepDnsService(clusterIP: string, port: number): Promise<void> {
    const labels = { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" };
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: dnsServiceName, namespace: dnsNamespace, labels },
      spec: {
        clusterIP,
        ports: [
          { name: "dns", port: 53, protocol: "UDP", targetPort: port },
          { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: port },
        ],
      },
    };
    const slice = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: `${dnsServiceName}-node`,
        namespace: dnsNamespace,
        labels: { ...labels, "kubernetes.io/service-name": dnsServiceName },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: [this.network.hostAddress], conditions: { ready: true } }],
      ports: [
        { name: "dns", port, protocol: "UDP" },
        { name: "dns-tcp", port, protocol: "TCP" },
      ],
    };
    while (!this.#stop.signal.aborted) {
      try {
        await this.#client.apply({ ...Resources.services, namespace: dnsNamespace, name: dnsServiceName }, service, {
          fieldManager: "fairlead-node",
          force: true,
        });
        await this.#client.apply({ ...Resources.endpointSlices, namespace: dnsNamespace, name: slice.metadata.name }, slice, {
          fieldManager: "fairlead-node",
          force: true,
        });
        return;
      } catch (error) {
        // The namespace may not be there yet.
        if (!KubeError.isNotFound(error)) this.#warn("DNS service", error);
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  #currentZone(domain: string): Zone {
    this.#zone ??= new Zone({
      domain,
      services: this.#services?.store.list() ?? [],
      slices: this.#slices?.store.list() ?? [],
      namespaces: (this.#namespaces?.store.list() ?? []).map((one) => one.metadata.name ?? ""),
    });
    return this.#zone;
  }

  #noteLogs(): void {
    const seen = new Set<string>();
    const now = this.#now();
    for (const worker of this.workers.values()) {
      const { pod } = worker;
      for (const { name } of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
        const process = worker.container(name);
        if (!process) continue;
        seen.add(process.directory);
        let index = this.#logs.get(process.directory);
        if (!index) {
          index = new LogIndex(process.directory);
          this.#logs.set(process.directory, index);
        }
        try {
          index.observe(now);
        } catch {
          // The pod is being removed.
        }
      }
    }
    for (const directory of this.#logs.keys()) if (!seen.has(directory)) this.#logs.delete(directory);
  }

  #warn(what: string, error: unknown): void {
    if (!this.#stop.signal.aborted) this.#options.log("warn", `${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const defaultScheduler = "default-scheduler";

/** Whether a pod uses that ConfigMap or Secret. */
export function refersTo(pod: NodePod, kind: "configMap" | "secret", name: string): boolean {
  const inVolumes = (pod.spec.volumes ?? []).some((volume) => {
    const direct = kind === "configMap" ? volume.configMap?.name : volume.secret?.secretName;
    return direct === name || (volume.projected?.sources ?? []).some((source) => source[kind]?.name === name);
  });
  const inEnvironment = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].some(
    ({ env = [], envFrom = [] }) =>
      env.some(({ valueFrom }) => valueFrom?.[`${kind}KeyRef`]?.name === name) ||
      envFrom.some((source) => source[`${kind}Ref`]?.name === name),
  );
  return inVolumes || inEnvironment;
}
