// What becomes of a response head on its way to the client, once per head that repeats (spec proxy §3.7, §4.8). Pure.
import { downgradeResponse, type Fields, type HttpVersion, type ResponseHead, stripHopByHop, upgradeResponse, withoutField } from "#http";

/** How responses of one stack are changed. A few per stack; identity is the key of the memo. */
export type ResponsePlan = {
  /** Version to answer with: of the server connection's request. */
  readonly version: HttpVersion;
  /** The request was downgraded: say the application's version in `l5d-orig-proto` (inbound). */
  readonly origProto: boolean;
  /** The request was upgraded: take `l5d-orig-proto` off (outbound). */
  readonly upgraded: boolean;
  /** Outbound: take `l5d-proxy-connection` off, and obey it when the endpoint is a meshed peer. */
  readonly peerClose: "ignore" | "strip" | "obey";
  /** Outbound with informational headers disabled. */
  readonly stripProxyError: boolean;
};

/** Lives in `Head.derived` of a response. */
export class DerivedResponse {
  readonly plan: ResponsePlan;
  readonly head: ResponseHead;
  /** `grpc-status` among the fields, -1 when absent or not a number. */
  readonly grpcStatus: number;
  /** The meshed peer asked for the client's connection to end. */
  readonly close: boolean;

  constructor(plan: ResponsePlan, head: ResponseHead, grpcStatus: number, close: boolean) {
    this.plan = plan;
    this.head = head;
    this.grpcStatus = grpcStatus;
    this.close = close;
  }
}

/** @param tunnel 101 or 2xx to CONNECT: connection fields are the end points' own */
export function deriveResponse(head: ResponseHead, plan: ResponsePlan, tunnel: boolean): DerivedResponse {
  const known = head.derived;
  if (known instanceof DerivedResponse && known.plan === plan && !tunnel) return known;
  const made = make(head, plan, tunnel);
  head.derived = made;
  return made;
}

function make(received: ResponseHead, plan: ResponsePlan, tunnel: boolean): DerivedResponse {
  let head = received;
  if (plan.upgraded) head = downgradeResponse(head, plan.version);
  else if (plan.origProto) head = upgradeResponse(head);
  let fields: Fields = head.version === "HTTP/2" || tunnel ? head.fields : stripHopByHop(head.fields);
  let close = false;
  if (plan.peerClose !== "ignore") {
    const value = received.get("l5d-proxy-connection");
    if (value !== undefined) {
      fields = withoutField(fields, "l5d-proxy-connection");
      close = plan.peerClose === "obey" && value.trim().toLowerCase() === "close";
      if (close && plan.version !== "HTTP/2") fields = [...fields, "connection", "close"];
    }
  }
  if (plan.stripProxyError) fields = withoutField(fields, "l5d-proxy-error");
  return new DerivedResponse(plan, fields === head.fields ? head : head.with({ fields }), grpcStatusOf(received.fields), close);
}

/** `grpc-status` of headers or trailers; -1 when absent or no number. */
export function grpcStatusOf(fields: Fields): number {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== "grpc-status") continue;
    const value = fields[i + 1] as string;
    return /^[0-9]{1,9}$/.test(value) ? Number(value) : -1;
  }
  return -1;
}
