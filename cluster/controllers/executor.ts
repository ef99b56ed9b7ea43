// Carries out what reconcile functions ask for, in order, and tells which writes their next pass must have seen.
import { type KubeClient, KubeError, type KubeObject, type ResourceType } from "#kube";
import type { Action } from "./actions.ts";
import type { EventRecorder } from "./events.ts";

/** A write as the server confirmed it. */
export interface Written {
  resource: ResourceType;
  name: string;
  namespace: string | undefined;
  uid: string;
  /** Absent: the object was deleted. */
  resourceVersion: string | undefined;
}

export interface ExecutorOptions {
  client: KubeClient;
  events: EventRecorder;
  onWrite: (written: Written) => void;
}

/** First batch of a slow start. */
const slowStartInitialBatch = 1;

export class Executor {
  readonly #options: ExecutorOptions;
  /** Versions of objects that this run of actions has changed already. */
  readonly #versions = new Map<string, string>();

  /** For one outcome: later patches of an object count on the earlier ones. */
  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /**
   * @throws the first error. An object that is gone, or was replaced by another of its name, is no error: the next pass sees the world as it is.
   */
  async perform(actions: readonly Action[]): Promise<void> {
    for (const action of actions) await this.#perform(action);
  }

  async #perform(action: Action): Promise<void> {
    const { client, events, onWrite } = this.#options;
    switch (action.do) {
      case "create": {
        let created: KubeObject;
        try {
          created = await client.create<KubeObject>({ ...action.resource, namespace: action.object.metadata.namespace }, action.object);
        } catch (error) {
          // What goes with its namespace need not be made any more.
          if (isNamespaceTerminating(error)) return;
          if (action.refused && error instanceof KubeError && error.code >= 400) return this.perform(action.refused(error));
          throw error;
        }
        onWrite(writtenOf(action.resource, created));
        if (action.done) await this.perform(action.done(created));
        return;
      }
      case "patch": {
        const { target, resource, subresource } = action;
        const { name = "", namespace, uid } = target.metadata;
        const resourceVersion = action.anyVersion ? undefined : (this.#versions.get(uid ?? "") ?? target.metadata.resourceVersion);
        const metadata = {
          ...(action.patch["metadata"] as object | undefined),
          uid,
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        };
        let patched: KubeObject;
        try {
          patched = await client.patch<KubeObject>({ ...resource, namespace, name, subresource }, { ...action.patch, metadata });
        } catch (error) {
          if (KubeError.isNotFound(error)) return;
          throw error;
        }
        if (uid && patched.metadata.resourceVersion) this.#versions.set(uid, patched.metadata.resourceVersion);
        onWrite(writtenOf(resource, patched));
        if (action.done) await this.perform(action.done());
        return;
      }
      case "delete": {
        const { target, resource, propagation = "Background", graceSeconds } = action;
        const { name = "", namespace, uid } = target.metadata;
        try {
          await client.delete(
            { ...resource, namespace, name },
            {
              propagationPolicy: propagation,
              ...(uid ? { preconditions: { uid } } : {}),
              ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }),
            },
          );
        } catch (error) {
          // Another of its name (409 on the uid), or none: the one meant is gone.
          if (KubeError.isNotFound(error) || (KubeError.isConflict(error) && /uid/i.test((error as Error).message))) return;
          throw error;
        }
        onWrite({ resource, name, namespace, uid: uid ?? "", resourceVersion: undefined });
        if (action.done) await this.perform(action.done());
        return;
      }
      case "event":
        // Nothing waits for an event.
        void events.record(action);
        return;
      case "slow-start":
        return this.#slowStart(action);
      default:
        action satisfies never;
    }
  }

  async #slowStart({ actions, failed }: Extract<Action, { do: "slow-start" }>): Promise<void> {
    for (let at = 0, batch = slowStartInitialBatch; at < actions.length; batch *= 2) {
      const part = actions.slice(at, at + batch);
      at += part.length;
      const results = await Promise.allSettled(part.map((action) => this.#perform(action)));
      const failure = results.find((result) => result.status === "rejected");
      if (!failure) continue;
      if (failed) await this.perform(failed(failure.reason));
      throw failure.reason;
    }
  }
}

function isNamespaceTerminating(error: unknown): boolean {
  return (
    error instanceof KubeError &&
    error.code === 403 &&
    (error.causes.some(({ reason }) => reason === "NamespaceTerminating") || error.message.includes("because it is being terminated"))
  );
}

function writtenOf(resource: ResourceType, { metadata }: KubeObject): Written {
  return {
    resource,
    name: metadata.name ?? "",
    namespace: metadata.namespace,
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion,
  };
}
