// Who talks to whom, how well and how securely: read from the proxies' own metrics, as a dashboard would. Pure.

/** One series of a Prometheus text page. */
export type Sample = { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly value: number };

export function parseExposition(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(/([a-zA-Z_]\w*)="([^"]*)"/g)) labels[name as string] = value as string;
    samples.push({ name: match[1] as string, labels, value: Number(match[3]) });
  }
  return samples;
}

export type Edge = {
  readonly client: string;
  readonly server: string;
  /** `mTLS`, or why not. */
  readonly secured: string;
  readonly successes: number;
  readonly failures: number;
  /** Cumulative counts by upper bound in ms. */
  readonly buckets: ReadonlyMap<number, number>;
};

/**
 * Edges into one meshed workload from its inbound metrics. `server` names the workload; the client is known by its identity.
 * The admin port's own traffic (probes, scrapes) is left out.
 */
export function inboundEdges(server: string, samples: readonly Sample[]): Edge[] {
  const edges = new Map<string, { client: string; secured: string; successes: number; failures: number; buckets: Map<number, number> }>();
  for (const { name, labels, value } of samples) {
    if (labels["direction"] !== "inbound" || labels["target_port"] === "4191") continue;
    if (name !== "response_total" && name !== "response_latency_ms_bucket") continue;
    const tls = labels["tls"] === "true";
    const client = tls ? labels["client_id"] || "(anonymous)" : "(unmeshed)";
    const secured = tls ? "mTLS" : (labels["no_tls_reason"] ?? labels["tls"] ?? "");
    const key = `${client} ${secured}`;
    const edge = edges.get(key) ?? { client, secured, successes: 0, failures: 0, buckets: new Map<number, number>() };
    edges.set(key, edge);
    if (name === "response_total") {
      if (labels["classification"] === "success") edge.successes += value;
      else edge.failures += value;
    } else {
      const bound = labels["le"] === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels["le"]);
      edge.buckets.set(bound, (edge.buckets.get(bound) ?? 0) + value);
    }
  }
  return [...edges.values()].map((edge) => ({ ...edge, server }));
}

/** What happened between two readings of the same edges. A restarted proxy counts from zero. */
export function since(before: readonly Edge[], after: readonly Edge[]): Edge[] {
  return after.map((edge) => {
    const old = before.find(
      (candidate) => candidate.client === edge.client && candidate.server === edge.server && candidate.secured === edge.secured,
    );
    if (!old || old.successes + old.failures > edge.successes + edge.failures) return edge;
    return {
      ...edge,
      successes: edge.successes - old.successes,
      failures: edge.failures - old.failures,
      buckets: new Map([...edge.buckets].map(([bound, count]) => [bound, count - (old.buckets.get(bound) ?? 0)])),
    };
  });
}

/** Joins the same edge seen at several pods. */
export function merge(edges: readonly Edge[]): Edge[] {
  const merged = new Map<string, Edge>();
  for (const edge of edges) {
    const key = `${edge.client} ${edge.server} ${edge.secured}`;
    const old = merged.get(key);
    const bounds = new Set([...edge.buckets.keys(), ...(old?.buckets.keys() ?? [])]);
    merged.set(key, {
      ...edge,
      successes: edge.successes + (old?.successes ?? 0),
      failures: edge.failures + (old?.failures ?? 0),
      buckets: new Map([...bounds].map((bound) => [bound, (edge.buckets.get(bound) ?? 0) + (old?.buckets.get(bound) ?? 0)])),
    });
  }
  return [...merged.values()].sort((a, b) => (a.server + a.client < b.server + b.client ? -1 : 1));
}

/** The quantile in ms by linear interpolation within its bucket, as PromQL's histogram_quantile; null without data. */
export function quantile(buckets: ReadonlyMap<number, number>, q: number): number | null {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (total === 0) return null;
  const rank = q * total;
  let lower = 0;
  let below = 0;
  for (const [bound, count] of sorted) {
    if (count >= rank) {
      if (bound === Number.POSITIVE_INFINITY) return lower;
      return count === below ? bound : lower + ((bound - lower) * (rank - below)) / (count - below);
    }
    lower = bound;
    below = count;
  }
  return lower;
}
