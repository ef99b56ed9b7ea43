// Pages of metrics of several threads, added up: exactly, in one page's order.
import { expect, test } from "bun:test";
import { CounterFamily, GaugeFamily, HistogramFamily, Registry } from "#metrics";
import { mergePages } from "./merge.ts";

/** Three of them alike, as those of the process and its workers are. */
function page(fill: (made: ReturnType<typeof families>) => void) {
  const made = families();
  const registry = new Registry();
  registry.group(made.errors);
  registry.slot("identity");
  registry.group(made.requests, made.latency);
  registry.group(made.opens, made.open);
  fill(made);
  return registry;
}

const families = () => ({
  errors: new CounterFamily({ name: "errors_total", help: "Errors." }),
  requests: new CounterFamily({ name: "request_total", help: "Requests of a = b, say." }),
  latency: new HistogramFamily({ name: "latency_ms", help: "Latency.", bounds: [1, 5] }),
  opens: new CounterFamily({ name: "tcp_open_total", help: "Opened." }),
  open: new GaugeFamily({ name: "tcp_open_connections", help: "Open." }),
});

test("counters, gauges and histograms add; the page is as that of one thread which has done it all", () => {
  const did = {
    process: ({ opens, open }: ReturnType<typeof families>) => {
      opens.get('port="4191"').add(2);
      open.get('port="4191"').add(1);
    },
    first: ({ requests, latency, opens, open }: ReturnType<typeof families>) => {
      requests.get('path="/a b",dst="x"').add(3);
      latency.get("").observe(1);
      latency.get("").observe(7);
      opens.get('port="80"').add(3);
      open.get('port="80"').add(1);
    },
    second: ({ errors, requests, latency, opens, open }: ReturnType<typeof families>) => {
      errors.get('error="x"').add();
      requests.get('path="/a b",dst="x"').add(4);
      requests.get('dst="y"').add();
      latency.get("").observe(2);
      opens.get('port="80"').add(5);
      open.get('port="80"').add(2);
      opens.get('port="4191"').add(0);
    },
  };
  const identity = () => "# HELP identity_count I.\n# TYPE identity_count counter\nidentity_count 1\n";
  const threads = Object.values(did).map((fill) => page(fill));
  threads[0]?.fill("identity", identity);
  const alone = page((all) => {
    for (const fill of Object.values(did)) fill(all);
  });
  alone.fill("identity", identity);
  const merged = mergePages(threads.map((registry) => registry.parts(0)));
  expect(merged).toBe(alone.print(0));
  expect(merged).toContain('request_total{path="/a b",dst="x"} 7\n');
  expect(merged).toContain('latency_ms_bucket{le="+Inf"} 3\nlatency_ms_count 3\nlatency_ms_sum 10\n');
  expect(merged).toContain('tcp_open_connections{port="80"} 3\n');
  expect(merged).toContain("identity_count 1\n");
});

test("a family without series, first or last of its group, keeps its heading and place", () => {
  const a = page(({ requests }) => void requests.get("").add());
  const b = page(({ latency }) => void latency.get("").observe(1));
  const c = page(({ requests, latency }) => {
    requests.get("").add();
    latency.get("").observe(1);
  });
  expect(mergePages([a.parts(0), b.parts(0)])).toBe(c.print(0));
  expect(mergePages([b.parts(0), a.parts(0)])).toBe(c.print(0));
});

test("what one page alone has comes as it is; nothing from nobody", () => {
  const text = "# HELP process_cpu_seconds_total C.\n# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 0.25\n";
  expect(mergePages([["", text], [""], []])).toBe(text);
  expect(mergePages([])).toBe("");
});
