import { describe, expect, test } from "bun:test";
import { CounterFamily, formatLabels, GaugeFamily, HistogramFamily, MAX_SERIES, Registry } from "./index.ts";

test("a page: HELP and TYPE, series in order of their making, whole groups only", () => {
  const registry = new Registry();
  const requests = new CounterFamily({ name: "request_total", help: "Total count of HTTP requests." });
  const latency = new HistogramFamily({ name: "latency_ms", help: "Latency.", bounds: [1, 5] });
  registry.group(requests, latency);
  registry.group(new GaugeFamily({ name: "empty", help: "Never printed." }));
  registry.text(() => "process 1\n");
  expect(registry.print(0)).toBe("process 1\n");
  requests.get(formatLabels([["direction", "inbound"]])).add();
  requests.get(formatLabels([["direction", "inbound"]])).add(2);
  latency.get("").observe(1);
  latency.get("").observe(4);
  latency.get("").observe(60);
  expect(registry.print(0)).toBe(`# HELP request_total Total count of HTTP requests.
# TYPE request_total counter
request_total{direction="inbound"} 3
# HELP latency_ms Latency.
# TYPE latency_ms histogram
latency_ms_bucket{le="1"} 1
latency_ms_bucket{le="5"} 2
latency_ms_bucket{le="+Inf"} 3
latency_ms_count 3
latency_ms_sum 65
process 1
`);
});

describe("expiry", () => {
  test("an idle series goes after the retention, is printed a last time, and comes back when it is used", () => {
    const family = new CounterFamily({ name: "x", help: "X.", retention: 600_000 });
    const series = family.get('a="1"');
    series.add();
    family.print(0);
    expect(family.print(600_000)).toContain('a="1"');
    expect(family.print(600_001)).toContain('a="1"');
    expect(family.print(600_002)).not.toContain('a="1"');
    series.add();
    expect(family.print(600_003)).toContain('x{a="1"} 2');
  });

  test("a gauge stays while it is not zero", () => {
    const family = new GaugeFamily({ name: "open", help: "Open.", retention: 10 });
    family.get("").add(1);
    family.print(0);
    family.print(1e9);
    expect(family.size).toBe(1);
    family.get("").add(-1);
    family.print(1e9);
    family.print(2e9);
    expect(family.size).toBe(0);
  });

  test("a change begins the retention anew", () => {
    const family = new CounterFamily({ name: "x", help: "X.", retention: 10 });
    const series = family.get("");
    family.print(0);
    series.add();
    family.print(9);
    family.print(19);
    expect(family.size).toBe(1);
    family.print(20);
    expect(family.size).toBe(0);
  });
});

test("more series than the bound share one", () => {
  const family = new CounterFamily({ name: "x", help: "X." });
  for (let i = 0; i < MAX_SERIES; i++) family.get(`a="${i}"`).add();
  expect(family.size).toBe(MAX_SERIES);
  family.get('a="one too many"').add();
  family.get('a="two too many"').add();
  expect(family.size).toBe(MAX_SERIES + 1);
  expect(family.get('overflow="true"').value).toBe(2);
});

test("a label value cannot forge a line or another label", () => {
  expect(
    formatLabels([
      ["a", 'x",b="y'],
      ["c", "1\n2\\"],
    ]),
  ).toBe('a="x_,b=_y",c="1_2_"');
});
