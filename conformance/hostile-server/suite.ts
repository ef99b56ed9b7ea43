// The mirror of h2spec: servers that break HTTP/2, against the client engine and against the proxy with its clients
// (spec hardening §1, §3 rows 1–10).
import type { CaseResult, Suite, Target } from "../suite.ts";
import { HTTP2_CASES } from "./cases.ts";
import {
  type Door,
  engine,
  inboundHttp1,
  inboundHttp2,
  outboundHttp1,
  outboundHttp2,
  outboundTls,
  outboundTlsHttp1,
  outboundUpgraded,
} from "./doors.ts";
import { runHttp1 } from "./http1.ts";
import { runHttp2 } from "./run-http2.ts";
import { runScenes } from "./scenes.ts";

export const hostileServer: Suite = {
  name: "hostile-server",
  source: "Our own: RFC 9113 and 7541, and the advisories named with the cases.",
  async prepare() {},
  targets: {
    engine,
    "outbound-http2": outboundHttp2,
    "outbound-upgraded": outboundUpgraded,
    "outbound-tls": outboundTls,
    "inbound-http2": inboundHttp2,
    "outbound-http1": outboundHttp1,
    "outbound-tls-http1": outboundTlsHttp1,
    "inbound-http1": inboundHttp1,
  },
  async run(target: Target): Promise<CaseResult[]> {
    const door = target as Door;
    if (door.server === "http1") return runHttp1(door);
    const results = await runHttp2(door, HTTP2_CASES);
    // The engine alone has nobody that sends a request again.
    return door.client === "engine" || door.tls !== null ? results : [...results, ...(await runScenes(door))];
  },
  exceptions: [
    {
      target: "outbound-tls-http1",
      case: "HTTP/1 ends: content without a length, cut off by someone on the way (RFC 9112 §9.8)",
      reason:
        "The runtime reports the end of the TCP connection and close_notify by the same event, so content that ends with the connection cannot be told from content that was cut. Proxies speak HTTP/2 to each other, which has lengths of its own; this concerns peers that speak HTTP/1 within mesh TLS, and opaque TCP.",
    },
  ],
};
