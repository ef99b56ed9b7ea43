// A short soak, and the journeys that need no database: the built proxy in namespaces, nothing wrong, nothing left over.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { journeys } from "./journeys/journeys.ts";
import { reportText } from "./report.ts";
import { soak } from "./soak.ts";

const able = process.getuid?.() === 0 && (existsSync("/usr/sbin/iptables") || existsSync("/sbin/iptables"));
const MEBIBYTE = 1024 * 1024;
/** A leak at once, not a slow one: that takes `npm run soak`. */
const GENEROUS_MB = 250;

test.if(able)(
  "fifteen seconds of everything",
  async () => {
    const result = await soak({
      seconds: 15,
      rate: 100,
      cores: availableParallelism(),
      prefix: `flt${process.pid}`,
      instances: 3,
      churnMs: 1000,
      certificateLifetimeMs: 8000,
      policyMs: 2000,
      restartMs: 6000,
      outageMs: 1000,
      sampleMs: 2000,
      tapMs: 4000,
      idleMs: 1000,
      say: () => {},
    });
    if (result.faults.length > 0) throw new Error(reportText({ ...result, started: "", command: "", machine: "" }));
    expect(result.events.churn).toBeGreaterThan(3);
    expect(result.events.policyChanges).toBeGreaterThan(1);
    expect(result.events.restarts).toBeGreaterThan(0);
    for (const side of ["a", "b"] as const) {
      expect(result.certificates[side]).toBeGreaterThan(1);
      expect(result.tapped[side]).toBeGreaterThan(0);
      expect(Math.max(...result.samples[side].map(({ rss }) => rss))).toBeLessThan(GENEROUS_MB);
    }
  },
  120_000,
);

test.if(able)(
  "a retried call, a WebSocket, an upload, a stream: same bytes, seen in metrics and tap",
  async () => {
    const results = await journeys({
      streamSeconds: 3,
      uploadBytes: 64 * MEBIBYTE,
      mariadb: false,
      cores: availableParallelism(),
      prefix: `flk${process.pid}`,
      say: () => {},
    });
    expect(results.map(({ name, faults }) => ({ name, faults }))).toEqual(
      ["retried gRPC call", "WebSocket", "upload", "bidirectional gRPC stream"].map((name) => ({ name, faults: [] })),
    );
  },
  120_000,
);
