// Prometheus metrics of a controller: process, gRPC and webhook families (spec control-plane §11).
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export type ControllerMetrics = {
  readonly registry: Registry;
  readonly grpcStarted: Counter;
  readonly grpcHandled: Counter;
  readonly grpcReceived: Counter;
  readonly grpcSent: Counter;
  readonly grpcSeconds: Histogram;
  readonly httpRequests: Counter;
  readonly httpSeconds: Histogram;
};

/** A registry of its own: nothing is shared between roles of one process. */
export function createMetrics(): ControllerMetrics {
  const registry = new Registry();
  const registers = [registry];
  const startedAt = Date.now() / 1000;
  new Gauge({ name: "process_start_time_seconds", help: "Start time of the process since unix epoch in seconds.", registers }).set(
    startedAt,
  );
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory size in bytes.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent in seconds.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.set((user + system) / 1e6);
    },
  });
  const grpc = ["grpc_type", "grpc_service", "grpc_method"];
  return {
    registry,
    grpcStarted: new Counter({
      name: "grpc_server_started_total",
      help: "Total number of RPCs started on the server.",
      labelNames: grpc,
      registers,
    }),
    grpcHandled: new Counter({
      name: "grpc_server_handled_total",
      help: "Total number of RPCs completed on the server, regardless of success or failure.",
      labelNames: [...grpc, "grpc_code"],
      registers,
    }),
    grpcReceived: new Counter({
      name: "grpc_server_msg_received_total",
      help: "Total number of RPC stream messages received on the server.",
      labelNames: grpc,
      registers,
    }),
    grpcSent: new Counter({
      name: "grpc_server_msg_sent_total",
      help: "Total number of gRPC stream messages sent by the server.",
      labelNames: grpc,
      registers,
    }),
    grpcSeconds: new Histogram({
      name: "grpc_server_handling_seconds",
      help: "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
      labelNames: grpc,
      registers,
    }),
    httpRequests: new Counter({
      name: "http_server_requests_total",
      help: "A counter for requests to the wrapped handler.",
      labelNames: ["code", "method"],
      registers,
    }),
    httpSeconds: new Histogram({
      name: "http_server_request_latency_seconds",
      help: "A histogram of latencies for requests in seconds.",
      labelNames: ["code", "method"],
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10],
      registers,
    }),
  };
}
