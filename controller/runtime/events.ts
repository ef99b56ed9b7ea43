// Kubernetes events of a controller: sent beside the work, never in its way.
import { type KubeClient, Resources } from "#kube";
import type { Logger } from "./log.ts";

export type EventObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string | undefined;
};

export type EventInput = {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  readonly object: EventObject;
};

/** Most events on their way to the API server at once; beyond that new ones are dropped. */
export const maxEventsInFlight = 50;
/** Longest message the API takes, in characters. */
const maxMessage = 1024;

export type EventRecorder = (event: EventInput) => void;

export function createEventRecorder({ client, component, log }: { client: KubeClient; component: string; log: Logger }): EventRecorder {
  let inFlight = 0;
  return ({ type, reason, message, object }) => {
    if (inFlight >= maxEventsInFlight) return log.debug("event dropped: too many on their way", { reason });
    inFlight++;
    const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    const suffix = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex");
    const event = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${object.name.slice(0, 200)}.${suffix}`, namespace: object.namespace },
      involvedObject: object,
      type,
      reason,
      message: message.slice(0, maxMessage),
      source: { component },
      reportingComponent: component,
      reportingInstance: "",
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    };
    client
      .create({ ...Resources.events, namespace: object.namespace }, event)
      .catch((error: Error) => log.warning("cannot record an event", { reason, error: error.message }))
      .finally(() => inFlight--);
  };
}
