// Joins the pure controllers to a cluster: informers fill the world, changes put keys up for work, one queue works them off.
//
//   informers ──▶ World (copies) ──▶ reconcile(world, key) ──▶ actions ──▶ Executor ──▶ API server
//       └── changes ──▶ routes (which keys does it concern?) ──▶ WorkQueue ──▲         │
//                                                     Expectations ◀── own writes ─────┘
import {
  Informer,
  type KubeClient,
  KubeError,
  type KubeObject,
  type LabelSelector,
  matchesSelector,
  Resources,
  type ResourceType,
  type Store,
} from "#kube";
import type { Outcome } from "./actions.ts";
import { reconcileCronJob } from "./cron-job.ts";
import { reconcileDaemonSet } from "./daemon-set.ts";
import { reconcileDeployment } from "./deployment.ts";
import { type Discovery, discover, type ServedType, typeKey } from "./discovery.ts";
import { managedByLabel, mirrorEndpoints, reconcileEndpointSlices, serviceNameLabel } from "./endpoint-slices.ts";
import { reconcileEndpoints } from "./endpoints.ts";
import { EventRecorder } from "./events.ts";
import { Executor } from "./executor.ts";
import { Expectations } from "./expectations.ts";
import { GarbageCollector } from "./garbage-collector.ts";
import { reconcileJob, releaseOrphanedPod, trackingFinalizer } from "./job.ts";
import { leaseName, leaseRenewMs, leaseSeconds } from "./lease.ts";
import type { Log } from "./log.ts";
import { controllerOf, keyOf } from "./meta.ts";
import { emptyNamespace } from "./namespaces.ts";
import { collectPods, watchNode } from "./pods.ts";
import { WorkQueue } from "./queue.ts";
import { reconcileReplicaSet } from "./replica-set.ts";
import {
  reconcileAccountSecrets,
  reconcileDefaultAccount,
  reconcileRootCa,
  reconcileTokenSecret,
  serviceAccountAnnotation,
} from "./service-accounts.ts";
import { servicesSelecting } from "./service-targets.ts";
import { reconcileStatefulSet } from "./stateful-set.ts";
import { leases, nodeLeaseNamespace, ownerIndexers, type StoreName, type World, watched } from "./world.ts";

export interface ControllersOptions {
  client: KubeClient;
  /** PEM of the API server's certificate authority: what kube-root-ca.crt holds. */
  rootCa: string;
  log: Log;
  now?: () => number;
}

/** Keys worked on at the same time. */
const workers = 16;
/** How soon a key is looked at again while its own writes do not show yet, in ms. The change itself usually comes first. */
const expectationPollMs = 25;
/** Everything is put up again after so long, in ms: what was missed for any reason heals. */
const resyncMs = 600_000;
/** A namespace that is not empty yet is looked at again after so long, in ms. */
const namespacePollMs = 200;
const podCollectionMs = 20_000;
/** Custom resource types come in groups; discovery waits for the group, in ms. */
const discoveryDelayMs = 200;
/** A group that could not be read is asked for again after so long, in ms. */
const discoveryRetryMs = 5_000;
/** Longest life of a token in a Secret, which does not expire in Kubernetes, in seconds: ten years. */
const secretTokenSeconds = 315_360_000;

/** Controllers of a namespaced name; the first word of their keys. */
const reconcilers = {
  deployment: reconcileDeployment,
  replicaset: reconcileReplicaSet,
  statefulset: reconcileStatefulSet,
  daemonset: reconcileDaemonSet,
  job: reconcileJob,
  "job-pod": releaseOrphanedPod,
  cronjob: reconcileCronJob,
  endpoints: reconcileEndpoints,
  "endpoint-slices": reconcileEndpointSlices,
  "endpoints-mirror": mirrorEndpoints,
  "account-secrets": reconcileAccountSecrets,
} as const satisfies Record<string, (world: World, namespace: string, name: string) => Outcome>;

/** Owners of pods, with the store that holds them. */
const workloads = [
  { controller: "replicaset", kind: "ReplicaSet", store: "replicaSets" },
  { controller: "statefulset", kind: "StatefulSet", store: "statefulSets" },
  { controller: "daemonset", kind: "DaemonSet", store: "daemonSets" },
  { controller: "job", kind: "Job", store: "jobs" },
] as const;

export class Controllers {
  readonly #options: ControllersOptions;
  readonly #now: () => number;
  readonly #informers: Record<StoreName, Informer<KubeObject>>;
  readonly #crds: Informer<KubeObject>;
  readonly #world: World;
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  readonly #expectations: Expectations;
  readonly #collector: GarbageCollector;
  readonly #storeOf = new Map<string, Store<KubeObject>>();
  readonly #missingNodes = new Map<string, number>();
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  #discoveryTimer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(options: ControllersOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const { client, log } = options;
    const onError = (resource: string) => (error: unknown, retryInMs: number) => {
      if (!this.#stopped) log("warn", "watch failed", { resource, error: messageOf(error), retryInMs: Math.round(retryInMs) });
    };
    const informers: Record<string, Informer<KubeObject>> = {};
    const world: Record<string, unknown> = { now: this.#now };
    for (const [name, { resource, ...narrow }] of Object.entries(watched) as [
      string,
      { resource: ResourceType; fieldSelector?: string },
    ][]) {
      const informer = new Informer<KubeObject>({
        client,
        resource,
        indexers: ownerIndexers,
        onError: onError(resource.resource),
        ...narrow,
      });
      informers[name] = informer;
      world[name] = informer.store;
      this.#storeOf.set(typeKey(resource), informer.store);
    }
    this.#informers = informers as Record<StoreName, Informer<KubeObject>>;
    this.#world = world as unknown as World;
    this.#crds = new Informer({
      client,
      resource: Resources.customResourceDefinitions,
      onError: onError("customresourcedefinitions"),
      transform: metadataOnly,
      optional: true,
    });
    this.#expectations = new Expectations({ now: this.#now });
    this.#events = new EventRecorder({
      client,
      now: this.#now,
      onError: (error) => !this.#stopped && log("warn", "event not written", { error: messageOf(error) }),
    });
    this.#queue = new WorkQueue({
      workers,
      work: (key) => this.#work(key),
      onError: (key, error, retryInMs) =>
        log(KubeError.isConflict(error) ? "debug" : "warn", "will be tried again", { key, error: messageOf(error), retryInMs }),
    });
    this.#collector = new GarbageCollector({
      client,
      enqueue: (uid) => this.#add("garbage", uid),
      follow: (type) => this.#follow(type, onError(type.resource)),
    });
  }

  /** Resolves when every copy is complete and all controllers are at work. Waits for the API server as long as it takes. */
  async start(): Promise<void> {
    await Promise.all([...Object.values(this.#informers), this.#crds].map((informer) => informer.synced));
    if (this.#stopped) return;
    for (const [name, informer] of Object.entries(this.#informers) as [StoreName, Informer<KubeObject>][]) {
      informer.onChange((change) => {
        this.#expectations.saw(informer.store, change.object);
        this.#route(name, change.object, change.type === "modified" ? change.previous : undefined);
      });
    }
    this.#crds.onChange(() => this.#discoverSoon(discoveryDelayMs));
    await this.#discover();
    await this.#renewLease();
    this.#timers.push(
      setInterval(() => void this.#renewLease(), leaseRenewMs),
      setInterval(() => this.#resync(), resyncMs),
      setInterval(() => this.#add("pod-collection", ""), podCollectionMs),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#discoveryTimer);
    await Promise.all([
      this.#queue.stop(),
      this.#collector.stop(),
      this.#crds.stop(),
      ...Object.values(this.#informers).map((informer) => informer.stop()),
    ]);
  }

  /** Shows, as Kubernetes's controller manager does, that someone is at work. One process only: the lease excludes nobody. */
  async #renewLease(): Promise<void> {
    const ref = { ...leases, namespace: "kube-system", name: leaseName };
    const renewTime = new Date(this.#now()).toISOString().replace("Z", "000Z");
    const spec = { holderIdentity: leaseName, leaseDurationSeconds: leaseSeconds, renewTime };
    try {
      await this.#options.client.apply(
        ref,
        { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name: leaseName, namespace: "kube-system" }, spec },
        { fieldManager: leaseName, force: true },
      );
    } catch (error) {
      if (!this.#stopped) this.#options.log("warn", "lease not renewed", { error: messageOf(error) });
    }
  }

  #add(controller: string, rest: string): void {
    if (!this.#queue.add(`${controller}|${rest}`) && !this.#stopped)
      this.#options.log("warn", "work queue is full; the next resync will bring it", { key: `${controller}|${rest}` });
  }

  /** Which keys a change concerns. `previous`: the object before, when it was modified. */
  #route(store: StoreName, object: KubeObject, previous: KubeObject | undefined): void {
    const key = keyOf(object);
    const { namespace = "", name = "" } = object.metadata;
    switch (store) {
      case "pods":
        for (const version of previous ? [previous, object] : [object]) {
          this.#addOwner(version);
          for (const service of servicesSelecting(this.#world, version)) {
            this.#add("endpoints", keyOf(service));
            this.#add("endpoint-slices", keyOf(service));
          }
        }
        if (object.metadata.finalizers?.includes(trackingFinalizer)) this.#add("job-pod", key);
        this.#addNamespaceInDeletion(namespace);
        // A deployment that recreates its pods waits until the old ones are gone; their set tells which it is.
        if (this.#world.pods.get(name, namespace) === undefined) {
          const owner = controllerOf(object);
          const set = owner?.kind === "ReplicaSet" ? this.#world.replicaSets.get(owner.name, namespace) : undefined;
          if (set) this.#addController("Deployment", "deployment", set);
        }
        return;
      case "replicaSets":
        this.#add("replicaset", key);
        if (!this.#addController("Deployment", "deployment", object)) this.#addSelecting("deployments", "deployment", object);
        return;
      case "deployments":
        this.#add("deployment", key);
        return;
      case "statefulSets":
        this.#add("statefulset", key);
        return;
      case "daemonSets":
        this.#add("daemonset", key);
        return;
      case "controllerRevisions":
        this.#addController("StatefulSet", "statefulset", object);
        this.#addController("DaemonSet", "daemonset", object);
        return;
      case "jobs":
        this.#add("job", key);
        this.#addController("CronJob", "cronjob", object);
        if (this.#world.jobs.get(name, namespace) === undefined)
          for (const pod of this.#world.pods.list(namespace))
            if (pod.metadata.finalizers?.includes(trackingFinalizer)) this.#add("job-pod", keyOf(pod));
        return;
      case "cronJobs":
        this.#add("cronjob", key);
        return;
      case "services":
        for (const controller of ["endpoints", "endpoint-slices", "endpoints-mirror"]) this.#add(controller, key);
        return;
      case "endpoints":
        this.#add("endpoints", key);
        this.#add("endpoints-mirror", key);
        return;
      case "endpointSlices": {
        const service = object.metadata.labels?.[serviceNameLabel];
        if (!service || !object.metadata.labels?.[managedByLabel]) return;
        this.#add("endpoint-slices", `${namespace}/${service}`);
        this.#add("endpoints-mirror", `${namespace}/${service}`);
        return;
      }
      case "namespaces":
        for (const controller of ["default-account", "root-ca"]) this.#add(controller, `${name}/`);
        this.#addNamespaceInDeletion(name);
        return;
      case "nodes":
        // Heartbeats change nodes all the time; what daemons depend on seldom changes.
        if (previous && sameForDaemons(previous, object)) return;
        for (const set of this.#world.daemonSets.values()) this.#add("daemonset", keyOf(set));
        this.#add("pod-collection", "");
        return;
      case "serviceAccounts":
        if (name === "default") this.#add("default-account", `${namespace}/`);
        this.#add("account-secrets", key);
        for (const secret of this.#world.tokenSecrets.list(namespace))
          if (secret.metadata.annotations?.[serviceAccountAnnotation] === name) this.#add("token-secret", keyOf(secret));
        return;
      case "rootCas":
        this.#add("root-ca", `${namespace}/`);
        return;
      case "tokenSecrets":
        this.#add("token-secret", key);
        return;
      case "leases":
        if (namespace === nodeLeaseNamespace) this.#add("node", `${name}/`);
        return;
      default:
        store satisfies never;
    }
  }

  #addOwner(pod: KubeObject): void {
    const owner = controllerOf(pod);
    for (const { controller, kind, store } of workloads) {
      if (owner?.kind === kind) this.#add(controller, `${pod.metadata.namespace}/${owner.name}`);
      else if (!owner) this.#addSelecting(store, controller, pod);
    }
  }

  #addController(kind: string, controller: string, object: KubeObject): boolean {
    const owner = controllerOf(object);
    if (owner?.kind === kind) this.#add(controller, `${object.metadata.namespace}/${owner.name}`);
    return owner !== undefined;
  }

  /** An object without a controller may be adopted by whoever selects it. */
  #addSelecting(
    store: "deployments" | "replicaSets" | "statefulSets" | "daemonSets" | "jobs",
    controller: string,
    object: KubeObject,
  ): void {
    const owners = this.#world[store] as Store<KubeObject & { spec?: { selector?: LabelSelector } }>;
    for (const owner of owners.list(object.metadata.namespace))
      if (matchesSelector(owner.spec?.selector, object.metadata.labels)) this.#add(controller, keyOf(owner));
  }

  #addNamespaceInDeletion(name: string): void {
    if (this.#world.namespaces.get(name)?.metadata.deletionTimestamp !== undefined) this.#add("namespace", `${name}/`);
  }

  #resync(): void {
    for (const [name, informer] of Object.entries(this.#informers) as [StoreName, Informer<KubeObject>][])
      for (const object of informer.store.list()) this.#route(name, object, undefined);
    this.#discoverSoon(0);
  }

  async #work(key: string): Promise<void> {
    const bar = key.indexOf("|");
    const controller = key.slice(0, bar);
    const rest = key.slice(bar + 1);
    if (!this.#expectations.satisfied(key)) {
      this.#queue.addAfter(key, expectationPollMs);
      return;
    }
    const slash = rest.indexOf("/");
    const namespace = rest.slice(0, slash);
    const name = rest.slice(slash + 1);
    if (Object.hasOwn(reconcilers, controller)) {
      await this.#perform(key, reconcilers[controller as keyof typeof reconcilers](this.#world, namespace, name));
      return;
    }
    switch (controller) {
      case "default-account":
        return this.#perform(key, reconcileDefaultAccount(this.#world, namespace));
      case "root-ca":
        return this.#perform(key, reconcileRootCa(this.#world, namespace, this.#options.rootCa));
      case "token-secret":
        return this.#tokenSecret(key, namespace, name);
      case "node":
        return this.#perform(key, watchNode(this.#world, namespace));
      case "namespace":
        return this.#namespace(key, namespace);
      case "garbage":
        return this.#collector.process(rest);
      case "pod-collection":
        return this.#perform(key, collectPods(this.#world, this.#missingNodes));
      default:
        throw new Error(`no controller for the key ${key}`);
    }
  }

  async #perform(key: string, { actions, requeueAfterMs }: Outcome): Promise<void> {
    if (actions.length > 0) {
      const executor = new Executor({
        client: this.#options.client,
        events: this.#events,
        onWrite: (written) => {
          const store = this.#storeOf.get(typeKey(written.resource));
          // Narrowed copies do not show every object of their type.
          if (store && store !== this.#world.rootCas && store !== this.#world.tokenSecrets) this.#expectations.expect(key, store, written);
        },
      });
      await executor.perform(actions);
    }
    if (requeueAfterMs !== undefined) this.#queue.addAfter(key, requeueAfterMs);
  }

  async #tokenSecret(key: string, namespace: string, name: string): Promise<void> {
    const { token, ...outcome } = reconcileTokenSecret(this.#world, namespace, name, this.#options.rootCa);
    if (!token) return this.#perform(key, outcome);
    const { account, secret, complete } = token;
    const request = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {
        audiences: [],
        expirationSeconds: secretTokenSeconds,
        boundObjectRef: { apiVersion: "v1", kind: "Secret", name, uid: secret.metadata.uid },
      },
    };
    const answer = await this.#options.client.create<KubeObject & { status?: { token?: string } }>(
      { ...Resources.serviceAccounts, namespace, name: account.metadata.name, subresource: "token" },
      request,
    );
    if (!answer.status?.token) throw new Error(`serviceaccounts/${account.metadata.name}/token: the answer has no status.token`);
    return this.#perform(key, complete(answer.status.token));
  }

  async #namespace(key: string, name: string): Promise<void> {
    const namespace = this.#world.namespaces.get(name);
    if (namespace?.metadata.deletionTimestamp === undefined) return;
    const isEmpty = await emptyNamespace({ client: this.#options.client, namespace, now: this.#now() });
    if (!isEmpty) this.#queue.addAfter(key, namespacePollMs);
  }

  #discoverSoon(ms: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#discoveryTimer);
    this.#discoveryTimer = setTimeout(() => {
      this.#discover().catch((error) => this.#options.log("error", "discovery failed", { error: messageOf(error) }));
    }, ms);
  }

  async #discover(): Promise<void> {
    let found: Discovery;
    try {
      found = await discover(this.#options.client);
    } catch (error) {
      this.#options.log("warn", "discovery failed", { error: messageOf(error), retryInMs: discoveryRetryMs });
      return this.#discoverSoon(discoveryRetryMs);
    }
    if (this.#stopped) return;
    for (const { groupVersion, message } of found.failures)
      this.#options.log("warn", "group could not be read", { groupVersion, error: message, retryInMs: discoveryRetryMs });
    if (found.failures.length > 0) this.#discoverSoon(discoveryRetryMs);
    this.#collector.update(found);
  }

  /** The informer a controller has of the type, else one of its own that keeps metadata only. */
  #follow(
    type: ServedType,
    onError: (error: unknown, retryInMs: number) => void,
  ): { informer: Informer<KubeObject>; stop: () => Promise<void> } {
    for (const [name, { resource, ...narrow }] of Object.entries(watched) as [
      StoreName,
      { resource: ResourceType; fieldSelector?: string },
    ][]) {
      if (typeKey(resource) === typeKey(type) && narrow.fieldSelector === undefined)
        return { informer: this.#informers[name], stop: async () => {} };
    }
    const informer = new Informer<KubeObject>({
      client: this.#options.client,
      resource: type,
      transform: metadataOnly,
      optional: true,
      onError,
    });
    return { informer, stop: () => informer.stop() };
  }
}

function metadataOnly({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { managedFields: _, annotations: __, ...kept } = metadata;
  return { ...(apiVersion ? { apiVersion } : {}), ...(kind ? { kind } : {}), metadata: kept };
}

function sameForDaemons(one: KubeObject, other: KubeObject): boolean {
  const part = (node: KubeObject & { spec?: unknown }) => JSON.stringify([node.metadata.labels, node.spec]);
  return part(one) === part(other);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
