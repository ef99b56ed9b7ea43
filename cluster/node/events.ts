// Events (core/v1) about pods and the node, sent in the background; a repeated one raises the count of the first.
import { randomBytes } from "node:crypto";
import { type KubeClient, type KubeObject, Resources } from "#kube";

export interface EventInput {
  object: KubeObject;
  kind: string;
  type: "Normal" | "Warning";
  reason: string;
  message: string;
  /** `spec.containers{NAME}`. */
  fieldPath?: string | undefined;
  /** Default `kubelet`. */
  component?: string;
}

/** Events remembered for counting. */
const maxRemembered = 1_024;
/** Events waiting to be sent; the oldest are dropped. */
const maxQueued = 1_024;
/** Longest message the API takes. */
const maxMessage = 1_024;
/** A repetition is sent at most so often. */
const repeatMs = 1_000;

interface Remembered {
  name: string;
  namespace: string;
  count: number;
  first: string;
  sentAt: number;
}

export class EventRecorder {
  readonly #client: KubeClient;
  readonly #host: string;
  readonly #now: () => number;
  readonly #known = new Map<string, Remembered>();
  #queue: (() => Promise<void>)[] = [];
  #isSending = false;
  #isClosed = false;

  constructor({ client, host, now }: { client: KubeClient; host: string; now: () => number }) {
    this.#client = client;
    this.#host = host;
    this.#now = now;
  }

  record({ object, kind, type, reason, message, fieldPath, component = "kubelet" }: EventInput): void {
    const namespace = object.metadata.namespace ?? "default";
    const text = message.slice(0, maxMessage);
    const key = JSON.stringify([object.metadata.uid, type, reason, text, fieldPath]);
    const at = this.#now();
    const stamp = new Date(at).toISOString().replace(/\.\d+Z$/, "Z");
    const known = this.#known.get(key);
    if (known) {
      known.count++;
      if (at - known.sentAt < repeatMs) return;
      known.sentAt = at;
      this.#enqueue(async () => {
        await this.#client.patch({ ...Resources.events, namespace, name: known.name }, { count: known.count, lastTimestamp: stamp });
      });
      return;
    }
    const name = `${object.metadata.name}.${at.toString(16)}${randomBytes(3).toString("hex")}`;
    this.#known.set(key, { name, namespace, count: 1, first: stamp, sentAt: at });
    if (this.#known.size > maxRemembered) this.#known.delete(this.#known.keys().next().value!);
    this.#enqueue(async () => {
      await this.#client.create(
        { ...Resources.events, namespace },
        {
          apiVersion: "v1",
          kind: "Event",
          metadata: { name, namespace },
          involvedObject: {
            apiVersion: "v1",
            kind,
            name: object.metadata.name,
            ...(object.metadata.namespace ? { namespace: object.metadata.namespace } : {}),
            uid: object.metadata.uid,
            resourceVersion: object.metadata.resourceVersion,
            ...(fieldPath ? { fieldPath } : {}),
          },
          type,
          reason,
          message: text,
          source: { component, host: this.#host },
          reportingComponent: component,
          reportingInstance: this.#host,
          firstTimestamp: stamp,
          lastTimestamp: stamp,
          count: 1,
        },
      );
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#queue = [];
  }

  #enqueue(send: () => Promise<void>): void {
    if (this.#isClosed) return;
    this.#queue.push(send);
    if (this.#queue.length > maxQueued) this.#queue.shift();
    if (!this.#isSending) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#isSending = true;
    for (let send = this.#queue.shift(); send; send = this.#queue.shift()) {
      try {
        await send();
      } catch {
        // Events are a courtesy: one that cannot be stored (its namespace is ending, the server is away) is dropped.
      }
    }
    this.#isSending = false;
  }
}
