// Events about objects: equal ones are counted up in one Event, and one object can cause only so many.
import { type KubeClient, KubeError, type KubeObject, Resources } from "#kube";

export interface EventRecorderOptions {
  client: KubeClient;
  now: () => number;
  onError: (error: unknown) => void;
}

/** Events remembered so that a repetition is counted and not made anew. */
const maxRemembered = 4_096;
/** Events of one object in a burst, and the pause after which it may cause one more; as client-go's spam filter. */
const burst = 25;
const refillMs = 300_000;

/** Who speaks of which kind, as in Kubernetes. */
const components: Record<string, string> = {
  CronJob: "cronjob-controller",
  DaemonSet: "daemonset-controller",
  Deployment: "deployment-controller",
  Job: "job-controller",
  Node: "node-controller",
  ReplicaSet: "replicaset-controller",
  StatefulSet: "statefulset-controller",
};

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #seen = new Map<string, { name: string; count: number; first: string }>();
  readonly #budget = new Map<string, { tokens: number; at: number }>();
  #sequence = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /** Never rejects: an event that cannot be written is only told to `onError`. */
  async record({
    about,
    type,
    reason,
    message,
  }: {
    about: KubeObject;
    type: "Normal" | "Warning";
    reason: string;
    message: string;
  }): Promise<void> {
    const { client, now, onError } = this.#options;
    const component = components[about.kind ?? ""] ?? "controllermanager";
    const { name = "", namespace = "default", uid = "", resourceVersion } = about.metadata;
    if (!this.#spend(uid)) return;
    const time = new Date(now());
    const stamp = `${time.toISOString().slice(0, 19)}Z`;
    const key = JSON.stringify([uid, type, reason, message]);
    const seen = this.#seen.get(key);
    try {
      if (seen) {
        seen.count++;
        try {
          await client.patch({ ...Resources.events, namespace, name: seen.name }, { count: seen.count, lastTimestamp: stamp });
          return;
        } catch (error) {
          if (!KubeError.isNotFound(error)) throw error;
        }
      }
      this.#sequence++;
      const eventName = `${name.slice(0, 220)}.${(time.getTime() * 1000 + (this.#sequence % 1000)).toString(16)}`;
      const event = {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name: eventName, namespace },
        involvedObject: { apiVersion: about.apiVersion, kind: about.kind, name, namespace: about.metadata.namespace, uid, resourceVersion },
        reason,
        message,
        type,
        source: { component },
        reportingComponent: component,
        firstTimestamp: stamp,
        lastTimestamp: stamp,
        count: 1,
      };
      await client.create({ ...Resources.events, namespace }, event);
      this.#seen.delete(key);
      this.#seen.set(key, { name: eventName, count: 1, first: stamp });
      for (const old of this.#seen.keys()) {
        if (this.#seen.size <= maxRemembered) break;
        this.#seen.delete(old);
      }
    } catch (error) {
      // A namespace on its way out takes no events.
      if (!(error instanceof KubeError && error.code === 403 && error.message.includes("because it is being terminated"))) onError(error);
    }
  }

  #spend(uid: string): boolean {
    const now = this.#options.now();
    const budget = this.#budget.get(uid) ?? { tokens: burst, at: now };
    const gained = Math.floor((now - budget.at) / refillMs);
    if (gained > 0) {
      budget.tokens = Math.min(burst, budget.tokens + gained);
      budget.at += gained * refillMs;
    }
    this.#budget.delete(uid);
    this.#budget.set(uid, budget);
    for (const old of this.#budget.keys()) {
      if (this.#budget.size <= maxRemembered) break;
      this.#budget.delete(old);
    }
    if (budget.tokens <= 0) return false;
    budget.tokens--;
    return true;
  }
}
