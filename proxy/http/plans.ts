// The few ways a stack's responses are changed, by how the request came and went.
import type { ResponsePlan } from "./response.ts";

export type ResponsePlans = {
  /** HTTP/1 request on an HTTP/1 connection. */
  readonly http1: ResponsePlan;
  /** HTTP/2 request on an HTTP/2 connection. */
  readonly http2: ResponsePlan;
  /** HTTP/1 request that rode HTTP/2 from here on (outbound). */
  readonly upgraded: ResponsePlan;
  /** HTTP/1 request that came on HTTP/2 (inbound). */
  readonly downgraded: ResponsePlan;
};

export function responsePlans(options: Pick<ResponsePlan, "peerClose" | "stripProxyError">): ResponsePlans {
  const base: ResponsePlan = { version: "HTTP/1.1", origProto: false, upgraded: false, ...options };
  return {
    http1: base,
    http2: { ...base, version: "HTTP/2" },
    upgraded: { ...base, upgraded: true },
    downgraded: { ...base, version: "HTTP/2", origProto: true },
  };
}
