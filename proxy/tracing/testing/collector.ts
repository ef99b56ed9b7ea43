// A collector nobody here wrote: grpc-js with the agent's protocol as protobuf.js reads it.
import { join } from "node:path";
import { loadPackageDefinition, Server, ServerCredentials, type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export type ReceivedSpan = {
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly parentSpanId: Buffer;
  readonly name: { readonly value: string };
  readonly kind: string;
  readonly startTime: { readonly seconds: string; readonly nanos: number };
  readonly endTime: { readonly seconds: string; readonly nanos: number };
  readonly attributes: { readonly attributeMap: Record<string, { readonly stringValue: { readonly value: string } }> };
};
export type ReceivedRequest = {
  readonly node: {
    readonly identifier: { readonly hostName: string; readonly pid: number; readonly startTimestamp: { readonly seconds: string } };
    readonly serviceInfo: { readonly name: string };
    readonly attributes: Record<string, string>;
  } | null;
  readonly spans: readonly ReceivedSpan[];
};

export class Collector {
  readonly requests: ReceivedRequest[] = [];
  /** Streams opened so far. */
  streams = 0;
  /** Streams that the client ended in order. */
  ended = 0;
  port = 0;
  readonly #server: Server;
  readonly #calls = new Set<ServerDuplexStream<ReceivedRequest, object>>();
  readonly #waiting = new Set<() => void>();
  /** Answer each stream with UNAVAILABLE at once. */
  failing = false;

  constructor() {
    const definition = loadSync(join(import.meta.dir, "trace.proto"), { longs: String, enums: String, defaults: true, oneofs: false });
    const root = loadPackageDefinition(definition) as unknown as {
      opencensus: { proto: { agent: { trace: { v1: { TraceService: { service: ServiceDefinition } } } } } };
    };
    this.#server = new Server({ "grpc.max_receive_message_length": -1 });
    this.#server.addService(root.opencensus.proto.agent.trace.v1.TraceService.service, {
      Export: (call: ServerDuplexStream<ReceivedRequest, object>) => this.#export(call),
    });
  }

  listen(port = 0): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
        if (error) reject(error);
        else {
          this.port = bound;
          resolve(bound);
        }
      }),
    );
  }

  get spans(): ReceivedSpan[] {
    return this.requests.flatMap(({ spans }) => spans);
  }

  /** Resolves when it is so. */
  async until(is: () => boolean): Promise<void> {
    while (!is()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Breaks every stream. */
  reset(): void {
    for (const call of this.#calls) call.emit("error", { code: status.UNAVAILABLE, details: "reset" });
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #export(call: ServerDuplexStream<ReceivedRequest, object>): void {
    this.streams++;
    this.#calls.add(call);
    call.on("data", (request: ReceivedRequest) => {
      this.requests.push(request);
      this.#wake();
    });
    call.on("end", () => {
      this.ended++;
      call.end();
      this.#wake();
    });
    call.on("error", () => {});
    call.on("close", () => this.#calls.delete(call));
    if (this.failing) call.emit("error", { code: status.UNAVAILABLE, details: "failing" });
    this.#wake();
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}
