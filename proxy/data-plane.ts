// The data plane of one thread: the two sides with what they need of the control plane, their doors, and how they drain. A proxy
// has one; with more cores each worker has its own (see workers/).
import { readFileSync } from "node:fs";
import { formatSocketAddr, type SocketAddr } from "#addr";
import type { Log } from "#log";
import { Registry } from "#metrics";
import { type Config, matchesSuffix } from "./config/index.ts";
import type { Identity } from "./contracts.ts";
import { type Control, createControl } from "./control/index.ts";
import { type DescriptorLimits, descriptorLimits, maxOpenFiles } from "./descriptors.ts";
import { DrainRegistry } from "./drain.ts";
import { OutboundGateway } from "./gateway/index.ts";
import { createEngines, type HttpEngines } from "./http/engines.ts";
import { Inbound } from "./inbound/index.ts";
import { MemoryKeeper } from "./memory.ts";
import { createTelemetry, ResponseFamilies } from "./metrics/scopes.ts";
import { createObservation } from "./observe.ts";
import { Outbound } from "./outbound/index.ts";
import { createRuntime, type Runtime } from "./runtime.ts";
import type { TapRegistry, Taps } from "./tap/index.ts";
import type { DialContext } from "./tcp/dial.ts";
import { TlsStore } from "./tls/index.ts";
import { describeNode, parseAttributes, SpanExporter, Tracer } from "./tracing/index.ts";
import { type Connection, descriptorOf, Listener, openOriginalDst } from "./transport/index.ts";

export type DataPlaneOptions = {
  readonly config: Config;
  readonly log: Log;
  /** Null: identity is disabled. */
  readonly identity: Identity | null;
};

export type DoorOptions = {
  readonly at: SocketAddr;
  readonly keepaliveMs: number | null;
  /** Null: the kernel's. */
  readonly userTimeoutMs: number | null;
  readonly onAccept: (connection: Connection) => void;
  /** Connections with this file descriptor or a higher one are dropped. */
  readonly maxDescriptor: number;
  /** Other threads listen there too. */
  readonly shared?: boolean;
};

export type Addresses = { readonly inbound: SocketAddr; readonly outbound: SocketAddr };

/** Turns of the event loop before a listener closes, ms. */
const BACKLOG_MS = 5;

/** Who serves what is redirected to the proxy: the process's one thread, or its workers. */
export interface Traffic {
  /** Observe calls go there. */
  readonly taps: Taps;
  /** Rejects when it can serve no more. */
  readonly failed: Promise<never>;
  /** Binds both sides; nothing is served yet. Throws when an address cannot be bound. */
  bind(addresses: Addresses): unknown;
  /** Serves: the way out first. */
  open(): unknown;
  /** The page of metrics. */
  page(): string | Promise<string>;
  /** Resolves as soon as every thread answers. */
  live(): Promise<unknown>;
  /** Of the log; resolves when every thread has it. */
  setFilter(text: string): Promise<unknown> | undefined;
  /** Takes nothing new inbound; resolves when what was there is finished. */
  drainInbound(): Promise<void>;
  drainOutbound(): Promise<void>;
  /** Ends at once what has not finished, and what comes before the drain is over. */
  cut(): void;
  /** What is said last leaves; then nothing more is asked of the control plane. */
  close(): Promise<void>;
}

type Doors = { readonly inbound: Listener; readonly outbound: Listener };

export class DataPlane implements Traffic {
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  readonly registry = new Registry();
  readonly control: Control;
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  readonly tls: TlsStore | null;
  readonly taps: TapRegistry;
  readonly exporter: SpanExporter | null;
  readonly failed = new Promise<never>(() => {});
  readonly descriptors: DescriptorLimits = descriptorLimits(maxOpenFiles());
  readonly #options: DataPlaneOptions;
  readonly #drains = { inbound: new DrainRegistry(), outbound: new DrainRegistry() };
  #doors: Doors | null = null;
  #late = false;

  constructor(options: DataPlaneOptions) {
    this.#options = options;
    const { config, log, identity } = options;

    // Mechanisms every part shares.
    const fault = faultLogger(log);
    process.on("uncaughtException", fault);
    process.on("unhandledRejection", fault);
    const runtime = createRuntime(fault);
    this.runtime = runtime;
    const engines = createEngines({ ...config.http2, now: () => performance.now(), wallMs: () => Date.now() });
    this.engines = engines;
    const controlFamilies = new ResponseFamilies("control_", "control plane", config.metricsRetainIdleMs);
    const telemetry = createTelemetry(this.registry, { retainIdleMs: config.metricsRetainIdleMs, now: () => performance.now() });
    telemetry.groupControl(controlFamilies);

    // Connections take the newest certificate.
    const tls = identity === null ? null : new TlsStore(identity);
    this.tls = tls;

    // The control plane's word: where names are, who may call.
    const control = createControl({ config, runtime, engines, tls, families: controlFamilies, log });
    this.control = control;

    // Those who look at requests: taps, and the collector's spans.
    const exporter = createExporter(config, control, runtime.random, log);
    this.exporter = exporter;
    const { observers, taps } = createObservation({
      tracer: exporter === null ? null : createTracer((span) => exporter.add(span)),
      now: () => performance.now(),
    });
    this.taps = taps;

    // Both sides.
    const dialing = (side: Config["inbound"] | Config["outbound"]): Omit<DialContext, "refusePort" | "refuseLoopback"> => ({
      runtime,
      tls,
      timeoutMs: side.connectTimeoutMs,
      keepaliveMs: side.connectKeepaliveMs,
      userTimeoutMs: side.connectUserTimeoutMs,
      maxDescriptor: this.descriptors.dial,
    });
    const originalDst = originalDestination();
    const shared = { queueCapacity: config.bufferCapacity };
    const outboundLog = log.logger("linkerd::app::outbound").within("outbound");
    this.outbound = new Outbound({
      runtime,
      engines,
      drains: this.#drains.outbound,
      discovery: control.discovery,
      telemetry: telemetry.outbound,
      observers,
      dial: { ...dialing(config.outbound), remote: true, refusePort: null, refuseLoopback: true },
      settings: { ...config.outbound, ...shared, ingress: config.ingress, localIps: config.inbound.allowedIps ?? new Set() },
      originalDst,
      log: (level, message, fields) => outboundLog.log(level, message, fields),
    });
    const inboundLog = log.logger("linkerd::app::inbound").within("inbound");
    this.inbound = new Inbound({
      runtime,
      engines,
      drains: this.#drains.inbound,
      tls,
      policies: control.policies,
      discovery: control.discovery,
      telemetry: telemetry.inbound,
      observers,
      gateway: new OutboundGateway({
        named: this.outbound.named,
        localId: identity?.localName ?? null,
        allows: (name) => matchesSuffix(config.gatewaySuffixes, name),
      }),
      dial: { ...dialing(config.inbound), refusePort: config.inbound.listen.port, refuseLoopback: false },
      settings: { ...config.inbound, ...shared, port: config.inbound.listen.port, profileTimeoutMs: config.destination.profileTimeoutMs },
      originalDst,
      log: (level, message, fields) => inboundLog.log(level, message, fields),
    });
  }

  /** Connections that are served. */
  get connections(): number {
    return this.#drains.inbound.size + this.#drains.outbound.size;
  }

  /** Binds an address at once. */
  door({ at, shared = false, userTimeoutMs, ...options }: DoorOptions): Listener {
    const { userTimeout } = this.runtime;
    const app = this.#options.log.logger("linkerd::app");
    return new Listener({
      ...at,
      ...options,
      ...(userTimeoutMs === null ? {} : { tune: (socket) => userTimeout?.set(descriptorOf(socket), userTimeoutMs) }),
      shared,
      flushQueue: this.runtime.flushQueue,
      onDrop: (reason, count) => app.warn("dropping connections", { reason, count, at: formatSocketAddr(at) }),
    });
  }

  /** `shared`: with other threads. Gives what is bound: port 0 has become one. */
  bind({ inbound, outbound }: Addresses, shared = false): Addresses {
    const { config } = this.#options;
    const maxDescriptor = this.descriptors.accept;
    this.#doors = {
      inbound: this.door({
        at: inbound,
        keepaliveMs: config.inbound.acceptKeepaliveMs,
        userTimeoutMs: config.inbound.acceptUserTimeoutMs,
        onAccept: (connection) => this.inbound.accept(connection),
        maxDescriptor,
        shared,
      }),
      outbound: this.door({
        at: outbound,
        keepaliveMs: config.outbound.acceptKeepaliveMs,
        userTimeoutMs: config.outbound.acceptUserTimeoutMs,
        onAccept: (connection) => this.outbound.accept(connection),
        maxDescriptor,
        shared,
      }),
    };
    const { inbound: into, outbound: out } = this.#doors;
    return { inbound: { ...inbound, port: into.port }, outbound: { ...outbound, port: out.port } };
  }

  open(): void {
    this.#doors?.outbound.open();
    this.#doors?.inbound.open();
  }

  page(): string {
    return this.registry.print(performance.now());
  }

  live(): Promise<void> {
    return Promise.resolve();
  }

  /** The log is the process's. */
  setFilter(): undefined {}

  async drainInbound(): Promise<void> {
    await backlogAccepted();
    this.#doors?.inbound.stop();
    await this.#drain("inbound");
  }

  async drainOutbound(): Promise<void> {
    await backlogAccepted();
    this.#doors?.outbound.stop();
    const drained = this.#drain("outbound");
    if (this.#late) this.cut();
    await drained;
  }

  #drain(side: "inbound" | "outbound"): Promise<void> {
    const app = this.#options.log.logger("linkerd::app");
    return this.#drains[side].drain((connections, described) =>
      app.info("waiting for connections to finish", { side, connections, described }),
    );
  }

  cut(): void {
    this.#late = true;
    for (const drains of Object.values(this.#drains)) for (const member of drains.members()) member.cut();
  }

  async close(): Promise<void> {
    this.exporter?.close();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    this.control.stop();
  }

  memoryKeeper(): MemoryKeeper {
    return new MemoryKeeper({
      turns: () => this.runtime.flushQueue.turns,
      rss: residentBytes,
      now: () => performance.now(),
      collect: () => Bun.gc(true),
    });
  }
}

/** A listener that closes resets the connections that wait in the kernel: the turns until then take them in. */
function backlogAccepted(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, BACKLOG_MS));
}

/** 0 where the kernel does not say: reading it takes a file descriptor, and there may be none. */
function residentBytes(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0;
  }
}

function faultLogger(log: Log): (error: unknown) => void {
  const app = log.logger("linkerd::app");
  return (error) =>
    app.error("internal error; the connection it happened on is lost", {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
}

/** Null without a collector. */
function createExporter(config: Config, control: Control, random: () => number, log: Log): SpanExporter | null {
  const { collector } = control;
  if (config.trace === null || collector === null) return null;
  const logger = log.logger("linkerd::opencensus");
  const { attributesPath } = config.trace;
  let attributes: Record<string, string> = {};
  try {
    if (attributesPath !== null) attributes = parseAttributes(readFileSync(attributesPath, "utf8"));
  } catch (error) {
    logger.warn("trace attributes cannot be read", { path: attributesPath, error: (error as Error).message });
  }
  return new SpanExporter({
    acquire: (use) => collector.acquire(use),
    node: describeNode({ hostname: config.hostname, pid: process.pid, startMs: performance.timeOrigin, attributes }),
    backoff: config.outbound.backoff,
    random,
    schedule(run, ms) {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
    onProblem: (message) => logger.debug("span export ended", { error: message }),
  });
}

function createTracer(sink: ConstructorParameters<typeof Tracer>[0]["sink"]): Tracer {
  return new Tracer({
    sink,
    wallMs: () => performance.timeOrigin + performance.now(),
    random: (bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
  });
}

/** The kernel's word on where a connection was bound for. */
function originalDestination(): (connection: Connection) => SocketAddr | null {
  const read = openOriginalDst();
  return ({ socket }) => read((socket as unknown as { fd: number }).fd, socket.remoteFamily === "IPv6" ? "IPv6" : "IPv4");
}
