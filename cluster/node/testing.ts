// For tests of this folder: a node of its own on the real system, pods as plain objects, and everything removed at the end.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cleanupNode, ensureNodeNetwork, Ipam, missingTools, type NodeNetwork } from "../network/index.ts";
import type { Sources } from "./environment.ts";
import { ImageTable } from "./images.ts";
import { PodSandbox, type SandboxDependencies } from "./pod-sandbox.ts";
import { PodWorker } from "./pod-worker.ts";
import type { ConfigMapObject, ContainerSpec, NodePod, PodStatusFull, SecretObject } from "./types.ts";

/** Real namespaces and containers need root and the tools. */
export const canRunPods = process.getuid?.() === 0 && missingTools().length === 0;

export interface RecordedEvent {
  pod: string;
  type: string;
  reason: string;
  message: string;
}

let counter = 0;

/** One node: own cluster name, networks and state directory. */
export class TestNode {
  readonly cluster = `test-${process.pid}-${++counter}`;
  readonly stateDir = mkdtempSync(join(tmpdir(), "fairlead-node-"));
  readonly events: RecordedEvent[] = [];
  readonly statuses = new Map<string, PodStatusFull>();
  readonly deleted: string[] = [];
  readonly configMaps = new Map<string, ConfigMapObject>();
  readonly secrets = new Map<string, SecretObject>();
  images = new ImageTable({}, "images.yaml");
  network!: NodeNetwork;
  ipam!: Ipam;
  #listeners = new Set<() => void>();

  async start(): Promise<this> {
    // A block of its own for each test node of each process: others may run on this machine at the same time.
    const third = (process.pid * 7 + counter) % 256;
    this.network = await ensureNodeNetwork({
      cluster: this.cluster,
      podCidr: `10.201.${third}.0/24`,
      serviceCidr: `10.202.${third}.0/24`,
      linkCidr: `10.203.${third}.0/30`,
    });
    this.ipam = new Ipam({ cidr: this.network.podCidr, file: join(this.stateDir, "ipam.json") });
    return this;
  }

  async stop(): Promise<void> {
    const report = await cleanupNode({ cluster: this.cluster, stateDir: this.stateDir });
    rmSync(this.stateDir, { recursive: true, force: true });
    if (report.problems.length > 0) throw new Error(report.problems.join("; "));
  }

  get dependencies(): SandboxDependencies {
    const sources: Sources = {
      configMap: (namespace, name) => this.configMaps.get(`${namespace}/${name}`),
      secret: (namespace, name) => this.secrets.get(`${namespace}/${name}`),
      services: () => [],
    };
    return {
      stateDir: this.stateDir,
      network: this.network,
      ipam: this.ipam,
      nodeName: "node",
      sources,
      capacity: { cpu: 2, memory: 1 << 30 },
      dns: { address: "10.96.0.10", domain: "cluster.local" },
      requestToken: async (_pod, audience, seconds) => ({
        token: `token for ${audience ?? "default"}`,
        expiresAt: Date.now() + seconds * 1000,
      }),
      now: Date.now,
    };
  }

  worker(pod: NodePod): PodWorker {
    const name = pod.metadata.name!;
    return new PodWorker(pod, {
      sandbox: new PodSandbox(pod, this.dependencies),
      images: () => this.images,
      hostIP: this.network.nodeAddress,
      backOff: { firstMs: 50, mostMs: 400, resetMs: 600_000 },
      now: Date.now,
      publish: (_, status) => {
        this.statuses.set(name, status);
        this.#changed();
      },
      flush: async () => {},
      deletePod: async () => {
        this.deleted.push(name);
        this.#changed();
      },
      event: (_, type, reason, message) => {
        this.events.push({ pod: name, type, reason, message });
        this.#changed();
      },
    });
  }

  /** Waits until `condition` holds; it is asked after each status and event. */
  async until(what: string, condition: () => boolean, limitMs = 10_000): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const check = () => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#listeners.delete(check);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#listeners.delete(check);
        reject(
          new Error(`${what} did not come about; statuses ${JSON.stringify([...this.statuses])}; events ${JSON.stringify(this.events)}`),
        );
      }, limitMs);
      this.#listeners.add(check);
    });
  }

  #changed(): void {
    for (const check of [...this.#listeners]) check();
  }
}

/** A pod with one container `main` that runs a shell script, changed as given. */
export function testPod(
  name: string,
  script: string,
  { container = {}, spec = {} }: { container?: Partial<ContainerSpec>; spec?: Partial<NodePod["spec"]> } = {},
): NodePod {
  return {
    metadata: { name, namespace: "default", uid: `${name}-${process.pid}`, labels: { app: name } },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 1,
      nodeName: "node",
      containers: [{ name: "main", image: "local/sh", args: ["-c", script], ...container }],
      ...spec,
    },
  };
}

/** The pod as it looks once its deletion was asked for. */
export function deleted(pod: NodePod, graceSeconds: number): NodePod {
  return { ...pod, metadata: { ...pod.metadata, deletionTimestamp: new Date().toISOString(), deletionGracePeriodSeconds: graceSeconds } };
}
