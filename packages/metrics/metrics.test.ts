import { describe, expect, test } from "bun:test";
import { CounterFamily, formatLabels, GaugeFamily, HistogramFamily, MAX_HISTOGRAM_SERIES, MAX_SERIES, Registry } from "./index.ts";

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
  test("an idle series goes after the retention and is printed a last time", () => {
    const family = new CounterFamily({ name: "x", help: "X.", retention: 600_000 });
    family.get('a="1"').add();
    family.print(0);
    expect(family.print(600_000)).toContain('a="1"');
    expect(family.print(600_001)).toContain('a="1"');
    expect(family.print(600_002)).not.toContain('a="1"');
    family.get('a="1"').add();
    expect(family.print(600_003)).toContain('x{a="1"} 1');
  });

  test("a series that somebody holds stays, however long it is idle; the last holder decides", () => {
    const family = new CounterFamily({ name: "x", help: "X.", retention: 10 });
    const holders = [{ held: true }, { held: true }];
    for (const holder of holders) family.get("", holder).add();
    family.print(0);
    family.print(1000);
    (holders[0] as { held: boolean }).held = false;
    family.print(2000);
    expect(family.size).toBe(1);
    (holders[1] as { held: boolean }).held = false;
    expect(family.print(3000)).toContain("x 2");
    expect(family.size).toBe(0);
  });

  test("what belongs to a gauge stays while it is not zero", () => {
    const open = new GaugeFamily({ name: "open", help: "Open.", retention: 10 }).get("");
    const bytes = new CounterFamily({ name: "bytes", help: "Bytes.", retention: 10 });
    bytes.get("", open).add();
    open.add(1);
    bytes.print(0);
    bytes.print(1000);
    expect(bytes.size).toBe(1);
    open.add(-1);
    bytes.print(2000);
    expect(bytes.size).toBe(0);
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

test.each([
  ["counters", new CounterFamily({ name: "x", help: "X." }), MAX_SERIES],
  ["gauges", new GaugeFamily({ name: "x", help: "X." }), MAX_SERIES],
] as const)("more %s than the bound share one series", (_, family, bound) => {
  for (let i = 0; i < bound; i++) family.get(`a="${i}"`).add(1);
  expect(family.size).toBe(bound);
  family.get('a="one too many"').add(1);
  family.get('a="two too many"').add(1);
  expect(family.size).toBe(bound + 1);
  expect(family.get('overflow="true"').value).toBe(2);
  // Those that are there go on.
  family.get('a="0"').add(1);
  expect(family.get('a="0"').value).toBe(2);
});

test("more histograms than the bound share one series", () => {
  const family = new HistogramFamily({ name: "x", help: "X.", bounds: [1] });
  for (let i = 0; i < MAX_HISTOGRAM_SERIES + 2; i++) family.get(`a="${i}"`).observe(1);
  expect(family.size).toBe(MAX_HISTOGRAM_SERIES + 1);
  expect(family.get('overflow="true"').count).toBe(2);
});

test("a million label values take no more memory than the bound", () => {
  const families = [
    new CounterFamily({ name: "x", help: "X." }),
    new HistogramFamily({ name: "y", help: "Y.", bounds: [1, 2, 3] }),
  ] as const;
  const holder = { held: true };
  const use = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      families[0].get(`host="${i}.example"`, holder).add();
      families[1].get(`host="${i}.example"`, holder).observe(1);
    }
    Bun.gc(true);
  };
  use(0, 100_000);
  const before = process.memoryUsage().heapUsed;
  use(100_000, 1_000_000);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(8 * 1024 * 1024);
  expect(families.map(({ size }) => size)).toEqual([MAX_SERIES + 1, MAX_HISTOGRAM_SERIES + 1]);
  expect(families[0].get('overflow="true"').value).toBe(1_000_000 - MAX_SERIES);
});

test("when series have expired there is room again", () => {
  const family = new CounterFamily({ name: "x", help: "X.", retention: 10 });
  for (let i = 0; i < MAX_SERIES; i++) family.get(`a="${i}"`).add();
  family.print(0);
  family.print(11);
  expect(family.size).toBe(0);
  family.get('a="new"').add();
  expect(family.print(12)).toContain('x{a="new"} 1');
});

test("numbers: counters begin again at 2⁵³, sums are whole milliseconds, cut off", () => {
  const counter = new CounterFamily({ name: "x", help: "X." });
  counter.get("").add(2 ** 53 - 1);
  expect(counter.print(0)).toContain("x 9007199254740991\n");
  counter.get("").add(1);
  expect(counter.print(0)).toContain("x 0\n");
  const histogram = new HistogramFamily({ name: "y", help: "Y.", bounds: [1] });
  histogram.get("").observe(0.9);
  histogram.get("").observe(0.9);
  expect(histogram.print(0)).toContain("y_sum 1\n");
});

test("a label value cannot forge a line or another label", () => {
  expect(
    formatLabels([
      ["a", 'x",b="y'],
      ["c", "1\n2\\"],
    ]),
  ).toBe('a="x_,b=_y",c="1_2_"');
});
