// What the harness makes of the numbers it reads.
import { describe, expect, test } from "bun:test";
import { cpuMicros, cpuOfStat, family, memory, memoryOfRollup } from "./cost.ts";
import { parseOpenLoop, parseWrk } from "./load.ts";
import type { Cell } from "./measure.ts";
import { costRow, describeBounds, holds, table } from "./report.ts";
import { median, spread } from "./statistics.ts";

test("median and spread", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
  expect(spread([90, 100, 120])).toBeCloseTo(0.15);
});

describe("/proc", () => {
  test("CPU of a process whose name has spaces and parentheses", () => {
    expect(cpuOfStat("7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 25 15 3 4 20 0 1 0 10 0 0")).toBe(400_000);
  });

  test("memory", () => {
    const rollup = "55d0-7ffc ---p 0 00:00 0 [rollup]\nRss:  1000 kB\nPss:  500 kB\nPrivate_Clean:  100 kB\nPrivate_Dirty:  200 kB\n";
    expect(memoryOfRollup(rollup)).toEqual({ rss: 1.024, pss: 0.512, private: 0.3072 });
  });

  test("this process", () => {
    expect(family(process.pid)[0]).toBe(process.pid);
    expect(cpuMicros(process.pid)).toBeGreaterThan(0);
    expect(memory(process.pid).rss).toBeGreaterThan(1);
  });
});

describe("load generators", () => {
  test("wrk", () => {
    const good =
      "Running 2s test @ http://a/\n  1 threads and 32 connections\n  20000 requests in 2.01s, 5.00MB read\nRequests/sec:   9950\n";
    expect(parseWrk(good)).toEqual({ requests: 20000, seconds: 2.01, faults: [] });
    expect(parseWrk(good.replace("2.01s", "1.5m")).seconds).toBe(90);
    expect(parseWrk(`${good}  Socket errors: connect 0, read 1, write 0, timeout 0\n  Non-2xx or 3xx responses: 5\n`).faults).toEqual([
      "Socket errors: connect 0, read 1, write 0, timeout 0",
      "Non-2xx or 3xx responses: 5",
    ]);
    expect(parseWrk("unable to connect").faults).toEqual(["wrk: unable to connect"]);
  });

  test("open loop", () => {
    expect(parseOpenLoop('{"sent":1}\n') as unknown).toEqual({ sent: 1 });
    expect(parseOpenLoop("error: x")).toBeNull();
  });
});

describe("report", () => {
  const cell = (a: number, b: number, faults: string[] = []): Cell => ({ a, b, rate: 1000, requests: 1000, generatorShare: 0.1, faults });
  const about = {
    id: "P1",
    what: "saturation",
    unit: "µs",
    bar: [{ peer: "envoy", max: 0.5 }],
    goal: [
      { peer: "envoy", max: 0.26 },
      { peer: "haproxy-h2", max: 1 },
    ],
  };

  test("medians of good runs, ratios, verdicts", () => {
    const row = costRow(
      about,
      new Map([
        ["fairlead", [cell(30, 40), cell(32, 42), cell(900, 900, ["generator"])]],
        ["envoy", [cell(140, 150)]],
        ["haproxy-h2", [cell(0, 0, ["void"])]],
      ]),
    );
    expect(row.fairlead).toBe(36);
    expect(row.peers).toEqual({ envoy: 145 });
    expect(row.ratio["envoy"]).toBeCloseTo(0.248);
    expect(row.detail["fairlead"]?.faults).toEqual(["generator"]);
    expect(row.detail["fairlead"]?.repeats).toBe(2);
    expect(holds(row, about.bar)).toBe(true);
    expect(holds(row, about.goal)).toBeNull();
    expect(holds(row, [{ max: 35 }])).toBe(false);
    expect(holds({ fairlead: null, ratio: {} }, [{ max: 35 }])).toBeNull();
    const text = table([{ row, bar: about.bar, goal: about.goal }], ["fairlead", "haproxy-h2", "envoy"]);
    expect(text).toContain("36.0 (31.0 + 41.0 µs, ±3 %)");
    expect(text).toContain("void");
    expect(text).toContain("bar met");
  });

  test("bounds in words", () => {
    expect(describeBounds(about.goal)).toBe("≤ 0.26× envoy, ≤ 1× haproxy-h2");
    expect(describeBounds([{ max: 12 }])).toBe("≤ 12");
  });
});
