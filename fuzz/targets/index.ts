// Every target, by name. Each is a file of the same name.
import type { Target } from "../target.ts";
import addr from "./addr.ts";
import detect from "./detect.ts";
import dns from "./dns.ts";
import envValue from "./env-value.ts";
import grpcFrames from "./grpc-frames.ts";
import hpack from "./hpack.ts";
import http1Chunked from "./http1-chunked.ts";
import http1Request from "./http1-request.ts";
import http1Response from "./http1-response.ts";
import http2Client from "./http2-client.ts";
import http2Frames from "./http2-frames.ts";
import http2Server from "./http2-server.ts";
import identityChain from "./identity-chain.ts";
import identityCsr from "./identity-csr.ts";
import inboundRequests from "./inbound-requests.ts";
import kubeconfig from "./kubeconfig.ts";
import labelSelector from "./label-selector.ts";
import logFilter from "./log-filter.ts";
import metricsLabels from "./metrics-labels.ts";
import origProto from "./orig-proto.ts";
import policy from "./policy.ts";
import portList from "./port-list.ts";
import profile from "./profile.ts";
import protobuf from "./protobuf.ts";
import tapMatch from "./tap-match.ts";
import tlsSniff from "./tls-sniff.ts";
import traceContext from "./trace-context.ts";
import transportHeader from "./transport-header.ts";

export const targets: readonly Target[] = [
  addr,
  detect,
  dns,
  envValue,
  grpcFrames,
  hpack,
  http1Chunked,
  http1Request,
  http1Response,
  http2Client,
  http2Frames,
  http2Server,
  identityChain,
  identityCsr,
  inboundRequests,
  kubeconfig,
  labelSelector,
  logFilter,
  metricsLabels,
  origProto,
  policy,
  portList,
  profile,
  protobuf,
  tapMatch,
  tlsSniff,
  traceContext,
  transportHeader,
];
