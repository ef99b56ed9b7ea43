// HTTP as both protocol engines and the proxy speak of it: heads, and the contract of an exchange. Contract of #http.

export { isAuthority, portOf, sameAuthority } from "./authority.ts";
export {
  type ClientEngine,
  type ClientStream,
  type Engine,
  type EngineHost,
  ErrorCode,
  type Incoming,
  OUTPUT_BYTES,
  type Outgoing,
  type RequestHandler,
  type ResponseIncoming,
  type ServerEngine,
  type ServerStream,
  type StreamError,
} from "./exchange.ts";
export {
  type Fields,
  Head,
  type HttpVersion,
  RequestHead,
  type RequestInit,
  ResponseHead,
  type ResponseInit,
  type TargetForm,
} from "./head.ts";
export { isHopByHop, stripHopByHop, withField, withoutField } from "./hop-by-hop.ts";
export { isClassifiedAsGrpc, isGrpc, isTunnel, wantsUpgrade } from "./kinds.ts";
export {
  type Downgraded,
  downgradeRequest,
  downgradeResponse,
  http1Fault,
  ORIG_PROTO,
  upgradeRequest,
  upgradeResponse,
} from "./orig-proto.ts";
export { OutputBuffer, OutputPool } from "./output-buffer.ts";
export { reasonPhrase } from "./reason.ts";
