// What the controllers share: flags, logs, metrics, admin server, gRPC server, webhook server, live values.
export { type Admin, serveAdmin } from "./admin.ts";
export { createEventRecorder, type EventInput, type EventObject, type EventRecorder, maxEventsInFlight } from "./events.ts";
export { FlagError, type FlagSpec, parseAddress, parseFlags } from "./flags.ts";
export { type GrpcServer, maxRequestBytes, serveGrpc, shutdownSignal } from "./grpc.ts";
export { type Cell, type CellSpec, type Dependency, follow, LiveIndex, type Track } from "./live.ts";
export { createLogger, type Fields, type Level, type Logger, parseLevel } from "./log.ts";
export { type ControllerMetrics, createMetrics } from "./metrics.ts";
export { watchMount } from "./mount.ts";
export { commonFlags, type Env, type Role, runRole, waitForSync } from "./process.ts";
export {
  type AdmissionAnswer,
  type AdmissionHandler,
  type AdmissionRequest,
  maxReviewBytes,
  review,
  serveWebhook,
  type WebhookServer,
} from "./webhook.ts";
