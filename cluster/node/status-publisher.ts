// Sends pod statuses to the API server: the newest of each pod, again until it arrives.
import { type KubeClient, KubeError, Resources } from "#kube";
import type { NodePod, PodStatusFull } from "./types.ts";

/** Pause between tries while the API server is away. */
const retryMs = 500;

interface Entry {
  pod: NodePod;
  status: PodStatusFull;
  isDirty: boolean;
  sending: Promise<void> | undefined;
}

export class StatusPublisher {
  readonly #client: KubeClient;
  readonly #onError: (error: unknown, pod: NodePod) => void;
  readonly #entries = new Map<string, Entry>();
  #isClosed = false;

  constructor({ client, onError }: { client: KubeClient; onError: (error: unknown, pod: NodePod) => void }) {
    this.#client = client;
    this.#onError = onError;
  }

  publish(pod: NodePod, status: PodStatusFull): void {
    const uid = pod.metadata.uid ?? "";
    const entry = this.#entries.get(uid) ?? { pod, status, isDirty: true, sending: undefined };
    Object.assign(entry, { pod, status, isDirty: true });
    this.#entries.set(uid, entry);
    entry.sending ??= this.#send(uid, entry);
  }

  /** Resolves when the pod's newest status has arrived, or the pod is gone. */
  async flush(pod: NodePod): Promise<void> {
    await this.#entries.get(pod.metadata.uid ?? "")?.sending;
  }

  forget(pod: NodePod): void {
    this.#entries.delete(pod.metadata.uid ?? "");
  }

  close(): void {
    this.#isClosed = true;
  }

  async #send(uid: string, entry: Entry): Promise<void> {
    while (entry.isDirty && !this.#isClosed) {
      entry.isDirty = false;
      const { pod, status } = entry;
      const { name, namespace } = pod.metadata;
      try {
        // A merge patch: lists are replaced, fields not named here (set by others) stay. The uid keeps it from a namesake.
        await this.#client.patch(
          { ...Resources.pods, namespace, name, subresource: "status" },
          { metadata: { uid }, status: { ...status, reason: status.reason ?? null, message: status.message ?? null } },
        );
      } catch (error) {
        if (KubeError.isNotFound(error)) break;
        this.#onError(error, pod);
        // Refused as it is: a later status may do better.
        if (error instanceof KubeError && error.code >= 400 && error.code < 500 && error.code !== 429 && !KubeError.isConflict(error))
          continue;
        if (KubeError.isConflict(error)) break;
        entry.isDirty = true;
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
    entry.sending = undefined;
  }
}
