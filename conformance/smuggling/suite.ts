// Request and response smuggling through every door of the proxy (spec hardening §2, §3 rows 11–20).
import type { CaseResult, Suite, Target } from "../suite.ts";
import { CONTROLS } from "./controls.ts";
import { type Door, inbound, inboundDetected, inboundTls, outbound, twoProxies } from "./doors.ts";
import { REQUESTS } from "./requests.ts";
import { RESPONSES } from "./responses.ts";
import { runRequests } from "./run-requests.ts";
import { runResponses } from "./run-responses.ts";
import { SAMPLES } from "./samples.ts";

export const smuggling: Suite = {
  name: "smuggling",
  source: "Our own: RFC 9110, 9112 and 9113, and the advisories named with the cases.",
  async prepare() {},
  targets: { inbound, "inbound-detected": inboundDetected, "inbound-tls": inboundTls, outbound, "two-proxies": twoProxies },
  async run(target: Target): Promise<CaseResult[]> {
    const door = target as Door;
    return [...(await runRequests(door, [...SAMPLES, ...REQUESTS, ...CONTROLS])), ...(await runResponses(door, RESPONSES))];
  },
  exceptions: [],
};
