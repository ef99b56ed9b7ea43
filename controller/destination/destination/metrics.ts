// Metrics of discovery (spec control-plane §3.5).
import { Counter, Gauge, type Registry } from "prom-client";
import type { Snapshot } from "./endpoints.ts";

type EndpointLabels = { readonly namespace: string; readonly service: string; readonly port: string; readonly hostname: string };
type ProfileLabels = { readonly namespace: string; readonly profile: string };

export interface DiscoveryMetrics {
  endpointsSubscribed(labels: EndpointLabels, snapshot: Snapshot): void;
  endpointsUpdated(labels: EndpointLabels, snapshot: Snapshot): void;
  /** The series go with the last subscriber. */
  endpointsUnsubscribed(labels: EndpointLabels): void;
  profileSubscribed(labels: ProfileLabels): void;
  profileUpdated(labels: ProfileLabels): void;
  profileUnsubscribed(labels: ProfileLabels): void;
}

export function createDiscoveryMetrics(registry: Registry): DiscoveryMetrics {
  const registers = [registry];
  const endpoint = ["namespace", "service", "port", "hostname"];
  const profile = ["namespace", "profile"];
  const subscribers = new Gauge({
    name: "endpoints_subscribers",
    help: "A gauge for the current number of subscribers to a endpoint.",
    labelNames: endpoint,
    registers,
  });
  const pods = new Gauge({
    name: "endpoints_pods",
    help: "A gauge for the current number of pods in a endpoint.",
    labelNames: endpoint,
    registers,
  });
  const exists = new Gauge({
    name: "endpoints_exists",
    help: "A gauge which is 1 if the endpoint exists and 0 if it does not.",
    labelNames: endpoint,
    registers,
  });
  const updates = new Counter({
    name: "endpoints_updates",
    help: "A counter for number of updates to a endpoint.",
    labelNames: endpoint,
    registers,
  });
  const profileSubscribers = new Gauge({
    name: "profile_subscribers",
    help: "A gauge for the current number of subscribers to a profile.",
    labelNames: profile,
    registers,
  });
  const profileUpdates = new Counter({
    name: "profile_updates",
    help: "A counter for number of updates to a profile.",
    labelNames: profile,
    registers,
  });
  const counts = new Map<string, number>();
  const count = (key: string, by: number): number => {
    const next = (counts.get(key) ?? 0) + by;
    if (next > 0) counts.set(key, next);
    else counts.delete(key);
    return next;
  };
  return {
    endpointsSubscribed(labels, snapshot) {
      subscribers.set(labels, count(JSON.stringify(labels), 1));
      this.endpointsUpdated(labels, snapshot);
    },
    endpointsUpdated(labels, snapshot) {
      pods.set(labels, snapshot.addresses.size);
      exists.set(labels, snapshot.exists ? 1 : 0);
      updates.inc(labels);
    },
    endpointsUnsubscribed(labels) {
      const left = count(JSON.stringify(labels), -1);
      if (left > 0) return subscribers.set(labels, left);
      for (const series of [subscribers, pods, exists, updates]) series.remove(labels);
    },
    profileSubscribed: (labels) => profileSubscribers.set(labels, count(JSON.stringify(labels), 1)),
    profileUpdated: (labels) => profileUpdates.inc(labels),
    profileUnsubscribed(labels) {
      const left = count(JSON.stringify(labels), -1);
      if (left > 0) return profileSubscribers.set(labels, left);
      for (const series of [profileSubscribers, profileUpdates]) series.remove(labels);
    },
  };
}
