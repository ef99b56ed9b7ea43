// Label values of metrics, which clients choose, in the text that Prometheus reads.
import { CounterFamily, formatLabels, HistogramFamily, joinLabels, LATENCY_BOUNDS_MS, Registry } from "#metrics";
import { Choices } from "../input.ts";
import { check, same, type Target } from "../target.ts";

const target: Target = {
  name: "metrics-labels",
  what: "metrics: whatever values clients choose, the page has the lines of its series and no others, each of the text format",
  maxBytes: 512,
  seeds: ["\x01\x09authority\x0ba.b:80\x02xx", '\x02\x01a\x04a"b\\\x01b\x05\n# {}', '\x03\x01a\x0c"} 1\nforged 2\x01c\x01d'],
  dictionary: ['"', "\\", "\n", '"} 1\n', "le=", ",", "{", "}", "\xe2\x82\xac"],
  run(input) {
    const choices = new Choices(input);
    const registry = new Registry();
    const counters = new CounterFamily({ name: "request_total", help: "h" });
    const latencies = new HistogramFamily({ name: "latency_ms", help: "h", bounds: LATENCY_BOUNDS_MS });
    registry.group(counters, latencies);
    const texts = new Set<string>();
    while (!choices.done && texts.size < 16) {
      const values = Array.from({ length: choices.below(4) }, (): string =>
        Buffer.from(choices.bytes(40)).toString(choices.bool() ? "utf8" : "latin1"),
      );
      const labels = joinLabels(
        formatLabels(values.slice(0, 1).map((value) => ["a", value])),
        formatLabels(values.slice(1).map((value, i) => [`b${i}`, value])),
      );
      const pairs = parsePairs(labels);
      same(pairs.length, values.length, "as many labels as were given");
      for (const [i, value] of values.entries())
        check(
          pairs[i]?.[1]?.length === value.length && !/["\\\x00-\x1f\x7f]/.test(pairs[i]?.[1] ?? ""),
          "a value of the same length without what breaks a line",
        );
      texts.add(labels);
      counters.get(labels).add();
      latencies.get(labels).observe(choices.byte());
    }
    page(registry.print(0), texts.size);
  },
};
export default target;

function page(text: string, series: number): void {
  if (series === 0) {
    same(text, "", "no series, no page");
    return;
  }
  check(text.endsWith("\n"), "the last line ends");
  const lines = text.slice(0, -1).split("\n");
  let samples = 0;
  for (const line of lines) {
    if (/^# (HELP|TYPE) [a-z_]+ [a-z]+$/.test(line)) continue;
    const sample = /^(request_total|latency_ms_(?:bucket|count|sum))(?:\{(.*)\})? (\d+)$/.exec(line);
    check(sample !== null, () => `no line of the format: ${JSON.stringify(line)}`);
    if (sample[2] !== undefined) parsePairs(sample[2]);
    samples++;
  }
  same([samples, lines.length - samples], [series * (1 + LATENCY_BOUNDS_MS.length + 3), 4], "lines of the page");
}

/** `name="value",…`; values have no escapes. */
function parsePairs(text: string): [string, string][] {
  const pairs: [string, string][] = [];
  let rest = text;
  while (rest !== "") {
    const pair = /^([a-z][a-z0-9]*)="([^"\\\n]*)"(?:,(?=.)|$)/s.exec(rest);
    check(pair !== null, () => `no label: ${JSON.stringify(rest)}`);
    pairs.push([pair[1] as string, pair[2] as string]);
    rest = rest.slice(pair[0].length);
  }
  return pairs;
}
