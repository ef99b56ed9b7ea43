// What the harness makes of the numbers it reads.
import { describe, expect, test } from "bun:test";
import { activeOpens, cpuOfStat, cpuTime, family, memory, memoryOfRollup } from "./cost.ts";
import { parseH2load, parseLine, parseWrk } from "./load.ts";
import type { Cell } from "./measure.ts";
import { type About, costRow, describeBounds, holds, table, valuesRow } from "./report.ts";
import { median, spread } from "./statistics.ts";

test("median and spread", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
  expect(spread([90, 100, 120])).toBeCloseTo(0.15);
});

describe("/proc", () => {
  test("CPU of a process whose name has spaces and parentheses", () => {
    expect(cpuOfStat("7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 25 15 3 4 20 0 1 0 10 0 0")).toEqual({
      total: 400_000,
      kernel: 150_000,
    });
  });

  test("memory", () => {
    const rollup = "55d0-7ffc ---p 0 00:00 0 [rollup]\nRss:  1000 kB\nPss:  500 kB\nPrivate_Dirty:  200 kB\nAnonymous:  300 kB\n";
    expect(memoryOfRollup(rollup)).toEqual({ rss: 1.024, pss: 0.512, own: 0.3072 });
  });

  test("this process", () => {
    expect(family(process.pid)[0]).toBe(process.pid);
    expect(cpuTime(process.pid).total).toBeGreaterThan(0);
    expect(activeOpens(process.pid)).toBeGreaterThanOrEqual(0);
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

  test("h2load", () => {
    const good = `finished in 2.00s, 2.00 req/s, 11.60MB/s
requests: 4 total, 6 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 23.19MB (24319832) total, 5.94MB (6223986) headers (space savings 49.06%), 420B (420) data
`;
    expect(parseH2load(good, 105)).toEqual({ requests: 4, seconds: 2, faults: [] });
    expect(parseH2load(good, 100).faults).toEqual([]);
    expect(parseH2load(good, 106).faults).toEqual(["420 bytes in 4 answers of 106"]);
    expect(parseH2load(good.replace("4 succeeded, 0 failed", "3 succeeded, 1 failed"), 105).faults).toHaveLength(1);
    expect(parseH2load(good.replace("4 2xx, 0 3xx, 0 4xx", "3 2xx, 0 3xx, 1 4xx"), 105).faults).toEqual([
      "status codes: 3 2xx, 0 3xx, 1 4xx, 0 5xx",
    ]);
    expect(parseH2load("cannot connect", 105).faults).toEqual(["h2load: cannot connect"]);
  });

  test("generators of our own", () => {
    expect(parseLine<{ sent: number }>('noise\n{"sent":1}\n')).toEqual({ sent: 1 });
    expect(parseLine("error: x")).toBeNull();
  });
});

describe("report", () => {
  const cell = (a: number, b: number, faults: string[] = []): Cell => ({
    a,
    b,
    kernelShare: 0.5,
    rate: 1000,
    requests: 1000,
    generatorShare: 0.1,
    faults,
  });
  const about: About = {
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
    expect(row.barMet).toBe(true);
    expect(row.goalMet).toBeNull();
    const text = table([row], ["fairlead", "haproxy-h2", "envoy"]);
    expect(text).toContain("36.0 (31.0 + 41.0 µs, ±3 %)");
    expect(text).toContain("void");
    expect(text).toEndWith("bar met");
  });

  test("values of which several were taken, also of Fairlead under other conditions", () => {
    const row = valuesRow(
      { id: "P5", what: "churn", unit: "µs", goal: [{ peer: "quiet", max: 1.1 }] },
      new Map([
        ["fairlead", [110, 130]],
        ["quiet", [100]],
      ]),
    );
    expect([row.fairlead, row.peers, row.barMet, row.goalMet]).toEqual([120, { quiet: 100 }, null, false]);
    expect(table([row], ["fairlead", "envoy"])).toContain("120 (±8 %, quiet 100: 1.20×)");
    expect(table([row], ["fairlead"])).toEndWith("goal missed");
  });

  test("bounds", () => {
    expect(holds({ fairlead: 36, ratio: {} }, [{ max: 35 }])).toBe(false);
    expect(holds({ fairlead: null, ratio: {} }, [{ max: 35 }])).toBeNull();
    expect(holds({ fairlead: 95, ratio: {} }, [{ min: 95 }])).toBe(true);
    expect(holds({ fairlead: 94, ratio: {} }, [{ min: 95 }])).toBe(false);
    expect(holds({ fairlead: 94, ratio: {} }, [])).toBeNull();
    expect(describeBounds(about.goal ?? [])).toBe("≤ 0.26× envoy, ≤ 1× haproxy-h2");
    expect(describeBounds([{ max: 12 }])).toBe("≤ 12");
    expect(describeBounds([{ min: 95 }])).toBe("≥ 95");
  });
});
