// Every target, by name. Each is a file of the same name.
import type { Target } from "../target.ts";
import addr from "./addr.ts";
import detect from "./detect.ts";
import grpcFrames from "./grpc-frames.ts";
import hpack from "./hpack.ts";
import http1Chunked from "./http1-chunked.ts";
import http1Request from "./http1-request.ts";
import http2Client from "./http2-client.ts";
import http2Server from "./http2-server.ts";
import logFilter from "./log-filter.ts";
import metricsLabels from "./metrics-labels.ts";
import portList from "./port-list.ts";
import tlsSniff from "./tls-sniff.ts";
import traceContext from "./trace-context.ts";
import transportHeader from "./transport-header.ts";

export const targets: readonly Target[] = [
  addr,
  detect,
  grpcFrames,
  hpack,
  http1Chunked,
  http1Request,
  http2Client,
  http2Server,
  logFilter,
  metricsLabels,
  portList,
  tlsSniff,
  traceContext,
  transportHeader,
];
