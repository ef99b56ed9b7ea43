// What an installation may tell of itself (spec control-plane §1.8): query keys of one GET. What cannot be learnt is left out.

export type HeartbeatSources = {
  readonly version: string;
  /** UID and creation time of ConfigMap linkerd-config. */
  readonly installation: () => Promise<{ readonly uid: string; readonly createdAt: string }>;
  readonly kubernetesVersion: () => Promise<string>;
  /** Values of label `linkerd.io/extension` on namespaces. */
  readonly extensions: () => Promise<readonly string[]>;
  readonly serviceProfiles: () => Promise<number>;
  /** One number from Prometheus; undefined when there is no such series. */
  readonly query: (expression: string) => Promise<number | undefined>;
  readonly onMissing: (what: string, error: Error) => void;
};

const containers = ["linkerd-proxy", "destination", "prometheus"];

/** Prometheus expressions by query key. */
export function heartbeatQueries(): Record<string, string> {
  return {
    "total-rps": 'sum(rate(request_total{direction="inbound"}[30s]))',
    "meshed-pods": 'count(count by (pod) (request_total{direction="inbound"}))',
    "p99-handle-us": 'histogram_quantile(0.99, sum(rate(request_handle_us_bucket{direction="inbound"}[24h])) by (le))',
    "proxy-injector-injections": 'sum(proxy_inject_admission_responses_total{skip="false"})',
    ...Object.fromEntries(containers.map((name) => [`max-mem-${name}`, `max(container_memory_working_set_bytes{container="${name}"})`])),
    ...Object.fromEntries(
      containers.map((name) => [
        `p95-cpu-${name}`,
        `max(quantile_over_time(0.95, rate(container_cpu_usage_seconds_total{container="${name}"}[5m])[24h:5m]))`,
      ]),
    ),
  };
}

export async function collectHeartbeat(sources: HeartbeatSources): Promise<URLSearchParams> {
  const values = new URLSearchParams({ version: sources.version, source: "heartbeat" });
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      sources.onMissing(what, error as Error);
    }
  };
  await attempt("installation", async () => {
    const { uid, createdAt } = await sources.installation();
    values.set("uuid", uid);
    values.set("install-time", String(Math.floor(Date.parse(createdAt) / 1000)));
  });
  await attempt("k8s-version", async () => values.set("k8s-version", await sources.kubernetesVersion()));
  await attempt("extensions", async () => {
    for (const name of await sources.extensions()) values.set(`ext-${name}`, "1");
  });
  await attempt("service-profile-count", async () => values.set("service-profile-count", String(await sources.serviceProfiles())));
  for (const [key, expression] of Object.entries(heartbeatQueries())) {
    await attempt(key, async () => {
      const value = await sources.query(expression);
      if (value !== undefined && Number.isFinite(value))
        values.set(key, key.startsWith("p95-cpu") ? value.toFixed(3) : String(Math.round(value)));
    });
  }
  return values;
}
