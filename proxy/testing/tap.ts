// The tap server of a test proxy, and a client of it that nobody here wrote: grpc-js.
import { once } from "node:events";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type ChannelCredentials, Client, type ClientReadableStream, credentials, type StatusObject } from "@grpc/grpc-js";
import { ObserveRequestSchema, type TapEvent, TapEventSchema } from "#api/tap_pb";
import { createEngines } from "../http/engines.ts";
import type { Observers } from "../http/observe.ts";
import { createObservation } from "../observe.ts";
import { createRuntime } from "../runtime.ts";
import { type TapRegistry, TapServer } from "../tap/index.ts";
import { TlsStore } from "../tls/index.ts";
import { Listener } from "../transport/index.ts";
import type { FakeIdentity } from "./fakes.ts";

export type TestTap = {
  /** For the proxy whose requests are to be seen. */
  readonly observers: Observers;
  readonly taps: TapRegistry;
  readonly server: TapServer;
  readonly port: number;
  stop(): void;
};

export function tapServer(identity: FakeIdentity, permitted: string): TestTap {
  const runtime = createRuntime((error) => {
    throw error;
  });
  const now = (): number => performance.now();
  const engines = createEngines({ streamWindow: 65535, connectionWindow: 1048576, now, wallMs: () => Date.now() });
  const { observers, taps } = createObservation({ tracer: null, now });
  const tls = new TlsStore(identity);
  const server = new TapServer({ runtime, engines, tls, registry: taps, permitted });
  const listener = new Listener({
    ip: "127.0.0.1",
    port: 0,
    flushQueue: runtime.flushQueue,
    keepaliveMs: null,
    onAccept: (connection) => server.accept(connection),
  });
  listener.open();
  return {
    observers,
    taps,
    server,
    port: listener.port,
    stop() {
      listener.stop();
      server.close();
    },
  };
}

export type ObserveInit = MessageInitShape<typeof ObserveRequestSchema>;

/** Events of one Observe call. */
export type Observed = {
  readonly call: ClientReadableStream<TapEvent>;
  readonly events: TapEvent[];
  /** Resolves when the server has taken the call. */
  readonly taken: Promise<unknown>;
  /** How it ended. */
  readonly end: Promise<StatusObject>;
  /** Resolves with the first `n` events. */
  until(n: number): Promise<TapEvent[]>;
};

export class TapClient {
  readonly #client: Client;

  constructor(address: string, creds: ChannelCredentials = credentials.createInsecure(), options = {}) {
    this.#client = new Client(address, creds, options);
  }

  /** `paused`: nothing is read until `call.resume()`. */
  observe(request: ObserveInit | Uint8Array, { paused = false } = {}): Observed {
    const call = this.#client.makeServerStreamRequest(
      "/io.linkerd.proxy.tap.Tap/Observe",
      (init: ObserveInit | Uint8Array) =>
        Buffer.from(init instanceof Uint8Array ? init : toBinary(ObserveRequestSchema, create(ObserveRequestSchema, init))),
      (bytes) => fromBinary(TapEventSchema, bytes),
      request,
    );
    const events: TapEvent[] = [];
    const taken = once(call, "metadata");
    taken.catch(() => {});
    const end = new Promise<StatusObject>((resolve) => call.on("status", resolve));
    call.on("error", () => {});
    if (!paused) call.on("data", (event: TapEvent) => void events.push(event));
    return {
      call,
      events,
      taken,
      end,
      async until(n) {
        while (events.length < n) await Promise.race([once(call, "data"), end.then(() => Promise.reject(new Error("the call ended")))]);
        return events.slice(0, n);
      },
    };
  }

  close(): void {
    this.#client.close();
  }
}
