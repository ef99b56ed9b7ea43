// The mirror of h2spec: servers that break HTTP/2, against the client engine and against the proxy with its clients
// (spec hardening §1, §3 rows 1–10).
import type { CaseResult, Suite, Target } from "../suite.ts";
import { HTTP2_CASES } from "./cases.ts";
import { type Door, engine, inboundHttp2, outboundHttp2, outboundUpgraded } from "./doors.ts";
import { runHttp2 } from "./run-http2.ts";

export const hostileServer: Suite = {
  name: "hostile-server",
  source: "Our own: RFC 9113 and 7541, and the advisories named with the cases.",
  async prepare() {},
  targets: { engine, "outbound-http2": outboundHttp2, "outbound-upgraded": outboundUpgraded, "inbound-http2": inboundHttp2 },
  async run(target: Target): Promise<CaseResult[]> {
    return runHttp2(target as Door, HTTP2_CASES);
  },
  exceptions: [],
};
