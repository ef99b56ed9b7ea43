// Role `proxy-worker`, in a thread of the proxy's process: one data plane, told what to do over the thread's port.
import { isMainThread } from "node:worker_threads";
import { LineOutput, Log } from "#log";
import { registerSpanMetrics } from "../admin/process.ts";
import { type Config, parseConfig } from "../config/index.ts";
import type { Credentials, Identity, Unsubscribe } from "../contracts.ts";
import { DataPlane } from "../data-plane.ts";
import { LOOK_MS } from "../memory.ts";
import { Channel, type Port } from "./channel.ts";
import { type ProcessMethods, type WorkerMethods, type WorkerStart, workerConfig } from "./contract.ts";
import { TapsOfWorker } from "./taps.ts";

const EXIT_USAGE = 64;

/** Null: the thread lives on, for messages. */
export async function main(_args: string[], env: Record<string, string | undefined>): Promise<number | null> {
  if (isMainThread) {
    process.stderr.write("proxy-worker is no role of its own: set LINKERD2_PROXY_CORES for `fairlead proxy`\n");
    return EXIT_USAGE;
  }
  let worker: ProxyWorker | null = null;
  const running = (): ProxyWorker => {
    if (worker === null) throw new Error("the worker has not been started");
    return worker;
  };
  const channel: Channel<ProcessMethods, WorkerMethods> = new Channel(globalThis as unknown as Port, {
    start(init) {
      const parsed = parseConfig(env);
      if ("errors" in parsed) throw new Error(parsed.errors.join("; "));
      worker = new ProxyWorker(parsed.config, init, channel);
    },
    bind: (addresses) => running().plane.bind(addresses, true),
    certificate: (credentials) => running().identity?.set(credentials),
    open: () => running().plane.open(),
    filter: (text) => running().log.setFilter(text),
    page: () => running().plane.registry.parts(performance.now()),
    ping() {},
    drainInbound: () => running().plane.drainInbound(),
    drainOutbound: () => running().plane.drainOutbound(),
    cut: () => running().plane.cut(),
    close: () => running().plane.close(),
    tap: (id, request) => running().taps.begin(id, request),
    tapFull: (id) => running().taps.full(id),
    tapRoom: (id, events) => running().taps.room(id, events),
    tapEnd: (id) => running().taps.end(id),
  });
  return null;
}

class ProxyWorker {
  readonly log: Log;
  readonly identity: GivenIdentity | null;
  readonly plane: DataPlane;
  readonly taps: TapsOfWorker;

  constructor(config: Config, { index, count, originMs }: WorkerStart, process: Channel<ProcessMethods, WorkerMethods>) {
    const output = new LineOutput(globalThis.process.stdout);
    // The first thread is the process's own.
    const threadId = index + 2;
    const uptimeMs = (): number => performance.timeOrigin - originMs + performance.now();
    this.log = new Log({ ...config.log, write: (line) => output.write(line), uptimeMs, threadId });
    const app = this.log.logger("linkerd::app");
    output.onLost = (lines) => app.warn("log lines were lost: nobody read them, or there was no room", { lines });
    this.identity = config.identity === null ? null : new GivenIdentity(config.identity);
    this.plane = new DataPlane({ config: workerConfig(config, count), log: this.log, identity: this.identity });
    registerSpanMetrics(this.plane.registry, this.plane.exporter?.counts ?? null);
    this.taps = new TapsOfWorker({ registry: this.plane.taps, process, index, count });
    const memory = this.plane.memoryKeeper();
    setInterval(() => memory.look(), LOOK_MS);
  }
}

/** The certificates that the process obtains. */
class GivenIdentity implements Identity {
  readonly localName: string;
  readonly trustAnchorsPem: string;
  readonly ready: Promise<void>;
  readonly #watches = new Set<(credentials: Credentials) => void>();
  #current: Credentials | null = null;
  #becomeReady: () => void = () => {};

  constructor({ localName, trustAnchorsPem }: { localName: string; trustAnchorsPem: string }) {
    this.localName = localName;
    this.trustAnchorsPem = trustAnchorsPem;
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
  }

  current(): Credentials | null {
    return this.#current;
  }

  onChange(cb: (credentials: Credentials) => void): Unsubscribe {
    this.#watches.add(cb);
    return () => void this.#watches.delete(cb);
  }

  set(credentials: Credentials): void {
    this.#current = credentials;
    for (const cb of [...this.#watches]) cb(credentials);
    this.#becomeReady();
  }
}
