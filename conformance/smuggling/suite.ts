// Request and response smuggling through every door of the proxy (spec hardening §2, §3 rows 11–20).
import type { CaseResult, Suite, Target } from "../suite.ts";
import { CONTROLS } from "./controls.ts";
import { type Door, inbound, inboundDetected, inboundTls, outbound, twoProxies } from "./doors.ts";
import { DOWNGRADES } from "./downgrades.ts";
import { engines, runEngines } from "./engines.ts";
import { inboundHttp2, type NativeDoor, runNative } from "./native.ts";
import { comparePeers, preparePeers } from "./peers.ts";
import { REQUESTS } from "./requests.ts";
import { RESPONSES } from "./responses.ts";
import { runDowngrades } from "./run-downgrades.ts";
import { runPaths } from "./run-paths.ts";
import { runRequests, runSplits } from "./run-requests.ts";
import { runResponses } from "./run-responses.ts";
import { SAMPLES } from "./samples.ts";

/** Of the short ones every sixteenth, for what is slow. */
const SAMPLE = [...SAMPLES, ...REQUESTS, ...CONTROLS].filter(({ bytes }, i) => i % 16 === 0 && bytes.length < 200);

export const smuggling: Suite = {
  name: "smuggling",
  source: "Our own: RFC 9110, 9112 and 9113, and the advisories named with the cases.",
  async prepare() {
    preparePeers();
  },
  targets: {
    engines,
    inbound,
    "inbound-detected": inboundDetected,
    "inbound-tls": inboundTls,
    outbound,
    "two-proxies": twoProxies,
    "inbound-http2": inboundHttp2,
  },
  async run(target: Target): Promise<CaseResult[]> {
    if (target.name === "engines") return runEngines(target, [...SAMPLES, ...REQUESTS, ...CONTROLS]);
    if ("app" in target) return runNative(target as NativeDoor);
    const door = target as Door;
    const results = await runRequests(door, [...SAMPLES, ...REQUESTS, ...CONTROLS]);
    results.push(...(await runSplits(door, SAMPLE)));
    results.push(...(await runResponses(door, RESPONSES)));
    if (door.downgrades) results.push(...(await runDowngrades(door, DOWNGRADES)));
    results.push(...(await runPaths(door)));
    return results;
  },
  exceptions: [],
  notes: comparePeers,
};
